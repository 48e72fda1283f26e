"""The learned audio encoder compared with the real laion-clap, on random weights of its smallest model."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile as sf
import torch

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables import rejects
from tracktokens.transforms.audio import DecodedFile, WindowReader
from tracktokens.transforms.encoders.audio.clap_checkpoint import (
    DIM,
    SAMPLES,
    LoadedClapEncoder,
    clap_encoder,
    clap_input,
    model_names,
    read_audio_weights,
)
from tracktokens.transforms.encoders.audio.descriptors import DescriptorEncoder
from tracktokens.transforms.encoders.backend_choice import installed_backends
from tracktokens.transforms.encoders.base import Failure

pytestmark = pytest.mark.job

torch_clap = partial(clap_encoder, backend="torch")

RATE = 48_000
TINY = "HTSAT-tiny"
REFERENCE = Path(__file__).parents[3] / "support" / "laion_clap_reference.py"


def sound(seed: int, samples: int) -> np.ndarray:
    """A chord of varying volume, and noise; partly louder than full scale."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / RATE
    chord = sum(np.sin(2 * np.pi * rng.uniform(60, 6000) * t) for _ in range(4))
    swell = np.sin(2 * np.pi * rng.uniform(0.2, 2) * t) ** 2
    return (0.35 * chord * swell + 0.2 * rng.random() * rng.standard_normal(samples)).astype(np.float32)


WINDOWS = {
    "ten seconds": sound(0, SAMPLES),
    "another": sound(1, SAMPLES),
    "a third": sound(2, SAMPLES),
    "a sample short": sound(3, SAMPLES - 1),
    "three seconds": sound(4, 3 * RATE),
    "a tenth of a second": sound(5, RATE // 10),
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the output of the real library: its weights (state.pt) and the windows' vectors (vectors.npz)."""
    folder = tmp_path_factory.mktemp("clap")
    np.savez(folder / "windows.npz", **WINDOWS)
    environment = {**os.environ, "HF_HUB_CACHE": str(folder / "hub"), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, str(REFERENCE), str(folder)], env=environment, check=True)
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    for name, window in WINDOWS.items():
        sf.write(folder / f"{name}.wav", window, RATE, subtype="FLOAT")
    three = np.concatenate([WINDOWS["ten seconds"], WINDOWS["another"], WINDOWS["a third"]])
    sf.write(folder / "long.wav", three, RATE, subtype="FLOAT")
    sf.write(folder / "resampled.wav", sound(6, 22_050 * 12), 22_050)
    sf.write(folder / "empty.wav", np.zeros(0), RATE)
    (folder / "text.mp3").write_text("liner notes")
    return folder


@pytest.fixture(scope="module")
def checkpoint(real: Path) -> Path:
    """A checkpoint like the published ones: wrapped, with a prefix, a NumPy number, and position_ids."""
    path = real / "published.pt"
    state = {f"module.{name}": value for name, value in torch.load(real / "state.pt").items()}
    state["module.text_branch.embeddings.position_ids"] = torch.arange(8)[None]
    torch.save({"epoch": 3, "best": np.float64(0.5), "optimizer": {"lr": 1e-4}, "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def loaded(checkpoint: Path, root: Path) -> LoadedClapEncoder:
    """The encoder, loaded without network access and without laion-clap's tokenizers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", None)
        encoder = torch_clap(str(root), checkpoint=str(checkpoint), model=TINY).load(2)
    assert "laion_clap" not in sys.modules
    return encoder


def encode(loaded: LoadedClapEncoder, *names: str) -> np.ndarray:
    result = loaded.encode(pa.array(names, pa.string()))
    assert not result.failures
    return result.vectors


def test_a_window_has_the_vector_of_laion_clap(loaded: LoadedClapEncoder, real: Path) -> None:
    reference = np.load(real / "vectors.npz")
    ours = encode(loaded, *(f"{name}.wav" for name in WINDOWS))
    np.testing.assert_allclose(ours, np.stack([reference[name] for name in WINDOWS]), rtol=0, atol=1e-5)
    gaps = [np.abs(ours[i] - ours[j]).max() for i in range(len(ours)) for j in range(i)]
    assert min(gaps) > 1e-3  # otherwise the comparison above would prove nothing


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_graph_gives_the_vectors_of_laion_clap(checkpoint: Path, root: Path, real: Path, backend: str) -> None:
    if backend not in installed_backends():
        pytest.skip(f"the packages of {backend} are not installed")
    graph = clap_encoder(str(root), checkpoint=str(checkpoint), model=TINY, backend=backend).load(2)
    reference = np.load(real / "vectors.npz")
    ours = encode(graph, *(f"{name}.wav" for name in WINDOWS))
    np.testing.assert_allclose(ours, np.stack([reference[name] for name in WINDOWS]), rtol=0, atol=1e-5)


def test_a_long_file_has_the_mean_of_its_windows_vectors_at_unit_length(loaded: LoadedClapEncoder, real: Path) -> None:
    reference = np.load(real / "vectors.npz")
    mean = np.mean([reference[name] for name in ("ten seconds", "another", "a third")], axis=0)
    np.testing.assert_allclose(encode(loaded, "long.wav")[0], mean / np.linalg.norm(mean), rtol=0, atol=1e-5)


def test_batch_size_and_neighbours_change_a_vector_by_rounding_only(loaded: LoadedClapEncoder) -> None:
    names = ["resampled.wav", "long.wav"]
    one_by_one = LoadedClapEncoder(loaded.network, loaded._root, batch_size=1, threads=1)
    np.testing.assert_allclose(encode(loaded, *names), encode(one_by_one, *names), rtol=0, atol=1e-5)


def test_any_number_of_threads_gives_equal_vectors(loaded: LoadedClapEncoder) -> None:
    names = ["long.wav", "three seconds.wav", "long.wav"]
    one, three = (LoadedClapEncoder(loaded.network, loaded._root, batch_size=2, threads=count) for count in (1, 3))
    np.testing.assert_array_equal(encode(three, *names), encode(one, *names))


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_any_number_of_threads_gives_equal_vectors_of_a_graph(checkpoint: Path, root: Path, backend: str) -> None:
    if backend not in installed_backends():
        pytest.skip(f"the packages of {backend} are not installed")
    graph = clap_encoder(str(root), checkpoint=str(checkpoint), model=TINY, backend=backend).load(3)
    one, three = (LoadedClapEncoder(graph.network, graph._root, batch_size=1, threads=count) for count in (1, 3))
    np.testing.assert_array_equal(encode(three, "long.wav"), encode(one, "long.wav"))


def test_the_time_of_its_decoders_is_summed_over_the_files(
    loaded: LoadedClapEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = [DecodedFile([WINDOWS["three seconds"]], 0.5), DecodedFile(Failure(rejects.AUDIO_TIMEOUT, ""), 60.0)]
    monkeypatch.setattr(WindowReader, "read_all", lambda reader, paths: iter(readings))
    assert loaded.encode(pa.array(["a", "b"])).decoding_seconds == 60.5
    monkeypatch.undo()
    assert 0 < loaded.encode(pa.array(["three seconds.wav"])).decoding_seconds < 60


def test_batches_are_smaller_from_then_on_if_memory_runs_out(
    loaded: LoadedClapEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    expected = encode(loaded, "long.wav", "ten seconds.wav")
    embed = loaded.network.embed

    def embed_two(windows: list[np.ndarray]) -> np.ndarray:
        sizes.append(len(windows))
        if len(windows) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
        return embed(windows)

    monkeypatch.setattr(loaded.network, "embed", embed_two)
    narrow = LoadedClapEncoder(loaded.network, loaded._root, batch_size=8, threads=1)
    np.testing.assert_allclose(encode(narrow, "long.wav", "ten seconds.wav"), expected, rtol=0, atol=1e-5)
    assert sizes == [4, 4, 2, 2]
    encode(narrow, "long.wav")
    assert sizes[4:] == [2, 1]


def test_a_probe_distinguishes_a_working_network_from_a_broken_one(
    loaded: LoadedClapEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert loaded.probe()
    monkeypatch.setattr(loaded.network, "embed", lambda windows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loaded.probe()


def test_a_missing_device_is_a_usage_error(checkpoint: Path) -> None:
    encoder = torch_clap("audio", checkpoint=str(checkpoint), model=TINY, device="cuda:7")
    with pytest.raises(UsageError, match=r"--device cuda:7: this machine has .*cpu"):
        encoder.load(1)
    assert encoder.encoder_id == torch_clap("audio", checkpoint=str(checkpoint), model=TINY).encoder_id


def test_a_file_without_sound_is_a_failure_and_the_others_have_vectors(loaded: LoadedClapEncoder) -> None:
    names = ["none.wav", "three seconds.wav", "empty.wav", "text.mp3", "long.wav"]
    result = loaded.encode(pa.array(names))
    assert {row: failure.reason for row, failure in result.failures.items()} == {
        0: rejects.AUDIO_MISSING,
        2: rejects.AUDIO_EMPTY,
        3: rejects.AUDIO_UNDECODABLE,
    }
    np.testing.assert_allclose(np.linalg.norm(result.vectors, axis=1), [0, 1, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(result.vectors[4], encode(loaded, "long.wav")[0], rtol=0, atol=1e-5)


def test_no_inputs_give_no_vectors(loaded: LoadedClapEncoder) -> None:
    assert loaded.encode(pa.array([], pa.string())).vectors.shape == (0, DIM)


def test_a_checkpoint_with_and_without_wrapper_prefix_and_position_ids_is_the_same_model(
    real: Path, checkpoint: Path
) -> None:
    plain = read_audio_weights(real / "state.pt", trusted=False)
    published = read_audio_weights(checkpoint, trusted=False)
    assert list(plain) == list(published)
    assert all(torch.equal(plain[name], published[name]) for name in plain)


def test_two_loads_give_the_same_vectors_and_share_the_model_while_one_is_held(
    loaded: LoadedClapEncoder, real: Path, checkpoint: Path, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert torch_clap(str(root), checkpoint=str(checkpoint), model=TINY).load(2).network is loaded.network
    again = torch_clap(str(root), checkpoint=str(real / "state.pt"), model=TINY).load(2)
    assert capfd.readouterr() == ("", "")
    assert again.network is not loaded.network
    np.testing.assert_array_equal(encode(again, "three seconds.wav"), encode(loaded, "three seconds.wav"))


def test_a_checkpoint_that_changes_after_the_job_began_is_refused(checkpoint: Path, root: Path) -> None:
    with pytest.raises(InvalidDataError, match="but the job was started with 123"):
        replace(torch_clap(str(root), checkpoint=str(checkpoint), model=TINY), weights="123").load(1)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_checkpoint_that_could_run_code_is_refused_until_it_is_trusted(real: Path, tmp_path: Path) -> None:
    path, mark = tmp_path / "unsafe.pt", tmp_path / "mark"
    torch.save({"state_dict": torch.load(real / "state.pt"), "args": Payload(mark)}, path)
    with pytest.raises(InvalidDataError, match=r"contains more than weights .*--trust-checkpoint") as refused:
        torch_clap("audio", checkpoint=str(path), model=TINY)
    assert "\n" not in str(refused.value)
    assert not mark.exists()
    assert torch_clap("audio", checkpoint=str(path), model=TINY, trusted=True).model == TINY
    assert mark.exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_file_that_is_not_a_checkpoint_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(InvalidDataError, match=r"weights\.pt is not a PyTorch checkpoint, or is damaged"):
        torch_clap("audio", checkpoint=str(path), model=TINY)


def test_a_checkpoint_of_a_different_size_is_refused_before_a_job_starts(checkpoint: Path) -> None:
    with pytest.raises(InvalidDataError, match=r"does not fit HTSAT-base: audio_projection\.0\.weight is") as refused:
        torch_clap("audio", checkpoint=str(checkpoint), model="HTSAT-base")
    assert "(512, 768), not (512, 1024)" in str(refused.value)
    assert TINY in str(refused.value)


def test_a_checkpoint_of_a_fusion_model_or_of_no_clap_is_refused(real: Path, tmp_path: Path) -> None:
    state = torch.load(real / "state.pt")
    fusion = "audio_branch.patch_embed.fusion_model.local_att.0.weight"
    torch.save({**state, fusion: torch.zeros(1)}, tmp_path / "fusion.pt")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(InvalidDataError, match=r"fusion_model.* is .*, not a part of it"):
        torch_clap("audio", checkpoint=str(tmp_path / "fusion.pt"), model=TINY)
    with pytest.raises(InvalidDataError, match=r"audio_projection\.0\.weight is missing"):
        torch_clap("audio", checkpoint=str(tmp_path / "other.pt"), model=TINY)


def test_a_checkpoint_that_differs_elsewhere_is_refused_when_it_is_loaded(checkpoint: Path, root: Path) -> None:
    encoder = torch_clap(str(root), checkpoint=str(checkpoint), model="HTSAT-tiny-win-1536")
    with pytest.raises(InvalidDataError, match=r"does not fit HTSAT-tiny-win-1536: audio_branch\.\S+ is \(513, "):
        encoder.load(1)


def test_a_missing_checkpoint_or_model_is_a_usage_error(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.pt: no such file"):
        torch_clap("audio", checkpoint=str(tmp_path / "none.pt"), model=TINY)
    with pytest.raises(UsageError, match=r"--clap-model HTSAT-huge: use one of HTSAT-base, .*HTSAT-tiny"):
        torch_clap("audio", checkpoint=str(checkpoint), model="HTSAT-huge")
    assert {"HTSAT-base", TINY, "HTSAT-large"} <= set(model_names())


def test_the_identity_includes_the_weights_and_excludes_paths(checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pt"
    copy.write_bytes(checkpoint.read_bytes())
    encoder = torch_clap("a", checkpoint=str(checkpoint), model=TINY)
    assert encoder.encoder_id == torch_clap("b", checkpoint=str(copy), model=TINY, trusted=True).encoder_id
    assert encoder.encoder_id != replace(encoder, weights="123").encoder_id
    assert encoder.encoder_id != replace(encoder, model="HTSAT-base").encoder_id


def test_clap_vectors_are_not_standardised_and_descriptors_are(checkpoint: Path) -> None:
    assert not torch_clap("a", checkpoint=str(checkpoint), model=TINY).standardize
    assert DescriptorEncoder("a").standardize


def test_an_input_is_clipped_rounded_repeated_and_padded() -> None:
    samples = clap_input(np.array([2.0, -2.0, 0.5, 1e-6], np.float32).repeat(50_000))
    assert samples.shape == (SAMPLES,)
    assert samples.dtype == np.float32
    expected = np.array([1.0, -1.0, 16383 / 32767, 0.0], np.float32)
    np.testing.assert_array_equal(samples[::50_000], [*expected, *expected, 0, 0])
    np.testing.assert_array_equal(clap_input(np.ones(SAMPLES + 1, np.float32)), np.ones(SAMPLES))

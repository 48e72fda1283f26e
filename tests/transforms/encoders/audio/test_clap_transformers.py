"""A CLAP that transformers saved, compared with its own ``get_audio_features``, on a tiny model of random weights."""

import json
import shutil
import socket
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile as sf
import torch
from safetensors.torch import load_file, save_file
from transformers import ClapAudioConfig, ClapConfig, ClapFeatureExtractor, ClapModel, ClapTextConfig

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables import rejects
from tracktokens.transforms.encoders.audio.clap_base import LoadedClapEncoder
from tracktokens.transforms.encoders.audio.clap_checkpoint import clap_encoder
from tracktokens.transforms.encoders.backend_choice import BackendChoice, installed_backends

torch_clap = partial(clap_encoder, backend="torch")

RATE = 48_000
TEN_SECONDS = 10 * RATE
DIM = 24


def sound(seed: int, samples: int) -> np.ndarray:
    """A chord of varying volume, and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / RATE
    chord = sum(np.sin(2 * np.pi * rng.uniform(60, 6000) * t) for _ in range(4))
    swell = np.sin(2 * np.pi * rng.uniform(0.2, 2) * t) ** 2
    return (0.2 * chord * swell + 0.2 * rng.random() * rng.standard_normal(samples)).astype(np.float32)


WINDOWS = {
    "ten seconds": sound(0, TEN_SECONDS),
    "another": sound(1, TEN_SECONDS),
    "a third": sound(2, TEN_SECONDS),
    "three seconds": sound(3, 3 * RATE),
    "a tenth of a second": sound(4, RATE // 10),
}


def save_model(folder: Path, fusion: bool = False, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    text = ClapTextConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    ).to_dict()
    audio = ClapAudioConfig(
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        patch_embeds_hidden_size=8,
        hidden_size=64,
        enable_fusion=fusion,
        aff_block_r=2,
    ).to_dict()
    model = ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=DIM)).eval()
    for parameter in model.audio_model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(3)  # otherwise every sound would have nearly the same vector
    model.save_pretrained(folder)
    ClapFeatureExtractor(truncation="fusion" if fusion else "rand_trunc").save_pretrained(folder)
    return folder


def reference_vector(folder: Path, window: np.ndarray) -> np.ndarray:
    """Vector that transformers computes for a window with ``is_longer=False``."""
    features = ClapFeatureExtractor.from_pretrained(folder)(window, sampling_rate=RATE, return_tensors="pt")
    with torch.inference_mode():
        output = (
            ClapModel.from_pretrained(folder)
            .eval()
            .get_audio_features(features["input_features"], is_longer=torch.tensor([[False]]))
        )
    return getattr(output, "pooler_output", output)[0].numpy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("clap"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("audio")
    for name, window in WINDOWS.items():
        sf.write(root / f"{name}.wav", window, RATE, subtype="FLOAT")
    three = np.concatenate([WINDOWS["ten seconds"], WINDOWS["another"], WINDOWS["a third"]])
    sf.write(root / "long.wav", three, RATE, subtype="FLOAT")
    sf.write(root / "empty.wav", np.zeros(0), RATE)
    sf.write(root / "silence.wav", np.zeros(TEN_SECONDS), RATE)
    return root


@pytest.fixture(scope="module")
def loaded(folder: Path, root: Path) -> LoadedClapEncoder:
    """The encoder, loaded without network access."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", None)
        return torch_clap(str(root), checkpoint=str(folder)).load(2)


def encode(loaded: LoadedClapEncoder, *names: str) -> np.ndarray:
    result = loaded.encode(pa.array(names, pa.string()))
    assert not result.failures
    return result.vectors


def test_a_window_has_the_vector_of_transformers(loaded: LoadedClapEncoder, folder: Path) -> None:
    ours = encode(loaded, *(f"{name}.wav" for name in WINDOWS))
    assert ours.shape == (len(WINDOWS), DIM)
    np.testing.assert_allclose(
        ours, [reference_vector(folder, window) for window in WINDOWS.values()], rtol=0, atol=1e-5
    )
    gaps = [np.abs(ours[i] - ours[j]).max() for i in range(len(ours)) for j in range(i)]
    assert min(gaps) > 1e-3  # otherwise the comparison above would prove nothing


def test_a_fused_model_treats_windows_as_not_longer(tmp_path: Path, root: Path) -> None:
    fused = save_model(tmp_path / "fused", fusion=True)
    ours = encode(torch_clap(str(root), checkpoint=str(fused)).load(2), "ten seconds.wav", "three seconds.wav")
    expected = [reference_vector(fused, WINDOWS[name]) for name in ("ten seconds", "three seconds")]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@pytest.fixture(params=["onnx", "openvino"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param not in installed_backends():
        pytest.skip(f"the packages of {request.param} are not installed")
    return str(request.param)


def test_a_graph_gives_torchs_vectors_and_keeps_the_encoder_id(
    loaded: LoadedClapEncoder, folder: Path, root: Path, backend: str
) -> None:
    encoder = clap_encoder(str(root), checkpoint=str(folder), backend=backend)
    assert encoder.encoder_id == clap_encoder(str(root), checkpoint=str(folder)).encoder_id
    graph = encoder.load(2)
    names = ["long.wav", *(f"{name}.wav" for name in WINDOWS), "silence.wav"]
    np.testing.assert_allclose(encode(graph, *names), encode(loaded, *names), rtol=0, atol=1e-6)


def test_auto_measures_a_model_once_and_gives_torchs_vectors(
    loaded: LoadedClapEncoder, folder: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKTOKENS_CACHE", str(tmp_path))
    encoder = clap_encoder(str(root), checkpoint=str(folder))
    vectors = encode(encoder.load(2), "long.wav", "another.wav")
    np.testing.assert_allclose(vectors, encode(loaded, "long.wav", "another.wav"), rtol=0, atol=1e-6)
    [choice] = (tmp_path / "backends").glob("*.json")
    assert json.loads(choice.read_text())["measured"]["torch"]["equal_codes"] == 1
    monkeypatch.setattr(BackendChoice, "_measure", None)
    np.testing.assert_array_equal(encode(encoder.load(2), "long.wav", "another.wav"), vectors)


def test_a_graph_of_another_model_is_refused_by_name_and_left_by_auto(
    loaded: LoadedClapEncoder,
    folder: Path,
    root: Path,
    backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("TRACKTOKENS_CACHE", str(tmp_path / "cache"))
    encoder = clap_encoder(str(root), checkpoint=str(folder), backend=backend)
    encoder.load(2)
    [graph] = (tmp_path / "cache" / "graphs").glob("*/model.onnx")
    other = save_model(tmp_path / "other", seed=1)
    monkeypatch.setenv("TRACKTOKENS_CACHE", str(tmp_path / "second"))
    clap_encoder(str(root), checkpoint=str(other), backend=backend).load(2)
    [wrong] = (tmp_path / "second" / "graphs").glob("*/model.onnx")
    shutil.copy(wrong, graph)
    monkeypatch.setenv("TRACKTOKENS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match=rf"in {backend} gives other vectors than torch .*: use --clap-backend torch"):
        encoder.load(2)
    monkeypatch.setattr(BackendChoice, "fastest", lambda _: backend)
    left = clap_encoder(str(root), checkpoint=str(folder)).load(2)
    np.testing.assert_array_equal(encode(left, "another.wav"), encode(loaded, "another.wav"))
    assert "the CLAP model runs in torch" in caplog.text


def test_a_fused_model_runs_in_torch_alone(tmp_path: Path, root: Path) -> None:
    fused = str(save_model(tmp_path / "fused", fusion=True))
    clap_encoder(str(root), checkpoint=fused).load(2)
    with pytest.raises(UsageError, match="fuses windows, which runs in torch alone: use --clap-backend torch"):
        clap_encoder(str(root), checkpoint=fused, backend="onnx").load(2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "onnx", "device": "cuda"}, "--device cuda: the onnx backend runs on the CPU only"),
        ({"backend": "tensorflow"}, "--clap-backend tensorflow: use one of auto, torch, onnx, openvino"),
    ],
)
def test_a_backend_that_cannot_be_is_refused(folder: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clap_encoder("/", checkpoint=str(folder), **options)  # type: ignore[arg-type]


def test_a_long_file_has_the_mean_of_its_windows_vectors_at_unit_length(
    loaded: LoadedClapEncoder, folder: Path
) -> None:
    mean = np.mean([reference_vector(folder, WINDOWS[name]) for name in ("ten seconds", "another", "a third")], axis=0)
    np.testing.assert_allclose(encode(loaded, "long.wav")[0], mean / np.linalg.norm(mean), rtol=0, atol=1e-5)


def test_silence_has_the_vector_of_transformers(loaded: LoadedClapEncoder, folder: Path) -> None:
    expected = reference_vector(folder, np.zeros(TEN_SECONDS, np.float32))
    np.testing.assert_allclose(encode(loaded, "silence.wav")[0], expected, rtol=0, atol=1e-5)
    assert np.linalg.norm(expected) == pytest.approx(1)


def test_any_number_of_threads_gives_equal_vectors(loaded: LoadedClapEncoder) -> None:
    one, three = (LoadedClapEncoder(loaded.network, loaded._root, batch_size=1, threads=count) for count in (1, 3))
    np.testing.assert_array_equal(encode(three, "long.wav"), encode(one, "long.wav"))


def test_batch_size_changes_a_vector_by_rounding_only(loaded: LoadedClapEncoder) -> None:
    names = ["three seconds.wav", "long.wav", "another.wav"]
    one_by_one = LoadedClapEncoder(loaded.network, loaded._root, batch_size=1, threads=1)
    np.testing.assert_allclose(encode(loaded, *names), encode(one_by_one, *names), rtol=0, atol=1e-5)


def test_two_loads_have_the_same_vectors_and_print_nothing(
    loaded: LoadedClapEncoder, copy: Path, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert torch_clap(str(root), checkpoint=str(copy)).load(2).network is loaded.network
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    again = torch_clap(str(root), checkpoint=str(copy)).load(2)
    assert again.network is not loaded.network
    np.testing.assert_array_equal(encode(again, "three seconds.wav"), encode(loaded, "three seconds.wav"))
    assert capfd.readouterr() == ("", "")


def test_a_file_without_sound_is_a_failure(loaded: LoadedClapEncoder) -> None:
    result = loaded.encode(pa.array(["empty.wav", "none.wav", "another.wav"]))
    assert {row: failure.reason for row, failure in result.failures.items()} == {
        0: rejects.AUDIO_EMPTY,
        1: rejects.AUDIO_MISSING,
    }
    assert result.vectors.shape == (3, DIM)


# Contents of a folder.


def unpack(copy: Path) -> dict[str, torch.Tensor]:
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    return weights


def test_weights_in_several_files_or_pickled_as_tensors_give_the_same_vectors(
    loaded: LoadedClapEncoder, copy: Path, root: Path
) -> None:
    def vector() -> np.ndarray:
        return encode(torch_clap(str(root), checkpoint=str(copy)).load(2), "three seconds.wav")

    expected = encode(loaded, "three seconds.wav")
    weights = unpack(copy)
    torch.save(weights, copy / "pytorch_model.bin")
    np.testing.assert_array_equal(
        encode(torch_clap(str(root), checkpoint=str(copy)).load(2), "three seconds.wav"), expected
    )
    file_of = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(weights)}
    for file in set(file_of.values()):
        save_file({name: weights[name] for name in weights if file_of[name] == file}, copy / file)
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": file_of}))
    np.testing.assert_array_equal(
        encode(torch_clap(str(root), checkpoint=str(copy)).load(2), "three seconds.wav"), expected
    )


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_that_could_run_code_is_refused_and_not_run(copy: Path, root: Path, tmp_path: Path) -> None:
    torch.save({**unpack(copy), "args": Payload(tmp_path / "mark")}, copy / "pytorch_model.bin")
    encoder = torch_clap(str(root), checkpoint=str(copy))
    with pytest.raises(InvalidDataError, match=r"pytorch_model\.bin is damaged, or contains more than weights"):
        encoder.load(1)
    assert not (tmp_path / "mark").exists()


def test_a_damaged_file_of_weights_is_refused(copy: Path, root: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(InvalidDataError, match=r"model\.safetensors is damaged"):
        torch_clap(str(root), checkpoint=str(copy)).load(1)


def test_weights_that_leave_a_part_at_its_random_values_are_refused(copy: Path, root: Path) -> None:
    weights = unpack(copy)
    del weights["audio_projection.linear1.weight"]
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(InvalidDataError, match=r"audio_projection\.linear1\.weight is missing, not \(24, 64\)"):
        torch_clap(str(root), checkpoint=str(copy)).load(1)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_model_and_an_extractor_that_do_not_match_are_refused(copy: Path, root: Path) -> None:
    edit(copy / "preprocessor_config.json", truncation="fusion")
    with pytest.raises(InvalidDataError, match="do not agree on enable_fusion"):
        torch_clap(str(root), checkpoint=str(copy)).load(1)


def test_a_model_of_a_different_type_is_refused(copy: Path) -> None:
    edit(copy / "config.json", model_type="roberta")
    with pytest.raises(InvalidDataError, match="is a model of type roberta, not clap"):
        torch_clap("audio", checkpoint=str(copy))


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_configuration_that_cannot_be_read_is_refused(copy: Path, name: str) -> None:
    (copy / name).write_text("{")
    with pytest.raises(InvalidDataError, match=r"is not valid JSON|cannot be used"):
        torch_clap("audio", checkpoint=str(copy))


def test_invalid_windows_are_refused(copy: Path) -> None:
    edit(copy / "preprocessor_config.json", max_length_s=0)
    with pytest.raises(InvalidDataError, match=r"cannot be used: .*windows need") as refused:
        torch_clap("audio", checkpoint=str(copy))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_missing_file_is_a_usage_error(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(UsageError, match=name.replace(".", r"\.")):
        torch_clap("audio", checkpoint=str(copy))


def test_options_of_a_file_are_refused_for_a_folder(folder: Path) -> None:
    for options in ({"model": "HTSAT-tiny"}, {"trusted": True}):
        with pytest.raises(UsageError, match=r"--clap-model and --trust-checkpoint require a checkpoint file"):
            torch_clap("audio", checkpoint=str(folder), **options)


def test_the_identity_includes_weights_and_configurations_and_excludes_paths(folder: Path, copy: Path) -> None:
    encoder = torch_clap("a", checkpoint=str(folder))
    (copy / "tokenizer.json").write_text("{}")
    assert encoder.encoder_id == torch_clap("b", checkpoint=str(copy), device="cuda:3").encoder_id
    edit(copy / "preprocessor_config.json", frequency_min=50)
    assert encoder.encoder_id != torch_clap("a", checkpoint=str(copy)).encoder_id


def test_a_folder_that_changes_after_the_job_began_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidDataError, match="but the job was started with 123"):
        replace(torch_clap("a", checkpoint=str(folder)), weights="123").load(1)

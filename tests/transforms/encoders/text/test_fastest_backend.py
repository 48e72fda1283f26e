"""The choice of a text model's backend: measured once, the fastest with torch's codes, and torch where none is."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders import backend_choice
from tracktokens.transforms.encoders.backend_choice import (
    BackendChoice,
    Measured,
    choose,
    equal_codes,
    write_choice,
)
from tracktokens.transforms.encoders.onnx_graphs import ONNX, OPENVINO
from tracktokens.transforms.encoders.text.exported_model import ExportedModel
from tracktokens.transforms.encoders.text.fastest_backend import fastest_backend
from tracktokens.transforms.encoders.text.sentence import (
    AUTO,
    TORCH,
    LoadedSentenceEncoder,
    SentenceEncoder,
    sentence_encoder,
)
from tracktokens.transforms.encoders.text.torch_model import TorchModel

TEXTS = pa.array(["a b c", "songs 中文 c", "d " * 300, ""])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKTOKENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """Replace the measurement: the last candidate is twice as fast as torch. Lists the calls."""
    calls: list[list[str]] = []

    def measure(_: object, candidates: list[str]) -> dict[str, Measured]:
        calls.append(candidates)
        return {TORCH: Measured(1.0, 1.0), candidates[-1]: Measured(0.5, 1.0)}

    monkeypatch.setattr(backend_choice, "installed_backends", lambda: [ONNX, OPENVINO])
    monkeypatch.setattr(BackendChoice, "_measure", measure)
    return calls


def torch_model(encoder: LoadedSentenceEncoder) -> TorchModel:
    assert isinstance(encoder.model, TorchModel)
    return encoder.model


def _choices(cache: Path) -> list[Path]:
    return sorted((cache / "backends").glob("*"))


def test_a_real_measurement_has_all_backends_and_leaves_the_model_as_it_was(
    tiny: LoadedSentenceEncoder, cache: Path
) -> None:
    before = tiny.encode(TEXTS).vectors
    chosen = fastest_backend(lambda: torch_model(tiny), weights="w")
    np.testing.assert_array_equal(tiny.encode(TEXTS).vectors, before)
    [path] = _choices(cache)
    kept = json.loads(path.read_text())
    installed = {backend for backend, name in ((ONNX, "onnxruntime"), (OPENVINO, "openvino")) if find_spec(name)}
    assert kept["backend"] == chosen
    assert set(kept["measured"]) == {TORCH, *installed}
    assert all(found["equal_codes"] == 1 for found in kept["measured"].values())


@pytest.mark.usefixtures("measurements")
def test_auto_runs_what_was_chosen_with_torchs_vectors(tiny_model: Path, tiny: LoadedSentenceEncoder) -> None:
    if find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    encoder = sentence_encoder(str(tiny_model))
    assert encoder.backend == AUTO
    assert encoder.encoder_id == sentence_encoder(str(tiny_model), backend=TORCH).encoder_id
    loaded = encoder.load(threads=1)
    assert isinstance(loaded.model, ExportedModel)
    np.testing.assert_allclose(loaded.encode(TEXTS).vectors, tiny.encode(TEXTS).vectors, atol=1e-6)


def test_a_choice_is_measured_once_per_model(
    tiny: LoadedSentenceEncoder, measurements: list[list[str]], cache: Path
) -> None:
    for weights in ("one", "one", "two"):
        assert fastest_backend(lambda: torch_model(tiny), weights=weights) == OPENVINO
    assert len(measurements) == len(_choices(cache)) == 2


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"backend": "gone"}'])
def test_a_damaged_choice_does_not_stop_a_job(
    damaged: str, tiny: LoadedSentenceEncoder, measurements: list[list[str]], cache: Path
) -> None:
    fastest_backend(lambda: torch_model(tiny), weights="w")
    [path] = _choices(cache)
    path.write_text(damaged)
    assert fastest_backend(lambda: torch_model(tiny), weights="w") in (OPENVINO, TORCH)
    assert len(measurements) >= 1


def test_the_first_of_two_processes_decides(
    tiny: LoadedSentenceEncoder, measurements: list[list[str]], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fastest_backend(lambda: torch_model(tiny), weights="w")
    [path] = _choices(cache)
    path.write_text('{"backend": "onnx"}')
    assert write_choice(path, OPENVINO, {}) == ONNX


@pytest.mark.usefixtures("measurements")
def test_without_a_writable_cache_the_choice_is_used_and_not_kept(
    tiny: LoadedSentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRACKTOKENS_CACHE", str(tmp_path / "file"))
    assert fastest_backend(lambda: torch_model(tiny), weights="w") == OPENVINO


def test_a_model_that_no_graph_can_run_stays_in_torch(
    tiny: LoadedSentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRACKTOKENS_CACHE", str(tmp_path / "file"))  # a graph cannot be exported there
    assert fastest_backend(lambda: torch_model(tiny), weights="w") == TORCH


def test_without_other_backends_nothing_is_measured(
    tiny: LoadedSentenceEncoder, measurements: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_choice, "installed_backends", lambda: [])
    assert fastest_backend(lambda: torch_model(tiny), weights="w") == TORCH
    assert not measurements


@pytest.mark.parametrize("options", [{"backend": TORCH}, {"precision": "bfloat16"}])
def test_what_is_chosen_by_hand_is_not_measured(
    options: dict[str, str], tiny_model: Path, measurements: list[list[str]]
) -> None:
    encoder: SentenceEncoder = sentence_encoder(str(tiny_model), **options)  # type: ignore[arg-type]
    encoder.load(threads=1)
    assert not measurements


def test_a_backend_with_other_codes_is_not_chosen() -> None:
    assert choose({TORCH: Measured(1, 1), ONNX: Measured(0.1, 0.99), OPENVINO: Measured(0.5, 1)}) == OPENVINO
    assert choose({TORCH: Measured(1, 1), ONNX: Measured(0.1, 0.99)}) == TORCH


def test_equal_codes_counts_rows_whose_nearest_centroid_changed() -> None:
    expected = np.float32(np.eye(4)[[0, 0, 1, 1, 2, 2, 3, 3]])
    vectors = expected.copy()
    vectors[1] = expected[2]
    assert equal_codes(vectors, expected) == 0.75
    assert equal_codes(expected[:4], expected) == 1


@pytest.mark.usefixtures("measurements")
def test_a_chosen_backend_that_fails_later_leaves_the_model_in_torch(
    tiny_model: Path, tiny: LoadedSentenceEncoder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UsageError("no disk")

    monkeypatch.setattr("tracktokens.transforms.encoders.text.fastest_backend.exported_model", fail)
    loaded = sentence_encoder(str(tiny_model)).load(threads=1)
    np.testing.assert_array_equal(loaded.encode(TEXTS).vectors, tiny.encode(TEXTS).vectors)
    assert "the text model runs in torch: no disk" in caplog.text

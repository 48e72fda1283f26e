"""Graphs of text models: quantized to 8 bits, cached, and run by ONNX Runtime and OpenVINO with torch's vectors."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import BertModel

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.transforms.encoders.graph_export import export_graph
from tracktokens.transforms.encoders.onnx_graphs import (
    BLOCK,
    ONNX,
    OPENVINO,
    OUTPUT,
    cache_folder,
    cached_graph,
    quantize_blockwise,
    require_packages,
)
from tracktokens.transforms.encoders.text.exported_model import MIN_COSINE, ExportedModel
from tracktokens.transforms.encoders.text.given_graph import use_graph
from tracktokens.transforms.encoders.text.sentence import LoadedSentenceEncoder, sentence_encoder
from tracktokens.transforms.encoders.text.torch_model import TorchModel

TEXTS = ["a", "a b c d a b", "songs 中文 c", "歌词 d\n" * 40, "", "[unknown] words"]
REAL_TEXTS = [
    '"Dreams" by Fleetwood Mac, from the album Rumours (1977)',
    "rock, soft rock",
    "月亮代表我的心, أنت عمري, लग जा गले",
    "love and rain and streets\n" * 80,
]


@pytest.fixture(params=[ONNX, OPENVINO])
def backend(request: pytest.FixtureRequest) -> str:
    for package in {ONNX: ("onnx", "onnxruntime"), OPENVINO: ("onnx", "openvino")}[request.param]:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    return str(request.param)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKTOKENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# Vectors


def test_a_graph_gives_torchs_vectors_and_keeps_the_encoder_id(
    tiny_model: Path, tiny: LoadedSentenceEncoder, backend: str
) -> None:
    encoder = sentence_encoder(str(tiny_model), backend=backend)
    assert encoder.encoder_id == sentence_encoder(str(tiny_model)).encoder_id
    graph = encoder.load(threads=1)
    assert isinstance(graph.model, ExportedModel)
    for texts in (TEXTS, TEXTS * 30, TEXTS[:1]):  # batches of other shapes than the one that was exported
        expected = tiny.encode(pa.array(texts)).vectors
        np.testing.assert_allclose(graph.encode(pa.array(texts)).vectors, expected, atol=1e-6)


def test_minilm_gives_the_same_vectors_in_every_backend(minilm: LoadedSentenceEncoder, backend: str) -> None:
    graph = sentence_encoder(backend=backend).load(threads=1)
    expected = minilm.encode(pa.array(REAL_TEXTS)).vectors
    np.testing.assert_allclose(graph.encode(pa.array(REAL_TEXTS)).vectors, expected, atol=2e-6)


def test_int8_changes_vectors_slightly_and_the_encoder_id(minilm: LoadedSentenceEncoder, backend: str) -> None:
    encoder = sentence_encoder(backend=backend, precision="int8")
    assert encoder.encoder_id != sentence_encoder(backend=backend).encoder_id
    vectors = encoder.load(threads=1).encode(pa.array(REAL_TEXTS)).vectors
    cosines = (vectors * minilm.encode(pa.array(REAL_TEXTS)).vectors).sum(axis=1)
    assert (cosines > 0.998).all()
    assert (cosines < 0.99999).all()


def test_an_int8_vector_does_not_depend_on_the_rest_of_its_batch(minilm: LoadedSentenceEncoder, backend: str) -> None:
    encoder = sentence_encoder(backend=backend, precision="int8").load(threads=1)
    together = encoder.encode(pa.array(REAL_TEXTS)).vectors
    alone = np.concatenate([encoder.encode(pa.array([text])).vectors for text in REAL_TEXTS])
    # A scale taken from the batch moves vectors by some 0.03; rounding of the padded sums moves a few int8 steps.
    np.testing.assert_allclose(together, alone, atol=0.005)


def test_a_graph_uses_the_prompt(tiny_model: Path, backend: str) -> None:
    graph, torch = (
        sentence_encoder(str(tiny_model), prompt="topic", backend=kind, device="cpu").load(threads=1)
        for kind in (backend, "torch")
    )
    np.testing.assert_allclose(graph.encode(pa.array(TEXTS)).vectors, torch.encode(pa.array(TEXTS)).vectors, atol=1e-6)


def test_threads_may_run_a_graph_at_the_same_time(tiny_model: Path, backend: str) -> None:
    encoder = sentence_encoder(str(tiny_model), backend=backend).load(threads=1)
    expected = encoder.encode(pa.array(TEXTS)).vectors
    with ThreadPoolExecutor(4) as threads:
        for vectors in threads.map(lambda _: encoder.encode(pa.array(TEXTS)).vectors, range(8)):
            np.testing.assert_array_equal(vectors, expected)


def test_any_number_of_threads_gives_equal_vectors(tiny_model: Path, backend: str) -> None:
    encoder = replace(sentence_encoder(str(tiny_model), backend=backend), batch=16)
    one = encoder.load(threads=1).encode(pa.array(TEXTS * 10)).vectors
    np.testing.assert_array_equal(encoder.load(threads=3).encode(pa.array(TEXTS * 10)).vectors, one)


# Graphs in a model's folder


GRAPH = "onnx/model.onnx"
NETWORK_INPUTS = ("input_ids", "attention_mask")


class Network(torch.nn.Module):
    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.bert(**dict(zip(NETWORK_INPUTS, tensors, strict=True))).last_hidden_state
        return hidden


@pytest.fixture
def given_graph(tiny_model: Path) -> Path:
    """A graph of the tiny model's transformer, in its folder."""
    (tiny_model / "onnx").mkdir()
    axes = {name: {0: "texts", 1: "word_pieces"} for name in (*NETWORK_INPUTS, OUTPUT)}
    inputs = {name: torch.ones(2, 4, dtype=torch.int64) for name in NETWORK_INPUTS}
    network = Network(BertModel.from_pretrained(tiny_model))
    export_graph(network, inputs, tiny_model / GRAPH, output=OUTPUT, axes=axes)
    return tiny_model / GRAPH


def test_a_graph_in_the_folder_is_used_and_has_its_own_encoder_id(
    tiny_model: Path, tiny: LoadedSentenceEncoder, backend: str, given_graph: Path
) -> None:
    encoder = sentence_encoder(str(tiny_model), backend=backend, graph=GRAPH)
    assert encoder.encoder_id != sentence_encoder(str(tiny_model), backend=backend).encoder_id
    expected = tiny.encode(pa.array(TEXTS)).vectors
    np.testing.assert_allclose(encoder.load(threads=1).encode(pa.array(TEXTS)).vectors, expected, atol=1e-6)


def test_a_graph_that_changed_since_the_job_started_is_refused(
    tiny_model: Path, backend: str, given_graph: Path
) -> None:
    encoder = sentence_encoder(str(tiny_model), backend=backend, graph=GRAPH)
    given_graph.write_bytes(given_graph.read_bytes()[:-1])
    with pytest.raises(InvalidDataError, match=r"the graph .*model\.onnx hashes to \w+, but the job was started with"):
        encoder.load(threads=1)


def test_a_file_that_is_not_a_graph_is_a_usage_error(tiny_model: Path, backend: str) -> None:
    (tiny_model / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(UsageError, match=rf"broken\.onnx does not run in {backend}.*use --text-backend torch"):
        sentence_encoder(str(tiny_model), backend=backend, graph="broken.onnx").load(threads=1)


def test_the_graph_of_another_model_is_a_usage_error(tiny_model: Path, backend: str, given_graph: Path) -> None:
    assert given_graph.is_file()
    torch.manual_seed(1)
    BertModel(BertModel.from_pretrained(tiny_model).config).save_pretrained(tiny_model)
    with pytest.raises(UsageError, match="its vectors differ from the text model's own"):
        sentence_encoder(str(tiny_model), backend=backend, graph=GRAPH).load(threads=1)


def test_a_model_without_a_transformer_is_a_usage_error(tmp_path: Path, backend: str) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=4)], device="cpu").save(str(tmp_path))
    with pytest.raises(UsageError, match="begins with a StaticEmbedding, not a transformer: use --text-backend torch"):
        sentence_encoder(str(tmp_path), backend=backend).load(threads=1)
    assert sentence_encoder(str(tmp_path), device="cpu").load(1).encode(pa.array(["a a"])).vectors.shape == (1, 4)


# Packages


@pytest.mark.parametrize(("kind", "package"), [(ONNX, "onnxruntime"), (OPENVINO, "openvino"), (OPENVINO, "onnx")])
def test_a_missing_package_names_what_to_install(kind: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else object())
    with pytest.raises(UsageError, match=rf"needs the package {package}: pip install {package}"):
        require_packages(kind)


def test_openvino_sends_no_telemetry(tiny_model: Path) -> None:
    if find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    sentence_encoder(str(tiny_model), backend=OPENVINO).load(threads=1)
    assert sys.modules["openvino_telemetry"] is None


DROPPED_BY_ANOTHER_THREAD = """
import signal, sys, threading
from pathlib import Path
from onnx import TensorProto, helper, save
from tracktokens.transforms.encoders.onnx_graphs import open_graph

path, backend = Path(sys.argv[1]), sys.argv[2]
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
model = helper.make_model(helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "neg", ends[:1], ends[1:]),
                          opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
save(model, path)
graphs = [open_graph(path, backend, threads=1)]
thread = threading.Thread(target=graphs.clear)
thread.start()
thread.join()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_is_handled_after_another_thread_dropped_a_graph(tmp_path: Path, backend: str) -> None:
    command = [sys.executable, "-c", DROPPED_BY_ANOTHER_THREAD, str(tmp_path / "neg.onnx"), backend]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (process.returncode, process.stdout) == (0, "interrupted\n"), process.stderr


@pytest.mark.parametrize(("broken", "problem"), [(True, "does not run in"), (False, "its vectors differ")])
def test_a_graph_that_is_refused_leaves_the_model_as_it_was(
    tiny: LoadedSentenceEncoder,
    given_graph: Path,
    backend: str,
    broken: bool,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = tiny.encode(pa.array(TEXTS)).vectors
    assert isinstance(tiny.model, TorchModel)
    if broken:
        given_graph.write_bytes(b"no graph")
    else:
        monkeypatch.setitem(MIN_COSINE, "int8", 2)
    with pytest.raises(UsageError, match=problem):
        use_graph(tiny.model.transformer, given_graph, backend=backend, threads=1)
    np.testing.assert_array_equal(tiny.encode(pa.array(TEXTS)).vectors, before)


# Rounding


def test_weights_are_rounded_to_half_a_step_of_their_block() -> None:
    weights = np.random.default_rng(0).normal(size=(BLOCK + 5, 3)).astype(np.float32)
    weights[:, 2] = 0
    rounded, scales = quantize_blockwise(weights)
    assert rounded.shape == (3, 2, BLOCK)
    assert scales.shape == (3, 2)
    back = ((rounded.astype(np.float32) - 128) * scales[..., None]).reshape(3, -1).T
    for column in range(3):
        for block, rows in enumerate((slice(0, BLOCK), slice(BLOCK, BLOCK + 5))):
            step = np.abs(weights[rows, column]).max() / 127
            assert np.isclose(scales[column, block], step)
            assert np.abs(back[rows, column] - weights[rows, column]).max() <= step / 2 + 1e-6
    np.testing.assert_array_equal(back[BLOCK + 5 :], 0)


# The cache


def test_a_graph_is_exported_once(tiny_model: Path, backend: str, empty_cache: Path) -> None:
    encoder = sentence_encoder(str(tiny_model), backend=backend, precision="int8")
    encoder.load(threads=1)
    graphs = {path: path.stat().st_mtime_ns for path in empty_cache.glob("graphs/*/model.onnx")}
    assert len(graphs) == 2  # float32, and int8 derived from it
    encoder.load(threads=1)
    assert {path: path.stat().st_mtime_ns for path in empty_cache.glob("graphs/*/model.onnx")} == graphs
    assert len(list((empty_cache / "graphs").iterdir())) == 2  # no partial graph is left


def test_of_two_processes_that_write_a_graph_the_first_wins(empty_cache: Path) -> None:
    def slow(target: Path) -> None:
        cached_graph("name", lambda first: first.write_text("first"))  # another process meanwhile
        target.write_text("second")

    path = cached_graph("name", slow)
    assert path == empty_cache / "graphs" / "name" / "model.onnx"
    assert path.read_text() == "first"
    assert [entry.name for entry in (empty_cache / "graphs").iterdir()] == ["name"]


def test_a_graph_that_could_not_be_written_leaves_nothing(empty_cache: Path) -> None:
    def fail(target: Path) -> None:
        target.write_text("half")
        raise ValueError("killed")

    with pytest.raises(ValueError, match="killed"):
        cached_graph("name", fail)
    assert list((empty_cache / "graphs").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRACKTOKENS_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match=r"graphs cannot be cached in .*: set TRACKTOKENS_CACHE"):
        cached_graph("name", lambda target: None)


def test_the_cache_is_the_users_own_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACKTOKENS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/tracktokens")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "tracktokens"

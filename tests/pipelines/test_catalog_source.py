"""The catalog source as options: flat, by long name, and back."""

import dataclasses
from pathlib import Path

import pytest

from tests.support.fussy_encoder import FussyEncoder
from tracktokens.pipelines.catalog_source import SOURCE_OPTIONS, CatalogSource
from tracktokens.pipelines.encoder_config import (
    BACKENDS,
    TEXT_PRECISIONS,
    AudioEncoderConfig,
    PluginConfig,
    PrecomputedConfig,
    TextEncoderConfig,
)
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import AUDIO, LYRICS, TAGS
from tracktokens.transforms.encoders.text.sentence import PRECISIONS

FULL = CatalogSource(
    tracks="/c/tracks.parquet",
    playlists="/c/playlists.csv",
    audio_root="s3://music",
    text=TextEncoderConfig(model="owner/model", prompt="query: ", backend="onnx", precision="int8", graph="m.onnx"),
    device="cuda:1",
    audio=AudioEncoderConfig(
        encoder="clap", clap_checkpoint="/c/clap.pt", clap_model="x", clap_backend="onnx", trust_checkpoint=True
    ),
    plugins={TAGS: PluginConfig(name="letters", options={"a": "1", "b": "x=y"})},
    embeddings={
        LYRICS: PrecomputedConfig(path="/c/lyrics", version="v2", column="e"),
        AUDIO: PrecomputedConfig(path="/c/audio-*.parquet"),
    },
    max_reject_rate=0.2,
    max_lost=0.3,
    max_removed=0.4,
)


def test_options_are_flat_and_by_long_name() -> None:
    assert FULL.to_options() == {
        "tracks": "/c/tracks.parquet",
        "playlists": "/c/playlists.csv",
        "audio-root": "s3://music",
        "text-model": "owner/model",
        "text-prompt": "query: ",
        "text-backend": "onnx",
        "text-precision": "int8",
        "text-graph": "m.onnx",
        "device": "cuda:1",
        "audio-encoder": "clap",
        "clap-checkpoint": "/c/clap.pt",
        "clap-model": "x",
        "clap-backend": "onnx",
        "trust-checkpoint": True,
        "encoder": {"tags": "letters"},
        "encoder-option": {"tags": {"a": "1", "b": "x=y"}},
        "embeddings": {"lyrics": "/c/lyrics", "audio": "/c/audio-*.parquet"},
        "embeddings-version": {"lyrics": "v2"},
        "embeddings-column": {"lyrics": "e"},
        "max-reject-rate": 0.2,
        "max-lost": 0.3,
        "max-removed": 0.4,
    }


def test_a_source_survives_the_way_through_its_options() -> None:
    assert CatalogSource.from_options(FULL.to_options()) == FULL
    small = CatalogSource(tracks="/t")
    assert CatalogSource.from_options(small.to_options()) == small


def test_every_field_is_an_option_except_encoders_as_objects() -> None:
    def leaves(config: type) -> int:
        inner = [part.type for part in dataclasses.fields(config) if dataclasses.is_dataclass(part.type)]
        return len(dataclasses.fields(config)) - len(inner) + sum(map(leaves, inner))

    per_modality = leaves(PluginConfig) + leaves(PrecomputedConfig)
    not_an_option, mappings = 1, 2
    assert len(SOURCE_OPTIONS) == leaves(CatalogSource) - not_an_option - mappings + per_modality
    names = [part.option.name for part in SOURCE_OPTIONS]
    assert len(set(names)) == len(names)


def test_paths_are_kept_as_absolute_ones_and_model_names_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    named = CatalogSource(tracks="t/*.csv", text=TextEncoderConfig(model="owner/model"))
    folder = dataclasses.replace(
        named,
        text=TextEncoderConfig(model="model"),
        embeddings={AUDIO: PrecomputedConfig(path="a.parquet")},
    )
    assert named.to_options()["tracks"] == str(tmp_path / "t" / "*.csv")
    assert named.to_options()["text-model"] == "owner/model"
    assert folder.to_options()["text-model"] == str(tmp_path / "model")
    assert folder.to_options()["embeddings"] == {"audio": str(tmp_path / "a.parquet")}


def test_encoders_given_as_objects_replace_all_others_and_are_not_options(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    encoders = {TAGS: FussyEncoder(str(tmp_path))}
    source = CatalogSource(tracks="/t", audio_root=str(tmp_path), encoders=encoders)
    assert source.make_encoders() == encoders
    limits = {"max-reject-rate": 0.05, "max-lost": 0.5, "max-removed": 0.2}
    assert source.to_options() == {"tracks": "/t", "audio-root": str(tmp_path), **limits}


def test_an_option_of_embeddings_needs_embeddings_of_the_modality() -> None:
    options = {"tracks": "/t", "embeddings": {"audio": "/a"}, "embeddings-version": {"lyrics": "x"}}
    with pytest.raises(UsageError, match=r"--embeddings-version lyrics=\.\.\. goes with --embeddings lyrics="):
        CatalogSource.from_options(options)


def test_the_choices_are_those_of_the_text_encoder() -> None:
    assert tuple(PRECISIONS) == BACKENDS
    assert set(TEXT_PRECISIONS) == {precision for precisions in PRECISIONS.values() for precision in precisions}

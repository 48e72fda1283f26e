"""Options of a release that hold beside given ones."""

from typing import Any

import pytest

from tracktokens.pipelines.released_options import still_released, without_built_in

TEXT = {"text-model": "model", "text-prompt": "song: ", "text-backend": "onnx", "text-graph": "g.onnx"}
CLAP = {"audio-encoder": "clap", "clap-checkpoint": "/clap", "clap-model": "HTSAT-base"}
PLUGIN = {"encoder": {"audio": "mine", "tags": "mine"}, "encoder-option": {"audio": {"k": "v"}}}
TABLES = {"embeddings": {"audio": "/a", "playlist": "/p"}, "embeddings-version": {"playlist": "v1"}}


@pytest.mark.parametrize(
    ("released", "given", "kept"),
    [
        ({**TEXT, **CLAP, **TABLES}, {}, {**TEXT, **CLAP, **TABLES}),
        (TEXT, {"text-model": "model"}, TEXT),
        (TEXT, {"text-model": "other"}, {"text-model": "model", "text-backend": "onnx"}),
        (TEXT, {"text-backend": "torch"}, {"text-model": "model", "text-prompt": "song: ", "text-backend": "onnx"}),
        (CLAP, {"clap-checkpoint": "/clap"}, CLAP),
        (CLAP, {"clap-checkpoint": "/new"}, {"audio-encoder": "clap", "clap-checkpoint": "/clap"}),
        (CLAP, {"audio-encoder": "descriptors"}, {"audio-encoder": "clap"}),
        (CLAP, {"encoder": {"audio": "mine"}}, {}),
        (CLAP, {"embeddings": {"audio": "/a"}}, {}),
        (CLAP, {"embeddings": {"tags": "/t"}}, CLAP),
        (PLUGIN, {"audio-encoder": "clap"}, {"encoder": {"tags": "mine"}}),
        (PLUGIN, {"encoder": {"audio": "mine"}}, PLUGIN),
        (PLUGIN, {"encoder": {"audio": "other"}}, {"encoder": PLUGIN["encoder"]}),
        (PLUGIN, {"embeddings": {"audio": "/a"}}, {"encoder": {"tags": "mine"}}),
        (TABLES, {"embeddings": {"playlist": "/new"}}, TABLES),
        (TABLES, {"encoder": {"audio": "built-in"}}, {**TABLES, "embeddings": {"playlist": "/p"}}),
        (TABLES, {"playlists": "/lists"}, {"embeddings": {"audio": "/a"}}),
        ({"playlists": "/lists"}, {"embeddings": {"playlist": "/p"}}, {}),
    ],
)
def test_a_given_source_replaces_that_of_the_release_with_its_options(
    released: dict[str, Any], given: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert still_released(released, given) == kept


def test_a_path_of_the_release_is_the_same_path_when_it_is_given_relative(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    released = {"text-model": str(tmp_path / "model"), "text-prompt": "song: "}
    assert still_released(released, {"text-model": "model"}) == released


def test_built_in_is_no_model_and_no_plugin() -> None:
    assert without_built_in({"text-model": "built-in", "encoder": {"tags": "built-in"}, "tracks": "t"}) == {
        "encoder": {},
        "tracks": "t",
    }

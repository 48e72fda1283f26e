"""Conversations with odd texts: each is rendered whole or rejected, and no token but a track's gets in."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.fuzz_catalog import CODES, examples, source, write
from tests.support.strategies import ODD_IDS, Catalog, conversations
from tracktokens.codebooks.tokens.rendering import TOKEN
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.llm.render import render_conversations
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError

pytestmark = [pytest.mark.job, pytest.mark.timeout(1200)]

KNOWN = [track_id for track_id in ODD_IDS if 0 < len(track_id.encode()) <= 256 and track_id.strip("\u200b")]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    tracks = [{"track_id": track_id, "title": f"song {n}"} for n, track_id in enumerate(KNOWN)]
    write(Catalog(tracks, []), folder, "jsonl")
    job = RunJob(source=source(folder, "jsonl", playlists=False), store=str(folder / "store"), codebook_size=CODES)
    job.run(PipelineRunner())
    return folder / "store"


TWICE = {"role": "user", "content": "", "tracks": ["a,b", "a,b"]}


@examples(200)
@example(talks=[{"messages": [TWICE]}])  # a track that is listed twice was appended twice
@given(talks=st.lists(conversations(KNOWN), min_size=1, max_size=5))
def test_every_conversation_is_rendered_or_rejected(store: Path, talks: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "talks.jsonl").write_text("".join(json.dumps(talk) + "\n" for talk in talks), encoding="utf-8")
        try:
            stats = render_conversations(str(store), str(folder / "talks.jsonl"), str(folder / "out.jsonl"))
        except InvalidDataError:  # all were rejected
            assert len(read(folder / "out.jsonl.rejects")) == len(talks)
            return
        rejects, written = read(folder / "out.jsonl.rejects"), read(folder / "out.jsonl")
        assert (stats.read, stats.written, stats.rejected) == (len(talks), len(written), len(rejects))
        assert len(written) + len(rejects) == len(talks)
        lost = {reject["line"] for reject in rejects}
        kept = [talk for number, talk in enumerate(talks, 1) if number not in lost]
        for before, after in zip(kept, written, strict=True):
            check_rendered(before, after)


def check_rendered(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    assert list(before) == list(after)
    for old, new in zip(before["messages"], after["messages"], strict=True):
        assert [key for key in old if key != "tracks"] == list(new)
        assert "[track:" not in new["content"]
        asked = old["content"].count("[track:") + len(set(old.get("tracks", [])))
        assert TOKEN.sub("", new["content"]).count("<|") <= old["content"].count("<|")
        assert new["content"].count("<|track|>") <= asked
    rest = {
        **after,
        "messages": [{key: value for key, value in m.items() if key != "content"} for m in after["messages"]],
    }
    assert not any(TOKEN.search(text) for text in strings(rest))


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]

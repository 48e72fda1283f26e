"""Write training texts as JSON Lines: tracks and their tokens, and conversations in which tracks are named."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.tokens.rendering import describe, neutralised, render, track_text
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, content_keys
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.token_tables import TokenTable


@dataclass(frozen=True)
class RenderStats:
    """What was written.

    Attributes:
        read: tracks or conversations that were read.
        written: lines.
        rejected: conversations that could not be used, each with a line in the rejects.
    """

    read: int
    written: int
    rejected: int


def render_tracks(root: str, out: str, release: str | None = None) -> RenderStats:
    """Write a line a track: ``track_id``, ``text`` (title and artist) and ``tokens``.

    Raises:
        UsageError: there is no such store or release.
        InvalidDataError: the token table cannot be read.
    """
    store = Store.open(root)
    table = TokenTable.of(store, release_or_latest(store, release))
    written = _write_lines(out, _track_lines(table))
    return RenderStats(written, written, 0)


def render_conversations(root: str, conversations: str, out: str, release: str | None = None) -> RenderStats:
    """Write conversations with the tokens of their tracks.

    A line of the input is an object with ``messages``, a list of objects with ``role`` and ``content``. A track is
    named in a content as ``[track:ID]``, or in a list ``tracks`` beside it. A line of the output is the same object,
    each content with tokens, and without the lists. Conversations that name a track that the release does not have, or
    are no conversations, go to ``out`` with ``.rejects`` at its end, each with its line and reason.

    Raises:
        UsageError: there is no such store, release or file.
        InvalidDataError: none of the conversations can be used.
    """
    store = Store.open(root)
    table = TokenTable.of(store, release_or_latest(store, release))
    lines = {n: line for n, line in enumerate(files.read_bytes(conversations).splitlines(), 1) if line.strip()}
    parsed = [_parse(line) for line in lines.values()]
    tokens = _tokens_of(table, {track_id for one in parsed if isinstance(one, dict) for track_id in _named(one)})
    rendered = [_render(one, tokens) if isinstance(one, dict) else one for one in parsed]
    good = [one for one in rendered if isinstance(one, dict)]
    bad = [{"line": n, "reason": one} for n, one in zip(lines, rendered, strict=True) if isinstance(one, str)]
    _write_lines(f"{out}.rejects", bad)
    if lines and not good:
        raise InvalidDataError(f"none of {len(lines)} conversations can be used; {out}.rejects says why")
    return RenderStats(len(lines), _write_lines(out, good), len(bad))


def _track_lines(table: TokenTable) -> Iterator[dict[str, str]]:
    for bucket in range(table.catalog.buckets):
        tokens = table.read(bucket, ["track_id", "tokens"])["tokens"].to_pylist()
        tracks = table.tracks(bucket, ["track_id", "title", "artist"]).to_pylist()
        for track, written in zip(tracks, tokens, strict=True):
            yield {
                "track_id": track["track_id"],
                "text": neutralised(describe(track)),
                "tokens": track_text(written),
            }


def _parse(line: bytes) -> dict[str, Any] | str:
    """Read a conversation; what is wrong with it, where it is none."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"no JSON: {error}"
    messages = found.get("messages") if isinstance(found, dict) else None
    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        return "no list of messages with role, content and, where there are some, tracks"
    conversation: dict[str, Any] = found
    return conversation


def _is_message(message: object) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    tracks = message.get("tracks", [])
    known = isinstance(tracks, list) and all(isinstance(track_id, str) for track_id in tracks)
    return known and isinstance(message.get("content"), str)


def _named(conversation: Mapping[str, Any]) -> set[str]:
    """Ids of the tracks that a conversation names."""
    found: set[str] = set()
    for message in conversation["messages"]:
        found |= set(render(message["content"], message.get("tracks", []), lambda _: None).unknown)
    return found


def _render(conversation: Mapping[str, Any], tokens: Mapping[str, str]) -> dict[str, Any] | str:
    messages: list[dict[str, str]] = []
    unknown: list[str] = []
    for message in conversation["messages"]:
        rendered = render(message["content"], message.get("tracks", []), tokens.get)
        unknown += rendered.unknown
        messages.append({"role": message["role"], "content": rendered.text})
    if unknown:
        return f"the release does not have {', '.join(dict.fromkeys(unknown))}"
    return {**conversation, "messages": messages}


def _tokens_of(table: TokenTable, track_ids: Iterable[str]) -> dict[str, str]:
    """The tokens of some tracks, from their buckets of the token table."""
    wanted = pa.array(sorted(track_ids), pa.string())
    found: dict[str, str] = {}
    for bucket in sorted(set(bucket_numbers(content_keys(wanted), table.catalog.buckets).tolist())):
        rows = table.read(bucket, ["track_id", "tokens"])
        chosen = rows.filter(pc.is_in(rows["track_id"], value_set=wanted))
        found |= dict(zip(chosen["track_id"].to_pylist(), chosen["tokens"].to_pylist(), strict=True))
    return found


def _write_lines(path: str, lines: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with files.atomic_writer(files.absolute(path)) as file:
        for line in lines:
            file.write(orjson.dumps(dict(line)) + b"\n")
            count += 1
    return count

"""Write training texts as JSON Lines: tracks with their tokens, and conversations that name tracks."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.tokens.rendering import describe_track, escape_tokens, render, track_text
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, content_keys
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.token_tables import TokenTable


@dataclass(frozen=True)
class RenderStats:
    """Counts of a rendering.

    Attributes:
        read: tracks or conversations read.
        written: lines written.
        rejected: conversations rejected, each with a line in the rejects.
    """

    read: int
    written: int
    rejected: int


def render_tracks(root: str, out: str, release: str | None = None) -> RenderStats:
    """Write one line per track: ``track_id``, ``text`` (title and artist) and ``tokens``.

    Raises:
        UsageError: the store or release does not exist.
        InvalidDataError: the token table cannot be read.
    """
    store = Store.open(root)
    table = TokenTable.of(store, release_or_latest(store, release))
    written = _write_lines(out, _track_lines(table))
    return RenderStats(written, written, 0)


def render_conversations(root: str, conversations: str, out: str, release: str | None = None) -> RenderStats:
    """Write conversations with the tokens of their tracks.

    A line of the input is an object with ``messages``, a list of objects with ``role`` and ``content``. A content names
    a track as ``[track:ID]``, or in a list ``tracks`` beside it. A line of the output is the same object, with tokens
    in the contents and without the lists. Lines that are not conversations, or name a track that the release does not
    have, are rejected: ``<out>.rejects`` lists their number and reason.

    Raises:
        UsageError: the store, release or file does not exist.
        InvalidDataError: all conversations were rejected.
    """
    store = Store.open(root)
    table = TokenTable.of(store, release_or_latest(store, release))
    lines = {n: line for n, line in enumerate(files.read_bytes(conversations).splitlines(), 1) if line.strip()}
    parsed = [_parse(line) for line in lines.values()]
    track_ids = {track_id for line in parsed if isinstance(line, dict) for track_id in _track_ids(line)}
    tokens = _tokens_of(table, track_ids)
    rendered = [_render(line, tokens) if isinstance(line, dict) else line for line in parsed]
    accepted = [line for line in rendered if isinstance(line, dict)]
    rejects = [{"line": n, "reason": line} for n, line in zip(lines, rendered, strict=True) if isinstance(line, str)]
    _write_lines(f"{out}.rejects", rejects)
    if lines and not accepted:
        raise InvalidDataError(f"none of {len(lines)} conversations can be used: see the reasons in {out}.rejects")
    return RenderStats(read=len(lines), written=_write_lines(out, accepted), rejected=len(rejects))


def _track_lines(table: TokenTable) -> Iterator[dict[str, str]]:
    for bucket in range(table.catalog.buckets):
        tokens = table.read(bucket, ["track_id", "tokens"])["tokens"].to_pylist()
        tracks = table.tracks(bucket, ["track_id", "title", "artist"]).to_pylist()
        for track, track_tokens in zip(tracks, tokens, strict=True):
            yield {
                "track_id": track["track_id"],
                "text": escape_tokens(describe_track(track)),
                "tokens": track_text(track_tokens),
            }


def _parse(line: bytes) -> dict[str, Any] | str:
    """Parse a conversation; return the reject reason of a line that is not one."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"invalid JSON: {error}"
    messages = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        return "not an object with a list of messages, each with role, content and optionally tracks"
    conversation: dict[str, Any] = value
    return conversation


def _is_message(message: object) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    tracks = message.get("tracks", [])
    valid = isinstance(tracks, list) and all(isinstance(track_id, str) for track_id in tracks)
    return valid and isinstance(message.get("content"), str)


def _track_ids(conversation: Mapping[str, Any]) -> set[str]:
    """Collect the ids of the tracks that a conversation names."""
    track_ids: set[str] = set()
    for message in conversation["messages"]:
        track_ids |= set(render(message["content"], message.get("tracks", []), lambda _: None).unknown)
    return track_ids


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
    """Read the tokens of some tracks from their buckets of the token table: id to tokens."""
    wanted = pa.array(sorted(track_ids), pa.string())
    tokens: dict[str, str] = {}
    for bucket in sorted(set(bucket_numbers(content_keys(wanted), table.catalog.buckets).tolist())):
        rows = table.read(bucket, ["track_id", "tokens"])
        chosen = rows.filter(pc.is_in(rows["track_id"], value_set=wanted))
        tokens |= dict(zip(chosen["track_id"].to_pylist(), chosen["tokens"].to_pylist(), strict=True))
    return tokens


def _write_lines(path: str, lines: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with files.atomic_writer(files.absolute(path)) as file:
        for line in lines:
            file.write(orjson.dumps(dict(line)) + b"\n")
            count += 1
    return count

"""Write training texts as JSON Lines: tracks with their tokens, and conversations that name tracks."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.tokens.rendering import describe_track, escape_tokens, track_text
from tracktokens.pipelines.conversations.conversation import (
    Conversation,
    RejectedLineError,
    format_conversation,
    named_ids,
    parse_conversation,
    render_conversation,
)
from tracktokens.pipelines.input_paths import check_not_read
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.readers.text_stream import open_text
from tracktokens.transforms.store.keys import bucket_numbers, content_keys
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.token_tables import TokenTable
from tracktokens.transforms.store.user_files import check_input, check_output, is_stream, open_output

_logger = logging.getLogger(__name__)

_SHOWN_CHARACTERS = 240
"""Characters of a reason in a message."""


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
    """Write one line per track: ``track_id``, ``prompt`` with title and artist, and ``completion`` with the tokens.

    Both are lists of one message, which trainers read: the loss covers the tokens alone. There is no ``text``, which
    TRL would train on in place of the tokens.

    Raises:
        UsageError: the store or release does not exist, or ``out`` cannot be written.
        InvalidDataError: the token table cannot be read.
    """
    store = Store.open(root)
    check_output(out, store=store.root)
    table = _open_table(store, release, out)
    written = _write_lines(out, map(orjson.dumps, _track_lines(table)))
    return RenderStats(written, written, 0)


def render_conversations(root: str, conversations: str, out: str, release: str | None = None) -> RenderStats:
    """Write conversations with the tokens of their tracks; see :mod:`tracktokens.pipelines.conversations.conversation`.

    The input is text like that of a table: UTF-8, compressed if its extension is. Lines that are not conversations, or
    name a track that the release does not have, are rejected: ``<out>.rejects`` lists their number and reason, or the
    log if ``out`` is a stream.

    Raises:
        UsageError: the store, release or file does not exist, or ``out`` cannot be written.
        InvalidDataError: the file cannot be read, or all conversations were rejected.
    """
    store = Store.open(root)
    check_input(conversations, "conversations")
    for output in (out, _rejects_path(out)):
        check_output(output, [conversations], store.root)
    table = _open_table(store, release, out)
    parsed = {number: _try(parse_conversation, line) for number, line in _read_lines(conversations)}
    tokens = _tokens_of(table, set().union(*map(named_ids, _accepted(parsed))))
    rendered = {
        number: line if isinstance(line, str) else _try(render_conversation, line, tokens.get)
        for number, line in parsed.items()
    }
    rejects = {number: reason for number, reason in rendered.items() if isinstance(reason, str)}
    _write_rejects(out, rejects, len(rendered))
    if rendered and len(rejects) == len(rendered):
        raise InvalidDataError(f"none of {len(rendered)} conversations can be used: {_reasons_of(out, rejects)}")
    written = _write_lines(out, map(format_conversation, _accepted(rendered)))
    return RenderStats(read=len(rendered), written=written, rejected=len(rejects))


def _open_table(store: Store, release: str | None, out: str) -> TokenTable:
    """Open the token table of a release, unless the output is in the tables that the release was made from."""
    manifest = release_or_latest(store, release)
    kept = manifest.options or {}
    check_not_read(out, {name: kept.get(name) for name in ("tracks", "playlists", "embeddings")})
    return TokenTable.of(store, manifest)


def _track_lines(table: TokenTable) -> Iterator[dict[str, Any]]:
    for bucket in range(table.catalog.buckets):
        tokens = table.read(bucket, ["track_id", "tokens"])["tokens"].to_pylist()
        tracks = table.tracks(bucket, ["track_id", "title", "artist"]).to_pylist()
        for track, track_tokens in zip(tracks, tokens, strict=True):
            yield {
                "track_id": track["track_id"],
                "prompt": [{"role": "user", "content": escape_tokens(describe_track(track))}],
                "completion": [{"role": "assistant", "content": track_text(track_tokens)}],
            }


def _read_lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a text with their numbers, from 1; blank lines are skipped."""
    with open_text(path) as text:
        yield from ((number, line) for number, line in enumerate(text.lines(), 1) if line.strip())


def _try(function: Callable[..., Conversation], *arguments: Any) -> Conversation | str:
    """Call a function of a line; return the reason if it rejects the line."""
    try:
        return function(*arguments)
    except RejectedLineError as error:
        return str(error)
    except RecursionError:
        return "nested too deeply"


def _accepted(lines: Mapping[int, Conversation | str]) -> Iterator[Conversation]:
    return (line for line in lines.values() if not isinstance(line, str))


def _rejects_path(out: str) -> str:
    return f"{out}.rejects"


def _write_rejects(out: str, rejects: Mapping[int, str], read: int) -> None:
    """Write rejects beside a file, or to the log for a stream, and warn of them."""
    if is_stream(out):
        for number, reason in rejects.items():
            _logger.warning("line %d is rejected: %s", number, reason)
        return
    _write_lines(_rejects_path(out), (orjson.dumps({"line": n, "reason": text}) for n, text in rejects.items()))
    if 0 < len(rejects) < read:
        _logger.warning("%d of %d conversations are rejected: %s", len(rejects), read, _reasons_of(out, rejects))


def _reasons_of(out: str, rejects: Mapping[int, str]) -> str:
    """Name the first reject, and the file of all."""
    number, reason = next(iter(rejects.items()))
    where = "" if is_stream(out) else f"; see the reasons in {_rejects_path(out)}"
    return f"line {number}: {reason[:_SHOWN_CHARACTERS]}{where}"


def _tokens_of(table: TokenTable, track_ids: Iterable[str]) -> dict[str, str]:
    """Read the tokens of some tracks from their buckets of the token table: id to tokens."""
    wanted = pa.array(sorted(track_ids), pa.string())
    tokens: dict[str, str] = {}
    for bucket in sorted(set(bucket_numbers(content_keys(wanted), table.catalog.buckets).tolist())):
        rows = table.read(bucket, ["track_id", "tokens"])
        chosen = rows.filter(pc.is_in(rows["track_id"], value_set=wanted))
        tokens |= dict(zip(chosen["track_id"].to_pylist(), chosen["tokens"].to_pylist(), strict=True))
    return tokens


def _write_lines(path: str, lines: Iterable[bytes]) -> int:
    count = 0
    with open_output(path) as file:
        for line in lines:
            file.write(line + b"\n")
            count += 1
    return count

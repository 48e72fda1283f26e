"""Imports of published conversations: check them, drop tracks that a release does not have, and write lines."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.pipelines.conversations.conversation import (
    Conversation,
    RejectedLineError,
    format_conversation,
    parse_conversation,
)
from tracktokens.pipelines.conversations.importers import cpcd, talkplay
from tracktokens.pipelines.conversations.importers.imported import ImportedConversation
from tracktokens.pipelines.conversations.importers.records import Record, read_records
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.playlists.unknown_tracks import describe_unknown
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.token_tables import TokenTable
from tracktokens.transforms.store.user_files import check_input, check_output, is_stream, open_output

_logger = logging.getLogger(__name__)

CONVERTERS: dict[str, Callable[[Record], ImportedConversation]] = {"cpcd": cpcd.convert, "talkplay": talkplay.convert}
"""Name of a dataset to the function that converts one of its records."""

MALFORMED, UNKNOWN_TRACK = "malformed", "unknown_track"
"""Reasons of rejects: of a whole record, and of one track of a message."""

_BATCH = 512
"""Conversations whose tracks are looked up together."""


@dataclass
class ImportStats:
    """Counts of an import.

    Attributes:
        read: records read.
        written: conversations written.
        rejected: records that are not conversations, each with a reject.
        tracks: recommended tracks that were written.
        unknown_tracks: recommended tracks that the release does not have, each with a reject.
        empty_messages: messages without a text that recommended unknown tracks only, and were dropped.
    """

    read: int = 0
    written: int = 0
    rejected: int = 0
    tracks: int = 0
    unknown_tracks: int = 0
    empty_messages: int = 0

    def to_json(self) -> dict[str, int]:
        """Return all fields as JSON values."""
        return asdict(self)


def import_conversations(
    dataset: str,
    root: str,
    path: str,
    out: str,
    *,
    release: str | None = None,
    prefix: str = "",
    split: str | None = None,
) -> ImportStats:
    """Import a file of a dataset; ``<out>.rejects`` lists records and tracks that are not used, with the reason.

    Args:
        dataset: a key of :data:`CONVERTERS`.
        root: the store.
        path: the file: JSON Lines, JSON or Parquet.
        out: file to write.
        release: id of a release, or of a bundle, for its newest release; None for the latest.
        prefix: text before each of the dataset's track ids in the catalog.
        split: value of the key ``split``; None to leave it out.

    Raises:
        UsageError: the store, release or file does not exist, or ``out`` cannot be written.
        InvalidDataError: the file cannot be read, no record is a conversation, or the release has none of the tracks.
    """
    store = Store.open(root)
    check_input(path, "conversations")
    for output in (out, f"{out}.rejects"):
        check_output(output, [path], store.root)
    table = TokenTable.of(store, release_or_latest(store, release))
    ids = [table.tracks(bucket, ["track_id"])["track_id"] for bucket in range(table.catalog.buckets)]
    track_ids = pa.chunked_array([chunk for column in ids for chunk in column.chunks], pa.string())
    importer = _Importer(path, prefix, {} if split is None else {"split": split}, track_ids)
    records = ((number, _try(CONVERTERS[dataset], record)) for number, record in read_records(path))
    with open_output(out) as file:
        for conversation in importer.conversations(records):
            file.write(format_conversation(conversation) + b"\n")
        importer.check()
    importer.write_rejects(out)
    return importer.stats


@dataclass
class _Importer:
    """Writes imported conversations as lines, and collects what is not used."""

    path: str
    prefix: str
    further: dict[str, str]
    track_ids: pa.ChunkedArray
    stats: ImportStats = field(default_factory=ImportStats)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def conversations(
        self, records: Iterable[tuple[int, ImportedConversation | RejectedLineError]]
    ) -> Iterator[Conversation]:
        waiting = iter(records)
        while batch := list(islice(waiting, _BATCH)):
            known = self._known(record for _, record in batch if isinstance(record, ImportedConversation))
            for number, record in batch:
                self.stats.read += 1
                line = self._line(number, record, known) if isinstance(record, ImportedConversation) else record
                if isinstance(line, RejectedLineError):
                    self.stats.rejected += 1
                    self._reject(number, None, MALFORMED, str(line))
                else:
                    self.stats.written += 1
                    yield line

    def check(self) -> None:
        """Check that something of the file is used, and warn of what is not."""
        stats = self.stats
        if not stats.written:
            first = f": {self.rejects[0]['detail']}" if self.rejects else ""
            raise InvalidDataError(
                f"{self.path}: none of {stats.read} records is a conversation of this dataset{first}"
            )
        example = describe_unknown(self.unknown[:2], self.track_ids[:2].to_pylist())
        if stats.unknown_tracks and not stats.tracks:
            raise InvalidDataError(
                f"{self.path}: the release has none of its {stats.unknown_tracks} tracks{example}: "
                "compare the ids, and give what the catalog writes before them as --prefix"
            )
        if stats.rejected or stats.unknown_tracks:
            _logger.warning(
                "%d of %d records are rejected, and %d of %d tracks are unknown%s",
                *(stats.rejected, stats.read, stats.unknown_tracks, stats.unknown_tracks + stats.tracks, example),
            )

    def write_rejects(self, out: str) -> None:
        """Write the rejects beside a file, or to the log for a stream."""
        if is_stream(out):
            for row in self.rejects:
                _logger.warning("line %d is rejected: %s", row["line"], row["detail"])
            return
        with open_output(f"{out}.rejects") as file:
            file.writelines(orjson.dumps(row) + b"\n" for row in self.rejects)

    def _known(self, records: Iterable[ImportedConversation]) -> set[str]:
        named = {self.prefix + track for record in records for message in record.messages for track in message.tracks}
        ids = pa.array(sorted(named), pa.string())
        return set(ids.filter(pc.is_in(ids, value_set=self.track_ids)).to_pylist())

    def _line(self, number: int, record: ImportedConversation, known: set[str]) -> Conversation | RejectedLineError:
        messages = list(self._messages(number, record, known))
        line = {"id": record.conversation_id, "messages": messages, **self.further, **record.further}
        try:
            return parse_conversation(format_conversation(line)) if messages else RejectedLineError("has no messages")
        except (RejectedLineError, ValueError) as error:
            return RejectedLineError(str(error))

    def _messages(self, number: int, record: ImportedConversation, known: set[str]) -> Iterator[dict[str, Any]]:
        for message in record.messages:
            tracks = [self.prefix + track for track in message.tracks]
            kept = [track for track in tracks if track in known]
            for track in tracks:
                if track not in known:
                    self.stats.unknown_tracks += 1
                    self.unknown.append(track)
                    self._reject(number, message.turn, UNKNOWN_TRACK, f"the release does not have {track}")
            self.stats.tracks += len(kept)
            if tracks and not kept and not message.content.strip():
                self.stats.empty_messages += 1
                continue
            yield {"role": message.role, "content": message.content} | ({"tracks": kept} if kept else {})

    def _reject(self, line: int, turn: int | None, reason: str, detail: str) -> None:
        self.rejects.append({"file": self.path, "line": line, "turn": turn, "reason": reason, "detail": detail})


def _try(
    convert: Callable[[Record], ImportedConversation], record: Record | RejectedLineError
) -> ImportedConversation | RejectedLineError:
    if isinstance(record, RejectedLineError):
        return record
    try:
        return convert(record)
    except RejectedLineError as error:
        return error

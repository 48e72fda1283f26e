"""Recommend tracks for the conversations of a file: one line of output, or a line of rejects, for each."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, Any

from tracktokens.pipelines.conversations.conversation import Conversation, RejectedLineError, parse_conversation
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.serving.generation.recommendation import Recommendation
from tracktokens.serving.generation.recommender import Recommender, ReplyOptions
from tracktokens.transforms.readers.text_stream import open_text
from tracktokens.transforms.store.user_files import is_stream, open_output

ASSISTANT = "assistant"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecommendStats:
    """Counts of a run.

    Attributes:
        read: lines read.
        written: lines with a recommendation.
        rejected: lines that got none.
        unknown: mentions of tracks that the release does not have; their lines are written.
        dropped: messages that were left out of conversations that are too long for the model.
    """

    read: int
    written: int
    rejected: int
    unknown: int
    dropped: int


@dataclass(frozen=True)
class _Line:
    number: int
    conversation: Conversation

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Messages up to the one that is to be answered: without the assistant's last ones, which would answer it."""
        messages: list[dict[str, Any]] = list(self.conversation["messages"])
        while messages and messages[-1]["role"] == ASSISTANT:
            messages.pop()
        return messages


def recommend_file(
    recommender: Recommender,
    path: str,
    out: str,
    options: ReplyOptions,
    batch_size: int,
    advance: Callable[[int], None] = lambda lines: None,
) -> RecommendStats:
    """Recommend tracks for the conversations of a file.

    ``out`` gets a line per conversation, in their order: ``id`` (that of the conversation, else its line number),
    ``text``, and ``tracks`` with ``track_id``, ``score`` and ``matched``. ``<out>.rejects`` gets ``line``, ``reason``
    and ``written`` for lines without a recommendation, and for mentions of unknown tracks, whose lines are written.
    Both files are replaced at the end.

    Args:
        recommender: model and release.
        path: JSON Lines of conversations; assistant messages at the end are ignored.
        out: file to write.
        options: options of the replies.
        batch_size: conversations that the model reads together.
        advance: called with the number of lines that were done.

    Raises:
        UsageError: a file cannot be read or written.
        InvalidDataError: no line got a recommendation.
    """
    with _open_rejects(out) as rejects:
        run = _Run(recommender, options, rejects)
        unusable = run.write(path, out, batch_size, advance)
    stats = RecommendStats(run.read, run.written, run.rejected, run.unknown, run.dropped)
    if unusable:
        raise InvalidDataError(f"none of {run.read} conversations can be used: {run.first_reason}")
    _warn(stats, run.first_reason)
    return stats


def rejects_path(out: str) -> str:
    """Return the file of the rejects of an output."""
    return f"{out}.rejects"


@contextmanager
def _open_rejects(out: str) -> Iterator[IO[bytes] | None]:
    """Open the file of the rejects; None beside a stream, where they are logged."""
    if is_stream(out):
        yield None
    else:
        with open_output(rejects_path(out)) as file:
            yield file


def _warn(stats: RecommendStats, first_reason: str) -> None:
    if stats.rejected or stats.unknown:
        _logger.warning(
            "%d of %d conversations are rejected, and %d mentions name unknown tracks; the first is %s",
            stats.rejected, stats.read, stats.unknown, first_reason,
        )  # fmt: skip
    if stats.dropped:
        _logger.warning("%d messages are left out, the oldest of conversations that are too long", stats.dropped)


class _UnusableError(Exception):
    """No line of a file got a recommendation."""


class _Run:
    """Counts and rejects of a run."""

    def __init__(self, recommender: Recommender, options: ReplyOptions, rejects: IO[bytes] | None) -> None:
        self._recommender = recommender
        self._options = options
        self._rejects = rejects
        self.read = self.written = self.rejected = self.unknown = self.dropped = 0
        self.first_reason = ""

    def reject(self, number: int, reason: str, written: bool = False) -> None:
        """Note the reason of a line."""
        self.rejected += not written
        self.first_reason = self.first_reason or f"line {number}: {reason}"
        if self._rejects is None:
            _logger.warning("line %d: %s", number, reason)
        else:
            _write(self._rejects, {"line": number, "reason": reason, "written": written})

    def write(self, path: str, out: str, batch_size: int, advance: Callable[[int], None]) -> bool:
        """Write the output, unless no line can be used: then return true."""
        try:
            with open_output(out) as file:
                for batch in _batches(path, self, batch_size):
                    self._answer(batch, file)
                    advance(self.read)
                if self.read and not self.written:
                    raise _UnusableError
        except _UnusableError:
            return True
        return False

    def _answer(self, lines: Sequence[_Line], file: IO[bytes]) -> None:
        """Answer a batch of conversations; if the batch fails, one by one, so that only those at fault are rejected."""
        try:
            replies: list[Recommendation | str] = list(self._replies(lines))
        except (UsageError, InvalidDataError):
            replies = [self._try(line) for line in lines]
        for line, reply in zip(lines, replies, strict=True):
            if isinstance(reply, str):
                self.reject(line.number, reply)
            else:
                self._write(line, reply, file)

    def _replies(self, lines: Sequence[_Line]) -> list[Recommendation]:
        options = asdict(self._options)
        return self._recommender.recommend_batch(
            [line.messages for line in lines], batch_size=max(1, len(lines)), **options
        )

    def _try(self, line: _Line) -> Recommendation | str:
        try:
            return self._replies([line])[0]
        except (UsageError, InvalidDataError) as error:
            return str(error)

    def _write(self, line: _Line, reply: Recommendation, file: IO[bytes]) -> None:
        self.written += 1
        self.dropped += reply.dropped
        self.unknown += len(reply.unknown)
        for track_id in reply.unknown:
            self.reject(line.number, f"the release does not have {track_id}: its mention is left out", written=True)
        tracks = [asdict(track) for track in reply.tracks]
        _write(file, {"id": line.conversation.get("id", line.number), "text": reply.text, "tracks": tracks})


def _batches(path: str, run: _Run, size: int) -> Iterator[list[_Line]]:
    """Read the lines of a file in batches; reject lines that are not conversations."""
    batch: list[_Line] = []
    with open_text(path) as text:
        for number, content in enumerate(text.lines(), 1):
            if not content.strip():
                continue
            run.read += 1
            try:
                batch.append(_Line(number, parse_conversation(content)))
            except RejectedLineError as error:
                run.reject(number, str(error))
            if len(batch) == size:
                yield batch
                batch = []
    yield batch


def _write(file: IO[bytes], value: dict[str, Any]) -> None:
    file.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")

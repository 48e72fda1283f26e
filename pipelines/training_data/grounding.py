"""Tasks that connect tokens with words: names of tracks, lines of lyrics, and words of codes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracktokens.codebooks.tokens.rendering import describe_track, escape_tokens
from tracktokens.codebooks.tokens.vocabulary import token
from tracktokens.pipelines.training_data.phrasings import PHRASINGS
from tracktokens.pipelines.training_data.rows import (
    CODE_TO_WORDS,
    LYRICS_TO_TOKENS,
    TITLE_TO_TOKENS,
    TOKENS_TO_TITLE,
    TRAIN,
    VALIDATION,
    TrainingRow,
)
from tracktokens.pipelines.training_data.sampling import Chance
from tracktokens.transforms.catalog.lyrics import clean_lyrics

MOST_VALIDATION_ROWS = 1_000
"""About the most validation rows of each of these tasks: more cost time and measure the same."""

MOST_TAGS = 8
MOST_WORDS = 8
"""Most words of a code."""

LEAST_LINE_WORDS, MOST_LINE_CHARACTERS = 4, 200
"""A line of lyrics that is asked for: long enough to name a song."""

SplitRow = tuple[str, TrainingRow]
"""A split and a row of it."""


@dataclass(frozen=True)
class Grounding:
    """Rows of the tasks that ground the tokens.

    Every source is in the training file, since the model is to know all tracks and codes. A share of them is also in
    the validation file, with a phrasing that the training file does not have. The test file has none.

    Attributes:
        mix: task to rows per source.
        validation: share of the sources that have a validation row.
        chance: the draws.
    """

    mix: Mapping[str, float]
    validation: float
    chance: Chance

    def track(self, track: Mapping[str, str | None], tags: Sequence[str], tokens: str) -> Iterator[SplitRow]:
        """Make the rows of a track: its name to its tokens, and back; none for a track without title and artist.

        Args:
            track: ``track_id``, ``title`` and ``artist``.
            tags: its tags.
            tokens: the track as a model writes it.
        """
        if not (track["title"] or track["artist"]):
            return
        track_id, name = str(track["track_id"]), escape_tokens(describe_track(track))
        listed = escape_tokens(", ".join(list(dict.fromkeys(tags))[:MOST_TAGS]))
        values = {"name": name, "track": tokens, "description": f"{name} ({listed})" if listed else name}
        yield from self._rows(TITLE_TO_TOKENS, track_id, values, (track_id,))
        yield from self._rows(TOKENS_TO_TITLE, track_id, values)

    def lyrics(self, track_id: str, lyrics: str, tokens: str) -> Iterator[SplitRow]:
        """Make the rows of a track's lyrics: a line of them to the track; none if no line is long enough."""
        lines = lyric_lines(lyrics)
        if not lines:
            return
        for number, (split, phrasing) in enumerate(self._drawn(LYRICS_TO_TOKENS, track_id)):
            line = self.chance.choose(lines, "line", track_id, number)
            values = {"line": escape_tokens(line), "track": tokens}
            yield split, TrainingRow.of_phrasing(LYRICS_TO_TOKENS, track_id, phrasing, values, (track_id,))

    def codes(self, column: str, words: Sequence[Sequence[str]]) -> Iterator[SplitRow]:
        """Make the rows of a column's codes: a code to the words of its tracks; none for a code without words."""
        for code, best in enumerate(words):
            if best:
                name = token(column, code)
                values = {"code": name, "words": escape_tokens(", ".join(best))}
                yield from self._rows(CODE_TO_WORDS, name, values)

    def _rows(
        self, task: str, source: str, values: Mapping[str, str], tracks: tuple[str, ...] = ()
    ) -> Iterator[SplitRow]:
        for split, phrasing in self._drawn(task, source):
            yield split, TrainingRow.of_phrasing(task, source, phrasing, values, tracks)

    def _drawn(self, task: str, source: str) -> Iterator[tuple[str, tuple[str, str]]]:
        """Draw a split and a phrasing for each row of a source."""
        if not (rate := self.mix[task]):
            return
        phrasings = PHRASINGS[task]
        count = self.chance.copies(rate, task, source)
        for phrasing in self.chance.rotate(phrasings[TRAIN], count, "phrasing", task, source):
            yield TRAIN, phrasing
        if count and self.chance.share("validation", task, source) < self.validation:
            yield VALIDATION, self.chance.choose(phrasings[VALIDATION], "asked", task, source)


def validation_share(share: float, sources: int) -> float:
    """Limit a share of sources to about ``MOST_VALIDATION_ROWS``."""
    return min(share, MOST_VALIDATION_ROWS / max(sources, 1))


def lyric_lines(lyrics: str) -> list[str]:
    """List the distinct lines of lyrics that are long enough to name a song, cut at ``MOST_LINE_CHARACTERS``.

    A line without spaces between its words, as in Japanese, counts its characters instead.
    """
    lines = dict.fromkeys(" ".join(line.split()) for line in (clean_lyrics(lyrics) or "").split("\n"))
    return [line[:MOST_LINE_CHARACTERS] for line in lines if _is_long(line)]


def _is_long(line: str) -> bool:
    words = re.findall(r"\w+", line)
    return len(words) >= LEAST_LINE_WORDS or any(len(word) >= 4 * LEAST_LINE_WORDS for word in words)

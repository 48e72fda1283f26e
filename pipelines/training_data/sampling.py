"""Chance of a training file: all draws are hashes of a seed and the name of what is drawn, so order has no effect."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tracktokens.pipelines.training_data.rows import (
    CODE_TO_WORDS,
    CONVERSATION,
    LYRICS_TO_TOKENS,
    PLAYLIST_CONTINUATION,
    TASKS,
    TEST,
    TITLE_TO_TOKENS,
    TOKENS_TO_TITLE,
    TRAIN,
    VALIDATION,
)

Item = TypeVar("Item")

DEFAULT_MIX: Mapping[str, float] = {
    TITLE_TO_TOKENS: 1.0,
    TOKENS_TO_TITLE: 1.0,
    LYRICS_TO_TOKENS: 1.0,
    CODE_TO_WORDS: 2.0,
    PLAYLIST_CONTINUATION: 2.0,
    CONVERSATION: 1.0,
}
"""Task to rows per source: per track, lyrics, code, playlist or turn."""

LARGEST_RATE = 100.0


@dataclass(frozen=True)
class Chance:
    """Draws by a seed. Equal names give equal draws."""

    seed: int

    def share(self, *name: object) -> float:
        """Draw a number from 0 to below 1."""
        text = "\0".join(map(str, (self.seed, *name)))
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return (int.from_bytes(digest, "big") >> 11) / float(1 << 53)

    def below(self, count: int, *name: object) -> int:
        """Draw an integer from 0 to below ``count``."""
        return int(self.share(*name) * count)

    def choose(self, items: Sequence[Item], *name: object) -> Item:
        """Draw an item."""
        return items[self.below(len(items), *name)]

    def order(self, items: Sequence[Item], *name: object) -> list[Item]:
        """Draw an order of items."""
        ranked = sorted(range(len(items)), key=lambda number: self.share(*name, number))
        return [items[number] for number in ranked]

    def copies(self, rate: float, *name: object) -> int:
        """Draw a number of rows whose mean is ``rate``: the rate without its fraction, or one more."""
        whole = int(rate)
        return whole + int(self.share("copies", *name) < rate - whole)

    def rotate(self, items: Sequence[Item], count: int, *name: object) -> Iterator[Item]:
        """Draw ``count`` items, all different as far as there are as many."""
        start = self.below(len(items), *name)
        return (items[(start + number) % len(items)] for number in range(count))


@dataclass(frozen=True)
class Shares:
    """Shares of sources in the validation and the test file; the rest is for training.

    Attributes:
        validation: share from 0 to 1.
        test: share from 0 to 1; both together below 1.
    """

    validation: float
    test: float

    def split(self, source: str) -> str:
        """Return the split of a source by a hash of its id, whatever the seed: a source never changes its split.

        Example:
            >>> Shares(0.5, 0.5).split("p1"), Shares(0, 0).split("p1")
            ('validation', 'train')
        """
        drawn = Chance(0).share("split", source)
        if drawn < self.test:
            return TEST
        return VALIDATION if drawn < self.test + self.validation else TRAIN


def complete_mix(given: Mapping[str, float]) -> dict[str, float]:
    """Return the rate of every task: a given one, or the default.

    Raises:
        ValueError: a task does not exist, or a rate is not from 0 to ``LARGEST_RATE``.
    """
    for task, rate in given.items():
        if task not in TASKS or not 0 <= rate <= LARGEST_RATE:
            raise ValueError(f"{task}={rate} is not one of {', '.join(TASKS)} with a rate from 0 to {LARGEST_RATE:g}")
    return {**DEFAULT_MIX, **given}

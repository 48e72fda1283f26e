"""Seeded randomness: one independent stream per name, so that the draws of one track do not change another."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return the random stream of ``names`` under ``seed``."""
    label = "/".join(map(str, (seed, *names)))
    digest = hashlib.blake2b(label.encode("utf-8"), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def pick(options: Sequence[T], chance: np.random.Generator) -> T:
    """Draw one option; all are equally likely."""
    return options[int(chance.integers(len(options)))]


def draw(options: Sequence[T], count: int, chance: np.random.Generator) -> list[T]:
    """Draw ``count`` different options, or all if there are fewer."""
    chosen = chance.permutation(len(options))[:count]
    return [options[int(index)] for index in chosen]

"""SplitMix64 yields the published numbers."""

import numpy as np

from tracktokens.codebooks.numerics.hashing import GOLDEN_GAMMA, mix64, splitmix64

# First outputs of Java's SplittableRandom and of Vigna's splitmix64.c with the seed 1234567.
PUBLISHED = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


def test_a_generator_made_of_the_mixer_yields_the_published_numbers() -> None:
    seeds = np.uint64(1234567) + np.arange(5, dtype=np.uint64) * GOLDEN_GAMMA
    assert splitmix64(seeds).tolist() == PUBLISHED


def test_words_are_mixed_as_python_integers_are() -> None:
    words = np.random.default_rng(0).integers(0, 1 << 64, (50, 2), np.uint64)
    assert mix64(words).tolist() == [[mixed_slowly(word) for word in row] for row in words.tolist()]


def mixed_slowly(word: int) -> int:
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % (1 << 64)
    word = (word ^ word >> 27) * 0x94D049BB133111EB % (1 << 64)
    return word ^ word >> 31

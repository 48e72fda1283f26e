"""SplitMix64, a mixer of 64-bit words.

Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. Hashes are the same on
every machine.
"""

import numpy as np

from tracktokens.codebooks.numerics.arrays import Words

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""Increment of the generator's state: 2**64 divided by the golden ratio, made odd."""


def mix64(words: Words) -> Words:
    """Mix the bits of uint64 words of any shape by SplitMix64's output function. It is one to one, and maps 0 to 0.

    Example:
        >>> import numpy as np
        >>> [hex(word) for word in mix64(np.array([0, 1], np.uint64))]
        ['0x0', '0x5692161d100b05e5']
    """
    mixed = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # arrays wrap around without a warning
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def splitmix64(words: Words) -> Words:
    """Hash uint64 words of any shape: the first output of a SplitMix64 generator that is seeded with each word.

    Example:
        >>> import numpy as np
        >>> hex(splitmix64(np.array([0], np.uint64))[0])
        '0xe220a8397b1dcdaf'
    """
    return mix64(words + GOLDEN_GAMMA)

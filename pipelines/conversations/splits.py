"""Splits by playlist: all conversations of a playlist are for training, validation or test together."""

import hashlib
from dataclasses import dataclass

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def playlist_hash(playlist_id: str) -> int:
    """Hash the id of a playlist to 64 bits."""
    return int.from_bytes(hashlib.blake2b(playlist_id.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True)
class SplitShares:
    """Shares of the playlists, 0 to 1; the others are for training."""

    validation: float
    test: float

    def split_of(self, playlist_id: str) -> str:
        """Return the split of a playlist: by its id alone, so that more playlists do not move it.

        Example:
            >>> SplitShares(validation=0.0, test=1.0).split_of("p1")
            'test'
        """
        point = playlist_hash(playlist_id) / 2**64
        return TEST if point < self.test else VALIDATION if point < self.test + self.validation else TRAIN

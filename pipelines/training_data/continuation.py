"""Playlist continuation: some tracks of a playlist to those that follow them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracktokens.pipelines.training_data.phrasings import PHRASINGS
from tracktokens.pipelines.training_data.rows import PLAYLIST_CONTINUATION, TRAIN, VALIDATION, TrainingRow
from tracktokens.pipelines.training_data.sampling import Chance, Shares

MOST_SEEDS, MOST_NEXT = 8, 3
"""Most tracks of a prompt and of a completion."""


@dataclass(frozen=True)
class Continuation:
    """Rows of playlists. A playlist is in one split as a whole.

    Attributes:
        rate: rows per playlist.
        shares: split of a playlist.
        known: split of some playlists, by id: those that conversations were made from.
        chance: the draws.
    """

    rate: float
    shares: Shares
    known: Mapping[str, str]
    chance: Chance

    def rows(
        self, playlist_id: str, track_ids: Sequence[str], texts: Sequence[str]
    ) -> Iterator[tuple[str, TrainingRow]]:
        """Make the rows of a playlist of at least two different tracks, each from a drawn place in it.

        Args:
            playlist_id: its id.
            track_ids: its known tracks, without repeats.
            texts: the tracks as a model writes them.
        """
        split = self.known.get(playlist_id) or self.shares.split(playlist_id)
        task, count = PLAYLIST_CONTINUATION, self.chance.copies(self.rate, PLAYLIST_CONTINUATION, playlist_id)
        phrasings = PHRASINGS[task][TRAIN if split == TRAIN else VALIDATION]
        for number, phrasing in enumerate(self.chance.rotate(phrasings, count, "phrasing", task, playlist_id)):
            cut = 1 + self.chance.below(len(texts) - 1, "cut", playlist_id, number)
            begin = max(0, cut - 1 - self.chance.below(MOST_SEEDS, "seeds", playlist_id, number))
            end = min(len(texts), cut + 1 + self.chance.below(MOST_NEXT, "next", playlist_id, number))
            values = {"seeds": " ".join(texts[begin:cut]), "tracks": " ".join(texts[cut:end])}
            yield split, TrainingRow.of_phrasing(task, playlist_id, phrasing, values, tuple(track_ids[cut:end]))

"""The largest sets of tracks of different songs with the same tokens."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa

from tracktokens.pipelines.analysis.atlas.collisions import Collision, worst_collisions
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.transforms.store.token_tables import TokenTable

Row = tuple[str, str, int | None]
"""Id, title and audio code of a track; its artist is that of the id's first letter."""


@dataclass
class Buckets:
    """A token table in memory."""

    rows: list[list[Row]]
    token_format: TokenFormat = field(default_factory=lambda: TokenFormat.of(8))

    @property
    def catalog(self) -> Any:
        return SimpleNamespace(buckets=len(self.rows))

    def read(self, bucket: int, columns: list[str]) -> pa.Table:
        codes = {name: [row[2] if name == "audio" else None for row in self.rows[bucket]] for name in columns}
        return pa.table({name: pa.array(column, pa.int16()) for name, column in codes.items()})

    def tracks(self, bucket: int, columns: list[str]) -> pa.Table:
        assert columns == ["track_id", "title", "artist"]
        return pa.table({
            "track_id": [track_id for track_id, _, _ in self.rows[bucket]],
            "title": [title for _, title, _ in self.rows[bucket]],
            "artist": [track_id[0] for track_id, _, _ in self.rows[bucket]],
        })  # fmt: skip


def collisions(*rows: list[Row]) -> list[Collision]:
    return worst_collisions(cast(TokenTable, Buckets(list(rows))))


def test_sets_span_buckets_and_the_largest_is_first() -> None:
    found = collisions(
        [("a1", "x", 3), ("a2", "y", 5), ("a3", "z", 3)], [("b1", "x", 3), ("b2", "v", 5), ("b3", "w", 1)]
    )
    assert [(collision.tracks, collision.codes[4]) for collision in found] == [(3, 3), (2, 5)]
    assert [song.track_id for song in found[0].songs] == ["a1", "a3", "b1"]
    assert [song.name for song in found[1].songs] == ["y - a", "v - b"]


def test_several_ids_of_one_song_are_not_a_collision() -> None:
    assert collisions([("a1", "x", 3), ("a2", "x", 3), ("a3", "x", 3)], [("b1", "v", 5), ("b2", "w", 5)])[0].tracks == 2
    assert collisions([("a1", "x", 1), ("a2", "y", 2)]) == []
    assert collisions([]) == []


def test_tracks_without_any_token_are_a_set_too() -> None:
    [found] = collisions([("a1", "x", None), ("a2", "y", None)])
    assert found.codes == (-1,) * 5

"""The demo's playlists: one crowd makes each, mostly from its own music, and popular tracks are more frequent."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from tracktokens.pipelines.demo.chance import generator, pick
from tracktokens.pipelines.demo.tracks import DemoTrack, draw_by_popularity
from tracktokens.pipelines.demo.words import CLUSTER_TITLES

SHORTEST = 8
LONGEST = 25
STRAY_SHARE = 0.1
"""Share of the entries that are drawn from all crowds."""


@dataclass(frozen=True)
class DemoPlaylist:
    """A playlist and the crowd that made it."""

    playlist_id: str
    title: str
    cluster: str
    track_ids: tuple[str, ...]


def invent_playlists(tracks: list[DemoTrack], count: int, seed: int) -> list[DemoPlaylist]:
    """Invent playlists of 8 to 25 different tracks, or fewer if the crowd has fewer tracks.

    A crowd makes playlists in proportion to its share of the tracks.
    """
    listed = [track for track in tracks if track.listed]
    crowds: dict[str, list[DemoTrack]] = defaultdict(list)
    for track in listed:
        crowds[track.cluster].append(track)
    chance = generator(seed, "crowds")
    makers = [listed[int(index)].cluster for index in chance.integers(len(listed), size=count)]
    return [_invent_playlist(number, maker, crowds[maker], listed, seed) for number, maker in enumerate(makers)]


def _invent_playlist(
    number: int, cluster: str, own: list[DemoTrack], listed: list[DemoTrack], seed: int
) -> DemoPlaylist:
    chance = generator(seed, "playlist", number)
    length = int(chance.integers(SHORTEST, LONGEST + 1))
    strays = _draw_ids(listed, int(chance.binomial(length, STRAY_SHARE)), chance)
    chosen = strays | _draw_ids(own, length - len(strays), chance)
    ids = [str(track_id) for track_id in chance.permutation(sorted(chosen))]
    title = f"{pick(CLUSTER_TITLES[cluster], chance)} {number}"
    return DemoPlaylist(f"pl{number:05d}", title, cluster, tuple(ids))


def _draw_ids(tracks: list[DemoTrack], count: int, chance: np.random.Generator) -> set[str]:
    return {track.track_id for track in draw_by_popularity(tracks, count, chance)}

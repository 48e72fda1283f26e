"""Pick example tracks of a release: some with all their tokens, and some that share only the audio token."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import AUDIO, MODALITIES
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.token_tables import TokenTable

SEARCHED_TRACKS = 50_000
"""Most tracks that are searched, from the first buckets."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Examples:
    """Example tracks, as rows of the token table with ``title`` and ``artist``.

    Attributes:
        complete: tracks with the most tokens, by different artists.
        sound_alike: tracks that share their audio token and nothing else; may be fewer than requested.
    """

    complete: list[Row]
    sound_alike: list[Row]


def examples(store: Store, count: int = 3) -> Examples:
    """Pick examples from the latest release.

    Args:
        store: the store.
        count: tracks per kind of example.

    Raises:
        UsageError: nothing was published.
    """
    rows = read_rows(store, release_or_latest(store, None), SEARCHED_TRACKS)
    return Examples(complete_tracks(rows, count), sound_alike(rows, count))


def read_rows(store: Store, release: ReleaseManifest, limit: int) -> list[Row]:
    """Read the first ``limit`` rows of a token table, with titles and artists of its catalog."""
    rows: list[Row] = []
    table = TokenTable.of(store, release)
    for bucket in range(store.buckets):
        if len(rows) >= limit:
            break
        tokens, names = table.read(bucket), table.tracks(bucket, ["title", "artist"])  # both in the same order
        joined = tokens.append_column("title", names["title"]).append_column("artist", names["artist"])
        rows += joined.slice(0, limit - len(rows)).to_pylist()
    return rows


def complete_tracks(rows: list[Row], count: int) -> list[Row]:
    """Choose tracks with the most tokens, at most one per artist."""
    chosen: dict[str | None, Row] = {}
    for row in sorted(rows, key=lambda row: sum(row[modality] is None for modality in MODALITIES)):
        chosen.setdefault(row["artist"], row)
    return list(chosen.values())[:count]


def sound_alike(rows: list[Row], count: int) -> list[Row]:
    """Choose tracks that share an audio token, where no two share another token or the artist."""
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row[AUDIO] is not None:
            groups[row[AUDIO]].append(row)
    best: list[Row] = []
    for group in sorted(groups.values(), key=len):
        chosen: list[Row] = []
        for row in group:
            if len(chosen) < count and all(nothing_else_in_common(row, other) for other in chosen):
                chosen.append(row)
        best = max(best, chosen, key=len)
    return best if len(best) > 1 else []


def nothing_else_in_common(left: Row, right: Row) -> bool:
    """Return whether two tracks differ in every token but audio, and in the artist; two missing tokens are equal."""
    return all(left[name] != right[name] for name in (*MODALITIES[:-1], "artist"))

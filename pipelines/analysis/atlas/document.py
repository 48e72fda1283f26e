"""The data of an atlas as compact JSON values: texts are numbered, and codes are rows of columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tracktokens.codebooks.numerics.arrays import Doubles
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.codebooks.tokens.vocabulary import token
from tracktokens.pipelines.analysis.atlas.changes import ColumnChange, retraining_changes
from tracktokens.pipelines.analysis.atlas.collisions import Collision, worst_collisions
from tracktokens.pipelines.analysis.atlas.columns import ColumnView, column_views
from tracktokens.pipelines.analysis.atlas.history import History, release_history
from tracktokens.pipelines.analysis.atlas.overview import Finding, findings
from tracktokens.pipelines.analysis.atlas.source import AtlasSource
from tracktokens.schemas.display import printable
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.transforms.store.token_tables import Identities, TrackIdentity

LONGEST_NAME = 64
"""Characters of a title with its artist, and of a word, that are shown."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Everything that the page shows.

    Attributes:
        source: the release.
        columns: its columns that have codes.
        names: id, title and artist by number of the tracks nearest to a code.
        collisions: the largest sets of tracks with the same tokens.
        history: figures of the releases up to this one.
        changes: changes by a new training, by column.
        findings: the state of the release in words.
    """

    source: AtlasSource
    columns: Sequence[ColumnView]
    names: Identities
    collisions: Sequence[Collision]
    history: History
    changes: dict[str, ColumnChange]
    findings: Sequence[Finding]

    @classmethod
    def of(cls, source: AtlasSource) -> Atlas:
        """Read what the page of a release shows."""
        columns = column_views(source)
        numbers = [column.nearest.tracks for column in columns]
        return cls(
            source=source,
            columns=columns,
            names=source.table.identities(np.concatenate(numbers)) if numbers else {},
            collisions=worst_collisions(source.table),
            history=release_history(source),
            changes=retraining_changes(source),
            findings=findings(source.metrics),
        )

    def to_json(self, nearest_tracks: int) -> dict[str, Any]:
        """Return the data of the page, with at most ``nearest_tracks`` tracks per code."""
        words, names = _Texts(), _Texts()
        columns = [self._column(view, words, names, nearest_tracks) for view in self.columns]
        return {
            "release": self.source.release_id,
            "bundle": self.source.bundle.bundle_id,
            "tracks": self.source.metrics["rows"]["published"],
            "findings": [asdict(finding) for finding in self.findings],
            "columns": columns,
            "words": words.texts,
            "names": names.texts,
            "collisions": [_collision(collision, self.source.bundle.token_format) for collision in self.collisions],
            "history": asdict(self.history),
            "previous": self.source.previous,
        }

    def _column(self, view: ColumnView, words: _Texts, names: _Texts, nearest_tracks: int) -> dict[str, Any]:
        name = view.codebook.name
        usage, change = self.source.metrics["modalities"][name], self.changes.get(name)
        return {
            "name": name,
            "x": rounded(view.map.positions[:, 0], 3),
            "y": rounded(view.map.positions[:, 1], 3),
            "shown": round(view.map.explained, 3),
            "tracks": view.tracks.tolist(),
            "baseline": None if view.baseline is None else view.baseline.tolist(),
            "spread": rounded(view.spread, 4),
            "words": [words.numbers(code) for code in view.words],
            "nearest": self._nearest(view, names, nearest_tracks),
            "neighbours": view.neighbours.tolist(),
            "margins": view.margins.tolist() if view.margins.any() else None,
            "distances": view.distances.tolist(),
            "furthest": float(f"{view.furthest:.4g}"),
            "coverage": usage["coverage"],
            "perplexity": usage["perplexity"],
            "gini": usage.get("gini"),
            "change": None if change is None else asdict(change),
        }

    def _nearest(self, view: ColumnView, names: _Texts, most: int) -> list[list[int]]:
        """List the names of the tracks nearest to each code."""
        by_code: list[list[int]] = [[] for _ in range(view.codebook.num_centroids)]
        for code, number in zip(view.nearest.codes.tolist(), view.nearest.tracks.tolist(), strict=True):
            if len(by_code[code]) < most:
                by_code[code].append(names.number(track_name(self.names[number])))
        return by_code


class _Texts:
    """Distinct texts, numbered in the order in which they are added."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def texts(self) -> list[str]:
        """All texts."""
        return list(self._numbers)

    def number(self, text: str) -> int:
        """Return the number of a text, as it is shown."""
        return self._numbers.setdefault(shown(text), len(self._numbers))

    def numbers(self, texts: Iterable[str]) -> list[int]:
        """Return the numbers of several texts."""
        return [self.number(text) for text in texts]


def shown(text: str) -> str:
    """Cut a text of the catalog to ``LONGEST_NAME``, without control characters."""
    clean = printable(text)
    return clean if len(clean) <= LONGEST_NAME else f"{clean[: LONGEST_NAME - 1]}…"


def track_name(track: TrackIdentity) -> str:
    """Name a track by title and artist, or by its id if neither is known."""
    return track.name or track.track_id


def rounded(values: Doubles, digits: int) -> list[float | None]:
    """Round to significant digits; NaN becomes None."""
    return [None if np.isnan(value) else float(f"{value:.{digits}g}") for value in values.tolist()]


def _collision(collision: Collision, tokens: TokenFormat) -> dict[str, Any]:
    codes = zip(tokens.names, collision.codes, strict=True)
    return {
        "tracks": collision.tracks,
        "tokens": [token(name, None if code == NONE else code) for name, code in codes],
        "songs": [shown(track_name(song)) for song in collision.songs],
    }

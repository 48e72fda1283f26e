"""The meaning of each code of a column: its place, tracks, words and neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.metrics.code_map import CodeMap, code_map
from tracktokens.codebooks.metrics.drift import CodeUsage
from tracktokens.codebooks.numerics.arrays import Counts, Doubles, Floats, Integers
from tracktokens.codebooks.numerics.distances import distance_table
from tracktokens.pipelines.analysis.atlas.source import AtlasSource
from tracktokens.pipelines.analysis.inspect import CODES
from tracktokens.transforms.release.coded_inputs import CodedInputs, NearestInputs, read_coded_inputs
from tracktokens.transforms.release.track_terms import CatalogTerms, sample_buckets

WORDS = 8
"""Most words per code."""

NEAREST_TRACKS = 5
"""Most tracks per code."""

HISTOGRAM_BINS = 40

FURTHEST_SHARE = 0.995
"""Share of the tracks within the last bin of the histogram of distances."""

SAMPLED_TRACKS = 250_000
"""Most tracks whose distances are read, a random sample of a larger catalog: some 250 per code bound the time."""

ROWS_AT_ONCE = 1024
"""Rows of the table of distances between codes that are held at once."""


@dataclass(frozen=True, eq=False)
class ColumnView:
    """One column of a release.

    Attributes:
        codebook: its codebook.
        map: positions of its codes.
        tracks: int64 (codes,), tracks per code.
        baseline: int64 (codes,), tracks per code in the first release of the codebook; None in that release.
        spread: float64 (codes,), mean squared distance of tracks to the centroid; NaN without tracks.
        words: words per code, the most distinctive first.
        nearest: inputs nearest to each centroid.
        neighbours: int64 (codes, up to 5), codes with the nearest centroids.
        margins: int64 (bins,), tracks by relative margin from 0 to 1; all 0 if the codebook has one centroid.
        distances: int64 (bins,), tracks by squared distance from 0 to ``furthest``.
        furthest: squared distance at the end of the last bin, which has all tracks beyond it too.
    """

    codebook: Codebook
    map: CodeMap
    tracks: Counts
    baseline: Counts | None
    spread: Doubles
    words: Sequence[Sequence[str]] = field(repr=False)
    nearest: CodedInputs = field(repr=False)
    neighbours: Integers
    margins: Counts
    distances: Counts
    furthest: float


def column_views(source: AtlasSource) -> list[ColumnView]:
    """Describe the codes of all columns that have any, in token order."""
    terms = CatalogTerms(source.table)
    buckets = sample_buckets(source.table, SAMPLED_TRACKS)
    baselines: Mapping[str, Mapping[str, Any]] = source.baseline.modalities if source.baseline else {}
    return [
        _column_view(source, codebook, terms, buckets, baselines.get(codebook.name))
        for codebook in source.bundle.codebooks
        if codebook.num_centroids
    ]


def _column_view(
    source: AtlasSource,
    codebook: Codebook,
    terms: CatalogTerms,
    buckets: Sequence[int],
    baseline: Mapping[str, Any] | None,
) -> ColumnView:
    codes = codebook.num_centroids
    by_code = terms.by_code(codebook.name, codes)
    inputs = _Inputs(codes)
    for bucket in buckets:
        inputs.update(read_coded_inputs(source.store, source.table, codebook.name, bucket))
    distances, furthest = inputs.distance_histogram()
    counts = None if baseline is None else np.array(CodeUsage.from_json(baseline).counts, np.int64)
    return ColumnView(
        codebook=codebook,
        map=code_map(codebook.centroids),
        tracks=source.table.code_sizes(codebook.name, codes),
        baseline=counts if counts is not None and len(counts) == codes else None,
        spread=inputs.spread(),
        words=[by_code.best(code, WORDS) for code in range(codes)],
        nearest=inputs.nearest(),
        neighbours=nearest_codes(codebook.centroids, CODES),
        margins=inputs.margin_histogram(),
        distances=distances,
        furthest=furthest,
    )


class _Inputs:
    """Accumulator over the inputs of a column, bucket by bucket."""

    def __init__(self, codes: int) -> None:
        self._codes = codes
        self._nearest = NearestInputs(codes, NEAREST_TRACKS)
        self._sums = np.zeros(codes)
        self._weights = np.zeros(codes)
        self._margins = np.zeros(HISTOGRAM_BINS, np.int64)
        self._distances: list[tuple[Doubles, Counts]] = []

    def update(self, inputs: CodedInputs) -> None:
        """Add a bucket."""
        distances = inputs.distances.astype(np.float64)
        self._nearest.update(inputs)
        self._sums += np.bincount(inputs.codes, weights=distances * inputs.weights, minlength=self._codes)
        self._weights += np.bincount(inputs.codes, weights=inputs.weights, minlength=self._codes)
        known = ~np.isnan(inputs.margins)
        margins = inputs.margins[known].astype(np.float64)
        second = margins + distances[known]
        relative = np.divide(margins, second, out=np.zeros_like(second), where=second > 0)
        self._margins += np.histogram(relative, HISTOGRAM_BINS, (0, 1), weights=inputs.weights[known])[0].astype(
            np.int64
        )
        self._distances.append((distances, inputs.weights))

    def nearest(self) -> CodedInputs:
        """Return the inputs nearest to each centroid."""
        return self._nearest.inputs

    def spread(self) -> Doubles:
        """Return the mean squared distance per code, NaN without tracks."""
        return np.divide(self._sums, self._weights, out=np.full(self._codes, np.nan), where=self._weights > 0)

    def margin_histogram(self) -> Counts:
        """Return the tracks by relative margin."""
        return self._margins

    def distance_histogram(self) -> tuple[Counts, float]:
        """Return the tracks by squared distance, and the distance at the end of the last bin."""
        distances = np.concatenate([values for values, _ in self._distances])
        weights = np.concatenate([values for _, values in self._distances])
        furthest = float(np.quantile(distances, FURTHEST_SHARE)) if len(distances) else 0.0
        range_ = (0.0, furthest or 1.0)
        counts = np.histogram(np.minimum(distances, range_[1]), HISTOGRAM_BINS, range_, weights=weights)[0]
        return counts.astype(np.int64), furthest


def nearest_codes(centroids: Floats, most: int) -> Integers:
    """Find the codes with the nearest centroids for each of float32 (codes, dim): int64 (codes, up to ``most``)."""
    codes = len(centroids)
    kept = min(most, codes - 1)
    nearest = np.empty((codes, max(kept, 0)), np.int64)
    for start in range(0, codes, ROWS_AT_ONCE):
        table = distance_table(centroids[start : start + ROWS_AT_ONCE], centroids)
        rows = np.arange(len(table))
        table[rows, rows + start] = np.inf
        if kept:
            nearest[start : start + len(table)] = _smallest(table, kept)
    return nearest


def _smallest(table: Doubles, most: int) -> Integers:
    """Find the columns of the smallest values of each row, in ascending order; of equal values the first columns."""
    limits = np.partition(table, most - 1, axis=1)[:, most - 1 : most]
    rows, columns = np.nonzero(table <= limits)
    order = np.lexsort((columns, table[rows, columns], rows))
    firsts = np.searchsorted(rows[order], np.arange(len(table)))
    return columns[order][firsts[:, np.newaxis] + np.arange(most)]  # type: ignore[no-any-return]

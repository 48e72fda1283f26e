"""Describe the codes of a bundle by the tags, words and tracks that have them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Group
from rich.table import Table

from tracktokens.codebooks.numerics.distances import row_distances
from tracktokens.codebooks.tokens.vocabulary import token
from tracktokens.pipelines.terminal import catalog_text
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.transforms.release.coded_inputs import CodedInputs, read_coded_inputs
from tracktokens.transforms.release.track_terms import CatalogTerms, sample_buckets
from tracktokens.transforms.store.bundles import read_bundle, read_manifest
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import find_release
from tracktokens.transforms.store.token_tables import TokenTable

READ_TRACKS = 2_000_000
"""Most tracks among which the nearest are searched, from the first buckets: a random sample of a larger catalog."""

TERMS, TRACKS, CODES = 12, 10, 5
TERMS_IN_LIST = 4


@dataclass(frozen=True)
class CodeSummary:
    """One code of a modality.

    Attributes:
        code: the code.
        tracks: number of tracks that have it.
        terms: terms that distinguish them from all other tracks, the best first.
    """

    code: int
    tracks: int
    terms: tuple[str, ...]


@dataclass(frozen=True)
class NearTrack:
    """A track near a centroid: its id, title and artist, and squared distance."""

    track_id: str
    name: str
    distance: float


@dataclass(frozen=True)
class CodeView:
    """Details of one code.

    Attributes:
        summary: its tracks and terms.
        share: its share of the tracks that have the modality.
        nearest_tracks: tracks nearest to its centroid, nearest first; equal inputs are listed once.
        nearest_codes: codes with the nearest centroids, and their terms.
    """

    summary: CodeSummary
    share: float
    nearest_tracks: tuple[NearTrack, ...]
    nearest_codes: tuple[CodeSummary, ...]


class Inspector:
    """One column of a bundle, a modality or a residual level, seen in the bundle's newest release."""

    def __init__(self, store: Store, bundle_id: str, column: str) -> None:
        """Read the tracks.

        Raises:
            UsageError: the bundle or column does not exist, the column has no codes, or nothing was published.
        """
        bundle = read_bundle(store, bundle_id)
        names = [codebook.name for codebook in bundle.codebooks]
        if column not in names:
            raise UsageError(f"{column} is not one of {', '.join(names)}, which have codes in bundle {bundle_id}")
        self._store = store
        self._column = column
        self._codebook = bundle[column]
        if not self._codebook.num_centroids:
            modality = self._codebook.modality
            raise UsageError(f"bundle {bundle_id} has no {column} codes: its catalog had no {modality} vectors")
        self._table = TokenTable.of(store, find_release(store, bundle_id))
        self._terms = CatalogTerms(self._table).by_code(column, self._codebook.num_centroids)
        self._sizes = self._table.code_sizes(column, self._codebook.num_centroids)

    def codes(self) -> list[CodeSummary]:
        """Summarize all codes, those with the most tracks first."""
        return [self._summary(int(code), TERMS_IN_LIST) for code in np.argsort(-self._sizes, kind="stable")]

    def code(self, code: int) -> CodeView:
        """Describe one code.

        Raises:
            UsageError: the code does not exist.
        """
        if not 0 <= code < self._codebook.num_centroids:
            raise UsageError(f"{self._column} has the codes 0 to {self._codebook.num_centroids - 1}, not {code}")
        centroids = self._codebook.centroids
        distances = row_distances(centroids, centroids[code])
        nearest = [int(other) for other in np.argsort(distances, kind="stable") if other != code][:CODES]
        return CodeView(
            summary=self._summary(code, TERMS),
            share=float(self._sizes[code] / max(self._sizes.sum(), 1)),
            nearest_tracks=self._nearest_tracks(code),
            nearest_codes=tuple(self._summary(other, TERMS_IN_LIST) for other in nearest),
        )

    def _summary(self, code: int, most: int) -> CodeSummary:
        return CodeSummary(code, int(self._sizes[code]), self._terms.best(code, most))

    def _nearest_tracks(self, code: int) -> tuple[NearTrack, ...]:
        """Find the tracks nearest to a centroid, in the buckets of ``READ_TRACKS`` tracks."""
        inputs = (
            read_coded_inputs(self._store, self._table, self._column, bucket)
            for bucket in sample_buckets(self._table, READ_TRACKS)
        )
        nearest = CodedInputs.concatenate(part.take(part.codes == code).nearest(TRACKS) for part in inputs)
        nearest = nearest.nearest(TRACKS)
        tracks = self._table.identities(nearest.tracks)
        return tuple(
            NearTrack(tracks[number].track_id, tracks[number].name, distance)
            for number, distance in zip(nearest.tracks.tolist(), nearest.distances.tolist(), strict=True)
        )


def checked_manifest(store: Store, bundle_id: str) -> BundleManifest:
    """Read the manifest of a bundle, and check its files.

    Raises:
        UsageError: the bundle does not exist.
        InvalidDataError: a file of it was changed.
    """
    read_bundle(store, bundle_id)
    return read_manifest(store, bundle_id)


def bundle_report(manifest: BundleManifest) -> Group:
    """Build the table of a bundle's codebooks."""
    return Group(_origin(manifest), _codebook_table(manifest))


def codes_report(codes: Sequence[CodeSummary]) -> Table:
    """Build the table of a modality's codes, one row per code."""
    table = Table("code", "tracks", "most distinctive terms")
    for summary in codes:
        table.add_row(str(summary.code), str(summary.tracks), catalog_text(", ".join(summary.terms)))
    return table


def code_report(modality: str, view: CodeView) -> Group:
    """Build the report of one code."""
    tracks = Table("nearest tracks", "title and artist", "squared distance")
    for track in view.nearest_tracks:
        tracks.add_row(catalog_text(track.track_id), catalog_text(track.name), f"{track.distance:.4f}")
    return Group(
        f"{token(modality, view.summary.code)}: {view.summary.tracks} tracks, "
        f"{view.share:.2%} of those with this modality",
        catalog_text(f"most distinctive terms: {', '.join(view.summary.terms) or '-'}"),
        tracks,
        "nearest codes:",
        codes_report(view.nearest_codes),
    )


def _origin(manifest: BundleManifest) -> str:
    parent = f", from bundle {manifest.parent}" if manifest.parent else ""
    numbers = f", {manifest.token_format.numbers} numbers" if manifest.token_format.numbers else ""
    return f"bundle {manifest.bundle_id}, {manifest.codebook_size} codes per modality{numbers}{parent}"


def _codebook_table(manifest: BundleManifest) -> Table:
    table = Table(
        "modality",
        "encoder",
        "dimensions",
        "centroids",
        "inertia",
        "explained variance",
        "smallest cluster",
        "largest cluster",
    )
    for modality, entry in manifest.codebooks.items():
        training = entry["training"]
        metrics = (
            (f"{training['inertia']:.4f}", f"{training['explained_variance']:.1%}",
             str(training["smallest_cluster"]), str(training["largest_cluster"]))
            if training else ("-",) * 4
        )  # fmt: skip
        table.add_row(modality, entry["encoder_id"] or "-", str(entry["dim"]), str(entry["centroids"]), *metrics)
    return table

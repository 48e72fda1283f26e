"""Describe the codes of a bundle by the tags, words and tracks that have them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Group
from rich.table import Table

from tracktokens.codebooks.numerics.distances import row_distances
from tracktokens.codebooks.tokens.vocabulary import token
from tracktokens.pipelines.terminal import catalog_text
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.tables.catalog import TRACK_KEYS
from tracktokens.schemas.tables.records import CODE_RECORDS
from tracktokens.transforms.release.track_terms import CatalogTerms, sample_buckets
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_bundle, read_manifest
from tracktokens.transforms.store.keys import track_buckets
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import find_release
from tracktokens.transforms.store.token_tables import TokenTable

READ_TRACKS = 2_000_000
"""Most tracks that are read, from the first buckets: a random sample of a larger catalog."""

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
        self._buckets = sample_buckets(self._table, READ_TRACKS)
        self._bundle_id = bundle_id
        terms = CatalogTerms(self._table, self._buckets)
        self._terms = terms.by_code(column, self._codebook.num_centroids)

    def codes(self) -> list[CodeSummary]:
        """Summarize all codes, those with the most tracks first."""
        return [self._summary(int(code), TERMS_IN_LIST) for code in np.argsort(-self._terms.sizes, kind="stable")]

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
            share=float(self._terms.sizes[code] / max(self._terms.sizes.sum(), 1)),
            nearest_tracks=self._nearest_tracks(code),
            nearest_codes=tuple(self._summary(other, TERMS_IN_LIST) for other in nearest),
        )

    def _summary(self, code: int, most: int) -> CodeSummary:
        return CodeSummary(code, int(self._terms.sizes[code]), self._terms.best(code, most))

    def _nearest_tracks(self, code: int) -> tuple[NearTrack, ...]:
        records = pa.concat_tables([self._records_of(code, bucket) for bucket in self._buckets])
        nearest = records.sort_by([("distance", "ascending"), ("key", "ascending")]).slice(0, TRACKS)
        tracks: dict[int, pa.Table] = {}
        near_tracks = []
        for row in nearest.to_pylist():
            [bucket] = track_buckets(np.array([row["track"]], np.uint64), self._store.buckets).tolist()
            if bucket not in tracks:
                tracks[bucket] = self._table.tracks(bucket, ["track", "track_id", "title", "artist"])
            [track] = (
                tracks[bucket]
                .filter(pc.equal(tracks[bucket]["track"], pa.scalar(row["track"], pa.uint64())))
                .to_pylist()
            )
            near_tracks.append(_near_track(track, row["distance"]))
        return tuple(near_tracks)

    def _records_of(self, code: int, bucket: int) -> pa.Table:
        """Read the catalog's keys with this code in one bucket, with their distance and one of their tracks."""
        records = files.read_table(self._store.codes(self._bundle_id, self._column, bucket), CODE_RECORDS)
        keys = files.read_table(self._table.catalog.keys(self._codebook.modality, bucket), TRACK_KEYS)
        with_code = records.filter(pc.equal(records["code"], code))
        key_rows = pc.index_in(with_code["key"].combine_chunks(), value_set=keys["key"].combine_chunks())
        known = with_code.filter(key_rows.is_valid())
        owners = keys["track"].take(key_rows.drop_null())
        return pa.table([known["key"].cast(pa.binary()), known["distance"], owners], names=["key", "distance", "track"])


def _near_track(track: dict[str, str | None], distance: float) -> NearTrack:
    name = " - ".join(part for part in (track["title"], track["artist"]) if part)
    return NearTrack(str(track["track_id"]), name, distance)


def bundle_report(store: Store, bundle_id: str) -> Group:
    """Build the table of a bundle's codebooks.

    Raises:
        UsageError: the bundle does not exist.
        InvalidDataError: a file of it was changed.
    """
    read_bundle(store, bundle_id)  # checks every file
    manifest = read_manifest(store, bundle_id)
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

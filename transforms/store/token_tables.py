"""Token tables: read the parts of one, and check that each belongs to the right bundle."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.numerics.arrays import CodeMatrix, Counts, Words
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.release import FROM_PLAYLISTS, ReleaseManifest
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS
from tracktokens.schemas.tables.popularity import PLAYLIST_COUNTS
from tracktokens.schemas.tables.tokens import BUNDLE_KEY, token_columns
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, content_keys, overlapping_buckets, track_buckets
from tracktokens.transforms.store.layout import Catalog, ReleasePaths, Store

LARGEST_WEIGHT = 1e30
"""Largest weight of a track: products with ranks and sums over a catalog stay within the range of float32."""


Names = dict[str, tuple[str | None, str | None]]
"""Title and artist by track id."""


class TrackIdentity(NamedTuple):
    """Id, title and artist of a track."""

    track_id: str
    title: str | None
    artist: str | None

    @property
    def name(self) -> str:
        """Title and artist, as far as they are known."""
        return " - ".join(text for text in (self.title, self.artist) if text)


Identities = dict[int, TrackIdentity]
"""Id, title and artist by number of the track."""


@dataclass(frozen=True)
class TokenTable:
    """The token table of a release, published or not yet.

    Attributes:
        release: paths of the release.
        bundle_id: bundle of its codes.
        catalog: its catalog snapshot, with the same tracks in the same order.
        parts: number of its files; other than the number of buckets if the store was rebucketed since.
        token_format: its columns of codes.
        source: source of the popularity, ``popularity`` of the release's manifest.
    """

    release: ReleasePaths
    bundle_id: str
    catalog: Catalog
    parts: int
    token_format: TokenFormat
    source: str | None = None

    @classmethod
    def of(cls, store: Store, release: ReleaseManifest) -> "TokenTable":
        """Open the token table of a published release."""
        catalog, parts = store.catalog(release.catalog_id), token_parts(store, release)
        folder, tokens = store.release(release.release_id), release.token_format
        return cls(folder, release.bundle_id, catalog, parts, tokens, release.popularity)

    @property
    def schema(self) -> pa.Schema:
        """Schema of the table, without metadata."""
        return token_columns(self.token_format.names)

    def read_codes(self, bucket: int) -> pa.Table:
        """Read ``track_id`` and all columns of codes of one bucket; see :meth:`read`."""
        return self.read(bucket, ["track_id", *self.token_format.names])

    def read(self, bucket: int, columns: list[str] | None = None) -> pa.Table:
        """Read one bucket of tracks, sorted by ``track_id``.

        Raises:
            InvalidDataError: the part belongs to a different bundle, or cannot be read.
        """
        if self.parts == self.catalog.buckets:
            return self.read_part(bucket, columns)
        wanted = self.schema.names if columns is None else columns
        rows = pa.concat_tables(
            self.read_part(part, [*dict.fromkeys(["track_id", *wanted])])
            for part in overlapping_buckets(bucket, self.catalog.buckets, self.parts)
        )
        ids = self.tracks(bucket, ["track_id"])["track_id"].combine_chunks()
        return rows.filter(pc.is_in(rows["track_id"], ids)).sort_by("track_id").select(wanted).combine_chunks()

    def read_part(self, part: int, columns: list[str] | None = None) -> pa.Table:
        """Read one file of the table; see :meth:`read`."""
        path = self.release.token_part(part)
        schema = self.schema
        wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        return _read_part(path, partial(self._check_bundle, path), wanted)

    def tracks(self, bucket: int, columns: list[str]) -> pa.Table:
        """Read columns of the catalog for the same tracks, in the same order."""
        return files.read_table(self.catalog.tracks(bucket), CATALOG_TRACKS, columns)

    def code_sizes(self, column: str, codes: int) -> Counts:
        """Count the tracks of each code of a column: int64 (codes,)."""
        sizes: Counts = np.zeros(codes, np.int64)
        for bucket in range(self.catalog.buckets):
            column_codes = self.read(bucket, [column])[column].drop_null().to_numpy()
            sizes += np.bincount(column_codes, minlength=codes)
        return sizes

    def names(self, track_ids: Collection[str]) -> Names:
        """Read title and artist of a few tracks, from their buckets of the catalog."""
        wanted = pa.array(sorted(track_ids), pa.string())
        buckets = set(bucket_numbers(content_keys(wanted), self.catalog.buckets).tolist())
        names: Names = {}
        for bucket in sorted(buckets):
            tracks = self.tracks(bucket, ["track_id", "title", "artist"])
            matches = tracks.filter(pc.is_in(tracks["track_id"], value_set=wanted)).to_pylist()
            names |= {row["track_id"]: (row["title"], row["artist"]) for row in matches}
        return names

    def identities(self, numbers: Words) -> Identities:
        """Read id, title and artist of a few tracks by their numbers, from their buckets of the catalog."""
        wanted = np.unique(numbers)
        identities: Identities = {}
        for bucket in np.unique(track_buckets(wanted, self.catalog.buckets)).tolist():
            tracks = self.tracks(bucket, ["track", "track_id", "title", "artist"])
            found = tracks.filter(pc.is_in(tracks["track"], value_set=pa.array(wanted)))
            identities |= {
                number: TrackIdentity(*texts)
                for number, *texts in zip(*(found[n].to_pylist() for n in found.column_names), strict=True)
            }
        return identities

    def popularity(self, bucket: int) -> npt.NDArray[np.float64]:
        """Read the popularity of the same tracks, in the same order: float64 (tracks,), 0 if it is not known."""
        tracks = self.tracks(bucket, ["track_id", "popularity"])
        if self.source != FROM_PLAYLISTS:
            return popularity_weights(tracks["popularity"])
        parts = overlapping_buckets(bucket, self.catalog.buckets, self.parts)
        counts = pa.concat_tables(
            _read_part(self.release.popularity_part(part), PLAYLIST_COUNTS, PLAYLIST_COUNTS) for part in parts
        )
        rows = pc.index_in(tracks["track_id"].combine_chunks(), value_set=counts["track_id"].combine_chunks())
        return popularity_weights(counts["playlists"].take(rows).cast(pa.float64()))

    def _check_bundle(self, path: str, found: pa.Schema) -> pa.Schema:
        """Return the schema of the table, which a part has, if its metadata names the bundle of this release."""
        part_bundle = (found.metadata or {}).get(BUNDLE_KEY.encode(), b"").decode()
        if part_bundle != self.bundle_id:
            raise InvalidDataError(
                f"{path} has codes of bundle {part_bundle or 'unknown'}, its release has bundle {self.bundle_id}: "
                "restore it, or publish again"
            )
        return self.schema


def _read_part(path: str, schema: pa.Schema | Callable[[pa.Schema], pa.Schema], wanted: pa.Schema) -> pa.Table:
    """Read columns of a file of a release; ``schema`` is as in :func:`.files.read_batches`."""
    try:
        batches = list(files.read_batches(path, schema, wanted.names, checked=True))
    except FileNotFoundError as error:
        raise InvalidDataError(f"{path} cannot be read ({error}): restore it, or publish again") from error
    return pa.Table.from_batches(batches, wanted).combine_chunks()


def token_parts(store: Store, release: ReleaseManifest) -> int:
    """Count the files of a release's token table: the buckets of the store when it was published."""
    return sum(name.startswith("tokens/") for name in release.files) or store.buckets


def code_matrix(tokens: pa.Table | pa.RecordBatch, names: Sequence[str] | None = None) -> CodeMatrix:
    """Convert columns of a token table to int16 (tracks, columns), -1 where a track lacks a modality.

    ``names`` are those of the columns; all columns of codes by default. A column that the table lacks is all -1.
    """
    names = [field.name for field in tokens.schema if field.type == pa.int16()] if names is None else names
    lacking = np.full(tokens.num_rows, NONE, np.int16)
    columns = [
        pc.fill_null(tokens[name], NONE).to_numpy(zero_copy_only=False) if name in tokens.schema.names else lacking
        for name in names
    ]
    codes: CodeMatrix = np.stack(columns, axis=1).astype(np.int16, copy=False)
    return codes


def popularity_weights(popularity: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Convert a popularity column to weights, float64 (tracks,), from 0, for null or negative, to LARGEST_WEIGHT."""
    weights: npt.NDArray[np.float64] = pc.fill_null(popularity, 0.0).to_numpy(zero_copy_only=False)
    return np.clip(weights, 0.0, LARGEST_WEIGHT)

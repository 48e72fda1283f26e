"""Token tables: read the parts of one, and check that each belongs to the right bundle."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.numerics.arrays import CodeMatrix
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS
from tracktokens.schemas.tables.tokens import BUNDLE_KEY, TOKENS
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Catalog, ReleasePaths, Store

LARGEST_WEIGHT = 1e30
"""Largest weight of a track: products with ranks and sums over a catalog stay within the range of float32."""


@dataclass(frozen=True)
class TokenTable:
    """The token table of a release, published or not yet.

    Attributes:
        release: paths of the release.
        bundle_id: bundle of its codes.
        catalog: its catalog snapshot, with the same tracks in the same order.
    """

    release: ReleasePaths
    bundle_id: str
    catalog: Catalog

    @classmethod
    def of(cls, store: Store, release: ReleaseManifest) -> "TokenTable":
        """Open the token table of a published release."""
        return cls(store.release(release.release_id), release.bundle_id, store.catalog(release.catalog_id))

    def read(self, bucket: int, columns: list[str] | None = None) -> pa.Table:
        """Read one bucket of tracks, sorted by ``track_id``.

        Raises:
            InvalidDataError: the part belongs to a different bundle, or cannot be read.
        """
        path = self.release.token_part(bucket)
        self._check_bundle(path)
        wanted = TOKENS if columns is None else pa.schema([TOKENS.field(name) for name in columns])
        batches = list(files.read_batches(path, TOKENS, columns, checked=True))
        return pa.Table.from_batches(batches, wanted).combine_chunks()

    def tracks(self, bucket: int, columns: list[str]) -> pa.Table:
        """Read columns of the catalog for the same tracks, in the same order."""
        return files.read_table(self.catalog.tracks(bucket), CATALOG_TRACKS, columns)

    def _check_bundle(self, path: str) -> None:
        with _opened(path) as metadata:
            part_bundle = metadata.get(BUNDLE_KEY.encode(), b"").decode()
        if part_bundle != self.bundle_id:
            raise InvalidDataError(
                f"{path} has codes of bundle {part_bundle or 'unknown'}, its release has bundle {self.bundle_id}: "
                "restore it, or publish again"
            )


@contextmanager
def _opened(path: str) -> Iterator[dict[bytes, bytes]]:
    try:
        with files.open_parquet(path) as file:
            yield file.schema_arrow.metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise InvalidDataError(f"{path} cannot be read ({error}): restore it, or publish again") from error


def code_matrix(tokens: pa.Table | pa.RecordBatch) -> CodeMatrix:
    """Convert the code columns of a token table to int16 (tracks, 5), -1 where a track lacks a modality."""
    columns = [pc.fill_null(tokens[modality], NONE).to_numpy(zero_copy_only=False) for modality in MODALITIES]
    codes: CodeMatrix = np.stack(columns, axis=1).astype(np.int16, copy=False)
    return codes


def popularity_weights(popularity: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Convert a popularity column to weights, float64 (tracks,), from 0, for null or negative, to LARGEST_WEIGHT."""
    weights: npt.NDArray[np.float64] = pc.fill_null(popularity, 0.0).to_numpy(zero_copy_only=False)
    return np.clip(weights, 0.0, LARGEST_WEIGHT)

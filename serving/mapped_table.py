"""A serving table as memory-mapped arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.codebooks.decoding.trie import TupleTrie
from tracktokens.codebooks.matching.inverted_index import InvertedIndex
from tracktokens.codebooks.numerics.arrays import CodeColumns
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.serving import ServingManifest
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.serving import layout

Rows = npt.NDArray[np.int32]

RESTORE = "restore the release from a backup, or write the table again with `tracktokens releases serving`"


@dataclass(frozen=True, eq=False)
class MappedTable:
    """The arrays of :mod:`tracktokens.serving.layout`, mapped and not read.

    Attributes:
        folder: folder of the table.
        manifest: its header.
        token_format: its token columns.
        track_ids: large_string (tracks,).
        codes: int16 (columns, tracks).
        postings: posting lists of the codes.
        rows_by_id: int32 (tracks,).
        rows_by_tuple: int32 (tracks,).
        tuple_starts: int32 (tuples + 1,).
        trie: the tuples.
    """

    folder: Path
    manifest: ServingManifest
    token_format: TokenFormat
    track_ids: pa.LargeStringArray
    codes: CodeColumns
    postings: InvertedIndex
    rows_by_id: Rows
    rows_by_tuple: Rows
    tuple_starts: Rows
    trie: TupleTrie

    @classmethod
    def open(cls, folder: Path) -> "MappedTable":
        """Map the files of a table.

        Raises:
            UsageError: the folder has no serving table.
            InvalidDataError: a file is missing, corrupt, or of a different table.
        """
        manifest = _read_header(folder)
        tracks, width = manifest.tracks, len(manifest.columns)
        codes = _map(folder, layout.CODES, np.int16, (width, tracks))
        postings = _map(folder, layout.POSTINGS, np.int32, (width, tracks))
        starts = _map(folder, layout.POSTING_STARTS, np.int64, (width, None))
        return cls(
            folder=folder,
            manifest=manifest,
            token_format=manifest.token_format,
            track_ids=_map_ids(folder, tracks),
            codes=codes,
            postings=InvertedIndex.of_lists(codes, list(postings), list(starts), manifest.token_format.requires),
            rows_by_id=_map(folder, layout.ROWS_BY_ID, np.int32, (tracks,)),
            rows_by_tuple=_map(folder, layout.ROWS_BY_TUPLE, np.int32, (tracks,)),
            tuple_starts=_map(folder, layout.TUPLE_STARTS, np.int32, (manifest.tuples + 1,)),
            trie=_map_trie(folder, manifest.nodes),
        )


def _read_header(folder: Path) -> ServingManifest:
    path = folder / layout.HEADER
    try:
        return ServingManifest.from_json(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder} has no {layout.HEADER}: the release has no serving table; write it with "
            "`tracktokens releases serving`"
        ) from error


def _map(folder: Path, name: str, dtype: type[np.generic], shape: Sequence[int | None]) -> npt.NDArray[Any]:
    """Map one array and check its type and shape; None is any length."""
    path = folder / name
    try:
        array = np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError) as error:
        raise InvalidDataError(f"{path} cannot be read ({error}): {RESTORE}") from error
    lengths = [found if length is None else length for found, length in zip(array.shape, shape, strict=False)]
    if array.dtype != dtype or array.shape != tuple(lengths):
        raise InvalidDataError(
            f"{path} is {array.dtype} of shape {array.shape}, and {layout.HEADER} needs {np.dtype(dtype)} of shape "
            f"{tuple(shape)}: {RESTORE}"
        )
    return array


def _map_ids(folder: Path, tracks: int) -> pa.LargeStringArray:
    path = folder / layout.TRACK_IDS
    try:
        ids = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).column(0)
    except (OSError, pa.ArrowException) as error:
        raise InvalidDataError(f"{path} cannot be read ({error}): {RESTORE}") from error
    if len(ids) != tracks:
        raise InvalidDataError(f"{path} has {len(ids)} tracks, and {layout.HEADER} has {tracks}: {RESTORE}")
    return ids


def _map_trie(folder: Path, nodes: Sequence[int]) -> TupleTrie:
    bounds = np.cumsum(nodes)[:-1]
    codes = _map(folder, layout.TRIE_CODES, np.int16, (sum(nodes),))
    starts = _map(folder, layout.TRIE_STARTS, np.int32, (sum(nodes),))
    return TupleTrie.of_nodes(np.split(codes, bounds), np.split(starts, bounds))

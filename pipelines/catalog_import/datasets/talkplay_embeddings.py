"""Embeddings that are published beside TalkPlayData: the files and the column of each modality.

Files have ``track_id`` and a column of lists per encoder, whose name begins with what it encodes: ``audio-laion_clap``,
``cf-bpr``, ``metadata-qwen3_embedding_0.6b``. A split is one file or several, ``all_tracks-00000-of-00002.parquet``.
The splits of a dataset overlap, and a table of embeddings has a track once; so the largest is named.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder
from tracktokens.pipelines.catalog_import.delimited_rows import COLUMNS_NOT_USED
from tracktokens.pipelines.catalog_import.source_files import FILES_NOT_USED
from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.modalities import AUDIO, LYRICS, METADATA, PLAYLIST, TAGS
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.rejects import VECTORS_TABLE
from tracktokens.schemas.tables.tracks import TRACK_ID
from tracktokens.transforms.precomputed.vector_tables import open_vector_table

PREFIXES = {PLAYLIST: "cf-", TAGS: "attributes-", METADATA: "metadata-", LYRICS: "lyrics-", AUDIO: "audio-"}
"""Modality to the begin of the names of its columns."""

_PART = re.compile(r"-\d+-of-\d+$")


def has_embeddings(columns: Iterable[str]) -> bool:
    """Return whether a file with these columns has embeddings of tracks.

    Example:
        >>> has_embeddings(["track_id", "cf-bpr"]), has_embeddings(["user_id", "cf-bpr"])
        (True, False)
    """
    names = set(columns)
    return TRACK_ID in names and any(name.startswith(tuple(PREFIXES.values())) for name in names)


def name_embeddings(files: Iterable[Path], root: Path, out: CatalogFolder) -> None:
    """Write the embeddings of each modality into the summary of an import; files and columns not used are counted.

    Args:
        files: Parquet files with embeddings.
        root: folder that is read.
        out: folder to write. A table that cannot be used is rejected.
    """
    splits = _splits(files, root, out)
    named: dict[str, dict[str, str]] = {}
    used: set[tuple[Path, str]] = set()
    for modality, prefix in PREFIXES.items():
        candidates = [(split, column) for split in splits for column in split.columns if column.startswith(prefix)]
        candidates.sort(key=lambda candidate: -candidate[0].rows)  # of equal ones the first path and name
        for split, column in candidates:
            try:
                open_vector_table(split.pattern, column)
            except TracktokensError as error:
                detail = f"{column}: {error}"
                out.reject(VECTORS_TABLE, reasons.MALFORMED, split.shown(root), id=modality, detail=detail)
                continue
            named[modality] = {"path": split.pattern, "column": column}
            used |= {(path, column) for path in split.paths}
            break
    _count(splits, used, out)
    if named:
        out.summary["embeddings"] = named


@dataclass(frozen=True)
class _Split:
    """Files of one split of a dataset.

    Attributes:
        paths: absolute paths, sorted.
        columns: names of the columns without ``track_id``, sorted.
        rows: number of rows.
    """

    paths: Sequence[Path]
    columns: Sequence[str]
    rows: int

    @property
    def pattern(self) -> str:
        """Path or glob of the files."""
        first = self.paths[0]
        if len(self.paths) == 1:
            return str(first)
        return f"{glob.escape(str(first.with_name(_PART.sub('', first.stem))))}-[0-9]*-of-[0-9]*.parquet"

    def shown(self, root: Path) -> str:
        """Path of the first file below the source."""
        first = self.paths[0]
        return first.relative_to(root.absolute()).as_posix() if first != root.absolute() else first.name


def _splits(files: Iterable[Path], root: Path, out: CatalogFolder) -> list[_Split]:
    """Read the columns and rows of each split; one with a file that cannot be read is rejected."""
    grouped: dict[Path, list[Path]] = {}
    for path in sorted(file.absolute() for file in files):
        grouped.setdefault(path.with_name(_PART.sub("", path.stem)), []).append(path)
    splits = []
    for paths in grouped.values():
        try:
            splits.append(_read_split(paths))
        except (pa.ArrowException, OSError) as error:
            shown = _Split(paths, (), 0).shown(root)
            out.reject(VECTORS_TABLE, reasons.FILE_UNREADABLE, shown, detail=str(error).splitlines()[0])
            out.counts.found[FILES_NOT_USED] += len(paths)
    return splits


def _read_split(paths: Sequence[Path]) -> _Split:
    columns = set(pq.read_schema(paths[0]).names) - {TRACK_ID}
    return _Split(paths, sorted(columns), sum(pq.read_metadata(path).num_rows for path in paths))


def _count(splits: Iterable[_Split], used: set[tuple[Path, str]], out: CatalogFolder) -> None:
    """Count the files that are named, those that are not, and the columns of named files that are not."""
    named = {path for path, _ in used}
    for split in splits:
        for path in split.paths:
            out.counts.found["files of embeddings" if path in named else FILES_NOT_USED] += 1
        if split.paths[0] in named:
            out.counts.found[COLUMNS_NOT_USED] += sum((split.paths[0], name) not in used for name in split.columns)

"""Run an importer: write the folder, count, warn, and name the command that tokenizes the catalog."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tracktokens.pipelines.catalog_import.catalog_folder import (
    REJECTS_FILE,
    STAGED_TRACKS,
    CatalogFolder,
    ImportCounts,
    Report,
)
from tracktokens.pipelines.catalog_import.match_import import MatchTarget, match_import
from tracktokens.schemas.errors import InvalidDataError, UsageError

_logger = logging.getLogger(__name__)

FORMAT = 1
"""Format of ``import.json``."""

Importer = Callable[[CatalogFolder, Report], None]
"""Reads a source, and writes its rows and rejects."""


@dataclass(frozen=True, kw_only=True)
class ImportSource:
    """A source, and the options of its import.

    Attributes:
        kind: kind of the source, as the command names it.
        path: file or folder.
        options: options that change what is written, by name.
        audio_root: folder that the audio paths are relative to; None if the source has no audio.
    """

    kind: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    audio_root: str | None = None

    def summary(self) -> dict[str, Any]:
        """Return what ``import.json`` states of the source."""
        return {"format": FORMAT, "kind": self.kind, "source": self.path, "options": dict(self.options)}


@dataclass(frozen=True)
class ImportResult:
    """Outcome of an import.

    Attributes:
        counts: counts of rows and rejects.
        run_command: command that tokenizes the catalog.
    """

    counts: ImportCounts
    run_command: str


def import_catalog(
    source: ImportSource, out: str, importer: Importer, report: Report, match: MatchTarget | None = None
) -> ImportResult:
    """Import a catalog into a folder; see :class:`.CatalogFolder`.

    Args:
        source: what is read.
        out: folder to write.
        importer: reads the source.
        report: called as things are read.
        match: a catalog in whose ids the playlists are written, in place of a table of tracks.

    Raises:
        UsageError: the source or the folder of the audio files does not exist, or the folder cannot be written.
        InvalidDataError: the source has no track, or none that the catalog has.
    """
    audio_root = source.audio_root
    if audio_root is not None and audio_root != source.path and not Path(audio_root).is_dir():
        raise UsageError(f"{audio_root} is not a folder: give the folder of the audio files")
    if match is None:
        with CatalogFolder(out, source.path) as folder:
            folder.summary = source.summary()
            if audio_root is not None:
                folder.summary["audio_root"] = str(Path(audio_root).resolve())
            _read(folder, importer, report)
    else:
        folder = _import_matched(source, out, importer, report, match)
    _warn_of_rejects(folder.counts, out)
    return ImportResult(folder.counts, _run_command(out))


def _import_matched(
    source: ImportSource, out: str, importer: Importer, report: Report, match: MatchTarget
) -> CatalogFolder:
    """Import a source into a temporary folder, and match that."""
    match.check()
    with CatalogFolder(out, source.path, None) as folder, TemporaryDirectory(prefix="tracktokens-import-") as scratch:
        with CatalogFolder(f"{scratch}/source", source.path, STAGED_TRACKS) as staged:
            _read(staged, importer, report)
        options = {"match-to": match.catalog, "match-threshold": match.threshold}
        folder.summary = source.summary() | {"options": {**source.options, **options}} | match.summary()
        folder.counts.found.update(staged.counts.found)
        match_import(f"{scratch}/source", match, folder, report)
    return folder


def _read(folder: CatalogFolder, importer: Importer, report: Report) -> None:
    try:
        importer(folder, report)
    except InvalidDataError as error:
        if first := folder.counts.first_reject:
            total = folder.counts.rejected.total()
            raise InvalidDataError(f"{error} (the first of {total} rejects: {first})") from error
        raise


def _warn_of_rejects(counts: ImportCounts, out: str) -> None:
    if total := counts.rejected.total():
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.rejected.items()))
        _logger.warning("%d rows or values were not imported: %s; see %s", total, reasons, Path(out, REJECTS_FILE))


def _run_command(out: str) -> str:
    return shlex.join(["tracktokens", "run", "--catalog", out, "--store", f"{out.rstrip('/')}-store"])

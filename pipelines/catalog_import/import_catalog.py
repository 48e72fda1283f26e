"""Run an importer: write the folder, count, warn, and name the command that tokenizes the catalog."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracktokens.pipelines.catalog_import.catalog_folder import REJECTS_FILE, CatalogFolder, ImportCounts, Report
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


@dataclass(frozen=True)
class ImportResult:
    """Outcome of an import.

    Attributes:
        counts: counts of rows and rejects.
        run_command: command that tokenizes the catalog.
    """

    counts: ImportCounts
    run_command: str


def import_catalog(source: ImportSource, out: str, importer: Importer, report: Report) -> ImportResult:
    """Import a catalog into a folder; see :class:`.CatalogFolder`.

    Raises:
        UsageError: the source or the folder of the audio files does not exist, or the folder cannot be written.
        InvalidDataError: the source has no track.
    """
    audio_root = source.audio_root
    if audio_root is not None and audio_root != source.path and not Path(audio_root).is_dir():
        raise UsageError(f"{audio_root} is not a folder: give the folder of the audio files")
    with CatalogFolder(out, source.path) as folder:
        folder.summary = {"format": FORMAT, "kind": source.kind, "source": source.path, "options": dict(source.options)}
        if source.audio_root is not None:
            folder.summary["audio_root"] = str(Path(source.audio_root).resolve())
        try:
            importer(folder, report)
        except InvalidDataError as error:
            if first := folder.counts.first_reject:
                raise InvalidDataError(
                    f"{error} (the first of {folder.counts.rejected.total()} rejects: {first})"
                ) from error
            raise
    _warn_of_rejects(folder.counts, out)
    return ImportResult(folder.counts, _run_command(out))


def _warn_of_rejects(counts: ImportCounts, out: str) -> None:
    if total := counts.rejected.total():
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.rejected.items()))
        _logger.warning("%d rows or values were not imported: %s; see %s", total, reasons, Path(out, REJECTS_FILE))


def _run_command(out: str) -> str:
    return shlex.join(["tracktokens", "run", "--catalog", out, "--store", f"{out.rstrip('/')}-store"])

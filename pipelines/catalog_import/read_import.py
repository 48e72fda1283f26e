"""The inputs of a job, out of the folder of an import."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracktokens.pipelines.catalog_import.catalog_folder import IMPORT_FILE, PLAYLISTS_FILE, TRACKS_FILE
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE


@dataclass(frozen=True)
class ImportedCatalog:
    """An imported catalog as options of a catalog source.

    Attributes:
        options: long name to value: ``tracks``, and as far as the catalog has them ``playlists`` and ``audio-root``.
        embeddings: modality to the long names and values of its ``embeddings`` and ``embeddings-column``.
    """

    options: Mapping[str, str]
    embeddings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read_import(folder: str) -> ImportedCatalog:
    """Read what a folder of an import has.

    Raises:
        UsageError: the folder is not of a complete import.
        InvalidDataError: its ``import.json`` cannot be read.
    """
    path = Path(folder, IMPORT_FILE)
    try:
        return _imported(folder, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{folder} is not an imported catalog: it has no {IMPORT_FILE}; import it again") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidDataError(f"{path} cannot be read ({error}): import the catalog again") from error


def _imported(folder: str, summary: Mapping[str, Any]) -> ImportedCatalog:
    options = {"tracks": summary.get("tracks", str(Path(folder, TRACKS_FILE)))}
    if summary["counts"]["written"].get(PLAYLISTS_TABLE, 0):
        options["playlists"] = str(Path(folder, PLAYLISTS_FILE))
    if audio_root := summary.get("audio_root"):
        options["audio-root"] = audio_root
    embeddings = {
        modality: {"embeddings": table["path"], "embeddings-column": table["column"]}
        for modality, table in summary.get("embeddings", {}).items()
    }
    return ImportedCatalog(options, embeddings)

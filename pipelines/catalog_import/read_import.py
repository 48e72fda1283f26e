"""The inputs of a job, out of the folder of an import."""

import json
from pathlib import Path
from typing import Any

from tracktokens.pipelines.catalog_import.catalog_folder import IMPORT_FILE, PLAYLISTS_FILE, TRACKS_FILE
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE


def catalog_options(folder: str) -> dict[str, str]:
    """Return the options of a catalog source of an imported catalog: long name to value.

    ``tracks``, and as far as the catalog has them ``playlists`` and ``audio-root``.

    Raises:
        UsageError: the folder is not of a complete import.
        InvalidDataError: its ``import.json`` cannot be read.
    """
    path = Path(folder, IMPORT_FILE)
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        playlists = summary["counts"]["written"].get(PLAYLISTS_TABLE, 0)
    except OSError as error:
        raise UsageError(f"{folder} is not an imported catalog: it has no {IMPORT_FILE}; import it again") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidDataError(f"{path} cannot be read ({error}): import the catalog again") from error
    chosen = {"tracks": str(Path(folder, TRACKS_FILE))}
    if playlists:
        chosen["playlists"] = str(Path(folder, PLAYLISTS_FILE))
    if audio_root := summary.get("audio_root"):
        chosen["audio-root"] = audio_root
    return chosen

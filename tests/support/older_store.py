"""The small stores that earlier versions wrote, in ``tests/support/stores``, with their catalogs."""

import tarfile
from pathlib import Path

from click.testing import CliRunner, Result

from tracktokens.pipelines.cli import main

STORES = sorted(Path(__file__).with_name("stores").glob("*.tar.xz"))

UNREAD_STORES = sorted(Path(__file__).parent.glob("stores/older/*.tar.xz"))
"""Stores with catalog snapshots of a format that is not read any more."""


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack into a folder: ``store``, and the catalogs ``one`` and ``two`` of its releases."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.partition(".")[0]


def call(*arguments: object, code: int = 0) -> Result:
    """Call the command line, and check the exit code."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def refresh(catalog: Path, store: Path) -> Path:
    """Refresh, and return the folder of the new release."""
    precomputed = ["--embeddings", f"lyrics={catalog / 'lyrics.parquet'}", "--embeddings-version", "lyrics=made"]
    tables = ["--tracks", catalog / "tracks.jsonl", "--playlists", catalog / "playlists.jsonl"]
    call("refresh", *tables, *precomputed, "--store", store)
    return latest(store)


def latest(store: Path) -> Path:
    """Return the folder of the release that ``LATEST`` names."""
    return store / "releases" / (store / "LATEST").read_text().strip()

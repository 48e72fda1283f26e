"""Imports by the command line, and what they wrote."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tracktokens.pipelines.cli import main


def run_import(kind: str, source: Path, out: Path, *options: str, code: int = 0) -> str:
    """Run ``tracktokens import`` and return what it printed; its exit code has to be ``code``."""
    result = CliRunner().invoke(main, ["import", kind, str(source), "--out", str(out), *options])
    assert result.exit_code == code, result.output
    return result.output


def read_rows(out: Path, table: str) -> list[dict[str, Any]]:
    """Read a table of an import."""
    found: list[dict[str, Any]] = pq.read_table(out / f"{table}.parquet").to_pylist()
    return found


def read_counts(out: Path) -> dict[str, Any]:
    """Read the counts of an import."""
    counts: dict[str, Any] = json.loads((out / "import.json").read_text(encoding="utf-8"))["counts"]
    return counts


def refuse_listing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder one that cannot be listed, for the administrator too, whom tests may run as."""
    listed = os.scandir

    def refuse(path: Any) -> Any:
        if not isinstance(path, int) and Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)

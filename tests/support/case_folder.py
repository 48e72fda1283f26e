"""A case of bad input: a copy of its folder, and the commands that run in it as a user runs them."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.warm_command import JOBS, MODELS, PROGRAM, run_command

CASES = Path(__file__).parents[3] / "shared" / "data" / "cases"
"""Folder of the cases; beside the repository, since they are not part of it."""

OTHER_PROGRAM = os.environ.get("TRACKTOKENS")
"""The command that is tried instead of the installed one: of another version, to compare."""

CODES = "8"

_WITHOUT_RIGHTS = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)
"""Prefix that takes from root the right to read what its mode forbids."""


@dataclass(frozen=True)
class Ended:
    """The end of a command: exit code and output."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> str:
        """Exit code, and the first warning or error."""
        notable = [line for line in self.err.splitlines() if line.startswith(("error:", "WARNING:", "Traceback"))]
        return f"exit {self.code}" + (f", {notable[0]}" if notable else "")


@dataclass
class CaseFolder:
    """A copy of a case's folder. ``summaries`` has the end of each command that ran in it.

    ``modules`` are imported before a command starts; see :mod:`tests.support.warm_command`.
    """

    folder: Path
    summaries: list[str] = field(default_factory=list)
    modules: tuple[str, ...] = JOBS

    @classmethod
    def copy(cls, name: str, folder: Path) -> "CaseFolder":
        shutil.copytree(CASES / name, folder, symlinks=True)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
        return cls(folder)

    def make(self, script: str = "make.py") -> None:
        """Run a script of the folder. One that makes a model imports torch, and so do the commands that follow."""
        if script == "make_model.py":
            self.modules = MODELS
        run_command(self.folder / script, modules=self.modules, folder=self.folder).check_returncode()

    def tokens(self, *arguments: str, restricted: bool = False, env: dict[str, str] | None = None) -> Ended:
        """Run ``tracktokens``; ``restricted`` as a user who may not read everything. A traceback fails the test."""
        prefix = _WITHOUT_RIGHTS if restricted and os.geteuid() == 0 else ()
        variables = {**os.environ, **(env or {})}
        if prefix or OTHER_PROGRAM:
            done = subprocess.run(
                [*prefix, OTHER_PROGRAM or PROGRAM, *arguments],
                cwd=self.folder,
                env=variables,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=300,
            )
        else:
            done = run_command(PROGRAM, *arguments, modules=self.modules, folder=self.folder, environment=variables)
        ended = Ended(done.returncode, done.stdout, done.stderr)
        self.summaries.append(ended.summary)
        assert "Traceback" not in done.stderr, done.stderr[-2000:]
        return ended

    def run(self, *arguments: str, tracks: str = "tracks.jsonl", store: str = "s", **settings: Any) -> Ended:
        """Run the ``run`` command."""
        return self.tokens(
            "run", "--tracks", tracks, "--store", store, "--codebook-size", CODES, *arguments, **settings
        )

    def refresh(self, *arguments: str, tracks: str = "tracks.jsonl", **settings: Any) -> Ended:
        """Run the ``refresh`` command."""
        return self.tokens("refresh", "--tracks", tracks, "--store", "s", *arguments, **settings)

    def release(self, store: str = "s") -> Path | None:
        """Folder of the latest release; None before the first."""
        root = self.folder / store
        return root / "releases" / (root / "LATEST").read_text().strip() if (root / "LATEST").exists() else None

    def table(self, store: str = "s") -> dict[str, str]:
        """Tokens of each track of the latest release."""
        release = self.release(store)
        assert release is not None
        rows = pq.read_table(release / "tokens")
        return dict(zip(rows["track_id"].to_pylist(), rows["tokens"].to_pylist(), strict=True))

    def token(self, track_id: str, modality: str, store: str = "s") -> str:
        """The token of one modality of a track."""
        return next(token for token in self.table(store)[track_id].split("<|") if token.startswith(f"{modality}_"))

    def vectors(self, modality: str) -> dict[str, np.ndarray]:
        """Vectors of one modality at unit length, by track."""
        [catalog] = self.folder.glob("s/catalogs/*")
        keys = pq.read_table(catalog / "tracks", columns=["track_id", modality]).to_pylist()
        stored = [pq.read_table(path) for path in self.folder.glob(f"s/vectors/{modality}/*/bucket=*/*.parquet")]
        rows = pa.concat_tables(stored).to_pylist()
        units = {row["key"]: np.float64(row["vector"]) / np.linalg.norm(np.float64(row["vector"])) for row in rows}
        return {row["track_id"]: units[row[modality]] for row in keys if row[modality] in units}

    def rejects(self, store: str = "s") -> list[dict[str, str]]:
        """Rows of the latest release's rejects."""
        release = self.release(store)
        assert release is not None
        tables = [pq.read_table(path) for path in sorted((release / "rejects").rglob("*.parquet"))]
        return pa.concat_tables(tables).to_pylist() if tables else []

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Objects of a JSON Lines file in the folder."""
        return [json.loads(line) for line in (self.folder / name).read_bytes().splitlines()]

    def write_lines(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Write a JSON Lines file into the folder."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (self.folder / name).write_text(text, encoding="utf-8")

"""Run the benchmarks that need no data of their own, and print one table of all stages.

    python benchmarks/all_stages.py [text audio ...]

The results are also written to ``benchmarks/results/DATE.json``, with the machine and the versions, and the table to
``docs/performance.md``.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from result_table import RECORDS_VARIABLE, Result, markdown

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- table: make bench -->", "<!-- end of the table -->"

STAGES: dict[str, list[list[str]]] = {
    "text": [["bench_text.py"]],
    "audio": [["bench_audio.py"], ["bench_decoding.py"], ["bench_clap.py"]],
    "playlists": [["bench_word2vec.py"]],
    "codebooks": [["bench_codebooks.py"]],
    "tokenize": [["bench_tokenize.py", "--vectors", "500000"]],
    "refresh": [["bench_refresh.py", "--tracks", "200000"], ["bench_start.py"]],
    "matching": [["bench_matching.py", "--tracks", "1000000", "--queries", "20"]],
}
"""Stage to the commands that measure it."""

PACKAGES = ("apache-beam", "av", "faiss-cpu", "gensim", "librosa", "numpy", "openvino", "pyarrow", "torch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", choices=[*STAGES, []], help="stages to measure; all by default")
    chosen = parser.parse_args().stages or list(STAGES)
    load = os.getloadavg()[0]
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        records = Path(scratch) / "records.jsonl"
        records.touch()
        for stage in chosen:
            for script, *options in STAGES[stage]:
                print(f"== {stage}: {script}", flush=True)
                command = [sys.executable, str(HERE / script), *options]
                done = subprocess.run(command, check=False, env=os.environ | {RECORDS_VARIABLE: str(records)})
                if done.returncode:
                    failed.append(script)
        results = [Result(**json.loads(line)) for line in records.read_text(encoding="utf-8").splitlines()]
    table = markdown(results)
    print(f"\n{table}")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")
    if chosen == list(STAGES):
        keep(results, table, machine() | {"load at the start": round(load, 1)})


def machine() -> dict[str, Any]:
    """Describe the machine and the versions."""
    packages = {name: version(name) for name in PACKAGES}
    return {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version(), **packages}


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def keep(results: list[Result], table: str, described: dict[str, Any]) -> None:
    """Write the results of a whole round, and the table of the page."""
    today = date.today().isoformat()
    path = HERE / "results" / f"{today}.json"
    path.parent.mkdir(exist_ok=True)
    content = {"machine": described, "results": [asdict(found) for found in results]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    known = ", ".join(f"{name} {value}" for name, value in described.items())
    line = textwrap.fill(f"{today}: {known}.", 120)
    PAGE.write_text(f"{before}{BEGIN}\n\n{line}\n\n{table}\n\n{END}{after}", encoding="utf-8")
    print(f"\nwritten: {path}, {PAGE}")


if __name__ == "__main__":
    main()

"""Time commands on the demo catalog that have nothing to do, against the import of Beam.

    python benchmarks/bench_start.py [--rounds 5]

The demo is tokenized once, into a temporary store. Then ``refresh`` and ``plan`` of the unchanged catalog, ``show`` and
``--help`` take turns with a process that only imports Beam. Processor time includes the children.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from result_table import Result, record

TRACKTOKENS = str(Path(sys.executable).with_name("tracktokens"))
BEAM = [sys.executable, "-c", "import apache_beam, apache_beam.runners.portability.fn_api_runner.fn_runner"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        catalog, store = str(Path(folder) / "catalog"), str(Path(folder) / "store")
        subprocess.run([TRACKTOKENS, "demo", catalog], check=True, stdout=subprocess.DEVNULL)
        inputs = ["--tracks", f"{catalog}/tracks.jsonl", "--playlists", f"{catalog}/playlists.jsonl"]
        run = ["run", *inputs, "--audio-root", f"{catalog}/audio", "--store", store, "--codebook-size", "32"]
        subprocess.run([TRACKTOKENS, *run], check=True, stdout=subprocess.DEVNULL)
        commands = {
            name: [TRACKTOKENS, *name.split(), *options]
            for name, options in (("refresh", ["--store", store]), ("plan", ["--store", store]),
                                  ("releases list", ["--store", store]), ("--help", []))
        }  # fmt: skip
        taken: dict[str, list[float]] = {name: [] for name in ("import of Beam", *commands)}
        for _ in range(rounds):
            for name, command in (("import of Beam", BEAM), *commands.items()):
                taken[name].append(seconds_of(command))
        least = statistics.median(taken["import of Beam"])
        for name in commands:
            record(
                Result(
                    "start", f"`{name}`, nothing to do", statistics.median(taken[name]), least, "s", "import of Beam"
                )
            )


def seconds_of(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

"""Compare the serving table with the index that is read from a release: opening, memory, lookups and matches.

    python benchmarks/bench_serving.py [--tracks 1000000] [--rounds 7] [--queries 200] [--store FOLDER]

The release is synthetic, see bench_matching.py. Both sides take turns. Each opening is a process of its own: imports
are timed apart, and memory is what the process has of its own (private) and with its mapped files (resident), after the
opening and after 100 matches. The files are in the page cache, as in a service that is restarted. Lookups and matches
are timed in one process, in CPU time; both sides must find the same tracks. Today's index has no lookup of a tuple: its
side of a lookup is an exact match of all tokens, cut where the score falls below 1.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from bench_matching import KINDS, make_codes, write_release

from tracktokens.codebooks.matching.token_index import Matching
from tracktokens.codebooks.tokens.code_matrix import WILDCARD
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.serving import CatalogTokens
from tracktokens.transforms.release.assemble import write_vocabulary
from tracktokens.transforms.release.write_serving import write_serving
from tracktokens.transforms.store.bundles import read_bundle
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.release_index import ReleaseIndex
from tracktokens.transforms.store.token_tables import TokenTable

TOP = 100

OPEN = """
import json, sys, time
import numpy as np
start = time.perf_counter()
if {serving}:
    from tracktokens.serving import CatalogTokens
else:
    from tracktokens.schemas.manifests.release import ReleaseManifest
    from tracktokens.transforms.store.layout import Store
    from tracktokens.transforms.store.release_index import ReleaseIndex
imported = time.perf_counter()
if {serving}:
    match = CatalogTokens.open({release!r}).match
else:
    manifest = ReleaseManifest(**json.loads({manifest!r}))
    match = ReleaseIndex.read(Store.open({root!r}), manifest).index.match
opened = time.perf_counter()

def memory():
    lines = open("/proc/self/smaps_rollup").read().splitlines()[1:]
    sizes = {{line.split(":")[0]: int(line.split()[1]) for line in lines}}
    return sizes["Private_Dirty"] / 1024, sizes["Rss"] / 1024

after_opening = memory()
for query in json.loads({queries!r}):
    match(np.array(query, np.int16), 100)
print(json.dumps([imported - start, opened - imported, *after_opening, *memory()]))
"""
"""Process of one side: seconds of the import and of the opening, then MiB private and resident, before and after."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--store", help="new folder for the store; a temporary one by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, release = write_release(arguments.store or folder, arguments.tracks)
        write_vocabulary(read_bundle(store, release.bundle_id), store.release(release.release_id))
        time_writing(store, release, arguments.tracks)
        queries = draw_queries(arguments.tracks, arguments.queries)
        compare_opening(store, release, queries["playlist, audio"][:100], arguments.rounds)
        compare_calls(store, release, queries)


def draw_queries(tracks: int, count: int) -> dict[str, npt.NDArray[np.int16]]:
    """Draw the tokens of tracks: all, or some."""
    codes = make_codes(tracks)[1]
    rows = np.random.default_rng(1).integers(0, tracks, count)
    queries = {}
    for kind, written in KINDS.items():
        asked = np.full((count, codes.shape[1]), WILDCARD, np.int16)
        asked[:, written] = codes[rows][:, written]
        queries[kind] = asked
    return queries


def time_writing(store: Store, release: ReleaseManifest, tracks: int) -> None:
    """Time the writing of the table, and measure its size and the largest memory of the process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    manifest = write_serving(TokenTable.of(store, release), tracks)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    folder = Path(store.release(release.release_id).serving)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    print(
        f"{tracks:,} tracks, {manifest.tuples:,} tuples: written in {seconds:.1f} s; largest memory {before:.0f} MiB "
        f"before and {after:.0f} MiB after; {sum(sizes.values()) / tracks:.0f} bytes per track"
    )
    print("  " + ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sorted(sizes.items())))
    print(f"  tuples.parquet has {pq.read_metadata(folder / 'tuples.parquet').num_rows:,} rows", flush=True)


def compare_opening(store: Store, release: ReleaseManifest, queries: npt.NDArray[np.int16], rounds: int) -> None:
    """Open both sides in turns, each in a process of its own; print medians."""
    values = {
        "release": store.release(release.release_id).folder,
        "root": store.root,
        "manifest": json.dumps(release.__dict__),
        "queries": json.dumps(queries.tolist()),
    }
    taken: dict[str, list[list[float]]] = {"serving table": [], "today's index": []}
    for _ in range(rounds):
        for name, rows in taken.items():
            script = OPEN.format(serving=name == "serving table", **values)
            result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
            rows.append(json.loads(result.stdout))
    print(f"opening, medians of {rounds} processes per side, and standard error of the seconds")
    for name, rows in taken.items():
        imported, opened, *memory = np.median(np.array(rows), axis=0)
        error = np.std([row[1] for row in rows], ddof=1) / len(rows) ** 0.5
        print(
            f"  {name}: import {imported:.3f} s, open {opened:.4f} s (se {error:.4f}); private {memory[0]:.0f} MiB, "
            f"resident {memory[1]:.0f} MiB; after 100 matches {memory[2]:.0f} and {memory[3]:.0f} MiB",
            flush=True,
        )


def compare_calls(store: Store, release: ReleaseManifest, queries: dict[str, npt.NDArray[np.int16]]) -> None:
    """Time lookups and matches of both sides in turns."""
    serving = CatalogTokens.open(store.release(release.release_id).folder)
    index = ReleaseIndex.read(store, release)

    def lookup_by_match(query: npt.NDArray[np.int16]) -> list[str]:
        found = index.index.match(query, TOP)
        return index.ids(found.rows[found.scores == 1])

    def match(query: npt.NDArray[np.int16], graded: bool = False) -> tuple[str, ...]:
        return tuple(index.ids(index.index.match(query, TOP, Matching(graded=graded)).rows))

    print("milliseconds of CPU per call: median and 95 % within")
    asked = queries["all five"]
    report("lookup", asked, lambda query: serving.lookup(query)[:TOP], lookup_by_match)
    for kind, part in queries.items():
        report(f"match {kind}", part, lambda query: serving.match(query, TOP).track_ids, match)
    graded = queries["playlist, audio"][:50]
    report(
        "match graded",
        graded,
        lambda query: serving.match(query, TOP, graded=True).track_ids,
        lambda query: match(query, graded=True),
    )
    ids = [serving.lookup(query)[0] for query in asked]
    taken = [timed(lambda track=track: serving.tokens_of(track)) for track in ids]
    print(f"  tokens_of: {statistics.median(taken):.3f}, {np.percentile(taken, 95):.3f}")


def report(
    name: str,
    queries: npt.NDArray[np.int16],
    serving: Callable[[npt.NDArray[np.int16]], object],
    index: Callable[[npt.NDArray[np.int16]], object],
) -> None:
    taken: dict[str, list[float]] = {"serving table": [], "today's index": []}
    for query in queries:
        assert serving(query) == index(query)
        taken["serving table"].append(timed(lambda query=query: serving(query)))
        taken["today's index"].append(timed(lambda query=query: index(query)))
    sides = (f"{side} {statistics.median(times):.3f}, {np.percentile(times, 95):.3f}" for side, times in taken.items())
    print(f"  {name}: {'; '.join(sides)}", flush=True)


def timed(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return (time.process_time() - start) * 1000


if __name__ == "__main__":
    main()

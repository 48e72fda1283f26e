"""A cost model of the main job: measured at a few numbers of tracks, checked at another one, and applied to a target.

    python benchmarks/cost_model.py [--fit 100000 250000 500000] [--check 1000000] [--target 100000000]

The catalog is that of ``bench_precomputed.py``: five tables of vectors, 1,792 numbers per track in all, 1,024 codes.
Per number of tracks it measures, in one process: seconds of processor, bytes that each grouping of Beam receives, and
bytes of the store. Each is fitted by a line. Encoders are not part of it: their rates per core are options, as are
prices and requests (``object_store_requests.py`` measures those). Prices change: look them up.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from apache_beam.runners.portability.fn_api_runner import execution
from bench_precomputed import make_catalog, run

MEASURE = "--measure"
CPU, STORE = "processor seconds", "bytes of the store"
GROUPED = "grouped: "
"""Prefix of the quantities that are bytes of one grouping."""

SHOWN_BYTES = 1_000_000
"""Groupings of fewer bytes at the check are not printed."""

BUCKET_TRACKS = 50_000
HOUR = 3600


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--fit", type=int, nargs="+", default=[100_000, 250_000, 500_000])
    options.add_argument("--check", type=int, default=1_000_000, help="a number of tracks that is not fitted")
    options.add_argument("--target", type=int, default=100_000_000)
    options.add_argument("--folder", type=Path, help="where the tables are kept; a temporary folder when not given")
    rates = options.add_argument_group("encoders: inputs per second of one core; 0 leaves an encoder out")
    rates.add_argument("--texts", type=float, default=125, help="tags and metadata, two per track")
    rates.add_argument("--lyrics", type=float, default=7.5)
    rates.add_argument("--audio", type=float, default=2)
    requests = options.add_argument_group("requests of a run: fixed, per bucket, and per encoded audio file")
    requests.add_argument("--requests", type=float, nargs=3, default=[269, 55, 3])
    prices = options.add_argument_group("prices in dollars")
    prices.add_argument("--core-hour", type=float, default=0.056)
    prices.add_argument("--gib-hour", type=float, default=0.003557)
    prices.add_argument("--gib-per-core", type=float, default=4)
    prices.add_argument("--grouped-gib", type=float, default=0.011)
    prices.add_argument("--ten-thousand-writes", type=float, default=0.05, help="paid for all requests per bucket")
    prices.add_argument("--ten-thousand-reads", type=float, default=0.004, help="paid for requests per audio file")
    prices.add_argument("--stored-gib-month", type=float, default=0.02)
    options.add_argument(MEASURE, nargs=2, metavar=("CATALOG", "STORE"), help=argparse.SUPPRESS)
    return options


def main() -> None:
    args = parser().parse_args()
    if args.measure:
        print(json.dumps(measure(*args.measure)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        measured = {tracks: in_process_of_its_own(folder, tracks) for tracks in (*args.fit, args.check)}
    lines = fit({tracks: measured[tracks] for tracks in args.fit})
    show(measured, lines, args)
    show_costs(lines, args)


def in_process_of_its_own(folder: Path, tracks: int) -> dict[str, float]:
    catalog = folder / f"catalog-{tracks}"
    if not catalog.exists():
        make_catalog(catalog, tracks)
    with tempfile.TemporaryDirectory(dir=folder) as store:
        command = [sys.executable, __file__, MEASURE, str(catalog), f"{store}/store"]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    quantities: dict[str, float] = json.loads(printed.splitlines()[-1])
    print(f"{tracks} tracks: {quantities[CPU]:.0f} s of processor", file=sys.stderr, flush=True)
    return quantities


def measure(catalog: str, store: str) -> dict[str, float]:
    """Run the job in this process, and return its quantities by name."""
    grouped = count_grouped_bytes()
    run(Path(catalog), store, workers=1)
    spent = os.times()
    disk = sum(path.stat().st_size for path in Path(store).rglob("*") if path.is_file())
    return {CPU: spent.user + spent.system, STORE: disk, **{f"{GROUPED}{name}": size for name, size in grouped.items()}}


def count_grouped_bytes() -> Counter[str]:
    """Count the encoded bytes that each grouping of Beam's runner in this process receives from now on, by its name."""
    sizes: Counter[str] = Counter()
    get_buffer, append = execution.BundleContextManager.get_buffer, execution.GroupingBuffer.append
    names: dict[int, str] = {}

    def named_buffer(self: Any, buffer_id: bytes, transform_id: str) -> Any:
        buffer = get_buffer(self, buffer_id, transform_id)
        if isinstance(buffer, execution.GroupingBuffer):
            transform = execution.split_buffer_id(buffer_id)[1]
            names[id(buffer)] = self.execution_context.pipeline_components.transforms[transform].unique_name
        return buffer

    def counted_append(self: Any, data: bytes) -> None:
        sizes[names[id(self)]] += len(data)
        append(self, data)

    execution.BundleContextManager.get_buffer = named_buffer
    execution.GroupingBuffer.append = counted_append
    return sizes


def fit(measured: Mapping[int, Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Fit each quantity by a line over the tracks: name to slope and intercept."""
    names = sorted({name for quantities in measured.values() for name in quantities})
    rows = {name: [quantities.get(name, 0.0) for quantities in measured.values()] for name in names}
    return {name: np.polyfit(list(measured), values, 1) for name, values in rows.items()}


def show(
    measured: Mapping[int, Mapping[str, float]], lines: Mapping[str, np.ndarray], args: argparse.Namespace
) -> None:
    """Print the measured values, and how far the lines miss the check."""
    print(
        f"| quantity | {' | '.join(f'{tracks:,}' for tracks in args.fit)} | predicted {args.check:,} | measured | off |"
    )
    print("|" + "---|" * (len(args.fit) + 4))
    for name, line in lines.items():
        predicted, found = float(np.polyval(line, args.check)), measured[args.check].get(name, 0.0)
        if name.startswith(GROUPED) and found < SHOWN_BYTES:
            continue
        columns = [f"{measured[tracks].get(name, 0):,.0f}" for tracks in args.fit]
        off = f"{(predicted - found) / found:+.1%}" if found else ""
        print(f"| {name} | {' | '.join(columns)} | {predicted:,.0f} | {found:,.0f} | {off} |")


def show_costs(lines: Mapping[str, np.ndarray], args: argparse.Namespace) -> None:
    """Print what a first run over the target number of tracks needs, and its price."""
    at_target = {name: float(np.polyval(line, args.target)) for name, line in lines.items()}
    grouped = sum(size for name, size in at_target.items() if name.startswith(GROUPED)) / 2**30
    hours = {"all steps but encoders": at_target[CPU] / HOUR}
    for name, per_track, rate in (("texts", 2, args.texts), ("lyrics", 1, args.lyrics), ("audio", 1, args.audio)):
        if rate:
            hours[f"encoder: {name}"] = per_track * args.target / rate / HOUR
    fixed, per_bucket, per_file = args.requests
    of_buckets = fixed + per_bucket * args.target / BUCKET_TRACKS
    of_files = per_file * args.target * bool(args.audio)
    hour = args.core_hour + args.gib_per_core * args.gib_hour
    rows = [(f"core hours, {name}", spent, spent * hour) for name, spent in hours.items()]
    rows.append(("GiB grouped", grouped, grouped * args.grouped_gib))
    rows.append(("requests for the store", of_buckets, of_buckets / 10_000 * args.ten_thousand_writes))
    rows.append(("requests for audio files", of_files, of_files / 10_000 * args.ten_thousand_reads))
    rows.append(("GiB stored, per month", at_target[STORE] / 2**30, at_target[STORE] / 2**30 * args.stored_gib_month))
    print(f"\n| a first run over {args.target:,} tracks | needed | dollars |\n|---|---|---|")
    for name, needed, dollars in rows:
        print(f"| {name} | {needed:,.0f} | {dollars:,.2f} |")


if __name__ == "__main__":
    main()

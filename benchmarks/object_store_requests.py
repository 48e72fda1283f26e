"""Requests to Google Cloud Storage, and their bytes: a first run, a refresh with changes, and a refresh of nothing.

    python benchmarks/object_store_requests.py [--catalog demo] [--tracks 200] [--buckets 2 8] [--dim 256]

Catalog and store are in an emulated bucket, behind a proxy that counts. ``demo`` is the invented catalog with audio,
lyrics and playlists. ``vectors`` is a catalog of precomputed embeddings, ``--dim`` numbers wide: it shows what a
refresh reads beside the keys. A hundredth of the rows is edited before the refresh with changes.

Prints per command: requests and bytes that concern the store and the catalog, and by kind. With several numbers of
buckets, each on a new store, a line is fitted: requests of any store, and requests per bucket.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.gcs_server import GcsServer, Traffic
from tracktokens.schemas.manifests.store import StoreManifest
from tracktokens.transforms.store.files import write_bytes

BUCKET_URL = "gs://bench"
MODALITIES = ("lyrics", "audio")
COMMANDS = ("run", "refresh with changes", "refresh of nothing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", choices=("demo", "vectors"), default="demo")
    parser.add_argument("--tracks", type=int, default=200)
    parser.add_argument("--buckets", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--dim", type=int, default=256)
    args = parser.parse_args()
    totals = [measure(args, buckets) for buckets in args.buckets]
    for number, title in enumerate(COMMANDS if len(totals) > 1 else ()):
        slope, fixed = np.polyfit(args.buckets, [row[number] for row in totals], 1)
        print(f"{title}: {fixed:.0f} requests, and {slope:.0f} per bucket")


def measure(args: argparse.Namespace, buckets: int) -> list[int]:
    """Run the commands on a new store, and return the number of requests of each."""
    totals = []
    with tempfile.TemporaryDirectory() as folder, GcsServer(Path(folder)) as server:
        os.environ.update(server.environment)
        server.make_bucket("bench")
        store = StoreManifest(buckets=buckets)
        write_bytes(f"{BUCKET_URL}/store/store.json", store.to_json().encode())
        catalog = Path(folder) / "catalog"
        options = write_demo(catalog, args.tracks) if args.catalog == "demo" else write_vectors(catalog, args)
        upload(catalog, list(files_in(catalog)))
        for title, edited in zip(COMMANDS, ((), edit(catalog), ()), strict=True):
            command = title.split()[0]
            upload(catalog, edited)
            with server.measured() as traffic:
                tracktokens(command, *options, *(("--codebook-size", "32") if command == "run" else ()))
            show(f"{title}, {buckets} buckets", traffic)
            totals.append(traffic.total)
    return totals


def write_demo(catalog: Path, tracks: int) -> list[str]:
    subprocess.run([program(), "demo", str(catalog), "--tracks", str(tracks)], check=True, stdout=subprocess.DEVNULL)
    names = {"tracks": "tracks.jsonl", "playlists": "playlists.jsonl", "audio-root": "audio"}
    return [text for option, name in names.items() for text in (f"--{option}", f"{BUCKET_URL}/catalog/{name}")]


def write_vectors(catalog: Path, args: argparse.Namespace) -> list[str]:
    catalog.mkdir()
    ids = [f"t{number}" for number in range(args.tracks)]
    (catalog / "tracks.jsonl").write_text("".join(f"{json.dumps({'track_id': name})}\n" for name in ids))
    options = ["--tracks", f"{BUCKET_URL}/catalog/tracks.jsonl"]
    for seed, modality in enumerate(MODALITIES):
        vectors = np.random.default_rng(seed).standard_normal((args.tracks, args.dim), np.float32)
        pq.write_table(pa.table({"track_id": ids, "vector": list(vectors)}), catalog / f"{modality}.parquet")
        options += ["--embeddings", f"{modality}={BUCKET_URL}/catalog/{modality}.parquet"]
        options += ["--embeddings-version", f"{modality}=1"]
    return options


def edit(catalog: Path) -> list[Path]:
    """Edit a hundredth of the tracks: their titles, or else the vectors of a modality."""
    path = catalog / f"{MODALITIES[0]}.parquet"
    if path.exists():
        table = pq.read_table(path)
        rows = np.stack(table["vector"].to_numpy())
        rows[::100] += 1
        pq.write_table(table.set_column(1, "vector", [list(rows)]), path)
        return [path]
    path = catalog / "tracks.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for number in range(0, len(lines), 100):
        lines[number] = lines[number].replace(b'"title": "', b'"title": "New ').replace(b'"title":"', b'"title":"New ')
    path.write_bytes(b"".join(lines))
    return [path]


def files_in(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def upload(catalog: Path, paths: "list[Path] | tuple[()]") -> None:
    for path in paths:
        write_bytes(f"{BUCKET_URL}/catalog/{path.relative_to(catalog)}", path.read_bytes())


def program() -> str:
    return str(Path(sys.executable).parent / "tracktokens")


def tracktokens(command: str, *options: str) -> None:
    subprocess.run(
        [program(), command, "--store", f"{BUCKET_URL}/store", *options], check=True, stdout=subprocess.DEVNULL
    )


def show(title: str, traffic: Traffic) -> None:
    """Print the traffic of a command."""
    parts = Counter[str]()
    for (_, name), number in traffic.names.items():
        parts["store" if name.startswith("store/") else "catalog" if name.startswith("catalog/") else "other"] += number
    print(f"== {title}: {traffic.total} requests, {traffic.connections} connections; {dict(parts)}")
    for kind, number in sorted(traffic.requests.items()):
        sent, received = traffic.sent[kind] / 1e6, traffic.received[kind] / 1e6
        print(f"   {kind:12} {number:6} requests {sent:10.3f} MB down {received:10.3f} MB up")
    read = [f"{traffic.read_below(f'{side}/') / 1e6:.3f} MB of the {side}" for side in ("store", "catalog")]
    print(f"   read {' and '.join(read)}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

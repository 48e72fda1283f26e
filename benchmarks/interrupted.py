"""``kill -9`` at moments spread over ``run`` and ``refresh``: the next try has to come to what an undisturbed one does.

    python benchmarks/interrupted.py [--moments 30] [--tracks 60] [--folder FOLDER]

The catalog is the demo's, with tables that are encoded, audio, playlists, and given vectors for the metadata; on the
second night tracks are new, edited and gone. A moment is a step that changes what is on the disk: a file was made under
its working name, is about to get its name, has it, or is about to be deleted. Between two of them a store looks the
same whenever the kill comes. The whole process group is killed, from inside, in a copy of the store; then

- ``verify`` looks through what is left,
- the same command is run again, its tables are compared with the undisturbed ones, and inputs that were given to an
  encoder are counted in both tries,
- ``gc --delete`` clears away what the kill left, and ``verify`` looks again.

Prints a line a moment. Ends with 1 if anything differs or is found.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from safetensors.numpy import load_file

from tracktokens.pipelines.cli.main import main as cli
from tracktokens.pipelines.demo.catalog import make_demo
from tracktokens.pipelines.maintenance.garbage_collection import GcJob
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.transforms.embedding import batches, model_handler
from tracktokens.transforms.store import files

CODES = 16
NEW = GONE = EDITED = 12
VECTOR_DIM = 24
STEPS_FILE = "steps.txt"
ENCODED_FILE = "encoded.txt"
OUTPUT_FILE = "output.txt"
FINDINGS_FILE = "findings.txt"
PRELOADED = (
    "faiss",
    "gensim.models",
    "librosa",
    "sentence_transformers",
    "sklearn.cluster",
    "tracktokens.pipelines.jobs.run",
)
"""What jobs import when they come to it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=30)
    parser.add_argument("--tracks", type=int, default=60)
    parser.add_argument("--folder", type=Path, help="where everything is kept; a temporary folder otherwise")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(0 if interrupt(args.folder or Path(temporary), args.tracks, args.moments) else 1)


def interrupt(folder: Path, tracks: int, moments: int) -> bool:
    """Kill both jobs at half of the moments each; gives whether all went well."""
    first, second = make_catalogs(folder, tracks)
    empty = folder / "empty"
    empty.mkdir()
    good = interrupt_job("run", first, empty, folder / "run", moments // 2)
    return interrupt_job("refresh", second, folder / "run" / "undisturbed", folder / "refresh", moments // 2) and good


@dataclass(frozen=True)
class Try:
    """What became of one start of a job.

    Attributes:
        code: how its process ended.
        steps: what it did on the disk, one line a step.
        encoded: inputs that it gave to encoders.
    """

    code: int
    steps: list[str]
    encoded: int


def interrupt_job(job: str, catalog: Path, start: Path, folder: Path, moments: int) -> bool:
    """Run a job undisturbed, and then kill it at moments spread over its steps."""
    folder.mkdir()
    calm, expected = attempt(job, catalog, start, folder / "undisturbed")
    if calm.code:
        raise SystemExit(f"the undisturbed {job} ended with {calm.code}")
    print(f"{job}: {len(calm.steps)} steps, {calm.encoded} inputs encoded", flush=True)
    print(f"{'step':>5} {'encoded':>8} {'then':>5} {'twice':>6} {'equal':>6} {'left':>5} {'found':>6}  killed at")
    chosen = [round((n + 0.5) * len(calm.steps) / moments) for n in range(moments)]
    judged = [judge(job, catalog, start, folder / f"killed-{n}", n, calm, expected) for n in chosen]
    return all(judged)


def judge(job: str, catalog: Path, start: Path, store: Path, moment: int, calm: Try, expected: dict[str, Any]) -> bool:
    """Kill a job at one moment, run it again, and compare."""
    killed, published = attempt(job, catalog, start, store, moment)
    if killed.code != -signal.SIGKILL:
        raise SystemExit(f"{job} ended with {killed.code}, and was to be killed at step {moment}")
    found = findings(store)
    left = sum(1 for _ in store.rglob("*.partial"))
    again, came_to = attempt(job, catalog, store, store)
    if published:  # it was killed after LATEST had moved: nothing is left to change
        equal = published == expected and {**came_to, "changes": None} == {**expected, "changes": None}
        equal = equal and not came_to.get("changes")
    else:
        equal = came_to == expected
    tidy(store)
    found += findings(store)
    twice = killed.encoded + again.encoded - calm.encoded
    good = equal and not found and not again.code
    print(
        f"{moment:>5} {killed.encoded:>8} {again.encoded:>5} {twice:>6} {'yes' if equal else 'NO':>6} {left:>5} "
        f"{len(found):>6}  {killed.steps[-1]}",
        *found,
        sep="\n      ",
        flush=True,
    )
    if good:
        shutil.rmtree(store)
    return good


def attempt(job: str, catalog: Path, start: Path, store: Path, until: int = 0) -> tuple[Try, dict[str, Any]]:
    """Run a job in a process group of its own on a copy of a store; gives also what it published, if it did."""
    if start != store:
        shutil.copytree(start, store)
    before = latest(store)
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder)
        code = started(notes, work, job, catalog, store, notes, until)
        steps, encoded = notes / STEPS_FILE, notes / ENCODED_FILE
        tried = Try(
            code,
            steps.read_text().splitlines() if steps.exists() else [],
            sum(map(int, encoded.read_text().split())) if encoded.exists() else 0,
        )
    now = latest(store)
    return tried, contents(store / "releases" / now) if now != before else {}


SERVER = multiprocessing.get_context("forkserver")
"""Starts processes that have imported what they need. It does nothing else, so they are as good as new ones."""
SERVER.set_forkserver_preload(["tracktokens.pipelines.cli.main", "tracktokens.pipelines.jobs.refresh", *PRELOADED])


def started(notes: Path, work: Callable[..., None], *arguments: object) -> int:
    """Do some work in a process group of its own, and wait for its end; gives how it ended."""
    process = SERVER.Process(target=quietly, args=(notes / OUTPUT_FILE, work, *arguments))
    process.start()
    process.join()
    code = process.exitcode or 0
    if code not in (0, -signal.SIGKILL):
        print((notes / OUTPUT_FILE).read_text()[-2000:])
    return code


def quietly(output: Path, work: Callable[..., None], *arguments: object) -> None:
    """Work with what is printed going into a file."""
    os.setsid()
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    work(*arguments)


def latest(store: Path) -> str:
    """The release that a store publishes."""
    pointer = store / "LATEST"
    return pointer.read_text().strip() if pointer.exists() else ""


def contents(release: Path) -> dict[str, Any]:
    """What a release says: its tables, rows in order, and the files of its vocabulary."""
    tables = {name: rows(release / name) for name in ("tokens", "rejects", "changes") if (release / name).exists()}
    pack = release / "vocabulary"
    vocabulary = {path.name: path.read_bytes() for path in pack.glob("*.json")}
    centroids = load_file(pack / "centroids.safetensors")  # by value: the order of its metadata is nobody's
    return {**tables, **vocabulary, "centroids": {name: values.tobytes() for name, values in centroids.items()}}


def rows(folder: Path) -> list[str]:
    """Rows of a table, in an order of their own."""
    return sorted(json.dumps(row, sort_keys=True) for row in pq.read_table(folder).to_pylist())


def findings(store: Path) -> list[str]:
    """What ``verify`` finds; a folder that is not a store yet has nothing to find.

    A first run that was killed between the last two files has a release and no ``LATEST``: that is no damage.
    """
    if not (store / "store.json").exists():
        return []
    with tempfile.TemporaryDirectory() as folder:
        if started(Path(folder), verify, store, Path(folder)):
            return ["verify failed"]
        found = (Path(folder) / FINDINGS_FILE).read_text().splitlines()
    first = len(list(store.glob("releases/*/manifest.json"))) == 1
    return [text for text in found if not (first and text.startswith(f"{store}/LATEST: is gone"))]


def verify(store: Path, notes: Path) -> None:
    """Leave in a file what is wrong with a store."""
    found = verify_store(str(store), PipelineRunner())
    (notes / FINDINGS_FILE).write_text("".join(f"{finding.path}: {finding.problem}\n" for finding in found))


def tidy(store: Path) -> None:
    """Remove what the kill left."""
    with tempfile.TemporaryDirectory() as folder:
        code = started(Path(folder), collect, store)
    if code or any(store.rglob("*.partial")):
        raise SystemExit(f"gc ended with {code}, and left unfinished files in {store}, or failed")


def collect(store: Path) -> None:
    """Keep the latest release, and what it needs."""
    GcJob(str(store), keep=1, delete=True).run(PipelineRunner())


def work(job: str, catalog: Path, store: Path, notes: Path, until: int) -> None:
    """Run a job in this process, note its steps and what it encodes, and be killed at a step."""
    steps = Steps(notes / STEPS_FILE, store, until)
    FileSystems.create = staticmethod(steps.after(FileSystems.create, "made"))  # type: ignore[method-assign]
    FileSystems.rename = staticmethod(steps.around(FileSystems.rename))  # type: ignore[method-assign]
    files.delete_tree = steps.before(files.delete_tree, "to delete")
    encode = batches.encode_inputs

    def counted(inputs: pa.RecordBatch, model: batches.LazyEncoder) -> pa.RecordBatch:
        with (notes / ENCODED_FILE).open("a") as file:
            file.write(f"{inputs.num_rows}\n")
        return encode(inputs, model)

    model_handler.encode_inputs = counted
    cli([job, *options(job, catalog), "--store", str(store)])


class Steps:
    """Notes steps in a file, and kills the process group at one of them."""

    def __init__(self, path: Path, store: Path, until: int) -> None:
        self._path = path
        self._store = store
        self._until = until
        self._done = 0

    def note(self, what: str, path: object) -> None:
        """Note one step. The first is 0, at which nothing is killed."""
        self._done += 1
        with self._path.open("a") as file:
            file.write(f"{what} {str(path).removeprefix(f'{self._store}/')}\n")
        if self._done == self._until:
            os.killpg(0, signal.SIGKILL)

    def before(self, work: Callable[..., Any], what: str) -> Callable[..., Any]:
        """A function that notes its call before it works."""

        def noted(path: str, **options: Any) -> Any:
            self.note(what, path)
            return work(path, **options)

        return noted

    def after(self, work: Callable[..., Any], what: str) -> Callable[..., Any]:
        """A function that notes its call when it has worked."""

        def noted(path: str, **options: Any) -> Any:
            made = work(path, **options)
            self.note(what, path)
            return made

        return noted

    def around(self, rename: Callable[..., Any]) -> Callable[..., Any]:
        """A renaming that is noted before and after."""

        def noted(sources: list[str], targets: list[str]) -> None:
            self.note("to name", targets[0])
            rename(sources, targets)
            self.note("named", targets[0])

        return noted


def options(job: str, catalog: Path) -> list[str]:
    """Options of a job."""
    tables = ["--tracks", f"{catalog}/tracks.jsonl", "--playlists", f"{catalog}/playlists.jsonl"]
    given = ["--vectors", f"metadata={catalog}/metadata.parquet", "--vectors-id", "metadata=given"]
    size = ["--codebook-size", str(CODES)] if job == "run" else []
    return [*tables, "--audio-root", f"{catalog.parent}/demo/audio", *given, "--max-reject-rate", "0.2", *size]


def make_catalogs(folder: Path, tracks: int) -> tuple[Path, Path]:
    """Two nights of the demo: tracks that are new on the second come last, those that are gone came first."""
    folder.mkdir(parents=True, exist_ok=True)
    demo = make_demo(folder / "demo", tracks=tracks)
    lines = demo.tracks.read_bytes().splitlines()
    edited = [edit(line) for line in lines[GONE : GONE + EDITED]]
    nights = {"first": lines[:-NEW], "second": [*edited, *lines[GONE + EDITED :]]}
    for name, content in nights.items():
        night = folder / name
        night.mkdir()
        (night / "tracks.jsonl").write_bytes(b"\n".join(content) + b"\n")
        shutil.copy(demo.playlists, night / "playlists.jsonl")
        write_vectors(night / "metadata.parquet", tracks, flipped=EDITED if name == "second" else 0)
    return folder / "first", folder / "second"


def edit(line: bytes) -> bytes:
    """Give a track other tags, lyrics, and another version of its audio file."""
    row = json.loads(line)
    for name, value in (("tags", ["edited"]), ("lyrics", "edited\n"), ("audio_version", "edited")):
        if name in row:
            row[name] = row[name] + value
    return json.dumps(row, ensure_ascii=False).encode()


def write_vectors(path: Path, tracks: int, flipped: int) -> None:
    """Vectors for the metadata; some of them turned round."""
    vectors = np.random.default_rng(0).standard_normal((tracks, VECTOR_DIM)).astype(np.float32)
    vectors[GONE : GONE + flipped] *= -1
    ids = [f"trk{number:05d}" for number in range(tracks)]
    pq.write_table(pa.table({"track_id": ids, "vector": list(vectors)}), path)


if __name__ == "__main__":
    main()

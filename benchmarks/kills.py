"""``kill -9`` at moments spread over ``run`` and ``refresh``: the next run must equal an undisturbed one.

    python benchmarks/kills.py [--moments 30] [--tracks 60] [--folder FOLDER]

The catalog is the demo's: encoded tables, audio, playlists, and precomputed embeddings for the metadata. The refresh
reads a second version, in which tracks are added, edited and removed. A moment is a step that changes the disk: a file
was created under its working name, is about to be renamed, was renamed, or is about to be deleted. Between two steps a
store does not change. The whole process group is killed, from inside, in a copy of the store; then

- ``verify`` checks the store,
- the same command runs again, its tables are compared with the undisturbed ones, and encoder inputs are counted in both
  runs,
- ``gc --delete`` removes leftovers of the kill, and ``verify`` checks again.

Prints one line per moment. Exits with 1 if a table differs or ``verify`` reports a problem.
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
NEW = REMOVED = EDITED = 12
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
"""Modules that jobs import late."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=30)
    parser.add_argument("--tracks", type=int, default=60)
    parser.add_argument("--folder", type=Path, help="folder for catalogs and stores (default: a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(0 if interrupt(args.folder or Path(temporary), args.tracks, args.moments) else 1)


def interrupt(folder: Path, tracks: int, moments: int) -> bool:
    """Kill both jobs at half of the moments each; return True if all checks pass."""
    first, second = make_catalogs(folder, tracks)
    empty = folder / "empty"
    empty.mkdir()
    good = interrupt_job("run", first, empty, folder / "run", moments // 2)
    return interrupt_job("refresh", second, folder / "run" / "undisturbed", folder / "refresh", moments // 2) and good


@dataclass(frozen=True)
class Attempt:
    """Result of one start of a job.

    Attributes:
        code: exit code of its process.
        steps: its changes of the disk, one line per step.
        encoded: number of inputs that it encoded.
    """

    code: int
    steps: list[str]
    encoded: int


def interrupt_job(job: str, catalog: Path, start: Path, folder: Path, moments: int) -> bool:
    """Run a job undisturbed, then kill it at moments spread over its steps."""
    folder.mkdir()
    calm, expected = attempt(job, catalog, start, folder / "undisturbed")
    if calm.code:
        raise SystemExit(f"the undisturbed {job} ended with {calm.code}")
    print(f"{job}: {len(calm.steps)} steps, {calm.encoded} inputs encoded", flush=True)
    print(f"{'step':>5} {'encoded':>8} {'again':>5} {'twice':>6} {'equal':>6} {'left':>5} {'found':>6}  killed at")
    chosen = [round((n + 0.5) * len(calm.steps) / moments) for n in range(moments)]
    judged = [judge(job, catalog, start, folder / f"killed-{n}", n, calm, expected) for n in chosen]
    return all(judged)


def judge(
    job: str, catalog: Path, start: Path, store: Path, moment: int, calm: Attempt, expected: dict[str, Any]
) -> bool:
    """Kill a job at one moment, run it again, and compare."""
    killed, published = attempt(job, catalog, start, store, moment)
    if killed.code != -signal.SIGKILL:
        raise SystemExit(f"{job} ended with {killed.code} before it could be killed at step {moment}")
    problems = findings(store)
    left = sum(1 for _ in store.rglob("*.partial"))
    again, result = attempt(job, catalog, store, store)
    if published:  # killed after LATEST moved: the second run has no changes
        equal = published == expected and {**result, "changes": None} == {**expected, "changes": None}
        equal = equal and not result.get("changes")
    else:
        equal = result == expected
    tidy(store)
    problems += findings(store)
    twice = killed.encoded + again.encoded - calm.encoded
    good = equal and not problems and not again.code
    print(
        f"{moment:>5} {killed.encoded:>8} {again.encoded:>5} {twice:>6} {'yes' if equal else 'NO':>6} {left:>5} "
        f"{len(problems):>6}  {killed.steps[-1]}",
        *problems,
        sep="\n      ",
        flush=True,
    )
    if good:
        shutil.rmtree(store)
    return good


def attempt(job: str, catalog: Path, start: Path, store: Path, until: int = 0) -> tuple[Attempt, dict[str, Any]]:
    """Run a job in its own process group on a copy of a store; return also the tables that it published, if any."""
    if start != store:
        shutil.copytree(start, store)
    previous = latest(store)
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder)
        code = started(notes, work, job, catalog, store, notes, until)
        steps, encoded = notes / STEPS_FILE, notes / ENCODED_FILE
        result = Attempt(
            code,
            steps.read_text().splitlines() if steps.exists() else [],
            sum(map(int, encoded.read_text().split())) if encoded.exists() else 0,
        )
    current = latest(store)
    return result, contents(store / "releases" / current) if current != previous else {}


SERVER = multiprocessing.get_context("forkserver")
"""Starts processes with all modules imported. It does nothing else, so they behave like new ones."""
SERVER.set_forkserver_preload(["tracktokens.pipelines.cli.main", "tracktokens.pipelines.jobs.refresh", *PRELOADED])


def started(notes: Path, work: Callable[..., None], *arguments: object) -> int:
    """Run a function in its own process group, wait for it, and return its exit code."""
    process = SERVER.Process(target=quietly, args=(notes / OUTPUT_FILE, work, *arguments))
    process.start()
    process.join()
    code = process.exitcode or 0
    if code not in (0, -signal.SIGKILL):
        print((notes / OUTPUT_FILE).read_text()[-2000:])
    return code


def quietly(output: Path, work: Callable[..., None], *arguments: object) -> None:
    """Run a function with its output redirected to a file."""
    os.setsid()
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    work(*arguments)


def latest(store: Path) -> str:
    """Return the id of the latest release, or an empty string."""
    pointer = store / "LATEST"
    return pointer.read_text().strip() if pointer.exists() else ""


def contents(release: Path) -> dict[str, Any]:
    """Read a release: its tables with sorted rows, and the files of its vocabulary."""
    tables = {name: rows(release / name) for name in ("tokens", "rejects", "changes") if (release / name).exists()}
    pack = release / "vocabulary"
    vocabulary = {path.name: path.read_bytes() for path in pack.glob("*.json")}
    centroids = load_file(pack / "centroids.safetensors")  # by value: the order of its metadata is not defined
    return {**tables, **vocabulary, "centroids": {name: values.tobytes() for name, values in centroids.items()}}


def rows(folder: Path) -> list[str]:
    """Read the rows of a table, sorted."""
    return sorted(json.dumps(row, sort_keys=True) for row in pq.read_table(folder).to_pylist())


def findings(store: Path) -> list[str]:
    """List problems that ``verify`` reports; a folder that is not a store yet has none.

    A first run that was killed between the last two files has a release without ``LATEST``: that is not damage.
    """
    if not (store / "store.json").exists():
        return []
    with tempfile.TemporaryDirectory() as folder:
        if started(Path(folder), verify, store, Path(folder)):
            return ["verify failed"]
        problems = (Path(folder) / FINDINGS_FILE).read_text().splitlines()
    first = len(list(store.glob("releases/*/manifest.json"))) == 1
    return [text for text in problems if not (first and text.startswith(f"{store}/LATEST: is gone"))]


def verify(store: Path, notes: Path) -> None:
    """Write the problems of a store to a file."""
    problems = verify_store(str(store), PipelineRunner())
    (notes / FINDINGS_FILE).write_text("".join(f"{finding.path}: {finding.problem}\n" for finding in problems))


def tidy(store: Path) -> None:
    """Remove leftovers of the kill."""
    with tempfile.TemporaryDirectory() as folder:
        code = started(Path(folder), collect, store)
    if code or any(store.rglob("*.partial")):
        raise SystemExit(f"gc ended with {code}, and left unfinished files in {store}, or failed")


def collect(store: Path) -> None:
    """Keep only the latest release and its data."""
    GcJob(str(store), keep=1, delete=True).run(PipelineRunner())


def work(job: str, catalog: Path, store: Path, notes: Path, until: int) -> None:
    """Run a job in this process, log its steps and encoded inputs, and kill it at a step."""
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
    """Log steps to a file, and kill the process group at one of them."""

    def __init__(self, path: Path, store: Path, until: int) -> None:
        self._path = path
        self._store = store
        self._until = until
        self._done = 0

    def note(self, what: str, path: object) -> None:
        """Log one step, and kill the process group if it is step ``until``; 0 kills nothing."""
        self._done += 1
        with self._path.open("a") as file:
            file.write(f"{what} {str(path).removeprefix(f'{self._store}/')}\n")
        if self._done == self._until:
            os.killpg(0, signal.SIGKILL)

    def before(self, work: Callable[..., Any], what: str) -> Callable[..., Any]:
        """Return a function that logs its call before it runs."""

        def noted(path: str, **options: Any) -> Any:
            self.note(what, path)
            return work(path, **options)

        return noted

    def after(self, work: Callable[..., Any], what: str) -> Callable[..., Any]:
        """Return a function that logs its call after it has run."""

        def noted(path: str, **options: Any) -> Any:
            made = work(path, **options)
            self.note(what, path)
            return made

        return noted

    def around(self, rename: Callable[..., Any]) -> Callable[..., Any]:
        """Return a rename function that logs its call before and after."""

        def noted(sources: list[str], targets: list[str]) -> None:
            self.note("to name", targets[0])
            rename(sources, targets)
            self.note("named", targets[0])

        return noted


def options(job: str, catalog: Path) -> list[str]:
    """Return the options of a job."""
    tables = ["--tracks", f"{catalog}/tracks.jsonl", "--playlists", f"{catalog}/playlists.jsonl"]
    embeddings = ["--embeddings", f"metadata={catalog}/metadata.parquet", "--embeddings-version", "metadata=given"]
    size = ["--codebook-size", str(CODES)] if job == "run" else []
    return [*tables, "--audio-root", f"{catalog.parent}/demo/audio", *embeddings, "--max-reject-rate", "0.2", *size]


def make_catalogs(folder: Path, tracks: int) -> tuple[Path, Path]:
    """Write two versions of the demo: the second adds tracks at the end and removes the first ones."""
    folder.mkdir(parents=True, exist_ok=True)
    demo = make_demo(folder / "demo", tracks=tracks)
    lines = demo.tracks.read_bytes().splitlines()
    edited = [edit(line) for line in lines[REMOVED : REMOVED + EDITED]]
    versions = {"first": lines[:-NEW], "second": [*edited, *lines[REMOVED + EDITED :]]}
    for name, content in versions.items():
        version = folder / name
        version.mkdir()
        (version / "tracks.jsonl").write_bytes(b"\n".join(content) + b"\n")
        shutil.copy(demo.playlists, version / "playlists.jsonl")
        write_vectors(version / "metadata.parquet", tracks, flipped=EDITED if name == "second" else 0)
    return folder / "first", folder / "second"


def edit(line: bytes) -> bytes:
    """Change a track's tags, lyrics and audio version."""
    row = json.loads(line)
    for name, value in (("tags", ["edited"]), ("lyrics", "edited\n"), ("audio_version", "edited")):
        if name in row:
            row[name] = row[name] + value
    return json.dumps(row, ensure_ascii=False).encode()


def write_vectors(path: Path, tracks: int, flipped: int) -> None:
    """Write embeddings of the metadata; some of them negated."""
    vectors = np.random.default_rng(0).standard_normal((tracks, VECTOR_DIM)).astype(np.float32)
    vectors[REMOVED : REMOVED + flipped] *= -1
    ids = [f"trk{number:05d}" for number in range(tracks)]
    pq.write_table(pa.table({"track_id": ids, "vector": list(vectors)}), path)


if __name__ == "__main__":
    main()

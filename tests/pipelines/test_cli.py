"""The command line: what goes wrong is one line and an exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from tests.conftest import DemoRun
from tracktokens.pipelines.cli import main
from tracktokens.transforms.store import Store


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    path = tmp_path / "tracks.jsonl"
    path.write_text("".join(json.dumps({"track_id": f"t{n}", "title": f"Song {n}"}) + "\n" for n in range(5)))
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result, code: int, *words: str) -> None:
    """Check the exit code, and that one line says what is wrong."""
    assert result.exit_code == code, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in line


def test_a_missing_tracks_file_is_wrong_usage(tmp_path: Path) -> None:
    refused(call("run", "--tracks", tmp_path / "none.parquet", "--store", tmp_path / "s"), 2, "none.parquet")
    assert not (tmp_path / "s").exists()


def test_a_missing_playlists_file_is_noticed_before_anything_is_encoded(tracks: Path, tmp_path: Path) -> None:
    result = call("run", "--tracks", tracks, "--playlists", tmp_path / "none.csv", "--store", tmp_path / "s")
    refused(result, 2, "none.csv")
    assert not (tmp_path / "s").exists()


def test_a_missing_audio_root_is_wrong_usage(tracks: Path, tmp_path: Path) -> None:
    result = call("run", "--tracks", tracks, "--audio-root", tmp_path / "none", "--store", tmp_path / "s")
    refused(result, 2, "none", "audio root")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--audio-encoder", "clap"], ["needs --clap-checkpoint"]),
        (["--audio-encoder", "clap", "--clap-checkpoint", "none.pt"], ["none.pt", "no such file"]),
        (["--clap-checkpoint", "none.pt"], ["go with --audio-encoder clap"]),
        (["--audio-encoder", "clap", "--clap-checkpoint", "x", "--clap-model", "HTSAT-huge"], ["there are HTSAT-base"]),
    ],
)
def test_a_wrong_choice_of_the_audio_encoder_is_noticed_at_once(
    tracks: Path, tmp_path: Path, options: list[str], words: list[str]
) -> None:
    for command in ("run", "embed"):
        result = call(command, "--tracks", tracks, "--audio-root", tmp_path, "--store", tmp_path / "s", *options)
        refused(result, 2, *words)
    assert not (tmp_path / "s").exists()


def test_clap_without_an_audio_root_is_wrong_usage(tracks: Path, tmp_path: Path) -> None:
    options = ["--audio-encoder", "clap", "--clap-checkpoint", "x"]
    refused(call("run", "--tracks", tracks, "--store", tmp_path / "s", *options), 2, "needs --audio-root")


def test_a_stray_argument_is_wrong_usage(tracks: Path, tmp_path: Path) -> None:
    refused(call("run", "--tracks", tracks, tracks, "--store", tmp_path / "s"), 2, "is not an option")


@pytest.mark.parametrize("size", [0, 32768])
def test_a_codebook_size_that_int16_cannot_hold_is_wrong_usage(tracks: Path, tmp_path: Path, size: int) -> None:
    result = call("run", "--tracks", tracks, "--store", tmp_path / "s", "--codebook-size", size)
    refused(result, 2, "1 to 32767")


def test_a_folder_of_something_else_is_no_store(tracks: Path, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.tex").write_text("mine")
    refused(call("run", "--tracks", tracks, "--store", tmp_path / "s"), 2, "is not a store", "thesis.tex")


def test_a_store_of_another_format_version_is_refused(tracks: Path, tmp_path: Path) -> None:
    Store.open_or_create(str(tmp_path / "s"), 1)
    manifest = tmp_path / "s" / "store.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 7'))
    refused(call("run", "--tracks", tracks, "--store", tmp_path / "s"), 3, "format version 7")


def test_an_empty_catalog_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"track_id": pa.array([], pa.string())}), tmp_path / "tracks.parquet")
    refused(call("run", "--tracks", tmp_path / "tracks.parquet", "--store", tmp_path / "s"), 3)


@pytest.mark.parametrize("name", ["tracks.parquet", "tracks.csv", "tracks.jsonl"])
def test_a_catalog_without_track_ids_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"title": ["a", "b"]}), path)
    else:
        path.write_text("title\na\nb\n" if name.endswith(".csv") else '{"title": "a"}\n{"title": "b"}\n')
    refused(call("run", "--tracks", path, "--store", tmp_path / "s"), 3, "track_id", "title")


def test_too_many_rejects_are_refused_before_anything_is_encoded(tracks: Path, tmp_path: Path) -> None:
    with tracks.open("a") as file:
        file.write('{"track_id": "t0"}\n')
    store = tmp_path / "s"
    result = call("embed", "--tracks", tracks, "--store", store)
    refused(result, 3, "1 of 6 rows rejected", "id_duplicate 1", "--max-reject-rate")
    assert list(store.glob("vectors/*/*/bucket=*")) == []
    assert not (store / "LATEST").exists()


def test_the_jobs_one_by_one_make_the_release_that_run_makes(demo_run: DemoRun, tmp_path: Path) -> None:
    demo, store = demo_run.catalog, tmp_path / "s"
    call("embed", "--tracks", demo.tracks, "--audio-root", demo.audio_root, "--store", store)
    call("playlists", "--playlists", demo.playlists, "--store", store)
    trained = call("train", "--store", store, "--codebook-size", "32")
    assert trained.stdout.split()[-1] == demo_run.outcome.bundle.bundle_id
    assigned = dict(line.split() for line in call("tokenize", "--store", store).stdout.splitlines())
    assert int(assigned["audio"]) == demo_run.outcome.catalog.inputs["audio"] - demo_run.outcome.catalog.failed["audio"]
    published = call("publish", "--store", store)
    assert published.exit_code == 0, published.output
    folder = Path(published.stdout.split()[-1])
    ours = pq.read_table(folder / "tokens").sort_by("track_id")
    theirs = pq.read_table(f"{demo_run.outcome.release.folder}/tokens").sort_by("track_id")
    assert ours.equals(theirs)


def test_playlists_that_name_no_known_track_are_refused(demo_run: DemoRun, tmp_path: Path) -> None:
    path = tmp_path / "playlists.jsonl"
    path.write_text('{"playlist_id": "p", "track_ids": ["no", "nothing"]}\n')
    refused(call("playlists", "--playlists", path, "--store", demo_run.store), 3, "2 of 2 track ids are unknown")


@pytest.mark.parametrize("command", ["train", "tokenize", "publish"])
def test_a_job_without_what_it_needs_says_which_job_to_run(tmp_path: Path, command: str) -> None:
    Store.open_or_create(str(tmp_path / "s"), 1)
    refused(call(command, "--store", tmp_path / "s"), 2, "run `tracktokens")


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = "import sys, tracktokens.pipelines.cli; print([m for m in sys.modules if m in HEAVY])"
    heavy = "HEAVY = {'torch', 'apache_beam', 'librosa', 'faiss', 'gensim', 'sentence_transformers', 'numpy'}; "
    shown = subprocess.run([sys.executable, "-c", heavy + code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_exit_codes_are_documented() -> None:
    shown = call("--help").stdout
    for code in range(4):
        assert f"{code}  " in shown

"""The command line: an error is one line and an exit code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from tests.support.demo_run import DemoRun
from tracktokens.pipelines.cli.main import main
from tracktokens.transforms.store.layout import Store

pytestmark = pytest.mark.job


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    path = tmp_path / "tracks.jsonl"
    path.write_text("".join(json.dumps({"track_id": f"t{n}", "title": f"Song {n}"}) + "\n" for n in range(5)))
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result, code: int, *words: str) -> None:
    """Check the exit code, and that one line names the error."""
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
        (
            ["--audio-encoder", "clap", "--clap-checkpoint", "x", "--clap-model", "HTSAT-huge"],
            ["--clap-model HTSAT-huge: use one of HTSAT-base"],
        ),
    ],
)
def test_a_wrong_choice_of_the_audio_encoder_is_noticed_at_once(
    tracks: Path, tmp_path: Path, options: list[str], words: list[str]
) -> None:
    for command in ("run", "embed"):
        result = call(command, "--tracks", tracks, "--audio-root", tmp_path, "--store", tmp_path / "s", *options)
        refused(result, 2, *words)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--embeddings", "audio=none.parquet"], ["none.parquet", "no such file"]),
        (["--embeddings", "audio=a", "--embeddings", "audio=b"], ["--embeddings", "each modality once"]),
        (["--embeddings-version", "audio=x"], ["--embeddings-version audio=", "goes with --embeddings audio="]),
        (["--embeddings", "tags=a", "--embeddings-column", "audio=x"], ["goes with --embeddings audio="]),
        (["--encoder", "tags=none"], ["no encoder none is installed"]),
        (["--encoder", "playlist=x"], ["--encoder playlist", "tags, metadata, lyrics, audio"]),
        (["--encoder", "audio=x"], ["--encoder audio needs --audio-root"]),
        (["--encoder", "tags=x", "--embeddings", "tags=a"], ["tags: give either --encoder or --embeddings"]),
        (["--encoder-option", "tags=a=b"], ["goes with --encoder tags="]),
        (["--encoder", "tags=x", "--encoder-option", "tags=a"], ["give it as tags=KEY=VALUE"]),
    ],
)
def test_a_wrong_choice_of_vectors_is_noticed_at_once(
    tracks: Path, tmp_path: Path, options: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").touch()
    for command in ("run", "embed"):
        refused(call(command, "--tracks", tracks, "--store", tmp_path / "s", *options), 2, *words)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("value", ["audio", "sound=x", "audio="])
def test_an_option_of_a_modality_names_one_and_a_value(tracks: Path, tmp_path: Path, value: str) -> None:
    result = call("run", "--tracks", tracks, "--store", tmp_path / "s", "--embeddings", value)
    assert result.exit_code == 2
    assert "MODALITY=VALUE, with one of playlist, tags" in " ".join(result.stderr.split())


def test_clap_without_an_audio_root_is_wrong_usage(tracks: Path, tmp_path: Path) -> None:
    options = ["--audio-encoder", "clap", "--clap-checkpoint", "x"]
    refused(call("run", "--tracks", tracks, "--store", tmp_path / "s", *options), 2, "needs --audio-root")


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        *(
            (command, old, new)
            for command in ("run", "refresh", "embed", "plan", "rejects retry")
            for old, new in (
                ("--vectors", "--embeddings"),
                ("--vectors-id", "--embeddings-version"),
                ("--vectors-column", "--embeddings-column"),
            )
        ),
        ("playlists", "--from", "--from-bundle"),
        ("retrain", "--from", "--from-bundle"),
    ],
)
def test_an_old_option_name_works_with_a_warning(
    command: str, old: str, new: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = call(*command.split(), old, "audio=x", "--help")
    assert result.exit_code == 0
    assert f"the option {old[2:]} is now called {new[2:]}: use the new name" in caplog.text
    assert old not in result.stdout.replace(new, "").split()


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


def test_a_catalog_with_capital_letters_in_its_header_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "tracks.csv").write_text("track_id,Title,Mood\na,x,y\n")
    result = call("run", "--tracks", tmp_path / "tracks.csv", "--store", tmp_path / "s")
    refused(result, 3, "Title (did you mean title?), Mood")
    assert not (tmp_path / "s").exists()


def test_a_column_of_which_no_value_can_be_used_is_refused_before_anything_is_encoded(tmp_path: Path) -> None:
    (tmp_path / "tracks.csv").write_text("track_id,title,year\na,x,c. 1999\nb,y,unknown\n")
    store = tmp_path / "s"
    refused(call("embed", "--tracks", tmp_path / "tracks.csv", "--store", store), 3, "year (wrong_type 2)", "c. 1999")
    assert list(store.glob("vectors/*/*/bucket=*")) == []


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


def test_playlists_cannot_start_from_a_missing_bundle(demo_run: DemoRun) -> None:
    result = call(
        "playlists", "--playlists", demo_run.catalog.playlists, "--from-bundle", "gone", "--store", demo_run.store
    )
    refused(result, 2, "has no codebook bundle gone")


def test_playlists_that_name_no_known_track_are_refused(demo_run: DemoRun, tmp_path: Path) -> None:
    path = tmp_path / "playlists.jsonl"
    path.write_text('{"playlist_id": "p", "track_ids": ["no", "nothing"]}\n')
    store = tmp_path / "store"
    shutil.copytree(demo_run.store, store)
    [earlier] = store.glob("catalogs/*/playlists/playlists.json")
    content = earlier.read_bytes()
    refused(call("playlists", "--playlists", path, "--store", store), 3, "2 of 2 track ids are unknown", "'no'")
    assert earlier.read_bytes() == content


def test_too_many_lost_playlists_are_refused_and_the_earlier_ones_stay(demo_run: DemoRun, tmp_path: Path) -> None:
    store, path = tmp_path / "store", tmp_path / "playlists.jsonl"
    shutil.copytree(demo_run.store, store)
    [earlier] = store.glob("catalogs/*/playlists")
    content = {file: file.read_bytes() for file in earlier.rglob("*.*")}
    path.write_text('{"playlist_id": "p", "track_ids": 7}\n{\n{"playlist_id": "q", "track_ids": ["t1", "t2"]}\n')
    result = call("playlists", "--playlists", path, "--store", store)
    refused(result, 3, "2 of 3 playlists rejected", "malformed_row 1, wrong_type 1", "--max-reject-rate")
    assert {file: file.read_bytes() for file in earlier.rglob("*.*")} == content


@pytest.mark.parametrize("command", ["train", "tokenize", "publish"])
def test_a_job_without_its_inputs_names_the_job_to_run(tmp_path: Path, command: str) -> None:
    Store.open_or_create(str(tmp_path / "s"), 1)
    refused(call(command, "--store", tmp_path / "s"), 2, "run `tracktokens")


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = "import sys, tracktokens.pipelines.cli.main; print([m for m in sys.modules if m in HEAVY])"
    heavy = "HEAVY = {'torch', 'apache_beam', 'librosa', 'faiss', 'gensim', 'sentence_transformers', 'numpy'}; "
    shown = subprocess.run([sys.executable, "-c", heavy + code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def run_of_missing_tables(folder: Path) -> dict[str, list[str]]:
    """Options of ``run``, by the name in the message; one table of each run is missing."""
    tracks = folder / "tracks.jsonl"
    tracks.touch()
    return {
        "tracks": ["--tracks", str(folder / "no.csv")],
        "playlists": ["--tracks", str(tracks), "--playlists", str(folder / "no.csv")],
        "vectors": ["--tracks", str(tracks), "--embeddings", f"audio={folder / 'no.csv'}"],
    }


@pytest.mark.parametrize("table", ["tracks", "playlists", "vectors"])
def test_a_missing_table_is_found_before_anything_heavy_is_imported(tmp_path: Path, table: str) -> None:
    arguments = ["run", "--store", str(tmp_path / "store"), *run_of_missing_tables(tmp_path)[table]]
    code = (
        "import sys; from tracktokens.pipelines.cli.main import main; "
        "code = main(sys.argv[1:], standalone_mode=False); print(code, 'apache_beam' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["2", "False"]
    assert f"no.csv; give the {table} table as a file" in result.stderr
    assert not (tmp_path / "store").exists()


def test_exit_codes_are_documented() -> None:
    shown = call("--help").stdout
    for code in (0, 1, 2, 3, 5):
        assert f"{code}  " in shown


def test_publishing_before_tokenizing_is_refused_rather_than_a_table_of_none(demo_run: DemoRun, tmp_path: Path) -> None:
    store = tmp_path / "s"
    shutil.copytree(demo_run.store, store)
    latest = (store / "LATEST").read_text()
    shutil.rmtree(next(store.glob("codes/*/metadata")))
    refused(call("publish", "--store", store), 3, "metadata code", "run `tracktokens tokenize`")
    assert (store / "LATEST").read_text() == latest


def test_missing_vectors_are_refused(demo_run: DemoRun, tmp_path: Path) -> None:
    store = tmp_path / "s"
    shutil.copytree(demo_run.store, store)
    for lost in (*store.glob("codes/*/tags"), *store.glob("vectors/tags/*/bucket=*")):
        shutil.rmtree(lost)
    refused(call("tokenize", "--store", store), 3, "tags inputs of the catalog have no vector", "tracktokens embed")


def test_rejects_of_an_earlier_try_with_other_playlists_are_not_published(demo_run: DemoRun, tmp_path: Path) -> None:
    store, bad = tmp_path / "s", tmp_path / "bad.jsonl"
    shutil.copytree(demo_run.store, store)
    bad.write_text('{"playlist_id": "p", "track_ids": ["no"]}\n' * 9)
    refused(call("playlists", "--playlists", bad, "--store", store), 3)
    assert call("playlists", "--playlists", demo_run.catalog.playlists, "--store", store).exit_code == 0
    published = call("publish", "--store", store)
    rejects = pq.read_table(Path(published.stdout.split()[-1]) / "rejects").to_pylist()
    assert sum(row["table"] == "playlists" for row in rejects) == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [("--seed", "-1"), ("--seed", str(2**31)), ("--max-reject-rate", "nan"), ("--tracks", ""), ("--playlists", " ")],
)
def test_values_that_mean_nothing_are_wrong_usage(tracks: Path, tmp_path: Path, option: str, value: str) -> None:
    result = call("run", "--tracks", tracks, "--store", tmp_path / "s", option, value)
    assert result.exit_code == 2
    assert option in result.stderr


@pytest.mark.parametrize("store", ["{file}", "{file}/below", "unknown://bucket/store"])
def test_a_store_that_cannot_be_made_is_wrong_usage(tracks: Path, tmp_path: Path, store: str) -> None:
    (tmp_path / "file").write_text("mine")
    for command in ("embed", "run"):
        refused(call(command, "--tracks", tracks, "--store", store.format(file=tmp_path / "file")), 2)


def test_a_store_whose_path_looks_like_a_pattern_works(tracks: Path, tmp_path: Path) -> None:
    result = call("run", "--tracks", tracks, "--store", tmp_path / "songs [new] *", "--codebook-size", 2)
    assert result.exit_code == 0, result.stderr
    assert not list((tmp_path / "songs [new] *" / "codebooks").glob("training-*"))


def test_a_runner_that_beam_does_not_know_is_wrong_usage(tracks: Path, tmp_path: Path) -> None:
    refused(call("embed", "--tracks", tracks, "--store", tmp_path / "s", "--", "--runner=Foo"), 2, "Foo")


def test_an_option_that_beam_does_not_know_is_wrong_usage(tracks: Path, tmp_path: Path) -> None:
    result = call("run", "--tracks", tracks, "--store", tmp_path / "s", "--", "--direct_num_wokers=2")
    refused(result, 2, "--direct_num_wokers", "--direct_num_workers")
    assert not (tmp_path / "s").exists()


def test_a_catalog_of_which_no_row_can_be_used_is_refused_at_any_rate(tracks: Path, tmp_path: Path) -> None:
    tracks.write_text('{"track_id": " "}\n')
    result = call("embed", "--tracks", tracks, "--store", tmp_path / "s", "--max-reject-rate", "1")
    refused(result, 3, "none of 1 rows", "id_empty 1")


def test_files_of_unknown_format_in_a_folder_are_not_passed_over_in_silence(tracks: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    tracks.rename(folder / "a.jsonl")
    (folder / "b.txt").write_text("?")
    result = call("embed", "--tracks", folder, "--store", tmp_path / "s")
    assert result.exit_code == 0, result.stderr


def test_a_codebook_that_the_catalog_has_outgrown_is_kept_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def grow(count: int) -> Result:
        path = tmp_path / "tracks.jsonl"
        rows = ({"track_id": f"t{n}", "tags": [f"tag {n}"]} for n in range(count))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return call("run", "--tracks", path, "--store", tmp_path / "s", "--codebook-size", 8)

    assert grow(4).exit_code == 0
    caplog.clear()
    assert grow(20).exit_code == 0
    assert "tags: the codebook in use has 4 centroids, and this catalog has enough vectors for 8" in caplog.text


def test_a_command_without_the_packages_of_the_pipeline_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def callback(**_: object) -> None:
        raise ModuleNotFoundError("No module named 'apache_beam'", name="apache_beam")

    monkeypatch.setattr(main.commands["verify"], "callback", callback)
    result = call("verify", "store")
    assert isinstance(result.exception, ModuleNotFoundError)  # the pipeline is installed: a bug has a traceback
    monkeypatch.setattr(sys.modules["tracktokens.pipelines.cli.main"], "find_spec", lambda _: None)
    refused(call("verify", "store"), 2, "apache_beam is not installed: install tracktokens[pipeline]")

"""Jobs and commands on S3: equal tokens, and one line for each fault."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from tests.support.demo_run import CODES, DemoRun, differing_columns, token_table
from tests.support.s3_server import S3Server
from tests.support.warm_command import PROGRAM, run_command
from tracktokens.schemas.tables.tokens import TOKENS
from tracktokens.transforms.store.files import list_tree, read_table
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import latest_id

pytestmark = pytest.mark.disturbed


def tracktokens(*arguments: object, **variables: str | None) -> "subprocess.CompletedProcess[str]":
    """Run a command as a user does, with variables of its environment replaced, or removed with None."""
    environment: Mapping[str, str | None] = {**os.environ, **variables}
    given = {name: value for name, value in environment.items() if value is not None}
    return run_command(PROGRAM, *map(str, arguments), environment=given)


def succeeded(*arguments: object) -> str:
    done = tracktokens(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tokens_of(root: str) -> pa.Table:
    return read_table(Store.open(root).release(latest_id(root)).tokens, TOKENS).sort_by("track_id")


@pytest.fixture(scope="module")
def store(s3_bucket: str, demo_run: DemoRun) -> str:
    """The store of a run over the demo catalog in two worker processes."""
    root, demo = f"{s3_bucket}/store", demo_run.catalog
    catalog = ("--tracks", demo.tracks, "--playlists", demo.playlists, "--audio-root", demo.audio_root)
    succeeded("run", *catalog, "--store", root, "--codebook-size", CODES, "--workers", 2)
    return root


def test_a_run_in_two_processes_gives_the_tokens_of_a_local_store(store: str, demo_run: DemoRun) -> None:
    assert differing_columns(tokens_of(store), token_table(demo_run.outcome).select(TOKENS.names)) == []


def test_a_refresh_publishes_the_same_and_verify_finds_nothing(store: str) -> None:
    before, first = tokens_of(store), latest_id(store)
    succeeded("refresh", "--store", store)
    assert latest_id(store) > first
    assert tokens_of(store).equals(before)
    assert succeeded("verify", "--store", store) == "nothing found\n"


def test_a_takedown_leaves_no_trace(store: str, tmp_path: Path) -> None:
    before = tokens_of(store)
    forgotten = before["track_id"][0].as_py()
    succeeded("forget", forgotten, "--store", store, "--receipt", tmp_path / "receipt.json")
    assert tokens_of(store).equals(before.slice(1))
    assert succeeded("verify", "--store", store) == "nothing found\n"


def test_tokens_lead_back_to_their_track(store: str) -> None:
    track = tokens_of(store).drop_null().slice(0, 1).to_pylist()[0]
    found = succeeded("match", track["tokens"], "--store", store)
    assert found.startswith("1.000  ")


def test_the_endpoint_and_the_credentials_may_be_beam_options(store: str, s3: S3Server) -> None:
    options = (f"--s3_endpoint_url={s3.url}", "--s3_access_key_id=tests", "--s3_secret_access_key=tests")
    variables = dict.fromkeys(("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    done = tracktokens("verify", "--store", store, "--", *options, **variables)
    assert (done.returncode, done.stdout) == (0, "nothing found\n"), done.stderr


@pytest.mark.parametrize("command", [("show", "--store"), ("verify",), ("refresh", "--store")])
def test_a_missing_bucket_is_one_line_that_names_it(s3: S3Server, command: tuple[str, ...]) -> None:
    done = tracktokens(*command, "s3://nobodys-bucket/store")
    assert done.returncode == 2
    assert done.stderr == (
        "error: s3://nobodys-bucket/store: its bucket does not exist; create the bucket, or correct the path\n"
    )


def test_missing_credentials_are_one_line(store: str) -> None:
    done = tracktokens("show", "--store", store, **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {store}: the credentials are missing, expired or not accepted; sign in")
    assert done.stderr.count("\n") == 1


def test_texts_are_written_to_s3_and_a_model_is_not(store: str, s3_bucket: str, tmp_path: Path) -> None:
    succeeded("render", "tracks", "--store", store, "--out", f"{s3_bucket}/out/tracks.jsonl")
    assert list(list_tree(f"{s3_bucket}/out")) == ["tracks.jsonl"]

import pytest

from tracktokens.pipelines.input_paths import check_apart, check_not_read, check_reachable
from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.store import files


@pytest.fixture(autouse=True)
def catalog(tmp_path, monkeypatch):
    (tmp_path / "cat" / "sub").mkdir(parents=True)
    (tmp_path / "cat" / "a.csv").touch()
    (tmp_path / "link").symlink_to("cat")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("store", "tracks"),
    [
        ("cat/store", "cat"),
        ("cat/store", "cat/"),
        ("cat/x/y/store", "./cat"),
        ("link/store", "cat"),
        ("cat/store", "link"),
        ("cat/store", "link/**/*.parquet"),
        ("cat/store", "cat/**"),
        ("cat/store", "**/*.json"),
        ("cat/store", "cat/*/*.json"),
        ("file:store", "."),
        ("gs://b/cat/store", "gs://b/cat"),
        ("gs://b/cat/store/", "gs://b/cat/**/*.parquet"),
    ],
)
def test_a_store_that_the_next_job_would_read_is_refused(store, tracks):
    with pytest.raises(UsageError, match=r"--store .* is inside of --tracks .*: give a store outside of it"):
        check_apart(store, {"tracks": tracks})


@pytest.mark.parametrize(
    ("store", "tracks"),
    [
        ("cat", "cat"),
        ("cat", "cat/a.csv"),
        ("cat", "cat/sub"),
        ("link", "cat/sub/*.csv"),
        ("gs://b/s", "gs://b/s/x.csv"),
    ],
)
def test_an_input_inside_of_the_store_is_refused(store, tracks):
    with pytest.raises(UsageError, match=r"--tracks .* is inside of --store .*: give an input outside of it"):
        check_apart(store, {"tracks": tracks})


@pytest.mark.parametrize(
    ("store", "tracks"),
    [
        ("store", "cat"),
        ("cat2", "cat"),
        ("cat/store", "cat/a.csv"),
        ("cat/store", "cat/*.csv"),
        ("cat/store", "cat/**/*.csv"),
        ("cat/store", "cat/sub"),
        ("cat/_store", "cat"),
        ("gs://b/cat2", "gs://b/cat"),
        ("store", "gs://b/store"),
        ("gs://b/cat/store", "gs://b/cat/*.parquet"),
        ("store", "missing/*.csv"),
    ],
)
def test_a_store_beside_the_input_is_accepted(store, tracks):
    check_apart(store, {"tracks": tracks, "playlists": None})


def test_every_input_is_checked():
    with pytest.raises(UsageError, match=r"inside of --embeddings audio cat, so"):
        check_apart("cat/store", {"tracks": "cat/a.csv", "embeddings": {"lyrics": "x", "audio": "cat"}})


def test_a_file_url_is_a_local_path(tmp_path):
    assert files.absolute(f"file://{tmp_path}/a%20b") == f"{tmp_path}/a b"
    with pytest.raises(UsageError, match="is inside of --tracks"):
        check_apart(f"file://{tmp_path}/cat/store", {"tracks": "cat"})


@pytest.mark.parametrize("out", ["cat/train.jsonl", "cat/sub/new/x", "link/x.jsonl"])
def test_an_output_that_the_next_job_would_read_is_refused(out):
    with pytest.raises(UsageError, match=r"is inside of --tracks cat of the release, so the next job would read it"):
        check_not_read(out, {"tracks": "cat", "embeddings": {"audio": "vectors"}})


def test_an_output_beside_the_inputs_is_accepted():
    check_not_read("train.jsonl", {"tracks": "cat", "playlists": None, "embeddings": {"audio": "cat/sub/*.parquet"}})
    check_not_read("cat/train.jsonl", {"tracks": "cat/*.csv"})


@pytest.mark.parametrize(
    ("paths", "models", "message"),
    [
        ({"store": "gs://b/store", "tracks": "cat/a.csv"}, {}, r"^--tracks cat/a.csv is on this machine"),
        ({"store": "store", "tracks": "gs://b/t"}, {}, r"^--store store is on this machine"),
        ({"store": "gs://b/s", "embeddings": {"audio": "cat"}}, {}, r"^--embeddings audio cat is on this machine"),
        ({"store": "gs://b/s"}, {"text-model": "cat"}, r"^--text-model cat is on this machine.* --sdk_container_image"),
    ],
)
def test_paths_of_this_machine_are_refused_for_workers_elsewhere(paths, models, message) -> None:
    with pytest.raises(UsageError, match=message):
        check_reachable(paths, models, has_image=False)


def test_remote_paths_names_of_models_and_models_in_an_image_are_accepted() -> None:
    paths = {"store": "gs://b/store", "playlists": None, "embeddings": {"audio": "gs://b/a"}}
    check_reachable(paths, {"text-model": "intfloat/e5-small", "clap-checkpoint": None}, has_image=False)
    check_reachable(paths, {"text-model": "cat"}, has_image=True)

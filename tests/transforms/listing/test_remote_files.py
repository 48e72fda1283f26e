import pytest

from tracktokens.transforms.listing import remote_files
from tracktokens.transforms.listing.remote_files import list_remote

OBJECTS = (
    "gs://b/cat/a.jsonl",
    "gs://b/cat/2024/",
    "gs://b/cat/2024/b.jsonl",
    "gs://b/cat/2024/01/c.jsonl",
    "gs://b/cat/_tmp/d.jsonl",
    "gs://b/cat/_delta_log/0.json",
    "gs://b/cat/x.csv/part-0.csv",
    "gs://b/cat/store/store.json",
    "gs://b/cat/store/LATEST",
    "gs://b/category/e.jsonl",
)


@pytest.fixture(autouse=True)
def bucket(monkeypatch):
    """Objects as Beam lists them: a prefix and ``**``, or an exact name."""

    def match(pattern):
        if pattern.endswith("**"):
            return [(path, 1) for path in OBJECTS if path.startswith(pattern[:-2])]
        return [(path, 1) for path in OBJECTS if path == pattern]

    monkeypatch.setattr(remote_files, "match_remote", match)


def names(pattern):
    found, _ = list_remote(pattern, lambda name: name.endswith((".jsonl", ".json", ".csv")))
    return [path.removeprefix("gs://b/cat") for path, _ in found.files]


def test_patterns_mean_the_same_as_local_ones():
    assert names("gs://b/cat/**/*.jsonl") == ["/a.jsonl", "/2024/b.jsonl", "/2024/01/c.jsonl"]
    assert names("gs://b/cat/*.jsonl") == ["/a.jsonl"]
    assert names("gs://b/cat/*/b.jsonl") == ["/2024/b.jsonl"]
    assert names("gs://b/cat/2024/**") == ["/2024/b.jsonl", "/2024/01/c.jsonl"]
    assert names("gs://b/cat/2024/") == ["/2024/b.jsonl", "/2024/01/c.jsonl"]
    assert names("gs://b/cat/_*/*.jsonl") == ["/_tmp/d.jsonl"]
    assert names("gs://b/cat*/e.jsonl") == ["egory/e.jsonl"]


def test_folders_that_match_are_read_as_local_ones_are():
    assert names("gs://b/cat/x.csv") == ["/x.csv/part-0.csv"]
    assert names("gs://b/cat/*.csv") == ["/x.csv/part-0.csv"]
    assert names("gs://b/cat/20*") == ["/2024/b.jsonl", "/2024/01/c.jsonl"]
    found, _ = list_remote("gs://b/cat/*", lambda name: name.endswith(".csv"))
    assert [path for path, _ in found.files] == ["gs://b/cat/a.jsonl", "gs://b/cat/x.csv/part-0.csv"]
    assert found.folders == ["gs://b/cat/2024"]


def test_hidden_tables_are_found_and_markers_are_not():
    found, is_file = list_remote("gs://b/cat", lambda name: name.endswith((".jsonl", ".json")))
    assert found.hidden == ["gs://b/cat/_tmp/d.jsonl"]
    assert not is_file
    assert list_remote("gs://b/cat/a.jsonl", bool)[1]

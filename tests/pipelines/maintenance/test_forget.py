"""Takedown of tracks: nothing of them is left in any file, other tracks keep everything, and they stay out."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.older_store import STORES, call, latest, refresh, unpack
from tracktokens.pipelines.maintenance import forget
from tracktokens.pipelines.maintenance.forget import ForgetJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.manifests.store import StoreManifest
from tracktokens.schemas.tables.rejects import REJECTS
from tracktokens.transforms.maintenance import scrub_folder
from tracktokens.transforms.runtime.forgotten_tracks import ForgottenTracks
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store

pytestmark = pytest.mark.job

BOTH, REMOVED = "t20", "t0"
"""A track of both releases, and one of the first, whose old codes are in the ``changes/`` of the second."""

NEIGHBOUR = "t2"
"""A track whose id is the beginning of ``t20``."""


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two releases with playlists, lyrics as embeddings, and a reject of a track and of its text."""
    folder = unpack(STORES[-1], tmp_path_factory.mktemp("older"))
    names = ["table", "track_id", "modality", "stage", "reason", "detail"]
    rows = [
        ["tracks", BOTH, "audio", "validate", "audio_missing", "no file a/b.mp3"],
        ["tracks", None, None, "read", "malformed_row", f"row 7: '{BOTH}' is twice"],
        ["tracks", NEIGHBOUR, "audio", "validate", "audio_missing", "no file a/c.mp3"],
    ]
    rejects = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], REJECTS)
    release = latest(folder / "store")
    pq.write_table(rejects, release / "rejects" / "none.parquet")
    manifest = json.loads((release / "manifest.json").read_bytes())
    content = (release / "rejects" / "none.parquet").read_bytes()
    manifest["files"]["rejects/none.parquet"] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (release / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def folder(catalogs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(catalogs, tmp_path / "catalogs"))


@pytest.fixture(scope="module")
def forgotten(catalogs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalogs after a takedown of both tracks, and its receipt."""
    folder = Path(shutil.copytree(catalogs, tmp_path_factory.mktemp("forgotten") / "catalogs"))
    ids = folder / "ids.txt"
    ids.write_text(f"{REMOVED}\n\n")
    call("forget", BOTH, "--ids", ids, "--store", folder / "store", "--receipt", folder / "receipt.json")
    return folder


def key(track_id: str) -> bytes:
    return hashlib.blake2b(track_id.encode(), digest_size=16).digest()


def values(content: object) -> list[object]:
    """All values of a decoded table, at any depth."""
    if isinstance(content, dict):
        return [leaf for value in content.values() for leaf in values(value)]
    if isinstance(content, list):
        return [leaf for value in content for leaf in values(value)]
    return [content]


def traces(store: Path, track_id: str) -> list[str]:
    """Search every file of a store, in another way than the command: all decoded values, and all bytes."""
    number = int.from_bytes(key(track_id)[:8], "big")
    found = []
    for path in (path for path in store.rglob("*") if path.is_file()):
        content, cells = path.read_bytes(), []
        if path.suffix == ".parquet":
            cells = values(pq.read_table(path).to_pylist())
        elif path.suffix == ".arrow":
            cells = values(pa.ipc.open_file(pa.BufferReader(content)).read_all().to_pylist())
        elif path.suffix == ".json":
            cells = values(orjson.loads(content))
        named = any(cell in (track_id, key(track_id), number) or f"'{track_id}'" in str(cell) for cell in cells)
        in_bytes = key(track_id) in content or number.to_bytes(8, "little") in content
        if named or in_bytes:
            found.append(str(path.relative_to(store)))
    return found


def tokens(release: Path) -> list[dict[str, object]]:
    return pq.read_table(release / "tokens").sort_by("track_id").to_pylist()


def test_the_search_of_these_tests_finds_the_tracks_before_the_takedown(catalogs: Path) -> None:
    found = "\n".join(traces(catalogs / "store", BOTH))
    for part in ("tokens/", "rejects/", "catalogs/", "vectors/playlist", "codes/", "corpus/", "keys/", "places/"):
        assert part in found
    assert any("changes/" in path for path in traces(catalogs / "store", REMOVED))


@pytest.mark.parametrize("track_id", [BOTH, REMOVED])
def test_no_file_names_a_track_after_its_takedown(forgotten: Path, track_id: str) -> None:
    assert traces(forgotten / "store", track_id) == []


def test_the_store_is_in_order_and_other_tracks_keep_their_tokens(catalogs: Path, forgotten: Path) -> None:
    call("verify", "--store", forgotten / "store")
    old, new = (sorted((folder / "store" / "releases").iterdir()) for folder in (catalogs, forgotten))
    assert [path.name.partition("-")[0] for path in new] == [path.name.partition("-")[0] for path in old]
    assert not {path.name for path in old} & {path.name for path in new}
    assert latest(forgotten / "store") == new[-1]
    for before, after in zip(old, new, strict=True):
        assert tokens(after) == [row for row in tokens(before) if row["track_id"] not in (BOTH, REMOVED)]
        manifest = json.loads((after / "manifest.json").read_bytes())
        assert manifest["rows"]["read"] == manifest["rows"]["published"] + manifest["rows"]["rejected"]
    kept = [row for row in pq.read_table(old[-1] / "changes").to_pylist() if row["track_id"] not in (BOTH, REMOVED)]
    assert pq.read_table(new[-1] / "changes").to_pylist() == kept


def test_rejects_keep_their_reasons_without_the_track(forgotten: Path) -> None:
    rows = pq.read_table(latest(forgotten / "store") / "rejects").to_pylist()
    assert sorted((row["reason"], row["track_id"]) for row in rows if row["track_id"]) == [("audio_missing", NEIGHBOUR)]
    assert sorted(row["reason"] for row in rows) == ["audio_missing", "audio_missing", "forgotten", "malformed_row"]


def test_the_receipt_proves_the_takedown(catalogs: Path, forgotten: Path) -> None:
    receipt = json.loads((forgotten / "receipt.json").read_bytes())
    assert receipt["complete"]
    assert receipt["search"]["found"] == {}
    hashes = {hashlib.sha256(f"{receipt['salt']}{name}".encode()).hexdigest() for name in (BOTH, REMOVED)}
    assert {track["sha256"] for track in receipt["tracks"]} == hashes
    assert {track["found"] for track in receipt["tracks"]} == {True}
    assert receipt["latest"] == latest(forgotten / "store").name
    assert receipt["rows_removed"]["releases/tokens"] == 3
    assert receipt["rows_removed"]["catalogs/tracks"] == 3
    store = forgotten / "store"
    for path, digest in receipt["files"]["added"].items():
        assert hashlib.sha256((store / path).read_bytes()).hexdigest() == digest
    for path, digest in receipt["files"]["removed"].items():
        assert not (store / path).exists()
        assert hashlib.sha256((catalogs / "store" / path).read_bytes()).hexdigest() == digest
    assert receipt["search"]["files"] == sum(path.is_file() and path.name != "writer.lock" for path in store.rglob("*"))


def test_a_refresh_with_the_old_table_rejects_the_track_without_its_id(forgotten: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(forgotten, tmp_path / "catalogs"))
    before = tokens(latest(folder / "store"))
    release = refresh(folder / "two", folder / "store")
    assert tokens(release) == before
    rejected = [row for row in pq.read_table(release / "rejects").to_pylist() if row["reason"] == "forgotten"]
    assert sorted(row["table"] for row in rejected) == ["tracks", "vectors"]
    assert traces(folder / "store", BOTH) == []
    call("forget", BOTH, "--store", folder / "store", "--allow-again")
    ids = pa.array([BOTH, REMOVED])
    assert json.loads((folder / "store" / "store.json").read_bytes())["format"] == 3
    assert ForgottenTracks.of(Store.open(str(folder / "store"))).mask(ids).tolist() == [False, True]


def test_older_versions_refuse_a_store_that_forgets_also_after_a_rebucket(forgotten: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(forgotten / "store", tmp_path / "store"))
    call("rebucket", "--store", store, "--buckets", 2)
    manifest = StoreManifest.from_json((store / "store.json").read_bytes(), "store.json")
    assert (manifest.format, manifest.buckets, manifest.rebucketed, manifest.forgets) == (3, 2, True, True)
    call("forget", BOTH, REMOVED, "--store", store, "--allow-again")
    assert json.loads((store / "store.json").read_bytes())["format"] == 2


def test_a_second_takedown_changes_nothing(forgotten: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(forgotten / "store", tmp_path / "store"))
    call("forget", BOTH, REMOVED, "--store", store, "--receipt", tmp_path / "again.json")
    changed = json.loads((tmp_path / "again.json").read_bytes())["files"]
    assert (changed["added"], changed["changed"], changed["removed"]) == ({}, {}, {})


def test_an_unknown_id_changes_nothing_without_missing_ok(folder: Path) -> None:
    store = folder / "store"
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    output = call("forget", BOTH, "nobody", "--store", store, "--receipt", folder / "r.json", code=2).output
    assert "has no track 'nobody': correct the ids, or give --missing-ok; nothing was changed" in output
    after = {path: path.read_bytes() for path in store.rglob("*") if path.is_file() and path.name != "writer.lock"}
    assert after == {path: content for path, content in before.items() if path.name != "writer.lock"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--receipt", "r.json"], "no id is given"),
        ([BOTH], "--receipt is missing"),
        ([BOTH, "--receipt", "STORE/r.json"], "write outside of it"),
        ([BOTH, "--allow-again", "--missing-ok"], "--allow-again removes nothing"),
        ([BOTH, "--allow-again"], "no such track on its list"),
    ],
)
def test_a_wrong_call_is_one_line(catalogs: Path, arguments: list[str], problem: str) -> None:
    store = str(catalogs / "store")
    given = [argument.replace("STORE", store) for argument in arguments]
    assert problem in call("forget", *given, "--store", store, code=2).output


class KilledError(BaseException):
    """A kill."""


def dies_at(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call_number: int) -> None:
    """Make a function end the process at one of its calls."""
    original: Callable[..., object] = getattr(owner, name)
    calls = iter(range(1, 1 << 20))

    def die(*args: object, **kwargs: object) -> object:
        if next(calls) == call_number:
            raise KilledError
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, die)


STEPS = [
    (scrub_folder, "write_without", 3),
    (forget, "point_latest", 1),
    (forget, "_scrub_failures", 1),
    (forget, "open_output", 1),
]
"""Steps: while a catalog is copied, when all copies are there, after the old folders are deleted, and at the end."""


@pytest.mark.parametrize(("owner", "name", "number"), STEPS, ids=lambda value: str(getattr(value, "__name__", value)))
def test_a_killed_takedown_is_finished_by_the_same_command(
    folder: Path, forgotten: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, number: int
) -> None:
    store, receipt = folder / "store", folder / "receipt.json"
    job = ForgetJob(str(store), [BOTH, REMOVED], str(receipt))
    with monkeypatch.context() as patch:
        dies_at(patch, owner, name, number)
        with pytest.raises(KilledError):
            job.run(PipelineRunner())
    assert latest(store).joinpath("manifest.json").exists()
    assert not receipt.exists()
    assert "takedown that was not finished" in call("verify", "--store", store, code=3).output
    other = call("forget", NEIGHBOUR, "--store", store, "--receipt", receipt, code=2).output
    assert "a takedown of 2 other ids" in other
    done = job.run(PipelineRunner())
    assert done.found == {}
    assert not traces(store, BOTH) + traces(store, REMOVED)
    expected = json.loads((forgotten / "receipt.json").read_bytes())
    assert done.receipt["rows_removed"] == expected["rows_removed"]
    assert set(done.receipt["files"]["removed"]) == set(expected["files"]["removed"])
    assert done.receipt["latest"].partition("-")[0] == expected["latest"].partition("-")[0]
    call("verify", "--store", store)


def test_a_trace_that_is_left_is_named_and_is_exit_code_3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = folder / "store"
    monkeypatch.setattr(forget, "_scrub_failures", lambda store, _: files.write_bytes(f"{store.root}/note", key(BOTH)))
    output = call("forget", BOTH, "--store", store, "--receipt", folder / "r.json", code=3).output
    assert "note: its bytes have an id or a key" in output
    assert json.loads((folder / "r.json").read_bytes())["complete"] is False
    (store / "note").unlink()
    monkeypatch.undo()
    call("forget", BOTH, "--store", store, "--receipt", folder / "r.json")

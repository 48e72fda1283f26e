"""The doctor: what is ready, what a job would lack, and what would end it."""

import errno
import fcntl
import json
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.support.vector_catalog import job, write_catalog
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.doctor import machine, models, store_room
from tracktokens.pipelines.doctor.check import ERROR, OK, WARNING, Check
from tracktokens.pipelines.doctor.examine import examine_all
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.store.writer_lock import writer

pytestmark = pytest.mark.job


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    catalog = write_catalog(tmp_path_factory.mktemp("catalog"), 40)
    job(catalog, *MODALITIES).run(PipelineRunner())
    return str(catalog / "store")


def found(*arguments: str | None) -> dict[str, Check]:
    return {check.name: check for check in examine_all(*arguments)}


def test_a_machine_and_a_store_are_ready(store: str) -> None:
    checks = found(store)
    assert {check.state for check in checks.values()} == {OK}, checks
    assert "with 40 tracks" in checks["store"].remark
    assert "as in release" in checks["encoders"].remark
    assert "Ogg Vorbis" in checks["decoders"].remark
    before = sorted(Path(store).rglob("*"))
    found(store)
    assert sorted(Path(store).rglob("*")) == before


def test_results_are_printed_and_the_worst_one_is_the_exit_code(store: str, tmp_path: Path) -> None:
    ended = CliRunner().invoke(main, ["doctor", "--store", store])
    assert ended.exit_code == 0
    assert ended.output.splitlines()[0].startswith("ok       packages: tracktokens ")
    ended = CliRunner().invoke(main, ["doctor", "--text-model", str(tmp_path), "--json"])
    assert ended.exit_code == 1
    rows = {row["name"]: row for row in json.loads(ended.output)}
    assert rows["text model"]["state"] == ERROR
    assert "not a sentence-transformers model" in rows["text model"]["remark"]
    assert rows["decoders"]["state"] == OK


def test_a_package_that_is_missing_or_too_old_ends_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(name: str) -> str:
        if name == "soxr":
            raise metadata.PackageNotFoundError(name)
        return "1.0" if name == "apache-beam" else metadata.version(name)

    monkeypatch.setattr(machine, "version", installed)
    (check,) = examine_all(None)
    assert check.state == ERROR
    assert "soxr is not installed" in check.remark
    assert "apache-beam 1.0 is not >=" in check.remark
    assert "install tracktokens[pipeline]" in check.remark


def test_a_format_without_a_decoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine.FORMATS, "text", ("srt", "subrip"))
    write = machine._write_tone

    def write_text(path: Path, container: str, codec: str) -> bool:
        return bool(path.write_text("no sound")) if codec == "subrip" else write(path, container, codec)

    monkeypatch.setattr(machine, "_write_tone", write_text)
    state, remark = machine.decoders()
    assert state == WARNING
    assert remark.startswith("text is not decoded (")


def test_a_folder_that_is_no_store_and_a_new_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"track_id": [str(n) for n in range(3000)]}), tmp_path / "tracks.parquet")
    new = found(str(tmp_path / "a" / "store"), str(tmp_path / "tracks.parquet"))
    assert "is new" in new["store"].remark
    assert "a store for 3,000 tracks needs about 0.0135 GB" in new["disk"].remark
    assert not (tmp_path / "a").exists()
    other = found(str(tmp_path))
    assert other["store"].state == ERROR
    assert "is not a store" in other["store"].remark


def test_a_disk_without_room_is_an_error(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 5))
    checks = found(store)
    assert checks["disk"].state == ERROR
    assert checks["disk"].remark.startswith("5e-09 GB are free, a refresh needs about")
    assert checks["temporary files"].state == WARNING


def test_a_lock_that_is_held_and_a_filesystem_without_locks(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with writer(store, "run"):
        state = in_a_thread(lambda: found(store)["lock"])
    assert state.state == ERROR
    assert "is being written by `tracktokens run`" in state.remark

    def refuse(descriptor: int, flags: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert store_room.lock(store)[0] == WARNING


def test_other_encoders_than_the_releases_are_an_error(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        encoder_id = "other"

    class Source:
        def make_encoders(self) -> dict[str, Other]:
            return {"lyrics": Other()}

    monkeypatch.setattr(models, "released_source", lambda store: Source())
    check = found(store)["encoders"]
    assert check.state == ERROR
    assert check.remark.startswith("lyrics: other encoders than those of release")


def in_a_thread(call: Callable[[], Check]) -> Check:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()

"""Dumps and exports of ListenBrainz become sessions, playlists and tracks."""

import json
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tracktokens.pipelines.cli import main

T0 = 1_764_740_000
PRIVATE = "rob-private"


def uuid(number: int) -> str:
    return f"1eacb3ca-e8e1-4588-920d-{number:012x}"


def listen(minute: float, number: int, **more: Any) -> dict[str, Any]:
    """Make a listen as the export of an account has it, mapped to a recording."""
    metadata = {
        "track_name": f"Song {number}",
        "artist_name": "Burial",
        "release_name": "Untrue",
        "recording_msid": uuid(1000 + number),
        "mbid_mapping": {"recording_mbid": uuid(number), "artist_mbids": [uuid(1)], "caa_id": 41334538769},
        "additional_info": {"submission_client": PRIVATE, "origin_url": f"https://music.example/{PRIVATE}"},
    }
    return {"inserted_at": T0 + 0.5, "listened_at": T0 + 60 * minute, "track_metadata": metadata} | more


def dumped(minute: float, number: int, user: str) -> dict[str, Any]:
    """Make a listen as a dump has it."""
    metadata = {"track_name": f"Song {number}", "artist_name": "Burial", "additional_info": {"tags": ["dub", " "]}}
    return {
        "user_name": user,
        "timestamp": T0 + 60 * minute,
        "track_metadata": metadata,
        "recording_msid": uuid(1000 + number),
    }


def jspf(identifier: str | None, *tracks: dict[str, Any]) -> dict[str, Any]:
    address = None if identifier is None else f"https://listenbrainz.org/playlist/{identifier}"
    return {"playlist": {"title": "Calm", "creator": PRIVATE, "identifier": address, "track": list(tracks)}}


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def write_zip(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return path


def run_import(source: Path, out: Path, *options: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["import", "listenbrainz", str(source), "--out", str(out), *options])
    assert result.exit_code == code, result.output
    return result.output


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / f"{table}.parquet").to_pylist()
    return found


def counts(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "import.json").read_text(encoding="utf-8"))["counts"]
    return found


def test_an_export_becomes_sessions_of_one_person(tmp_path: Path) -> None:
    export = write_zip(
        tmp_path / "export.zip",
        user_dot_json=lines({"user_id": 1, "username": PRIVATE}),
        listens__2025__10_dot_jsonl=lines(listen(100, 4)),
        listens__2025__9_dot_jsonl=lines(listen(31, 2), listen(0, 1), listen(61, 3)),
        feedback_dot_jsonl=lines({"score": 1, "recording_mbid": uuid(9)}),
        playlists_dot_jsonl=lines(
            jspf(uuid(50), {"title": "A", "identifier": [f"https://musicbrainz.org/recording/{uuid(7).upper()}"]})
        ),
    )
    run_import(export, tmp_path / "out", "--gap", "30")
    playlists = rows(tmp_path / "out", "playlists")
    assert [[track[-1] for track in row["track_ids"]] for row in playlists] == [["7"], ["1"], ["2", "3"], ["4"]]
    assert (playlists[0]["playlist_id"], playlists[0]["name"]) == (uuid(50), "Calm")
    first = rows(tmp_path / "out", "tracks")[0]
    assert first["track_id"] == f"mbid:{uuid(1)}"
    assert (first["title"], first["artist"], first["album"]) == ("Song 1", "Burial", "Untrue")
    assert counts(tmp_path / "out")["found"] == {
        "files": 3,
        "files not used": 2,
        "listens": 4,
        "playlist entries": 1,
    }
    for table in ("tracks", "playlists", "rejects"):
        assert PRIVATE not in str(rows(tmp_path / "out", table))


@pytest.mark.parametrize("ending", [".tar", ".tar.xz", ".tar.zst"])
def test_a_dump_is_read_without_unpacking(tmp_path: Path, ending: str) -> None:
    listens = lines(dumped(0, 1, PRIVATE), dumped(1, 2, "ann"), dumped(2, 3, PRIVATE), dumped(2, 3, PRIVATE))
    content = BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz" if ending == ".tar.xz" else "w") as archive:
        for name, data in (("dump/COPYING", b"CC0"), ("dump/listens/2025/1.listens", listens)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))
    dump = tmp_path / f"dump{ending}"
    data = content.getvalue()
    dump.write_bytes(pa.compress(data, codec="zstd", asbytes=True) if ending == ".tar.zst" else data)
    run_import(dump, tmp_path / "out")
    playlists = rows(tmp_path / "out", "playlists")
    assert sorted([track[-1] for track in row["track_ids"]] for row in playlists) == [["9", "b"], ["a"]]
    assert rows(tmp_path / "out", "tracks")[0]["tags"] == ["dub"]
    assert rows(tmp_path / "out", "tracks")[0]["track_id"] == f"msid:{uuid(1001)}"
    found = counts(tmp_path / "out")
    assert found["found"]["listens"] == found["entries"] + found["found"]["repeated listens"] == 4
    assert PRIVATE not in str(playlists)


def test_the_submitted_recording_is_preferred_and_times_may_be_text(tmp_path: Path) -> None:
    submitted = listen(0, 1, listened_at="2025-12-03T05:30:00Z")
    submitted["track_metadata"]["additional_info"]["recording_mbid"] = uuid(5)
    later = listen(0, 2, listened_at=str(T0 + 86400))
    later["track_metadata"]["mbid_mapping"] = None
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + lines(later, submitted))
    run_import(tmp_path / "a.jsonl", tmp_path / "out")
    tracks = [row["track_ids"] for row in rows(tmp_path / "out", "playlists")]
    assert tracks == [[f"mbid:{uuid(5)}"], [f"msid:{uuid(1002)}"]]


def test_arrays_answers_and_playlists_are_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "array.json").write_text(json.dumps([listen(0, 1), listen(1, 2)], indent=2), encoding="utf-8")
    (source / "answer.json").write_text(
        json.dumps({"payload": {"listens": [listen(2, 3)]}}, indent=2), encoding="utf-8"
    )
    playlist = jspf(None, {"title": "A", "identifier": f"https://musicbrainz.org/recording/{uuid(4)}"}, {"title": "B"})
    (source / "mine.jspf").write_text(json.dumps(playlist, indent=2), encoding="utf-8")
    run_import(source, tmp_path / "out")
    written = {row["playlist_id"]: len(row["track_ids"]) for row in rows(tmp_path / "out", "playlists")}
    assert written.pop("mine.jspf:1") == 1
    assert list(written.values()) == [3]
    [lost] = rows(tmp_path / "out", "rejects")
    assert (lost["file"], lost["reason"], lost["id"]) == ("mine.jspf", "no_id", "mine.jspf:1")


def test_odd_values_are_rejected(tmp_path: Path) -> None:
    times = ["nan", "inf", True, None, "soon", [1]]
    values = [listen(0, 1), *(listen(0, 2, listened_at=time) for time in times)]
    (tmp_path / "a.json").write_text(json.dumps(values), encoding="utf-8")
    run_import(tmp_path / "a.json", tmp_path / "out")
    assert [row["title"] for row in rows(tmp_path / "out", "tracks")] == ["Song 1"]
    assert [row["line"] for row in rows(tmp_path / "out", "rejects")] == [2, 3, 4, 5, 6, 7]


def test_each_listen_is_written_or_rejected(tmp_path: Path) -> None:
    unknown = listen(2, 3)
    unknown["track_metadata"]["mbid_mapping"] = unknown["track_metadata"]["recording_msid"] = None
    playing_now = listen(3, 4)
    del playing_now["listened_at"]
    repeated = jspf(uuid(50), {"identifier": f"https://musicbrainz.org/recording/{uuid(7)}"})
    empty = jspf(uuid(51))
    content = lines(listen(0, 1), unknown, playing_now, [1], repeated, repeated, empty)
    (tmp_path / "a.jsonl").write_bytes(content + lines(listen(5, 6))[:-40])
    run_import(tmp_path / "a.jsonl", tmp_path / "out")
    lost = [(row["line"], row["reason"]) for row in rows(tmp_path / "out", "rejects")]
    assert lost == [
        (2, "no_id"),
        (3, "malformed"),
        (4, "malformed"),
        (6, "same_id"),
        (7, "playlist_empty"),
        (8, "malformed"),
    ]
    found = counts(tmp_path / "out")
    assert (found["found"]["listens"], found["found"]["playlist entries"], found["entries"]) == (4, 1, 2)


def test_an_archive_that_is_cut_or_damaged_keeps_what_was_read(tmp_path: Path) -> None:
    export = write_zip(
        tmp_path / "export.zip",
        listens__2025__1_dot_jsonl=lines(listen(0, 1)),
        listens__2025__2_dot_jsonl=lines(*(listen(number, number) for number in range(2, 200))),
    )
    content = bytearray(export.read_bytes())
    at = content.index(b"2.jsonl") + 60
    content[at : at + 40] = b"\0" * 40
    export.write_bytes(content)
    run_import(export, tmp_path / "out")
    assert rows(tmp_path / "out", "tracks")[0]["title"] == "Song 1"
    assert rows(tmp_path / "out", "rejects")[-1]["reason"] == "malformed"
    (tmp_path / "cut.tar.xz").write_bytes(b"\xfd7zXZ\0cut")
    assert "no listen that can be read" in run_import(tmp_path / "cut.tar.xz", tmp_path / "none", code=3)
    assert "does not exist" in run_import(tmp_path / "missing", tmp_path / "none", code=2)


def test_an_import_is_the_same_again(tmp_path: Path) -> None:
    (tmp_path / "a.listens").write_bytes(
        lines(*(dumped(number, number % 5, f"user {number % 3}") for number in range(30)))
    )
    for out in ("one", "two"):
        run_import(tmp_path / "a.listens", tmp_path / out)
    for name in ("tracks.parquet", "playlists.parquet", "rejects.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

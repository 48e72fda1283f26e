"""TalkPlayData-2 and the Music-CRS challenge become tracks, and sessions become playlists."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder
from tracktokens.pipelines.catalog_import.datasets import talkplay_data
from tracktokens.pipelines.catalog_import.datasets.talkplay_embeddings import name_embeddings
from tracktokens.pipelines.catalog_import.read_import import read_import
from tracktokens.pipelines.cli import main
from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.precomputed.vector_tables import open_vector_table

PRIVATE = "private-value"

SPLITS = (("all_tracks", 2), ("test_tracks", 1))
"""Splits of the embeddings, and their numbers of files."""


def track(track_id: str | None, **more: Any) -> dict[str, Any]:
    names = {"track_name": ["Blue", "Blue (Live)"], "artist_name": ["Ann", "Bob", "Ann"], "album_name": ["Sky", "Best"]}
    values = {"tag_list": ["folk", " ", "calm", "folk"], "popularity": 39.0, "release_date": "2006-12-06"}
    return {"track_id": track_id, "ISRC": ["TCABY1497179"], "duration": 300920} | names | values | more


def session(session_id: str | None, *track_ids: str) -> dict[str, Any]:
    turns = []
    for number, track_id in enumerate(track_ids, 1):
        turns.append({"turn_number": number, "role": "user", "content": PRIVATE, "thought": None})
        turns.append({"turn_number": number, "role": "music", "content": track_id, "thought": PRIVATE})
        turns.append({"turn_number": number, "role": "assistant", "content": "Try this.", "thought": None})
    return {"session_id": session_id, "user_id": PRIVATE, "conversations": turns}


def vectors(track_id: str) -> dict[str, Any]:
    lists = {"audio-laion_clap": [0.5, 1.0], "cf-bpr": [1.0], "image-siglip2": [0.5], "lyrics-qwen3": []}
    return {"track_id": track_id, "metadata-qwen3": ["no", "numbers"]} | lists


def write_parquet(path: Path, *records: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(records)), path)


def write_dataset(folder: Path) -> Path:
    empty = {"track_name": [], "artist_name": None, "tag_list": [], "popularity": float("nan"), "release_date": None}
    metadata = folder / "Track-Metadata/data"
    write_parquet(metadata / "all_tracks-00000-of-00001.parquet", track("t1"), track("t2", **empty), track(None))
    write_parquet(metadata / "test_tracks-00000-of-00001.parquet", track("t1"), track("t3"))
    sessions = (session("s1", "t2", "t1"), session("s1", "t1"), session("s2", "t9", "t3", " "), session("s3"))
    write_parquet(folder / "Sessions/data/train-00000-of-00001.parquet", *sessions[:3])
    lines = [json.dumps(sessions[3]), json.dumps(session(None, "t1")), json.dumps({"user_id": PRIVATE}), '{"cut']
    (folder / "Sessions/blind.jsonl").write_text("\n".join(lines), encoding="utf-8")
    embeddings = folder / "Track-Embeddings/data"
    for number, track_id in enumerate(("t1", "t2")):
        write_parquet(embeddings / f"all_tracks-{number:05}-of-00002.parquet", vectors(track_id), vectors("t9"))
    write_parquet(embeddings / "test_tracks-00000-of-00001.parquet", vectors("t1"))
    write_parquet(folder / "User-Embeddings.parquet", {"user_id": PRIVATE, "cf-bpr": [1.0]})
    (folder / "Sessions/dataset_infos.json").write_text("{\n}", encoding="utf-8")
    (folder / "damaged.parquet").write_text("version https://git-lfs.github.com/spec/v1", encoding="utf-8")
    return folder


def run_import(source: Path, out: Path, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["import", "talkplaydata", str(source), "--out", str(out)])
    assert result.exit_code == code, result.output
    return result.output


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / f"{table}.parquet").to_pylist()
    return found


def test_metadata_become_tracks_and_sessions_playlists(tmp_path: Path) -> None:
    run_import(write_dataset(tmp_path / "data"), tmp_path / "out")
    first, second, third = rows(tmp_path / "out", "tracks")
    assert [first["track_id"], second["track_id"], third["track_id"]] == ["t1", "t2", "t3"]
    assert (first["title"], first["artist"], first["album"], first["year"]) == ("Blue", "Ann, Bob", "Sky", 2006)
    assert (first["tags"], first["popularity"]) == (["folk", "calm"], 39)
    assert (second["title"], second["artist"], second["year"], second["popularity"]) == (None,) * 4
    assert second["tags"] is None
    playlists = {row["playlist_id"]: row["track_ids"] for row in rows(tmp_path / "out", "playlists")}
    assert playlists == {"s1": ["t2", "t1"], "s2": ["t3"]}


def test_each_record_is_written_rejected_or_counted(tmp_path: Path) -> None:
    source = write_dataset(tmp_path / "data")
    for out in ("one", "two"):
        run_import(source, tmp_path / out)
    lost = [(row["file"], row["line"], row["reason"]) for row in rows(tmp_path / "one", "rejects")]
    train, metadata = "Sessions/data/train-00000-of-00001.parquet", "Track-Metadata/data"
    assert lost == [
        ("Sessions/blind.jsonl", 4, "malformed"),
        (f"{metadata}/all_tracks-00000-of-00001.parquet", 3, "no_id"),
        ("damaged.parquet", None, "malformed"),
        ("Sessions/blind.jsonl", 1, "playlist_empty"),
        ("Sessions/blind.jsonl", 2, "malformed"),
        (train, 2, "same_id"),
        (train, 3, "track_unknown"),
        (train, 3, "no_id"),
        *[(f"Track-Embeddings/data/{split}-00000-of-0000{files}.parquet", None, "malformed") for split, files in SPLITS]
        * 2,
    ]
    counts = json.loads((tmp_path / "one/import.json").read_text(encoding="utf-8"))["counts"]
    found = {
        "files": 5,
        "files not used": 3,
        "files of embeddings": 2,
        "columns not used": 3,
        "records not used": 1,
        "sessions": 5,
        "tracks": 5,
    }
    assert counts["found"] == found | {"playlist entries": 5, "tracks that a file before has": 1}
    assert counts["entries"] == 5 - 2
    for table in ("tracks", "playlists", "rejects"):
        assert PRIVATE not in str(rows(tmp_path / "one", table))
        assert (tmp_path / f"one/{table}.parquet").read_bytes() == (tmp_path / f"two/{table}.parquet").read_bytes()


def test_the_largest_split_of_the_embeddings_is_named(tmp_path: Path) -> None:
    source = write_dataset(tmp_path / "data [1]")
    run_import(source, tmp_path / "out")
    catalog = read_import(str(tmp_path / "out"))
    assert {modality: table["embeddings-column"] for modality, table in catalog.embeddings.items()} == {
        "playlist": "cf-bpr",
        "audio": "audio-laion_clap",
    }
    table = open_vector_table(catalog.embeddings["audio"]["embeddings"], "audio-laion_clap")
    names = [Path(fragment.path).name for fragment in table.fragments]
    assert (names, table.dim) == ([f"all_tracks-0000{number}-of-00002.parquet" for number in (0, 1)], 2)


def test_a_source_without_tracks_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no Parquet or JSON file" in run_import(tmp_path / "empty", tmp_path / "out", code=2)
    (tmp_path / "a.jsonl").write_text(json.dumps(session("s1", "t1")), encoding="utf-8")
    assert "no track that can be read" in run_import(tmp_path / "a.jsonl", tmp_path / "out", code=3)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), UsageError("gone: no such file")])
@pytest.mark.parametrize("reading", [1, 2])
def test_a_file_that_vanishes_is_one_reject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reading: int
) -> None:
    source = write_dataset(tmp_path / "source")
    read, calls = talkplay_data.read_records, Counter[str]()

    def vanish(path: str) -> Any:
        calls[path] += 1
        if path.endswith("blind.jsonl") and calls[path] >= reading:
            raise error
        yield from read(path)

    monkeypatch.setattr(talkplay_data, "read_records", vanish)
    run_import(source, tmp_path / "out")
    lost = [row for row in rows(tmp_path / "out", "rejects") if row["reason"] == "file_unreadable"]
    assert [row["file"] for row in lost] == ["Sessions/blind.jsonl"]
    assert len(rows(tmp_path / "out", "tracks")) == 3


def test_files_that_cannot_be_opened_and_texts_that_are_cut_are_rejected(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "tracks.jsonl").write_text(json.dumps(track("t1", track_name=["Blue \ud83d"])), encoding="utf-8")
    os.mkfifo(source / "pipe.jsonl")
    write_parquet(source / "all-00000-of-00002.parquet", vectors("t1"))
    (source / "all-00001-of-00002.parquet").symlink_to("missing")
    run_import(source, tmp_path / "out")
    assert rows(tmp_path / "out", "tracks")[0]["title"] == "Blue \ufffd"
    lost = [(row["file"], row["reason"]) for row in rows(tmp_path / "out", "rejects")]
    assert ("pipe.jsonl", "file_unreadable") in lost
    assert ("all-00001-of-00002.parquet", "file_unreadable") in lost


def test_a_split_with_a_damaged_file_is_a_reject(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_parquet(source / "tracks.parquet", track("t1"))
    write_parquet(source / "all-00000-of-00002.parquet", vectors("t1"))
    write_parquet(damaged := source / "all-00001-of-00002.parquet", vectors("t2"))
    _, embeddings = talkplay_data._sort_files(source, folder := CatalogFolder(str(tmp_path / "out"), "source"))
    damaged.write_bytes(b"PAR1")
    with folder:
        name_embeddings(embeddings, source, folder)
    (lost,) = rows(tmp_path / "out", "rejects")
    assert (lost["file"], lost["reason"]) == ("all-00000-of-00002.parquet", "file_unreadable")

"""Inputs that went wrong, each run as its README states. The test of a case is named after its folder.

The cases are kept beside the repository; without them these tests are skipped. ``make cases`` prints a table.
"""

import json
import os
import re
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.support.case_folder import CaseFolder, Ended

pytestmark = pytest.mark.job


def test_audio_not_readable_is_remembered(case: CaseFolder) -> None:
    case.make()
    song = case.folder / "music" / "o3.wav"
    song.chmod(0)
    first = case.run("--audio-root", "music", restricted=True)
    assert first.code == 0
    assert "audio" in first.err, "the loss is warned of"
    [reject] = case.rejects()
    assert reject["reason"] != "audio_crashed"
    song.chmod(0o644)
    assert case.refresh("--audio-root", "music").code == 0
    assert case.token("o3.wav", "audio") != "audio_none"


def test_beam_option_typo(case: CaseFolder) -> None:
    typo = case.run("--", "--direct_num_wokers=2", "--no_such_option=1")
    assert typo.code == 2
    assert "direct_num_wokers" in typo.err
    assert case.release() is None


def test_blank_playlist_ids(case: CaseFolder) -> None:
    ended = case.run("--playlists", "playlists.jsonl", "--max-reject-rate", "1")
    assert ended.code == 3
    assert "id_missing 30" in ended.err
    assert "0 of 0" not in ended.err


def test_chained_ogg(case: CaseFolder) -> None:
    case.make()
    parts = [soundfile.read(case.folder / "music" / name)[0] for name in ("440.ogg", "880.ogg")]
    soundfile.write(case.folder / "music" / "whole.wav", np.concatenate(parts), 44100)
    rows = case.lines("tracks.jsonl")
    case.write_lines("tracks.jsonl", [*rows, {"track_id": "whole", "title": "whole", "audio_path": "whole.wav"}])
    assert case.run("--audio-root", "music").code == 0
    vectors = case.vectors("audio")
    alike = {name: float(vectors["chained.ogg"] @ vector) for name, vector in vectors.items() if name != "chained.ogg"}
    assert max(alike, key=alike.__getitem__) == "whole", f"the file is decoded whole: {alike}"
    assert alike["440.ogg"] < 0.95 < 0.99 < alike["whole"]


def test_columns_capitalised(case: CaseFolder) -> None:
    ended = case.run(tracks="tracks.csv")
    assert ended.code == 3
    assert all(name in ended.err for name in ("Title", "Artist", "Tags"))
    assert case.release() is None


def test_conversations_bom(case: CaseFolder) -> None:
    assert case.run().code == 0
    assert "2 read, 2 written, 0 rejected" in _render(case).out


def test_conversations_not_there(case: CaseFolder) -> None:
    _write_songs(case)
    assert case.run().code == 0
    missing = case.tokens("render", "conversations", "nope.jsonl", "--store", "s", "--out", "o.jsonl")
    assert missing.code == 2
    assert "nope.jsonl" in missing.err
    (case.folder / "talks").mkdir()
    assert case.tokens("render", "conversations", "talks", "--store", "s", "--out", "o.jsonl").code == 2


def test_empty_audio_root_refresh(case: CaseFolder) -> None:
    case.make()
    assert case.run("--audio-root", "music").code == 0
    before = case.release()
    (case.folder / "empty").mkdir()
    refused = case.refresh("--audio-root", "empty")
    assert refused.code == 2
    assert "empty" in refused.err
    assert case.release() == before


def test_globstar_zero_folders(case: CaseFolder) -> None:
    assert case.run(tracks="cat/**/*.jsonl").code == 0
    assert len(case.table()) == 40


def test_hive_year_parquet(case: CaseFolder) -> None:
    assert case.run(tracks="tracks").code == 0
    flat = pa.concat_tables(
        _with_year(part, int(part.parent.name.removeprefix("year=")))
        for part in sorted((case.folder / "tracks").rglob("*.parquet"))
    )
    pq.write_table(flat, case.folder / "flat.parquet")
    assert case.run(tracks="flat.parquet", store="flat").code == 0
    assert case.table() == case.table("flat"), "the year in the path counts like a column"


def test_inspect_title_closing_bracket(case: CaseFolder) -> None:
    assert case.run().code == 0
    [release] = json.loads(case.tokens("releases", "list", "--store", "s", "--json").out)
    shown = [case.tokens("inspect", release["bundle_id"], "metadata", str(code), "--store", "s") for code in range(8)]
    assert {ended.code for ended in shown} == {0}
    text = "".join(ended.out for ended in shown)
    assert "[/" in text


def test_jsonl_late_column(case: CaseFolder) -> None:
    ended = case.run("--playlists", "playlists.jsonl")
    assert ended.code == 0
    assert any("playlist_none" not in tokens for tokens in case.table().values())


def test_linked_subfolder(case: CaseFolder) -> None:
    (case.folder / "tracks" / "new").symlink_to("../elsewhere")
    assert case.run(tracks="tracks").code == 0
    assert len(case.table()) == 40


def test_list_view_tags(case: CaseFolder) -> None:
    assert case.run(tracks="tracks.parquet").code == 0
    assert all("tags_none" not in tokens for tokens in case.table().values())
    assert case.rejects() == []


def test_lrc_hours(case: CaseFolder) -> None:
    lyrics = {name: (case.folder / f"{name}.lrc").read_text(encoding="utf-8") for name in "ab"}
    words = "\n".join(line.rpartition("]")[2] for line in lyrics["b"].splitlines())
    songs = [f"{word} over and over" for word in ("rain", "sun", "snow", "wind", "sea", "fire", "dust")]
    texts = {**lyrics, "words": words, **{f"n{n}": song for n, song in enumerate(songs)}}
    case.write_lines("tracks.jsonl", [{"track_id": name, "lyrics": text} for name, text in texts.items()])
    assert case.run().code == 0
    encoded = json.loads(next(case.folder.glob("s/catalogs/*/catalog.json")).read_text())["encoded"]
    assert encoded["lyrics"] == len(songs) + 1, "the three are one text"


def test_match_digits(case: CaseFolder) -> None:
    _write_songs(case)
    assert case.run().code == 0
    for digits in ("9" * 5000, "9" * 4000):
        refused = case.tokens("match", f"<|audio_{digits}|>", "--store", "s")
        assert refused.code == 2
        assert len(refused.err) < 1000


def test_mention_of_id_with_brackets(case: CaseFolder) -> None:
    assert case.run().code == 0
    _render(case)
    [line] = case.lines("o.jsonl")
    table = case.table()
    written = [f"<|track|>{table[track_id]}<|/track|>" for track_id in ("live[1]", "t010")]
    assert line["messages"][0]["content"] == f"play {written[0]} and {written[1]}"


def test_nan_embedding_row(case: CaseFolder) -> None:
    case.make("make_model.py")
    _write_songs(case)
    assert case.run().code == 0
    for start in ((), ("--init", "mean")):
        refused = case.tokens("vocabulary", "apply", "--model", "m", "--store", "s", "--out", "o", *start)
        assert refused.code == 3
        assert "5" in refused.err
        assert not (case.folder / "o").exists()


def test_out_through_symlink(case: CaseFolder) -> None:
    _write_songs(case)
    assert case.run().code == 0
    (case.folder / "disk").mkdir()
    target = case.folder / "disk" / "train.jsonl"
    target.write_text("old\n")
    link = case.folder / "train.jsonl"
    link.symlink_to("disk/train.jsonl")
    refused = case.tokens("render", "tracks", "--store", "s", "--out", "train.jsonl")
    assert refused.code == 2
    assert "train.jsonl is a link to" in refused.err
    assert link.is_symlink()
    assert target.read_text() == "old\n"
    assert case.tokens("render", "tracks", "--store", "s", "--out", "disk/train.jsonl").code == 0
    assert len(target.read_text().splitlines()) == 20


def test_out_into_a_pipe(tmp_path: Path) -> None:
    case = CaseFolder(tmp_path)
    _write_songs(case)
    assert case.run().code == 0
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    assert case.tokens("render", "tracks", "--store", "s", "--out", "pipe").code == 0
    reader.join(timeout=30)
    assert pipe.is_fifo()
    assert len(read[0].splitlines()) == 20


def test_parquet_below_latin1_folder(case: CaseFolder) -> None:
    folder = case.folder / os.fsdecode(b"musiqu\xe9")
    folder.mkdir()
    (case.folder / "tracks.parquet").rename(folder / "tracks.parquet")
    assert case.run(tracks=folder.name).code == 0
    assert len(case.table()) == 40


def test_pg_array_playlists_csv(case: CaseFolder) -> None:
    assert case.run("--playlists", "playlists.csv", tracks="tracks.csv").code == 0
    for name in ("tracks.csv", "playlists.csv"):
        path = case.folder / name
        path.write_text(re.sub(r'"\{(.*)\}"', lambda cell: f'"{cell[1].replace(",", "|")}"', path.read_text()))
    assert case.run("--playlists", "playlists.csv", tracks="tracks.csv", store="bars").code == 0
    assert case.table() == case.table("bars"), "the same lists with bars between the elements"


def test_playlists_mostly_malformed(case: CaseFolder) -> None:
    refused = case.run("--playlists", "playlists.jsonl")
    assert refused.code == 3
    assert "malformed_row 25" in refused.err
    assert case.release() is None


def test_popularity_dblmax_parquet(case: CaseFolder) -> None:
    assert case.run(tracks="tracks.parquet").code == 0
    assert len(case.rejects()) == 1


def test_render_drops_message_fields(case: CaseFolder) -> None:
    assert case.run().code == 0
    _render(case)
    [before], [after] = case.lines("talks.jsonl"), case.lines("o.jsonl")
    for old, new in zip(before["messages"], after["messages"], strict=True):
        assert {**old, "content": ""} == {**new, "content": ""}
    assert case.table()["t001"] in after["messages"][0]["content"]


def test_role_smuggles_token(case: CaseFolder) -> None:
    assert case.run().code == 0
    case.tokens("render", "conversations", "talks.jsonl", "--store", "s", "--out", "o.jsonl")
    written = "".join(path.read_text() for path in case.folder.glob("o.jsonl"))
    assert "<|audio_5|>" not in written
    assert "<|track|>" not in written


def test_store_inside_tracks_folder(case: CaseFolder) -> None:
    refused = case.run(tracks="cat", store="cat/store")
    assert refused.code == 2
    assert not (case.folder / "cat" / "store").exists()


def test_tags_case_greek(case: CaseFolder) -> None:
    assert case.run().code == 0
    assert case.token("n0", "tags") == case.token("n1", "tags")


def test_text_model_without_pad_token(case: CaseFolder) -> None:
    case.make("make_model.py")
    ended = case.run("--text-model", "m")
    assert ended.code in (0, 2)
    if ended.code == 2:
        assert len(ended.err.strip().splitlines()) == 1


def test_unreadable_subfolder_tracks(case: CaseFolder) -> None:
    (case.folder / "tracks" / "b").chmod(0)
    refused = case.run(tracks="tracks", restricted=True)
    (case.folder / "tracks" / "b").chmod(0o755)
    assert refused.code == 2
    assert "tracks/b" in refused.err


def test_uuid_track_ids(case: CaseFolder) -> None:
    ended = case.run(tracks="tracks.parquet")
    assert "id_not_utf8" not in ended.err
    if ended.code == 0:
        assert all(len(track_id) == 36 for track_id in case.table())
    else:
        assert (ended.code, "id_wrong_type 40" in ended.err) == (3, True)


def test_vectors_integer_ids(case: CaseFolder) -> None:
    refused = case.run("--embeddings", "audio=v.parquet")
    assert refused.code == 3
    assert "id_wrong_type 40" in refused.err


def _render(case: CaseFolder) -> Ended:
    ended = case.tokens("render", "conversations", "talks.jsonl", "--store", "s", "--out", "o.jsonl")
    assert ended.code == 0
    return ended


def _with_year(part: Path, year: int) -> pa.Table:
    table = pq.ParquetFile(part).read()
    return table.append_column("year", pa.array([year] * table.num_rows, pa.int32()))


def _write_songs(case: CaseFolder) -> None:
    """Write a catalog for a case that goes with any store."""
    case.write_lines("tracks.jsonl", [{"track_id": f"t{n}", "title": f"song {n}"} for n in range(20)])

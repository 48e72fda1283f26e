"""Clips beside the atlas: those of the tracks that the panel names, and no others."""

import errno
import io
import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner, Result

from tests.support.toned_music import hertz, write_paths
from tracktokens.pipelines.analysis.atlas.clip_audio import BIT_RATE, WINDOW, ClipSource, decode_middle, encode_opus
from tracktokens.pipelines.analysis.atlas.clip_folder import replace_clips
from tracktokens.pipelines.analysis.inspect import Inspector
from tracktokens.pipelines.cli import main
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.failure import Failure
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.tables.rejects import AUDIO_UNREADABLE
from tracktokens.transforms.audio import DecodedFile, WindowReader
from tracktokens.transforms.audio.sandbox import FetchError
from tracktokens.transforms.readers.audio_root import AudioRoot
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import published_release

TRACKS = 40
CODES = 8


def run_atlas(store: Path, out: Path, *more: str | Path) -> Result:
    return CliRunner().invoke(main, ["atlas", "--store", str(store), "--out", str(out), *map(str, more)])


def data_of(page: Path) -> dict[str, Any]:
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    data: dict[str, Any] = json.loads(text)
    return data


def policy_of(page: bytes) -> str:
    [policy] = re.findall(r'Content-Security-Policy" content="(.*?)"', page.decode())
    return str(policy)


@pytest.fixture(scope="module")
def nearest(hostile_store: Path) -> dict[str, int]:
    """File name of a clip to the number of its track: the three nearest tracks of each code."""
    store = Store.open(str(hostile_store))
    inspector = Inspector(store, published_release(store).bundle_id, "audio")
    return {
        f"audio_{code}_{rank}.opus": int(track.track_id.removeprefix("t"))
        for code in range(CODES)
        for rank, track in enumerate(inspector.code(code).nearest_tracks[:3], 1)
    }


@pytest.mark.job
def test_each_clip_is_five_seconds_of_the_track_at_its_rank(page_with_clips: Path, nearest: dict[str, int]) -> None:
    folder = page_with_clips.parent / "100% sure? #1_audio"
    assert {path.name for path in folder.iterdir()} == set(nearest)
    for name, track in nearest.items():
        samples, rate = sf.read(folder / name)
        assert (len(samples) / rate, samples.ndim) == (5, 1)
        strongest = np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)
        assert strongest == pytest.approx(hertz(track), abs=1)


@pytest.mark.job
def test_the_page_lists_the_ranks_of_each_code_and_allows_media_beside_it(
    page_with_clips: Path, nearest: dict[str, int]
) -> None:
    clips = data_of(page_with_clips)["clips"]
    listed = {f"audio_{code}_{rank}.opus" for code, ranks in enumerate(clips["ranks"]["audio"]) for rank in ranks}
    assert listed == set(nearest)
    assert clips["folder"] == "100% sure? #1_audio"
    assert "; media-src 'self'; " in policy_of(page_with_clips.read_bytes())


@pytest.mark.job
def test_without_the_option_the_page_has_neither_clips_nor_a_policy_for_them(
    hostile_store: Path, page_with_clips: Path, tmp_path: Path
) -> None:
    assert run_atlas(hostile_store, tmp_path / "a.html").exit_code == 0
    page = (tmp_path / "a.html").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
    assert "media-src" not in policy_of(page)
    assert b".opus" not in page
    store = Store.open(str(hostile_store))
    assert Path(store.release(published_release(store).release_id).report).read_bytes() == page
    with_clips = data_of(page_with_clips)
    with_clips.pop("clips")
    assert with_clips == data_of(tmp_path / "a.html")


@pytest.mark.job
def test_tracks_without_usable_audio_are_counted_by_reason_and_the_others_have_clips(
    hostile_store: Path, music: Path, nearest: dict[str, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (unknown, null, blank, missing, outside, broken), audio = list(nearest.items())[:6], tmp_path / "audio"
    audio.mkdir()
    for path in (music / "audio").iterdir():
        (audio / path.name).hardlink_to(path)
    (audio / "broken.flac").write_bytes(b"no sound" * 100)
    paths: dict[int, str | None] = {n: f"{n}.flac" for n in range(TRACKS) if n != unknown[1]}
    paths |= {null[1]: None, blank[1]: " ", missing[1]: "none.flac", outside[1]: "../a.flac", broken[1]: "broken.flac"}
    write_paths(tmp_path / "tracks.parquet", paths)
    with caplog.at_level(logging.WARNING):
        result = run_atlas(
            hostile_store, tmp_path / "a.html", "--audio-snippets", "--tracks", tmp_path / "tracks.parquet",
            "--audio-root", audio,
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    lost = {unknown[0], null[0], blank[0], missing[0], outside[0], broken[0]}
    assert {path.name for path in (tmp_path / "a_audio").iterdir()} == nearest.keys() - lost
    ranks = data_of(tmp_path / "a.html")["clips"]["ranks"]["audio"]
    assert sum(map(len, ranks)) == len(nearest) - 6
    assert (
        f"6 of {len(nearest)} clips are left out (audio_missing 1, audio_outside_root 1, audio_undecodable 1, "
        "no_audio_path 2, unknown_track 1), such as that of track "
    ) in caplog.text
    assert f"a_audio: {len(nearest) - 6} of {len(nearest)} clips, " in result.stderr


@pytest.mark.job
def test_a_command_replaces_the_clips_of_a_former_one_and_keeps_other_files(
    hostile_store: Path, music: Path, nearest: dict[str, int], tmp_path: Path
) -> None:
    folder = tmp_path / "a_audio"
    folder.mkdir()
    ours = ("audio_99_1.opus", "audio2_3_3.opus", "audio_1_1.opus.0123456789ab.partial", "audio_0_1.opus")
    foreign = ("notes.txt", "audio_1.opus", "audio_1_1.opus.bak", "my_audio_1_1.opus", ".hidden")
    for name in (*ours, *foreign):
        (folder / name).write_text("former")
    (folder / "audio_98_1.opus").mkdir()
    source = ("--audio-snippets", "--tracks", music / "tracks.parquet", "--audio-root", music / "audio")
    assert run_atlas(hostile_store, tmp_path / "a.html", *source).exit_code == 0
    assert {path.name for path in folder.iterdir()} == {*nearest, *foreign, "audio_98_1.opus"}
    assert [(folder / name).read_text() for name in foreign] == ["former"] * len(foreign)
    assert (folder / "audio_0_1.opus").read_bytes().startswith(b"OggS")
    first = {name: (folder / name).read_bytes() for name in nearest}
    page = (tmp_path / "a.html").read_bytes()
    assert run_atlas(hostile_store, tmp_path / "a.html", *source).exit_code == 0
    assert {name: (folder / name).read_bytes() for name in nearest} == first
    assert (tmp_path / "a.html").read_bytes() == page


@pytest.mark.job
def test_an_imported_catalog_names_the_tracks_and_the_audio_root(
    hostile_store: Path, music: Path, page_with_clips: Path, tmp_path: Path
) -> None:
    summary = {"counts": {"written": {}}, "tracks": f"{music}/tracks.parquet", "audio_root": f"{music}/audio"}
    (tmp_path / "import.json").write_text(json.dumps(summary))
    result = run_atlas(hostile_store, tmp_path / "a.html", "--audio-snippets", "--catalog", tmp_path)
    assert result.exit_code == 0, result.output
    assert data_of(tmp_path / "a.html")["clips"]["ranks"] == data_of(page_with_clips)["clips"]["ranks"]


@pytest.mark.job
def test_a_page_without_any_usable_track_has_no_clips_and_no_folder(
    hostile_store: Path, music: Path, nearest: dict[str, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = run_atlas(hostile_store, tmp_path / "a.html", "--audio-snippets", "--audio-root", music / "audio")
    assert result.exit_code == 0, result.output
    assert f"{len(nearest)} of {len(nearest)} clips are left out (no_audio_path {len(nearest)})" in caplog.text
    assert data_of(tmp_path / "a.html")["clips"] == {"folder": "a_audio", "ranks": {}}
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_tracks_and_audio_root_are_those_of_the_release_unless_they_are_given(tmp_path: Path) -> None:
    (tmp_path / "a.flac").touch()
    release = ReleaseManifest("r", "b", "c", 8, {}, {}, {}, options={"tracks": "/x.parquet", "audio-root": "/nowhere"})
    assert ClipSource.of(release, None, str(tmp_path)) == ClipSource("/x.parquet", str(tmp_path))
    assert ClipSource.of(release, "/y.parquet", str(tmp_path)).tracks == "/y.parquet"
    with pytest.raises(UsageError, match="no such folder: /nowhere"):
        ClipSource.of(release, None, None)
    with pytest.raises(UsageError, match="clips need --tracks and --audio-root: release r was made without"):
        ClipSource.of(replace(release, options=None), None, None)


@pytest.mark.job
@pytest.mark.parametrize(
    ("out", "arguments", "message"),
    [
        ("a.html", ["--tracks", "x.parquet"], "--tracks is of use with --audio-snippets only"),
        ("a.html", ["--audio-root", "music"], "--audio-root is of use with --audio-snippets only"),
        ("a.html", ["--audio-snippets"], "clips need --audio-root: release "),
        ("a.html", ["--audio-snippets", "--audio-root", "nowhere"], "no such folder: "),
        ("-", ["--audio-snippets", "--audio-root", "MUSIC"], "give --out a local file"),
        ("MUSIC/a.html", ["--audio-snippets", "--audio-root", "MUSIC"], "write outside of it"),
        ("linked.html", ["--audio-snippets", "--audio-root", "MUSIC"], "linked_audio is a link"),
        ("file.html", ["--audio-snippets", "--audio-root", "MUSIC"], "file_audio is not a folder"),
    ],
)
def test_options_that_cannot_be_used_fail_before_anything_is_written(
    hostile_store: Path, music: Path, tmp_path: Path, out: str, arguments: list[str], message: str
) -> None:
    (tmp_path / "file_audio").touch()
    (tmp_path / "linked_audio").symlink_to(tmp_path)
    given = [argument.replace("MUSIC", str(music / "audio")) for argument in arguments]
    path = Path(out if out == "-" else out.replace("MUSIC", str(music / "audio")))
    result = run_atlas(hostile_store, path if out[0] in "-M" else tmp_path / path, *given)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert {found.name for found in tmp_path.iterdir()} == {"file_audio", "linked_audio"}
    assert not list((music / "audio").glob("a*"))


def test_equal_signals_have_equal_clips_of_the_bit_rate_however_loud_they_are() -> None:
    noise = np.random.default_rng(0).standard_normal(5 * WINDOW.sample_rate).astype(np.float32)
    clip = encode_opus(noise)
    assert encode_opus(noise.copy()) == clip
    assert encode_opus(1e9 * noise) == encode_opus(1e8 * noise)
    assert len(clip) < 1.2 * 5 * BIT_RATE / 8
    assert sf.info(io.BytesIO(clip)).duration == 5


def test_a_short_track_has_a_short_clip() -> None:
    clip = encode_opus(np.zeros(WINDOW.sample_rate // 10, np.float32))
    assert sf.info(io.BytesIO(clip)).duration == 0.1


@pytest.mark.parametrize("error", [FetchError("gs://x/a.flac cannot be fetched now"), OSError(errno.EIO, "disk")])
def test_a_file_that_cannot_be_read_now_is_a_failure_of_its_clip(tmp_path: Path, error: Exception) -> None:
    class Unreachable(WindowReader):
        def read(self, path: str) -> DecodedFile:
            raise error

    (tmp_path / "a.flac").touch()
    with Unreachable(WINDOW, 1) as reader:
        found = decode_middle(reader, AudioRoot(str(tmp_path)), "a.flac")
    assert found == Failure(AUDIO_UNREADABLE, str(error))


def test_a_folder_that_cannot_be_written_is_an_error_of_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="give a different --out"), replace_clips(tmp_path / "file" / "a_audio"):
        pass


def test_clips_stay_as_they_were_where_writing_them_fails(tmp_path: Path) -> None:
    folder = tmp_path / "a_audio"
    for former in ({}, {"audio_1_1.opus": b"former"}):
        for name, content in former.items():
            folder.mkdir()
            (folder / name).write_bytes(content)
        with pytest.raises(ZeroDivisionError), replace_clips(folder) as write:
            write("audio_1_1.opus", b"new")
            write("audio_2_1.opus", b"new")
            raise ZeroDivisionError
        assert folder.exists() == bool(former)
        assert {path.name: path.read_bytes() for path in tmp_path.glob("a_audio/*")} == former

"""Measure imports: seconds, seconds of processors, and the memory of the largest process.

    python benchmarks/bench_import.py mpd [--playlists 50000] [--entries 60]
    python benchmarks/bench_import.py folder SAMPLES [--files 100000]
    python benchmarks/bench_import.py fields FOLDER

``mpd`` makes slices of 1,000 playlists, whose tracks follow Zipf's law, and imports them. ``folder`` makes a tree of
artists and albums, 10 files each, whose files are hard links to those of SAMPLES, and imports it with one and two
processes, beside a plain loop of ``TinyTag.get`` over the same files, in turns; without durations, tinytag reads less
of a file. ``fields`` counts the files below FOLDER of which each reader finds a field: ours, tinytag, and mutagen where
it is installed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tracktokens.pipelines.catalog_import.music_folder.audio_tags import read_tags
from tracktokens.pipelines.catalog_import.music_folder.folder_walk import AUDIO_SUFFIXES

TRACKTOKENS = str(Path(sys.executable).with_name("tracktokens"))
LOOP = """
import os, sys
from tinytag import TinyTag
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        TinyTag.get(os.path.join(folder, name), duration=len(sys.argv) == 2)
"""
NAMES = {
    "title": ("title", "tit2", "\xa9nam"),
    "artist": ("artist", "tpe1", "author", "\xa9art"),
    "album": ("album", "talb", "wm/albumtitle", "\xa9alb"),
    "year": ("date", "year", "tdrc", "tyer", "wm/year", "\xa9day"),
    "genre": ("genre", "tcon", "wm/genre", "\xa9gen"),
    "lyrics": ("lyrics", "unsyncedlyrics", "uslt", "wm/lyrics", "\xa9lyr"),
    "isrc": ("isrc", "tsrc", "wm/isrc"),
    "recording id": ("musicbrainz_trackid", "musicbrainz track id", "musicbrainz/track id", "ufid"),
}
"""Fields, and their names in the formats, in lower case."""

PER_SLICE, PER_ALBUM, ALBUMS_PER_ARTIST = 1_000, 10, 10


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    mpd = commands.add_parser("mpd")
    mpd.add_argument("--playlists", type=int, default=50_000)
    mpd.add_argument("--entries", type=int, default=60)
    folder = commands.add_parser("folder")
    folder.add_argument("samples", type=Path)
    folder.add_argument("--files", type=int, default=100_000)
    folder.add_argument("--repeats", type=int, default=2)
    commands.add_parser("fields").add_argument("folder", type=Path)
    chosen = parser.parse_args()
    if chosen.command == "fields":
        print_fields(chosen.folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        if chosen.command == "mpd":
            measure_mpd(Path(scratch), chosen.playlists, chosen.entries)
        else:
            measure_folder(Path(scratch), chosen.samples, chosen.files, chosen.repeats)


def measure_mpd(scratch: Path, playlists: int, entries: int) -> None:
    """Make slices, and import them with and without tags from names."""
    make_slices(scratch / "mpd", playlists, entries)
    size = sum(path.stat().st_size for path in (scratch / "mpd").iterdir())
    print(f"{playlists:,} playlists, {playlists * entries:,} entries, {size / 2**20:,.0f} MiB")
    for options in ([], ["--tags-from-names", "3"]):
        out = str(scratch / "out")
        _, costs = measure([TRACKTOKENS, "import", "mpd", str(scratch / "mpd"), "--out", out, *options])
        print(f"{' '.join(options) or 'no tags':24}{costs}")


def make_slices(folder: Path, playlists: int, entries: int) -> None:
    random = np.random.default_rng(0)
    folder.mkdir()
    for first in range(0, playlists, PER_SLICE):
        drawn = random.zipf(1.2, (PER_SLICE, entries)) % 500_000
        names = random.zipf(1.5, PER_SLICE) % 10_000
        listed = [playlist(first + row, int(names[row]), drawn[row].tolist()) for row in range(PER_SLICE)]
        path = folder / f"mpd.slice.{first}-{first + PER_SLICE - 1}.json"
        path.write_text(json.dumps({"info": {}, "playlists": listed}, indent=4), encoding="utf-8")


def playlist(pid: int, name: int, numbers: list[int]) -> dict[str, Any]:
    tracks = [
        {
            "pos": pos,
            "artist_name": f"Artist {number // 10}",
            "track_uri": f"spotify:track:{number:022d}",
            "artist_uri": f"spotify:artist:{number // 10:022d}",
            "track_name": f"Song {number}",
            "album_uri": f"spotify:album:{number // 5:022d}",
            "duration_ms": 226863,
            "album_name": f"Album {number // 5}",
        }
        for pos, number in enumerate(numbers)
    ]
    return {"name": f"name {name}", "collaborative": "false", "pid": pid, "num_tracks": len(tracks), "tracks": tracks}


def measure_folder(scratch: Path, samples: Path, files: int, repeats: int) -> None:
    """Make a tree, and read it by the loop and by imports."""
    root = scratch / "music"
    make_tree(root, [path for path in sorted(samples.rglob("*")) if is_audio(path)], files)
    loop = [sys.executable, "-c", LOOP, str(root)]
    commands = {"loop of TinyTag.get": loop, "loop without durations": [*loop, "tags"]}
    for workers in ("1", "2"):
        options = ["--id", "path", "--workers", workers, "--out", str(scratch / "out")]
        commands[f"import, processes: {workers}"] = [TRACKTOKENS, "import", "folder", str(root), *options]
    for _ in range(repeats):
        for name, command in commands.items():
            seconds, costs = measure(command)
            print(f"{name:24}{files / seconds:10,.0f} files/s{costs}", flush=True)


def make_tree(root: Path, samples: list[Path], files: int) -> None:
    """Make hard links to copies of the samples."""
    copies = root.parent / "samples"
    copies.mkdir()
    for number, sample in enumerate(samples):
        (copies / f"{number}{sample.suffix}").write_bytes(sample.read_bytes())
    sources = sorted(copies.iterdir())
    for number in range(files):
        album = number // PER_ALBUM
        folder = root / f"Artist {album // ALBUMS_PER_ARTIST}" / f"Album {album % ALBUMS_PER_ARTIST}"
        folder.mkdir(parents=True, exist_ok=True)
        source = sources[number % len(sources)]
        os.link(source, folder / f"{number % PER_ALBUM:02d} Song{source.suffix}")


def is_audio(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()


def measure(command: list[str]) -> tuple[float, str]:
    """Run a command; return its seconds, and its costs as text."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[:4]} failed")
    seconds = time.perf_counter() - begin
    costs = f"{seconds:8.1f} s{usage.ru_utime + usage.ru_stime:8.1f} s CPU{usage.ru_maxrss / 1024:8.0f} MiB"
    return seconds, costs


def print_fields(folder: Path) -> None:
    """Print the numbers of files with each field, by reader."""
    paths = [path for path in sorted(folder.rglob("*")) if is_audio(path)]
    readers = {"ours": our_fields, "tinytag": tinytag_fields}
    if importlib.util.find_spec("mutagen"):
        readers["mutagen"] = mutagen_fields
    counts = {
        name: Counter(field for path in paths for field in found(reader, path)) for name, reader in readers.items()
    }
    print(f"{len(paths)} files".ljust(16) + "".join(f"{name:>10}" for name in readers))
    for field in ("opened", *NAMES):
        print(f"{field:16}" + "".join(f"{counts[name][field]:10}" for name in readers))


def found(reader: Callable[[str], Mapping[str, Any]], path: Path) -> Iterator[str]:
    try:
        fields = reader(str(path))
    except Exception:
        return
    yield "opened"
    yield from (name for name, value in fields.items() if is_filled(value))


def is_filled(value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return any(str(one).strip() for one in values if one is not None)


def our_fields(path: str) -> Mapping[str, Any]:
    tags = read_tags(path)
    values = (tags.title, tags.artist, tags.album, tags.year, tags.tags, tags.lyrics, tags.isrc, tags.recording_id)
    return dict(zip(NAMES, values, strict=True))


def tinytag_fields(path: str) -> Mapping[str, Any]:
    from tinytag import TinyTag

    tag = TinyTag.get(path)
    named = {name: getattr(tag, name) for name in ("title", "artist", "album", "year", "genre")}
    return by_name({name.lower(): value for name, value in tag.other.items()}) | named


def mutagen_fields(path: str) -> Mapping[str, Any]:
    mutagen = importlib.import_module("mutagen")
    files = [file for easy in (True, False) if (file := mutagen.File(path, easy=easy)) is not None]
    if not files:
        raise ValueError(path)
    return by_name({name.lower(): value for file in files for name, value in dict(file.tags or {}).items()})


def by_name(tags: Mapping[str, Any]) -> dict[str, Any]:
    """Find fields by the names that the formats have for them; a name of ID3 may have a suffix, as ``uslt::eng``."""
    return {
        field: next((value for name, value in tags.items() if name in names or name.split(":")[0] in names), None)
        for field, names in NAMES.items()
    }


if __name__ == "__main__":
    main()

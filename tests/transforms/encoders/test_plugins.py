"""Third-party encoders: the documented one, and invalid ones."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.plugins import EncoderRequest, plugin_encoder

PAGE = Path(__file__).parents[3] / "docs" / "encoders.md"

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Write a module and its entry points as a package on the path."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def write(source: str, entry_points: str) -> None:
        info = tmp_path / "site" / "thirdparty-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tracktokens.encoders]\n{entry_points}\n")
        (tmp_path / "site" / "letters.py").write_text(source)

    return write


def shown(language: str) -> str:
    """Block of the page on encoders in this language that defines an encoder."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    [block] = [block for block in blocks if "letters" in block]
    return block


@pytest.mark.job
def test_the_documented_encoder_tokenizes_a_catalog_in_worker_processes(install: Install, tmp_path: Path) -> None:
    install(shown("python"), shown("toml").splitlines()[1].replace('"', ""))
    rows = [{"track_id": f"t{n}", "tags": [tag]} for n, tag in enumerate(["aaa", "aab", "zzz", "zzy"])]
    (tmp_path / "tracks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "tracktokens.pipelines.cli.main", "run", "--encoder", "tags=letters"]
    command += ["--tracks", str(tmp_path / "tracks.jsonl"), "--store", str(tmp_path / "store")]
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [*command, "--codebook-size", "2", "--workers", "2"], check=True, env={**os.environ, "PYTHONPATH": path}
    )
    release = tmp_path / "store" / "releases" / (tmp_path / "store" / "LATEST").read_text().strip()
    codes = [row["tags"] for row in pq.read_table(release / "tokens").sort_by("track_id").to_pylist()]
    assert codes[0] == codes[1] != codes[2] == codes[3]
    [manifest] = (tmp_path / "store" / "vectors" / "tags").glob("*/encoder.json")
    assert json.loads(manifest.read_text())["identity"] == {"name": "letters", "version": 1}


def test_a_factory_receives_the_request_of_the_user(install: Install) -> None:
    source = """
from tests.support.echo_encoder import Echo
def make(request):
    return Echo(request.modality, request.audio_root, dict(request.options))
"""
    install(source, "echo = letters:make")
    made = plugin_encoder("echo", EncoderRequest("audio", "/music", options={"bands": "12"}))
    assert made.identity() == {"modality": "audio", "root": "/music", "options": {"bands": "12"}}


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        ("object()", "returns an object of type object, not an"),
        ("1 / 0", "cannot be created: ZeroDivisionError"),
        ("Fickle('here', None, {})", "has a different encoder_id after pickling"),
        ("Local('here', None, {})", "cannot be sent to workers: TypeError"),
    ],
)
def test_an_invalid_encoder_is_refused_with_the_name_of_its_factory(install: Install, made: str, fault: str) -> None:
    install(
        f"from tests.support.echo_encoder import *\ndef make(request):\n    return {made}\n",
        "x = letters:make",
    )
    sys.modules.pop("letters", None)
    with pytest.raises(UsageError, match=rf"encoder x \(letters:make\) {fault}"):
        plugin_encoder("x", EncoderRequest("tags"))


def test_a_name_that_is_not_installed_is_refused_and_the_others_are_named(install: Install) -> None:
    install("", "bpm = letters:make")
    with pytest.raises(UsageError, match=r"no encoder tempo is installed .*: bpm\)"):
        plugin_encoder("tempo", EncoderRequest("audio"))

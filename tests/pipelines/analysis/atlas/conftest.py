"""A store whose titles try to inject markup into the atlas, and an atlas of it with clips."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.titled_store import make_titled_store
from tests.support.toned_music import write_music
from tracktokens.pipelines.cli import main

HOSTILE = (
    '</script><script>document.title = "injected"</script>',
    "<img src=x onerror=\"document.title='injected'\">",
    "<svg onload='document.title=\"injected\"'>",
    "<!-- <script>",
    "{{constructor.constructor('document.title=1')()}}",
    "javascript:document.title='injected'",
    "\u2028 a line end of JavaScript, \u202e and a turn",
    "&lt;b&gt; is no tag",
)


@pytest.fixture(scope="session")
def hostile_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_titled_store(
        tmp_path_factory.mktemp("hostile"), [f"{n} {title}" for n in range(5) for title in HOSTILE]
    )


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Audio of all tracks of the store."""
    return write_music(tmp_path_factory.mktemp("music"), 5 * len(HOSTILE))


@pytest.fixture(scope="session")
def page_with_clips(hostile_store: Path, music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas with clips, in a file whose name an address must escape."""
    out = tmp_path_factory.mktemp("clips") / "100% sure? #1.html"
    command = ["atlas", "--store", str(hostile_store), "--out", str(out), "--audio-snippets"]
    source = ["--tracks", str(music / "tracks.parquet"), "--audio-root", str(music / "audio")]
    result = CliRunner().invoke(main, [*command, *source])
    assert result.exit_code == 0, result.output
    return out

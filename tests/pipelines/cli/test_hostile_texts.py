"""Commands show what a catalog holds, whoever wrote it, and nothing of it controls the terminal."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.titled_store import make_titled_store
from tracktokens.pipelines.cli.main import main
from tracktokens.schemas.display import UNPRINTABLE
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import published_release

pytestmark = pytest.mark.job

TITLE = "[bold]A[/] [/b]\x1b[31m\x9b2J\r\u202eB\u2028C\x07"
SHOWN = r"[bold]A[/] [/b]\x1b[31m\x9b2J\r\u202eB\u2028C\x07"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_titled_store(tmp_path_factory.mktemp("hostile"), [TITLE] * 12, codes=2)


@pytest.mark.parametrize(
    ("command", "shows_title"),
    [
        (["show"], True),
        (["match", "<|audio_0|>"], True),
        (["match", "<|audio_0|>", "--json"], False),
        (["inspect", "BUNDLE", "audio", "0"], True),
        (["inspect", "BUNDLE", "audio"], False),
        (["inspect", "BUNDLE"], False),
        (["releases", "show", "BUNDLE"], False),
        (["match", TITLE], False),
        (["inspect", TITLE], False),
        (["releases", "show", TITLE], False),
        ([TITLE], False),
        (["show", f"--{TITLE}"], False),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_printed_texts_are_harmless(store: Path, command: list[str], shows_title: bool) -> None:
    bundle = published_release(Store.open(str(store))).bundle_id
    words = [bundle if word == "BUNDLE" else word for word in command]
    words += [] if command == [TITLE] else ["--store", str(store)]
    ended = CliRunner().invoke(main, words, env={"COLUMNS": "300"})
    assert ended.exit_code in (0, 2), ended.output
    assert not UNPRINTABLE.search(ended.output.replace("\n", ""))
    assert ("".join(SHOWN.split()) in "".join(ended.output.replace("│", "").split())) >= shows_title

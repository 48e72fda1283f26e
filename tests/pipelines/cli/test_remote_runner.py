"""Commands with Dataflow's runner and a path of this machine end before anything is read."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tracktokens.pipelines.cli.main import main

DATAFLOW = ("--", "--runner=DataflowRunner", "--project=p", "--region=r", "--temp_location=gs://b/tmp")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("run --store {} --tracks gs://b/t", "store"),
        ("run --store gs://b/s --tracks {}", "tracks"),
        ("run --store gs://b/s --tracks gs://b/t --playlists {}", "playlists"),
        ("run --store gs://b/s --tracks gs://b/t --audio-root {}", "audio-root"),
        ("run --store gs://b/s --tracks gs://b/t --embeddings lyrics={}", "embeddings lyrics"),
        ("run --store gs://b/s --tracks gs://b/t --text-model {}", "text-model"),
        ("embed --store {} --tracks gs://b/t", "store"),
        ("playlists --store gs://b/s --playlists {}", "playlists"),
        ("train --store {}", "store"),
        ("retrain --store {} --from-bundle b", "store"),
        ("tokenize --store {} --bundle b", "store"),
        ("publish --store {} --bundle b", "store"),
        ("verify {}", "store"),
    ],
)
def test_a_local_path_is_named_with_its_option(command: str, option: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [*command.format(tmp_path).split(), *DATAFLOW])
    assert result.exit_code == 2
    [line] = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: --{option} {tmp_path} is on this machine")
    assert list(tmp_path.iterdir()) == []

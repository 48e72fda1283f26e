"""``--catalog`` replaces the options that name the inputs of a job."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder
from tracktokens.pipelines.catalog_import.import_catalog import ImportSource, import_catalog
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.cli import main
from tracktokens.pipelines.cli.options.config_file import config_option
from tracktokens.pipelines.cli.options.encoder_options import source_options
from tracktokens.pipelines.released_options import ReleasedOptions

pytestmark = pytest.mark.usefixtures("unchecked_tables")


@click.command()
@config_option
@source_options()
def show(source: CatalogSource) -> None:
    click.echo(json.dumps([source.tracks, source.playlists, source.audio_root]))


@click.command()
@config_option
@source_options()
def show_embeddings(source: CatalogSource) -> None:
    tables = {modality: [config.path, config.column] for modality, config in source.embeddings.items()}
    click.echo(json.dumps([source.playlists, tables]))


RELEASED: dict[str, Any] = {}
"""Options of the release that ``show_refresh`` refreshes."""


@click.command()
@config_option
@click.option("--store")
@source_options(remembered=lambda store: ReleasedOptions(release_id="r1", options=RELEASED))
def show_refresh(source: CatalogSource, store: str) -> None:
    tables = {modality: [config.path, config.column] for modality, config in source.embeddings.items()}
    click.echo(json.dumps([source.playlists, tables]))


def options_of(*arguments: str, command: click.Command = show) -> Any:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def write_import(tmp_path: Path, playlists: int, audio: bool, embeddings: Any = None) -> str:
    def importer(folder: CatalogFolder, report: object) -> None:
        folder.add_track(track_id="t1")
        if embeddings is not None:
            folder.summary["embeddings"] = embeddings
        for number in range(playlists):
            folder.add_playlist(str(number), ["t1"], file="lists")

    out, source = tmp_path / "catalog", tmp_path / "music"
    source.mkdir()
    chosen = ImportSource(kind="test", path=str(source), audio_root=str(source) if audio else None)
    import_catalog(chosen, str(out), importer, lambda kind, number: None)
    return str(out)


def test_a_catalog_names_what_it_has(tmp_path: Path) -> None:
    out = write_import(tmp_path, playlists=1, audio=True)
    assert options_of("--catalog", out) == [f"{out}/tracks.parquet", f"{out}/playlists.parquet", f"{tmp_path}/music"]


def test_a_catalog_without_playlists_and_audio_names_its_tracks(tmp_path: Path) -> None:
    out = write_import(tmp_path, playlists=0, audio=False)
    assert options_of("--catalog", out) == [f"{out}/tracks.parquet", None, None]


@pytest.mark.parametrize("last", [True, False])
def test_options_win_over_the_catalog_and_the_catalog_over_a_config_file(tmp_path: Path, last: bool) -> None:
    out = write_import(tmp_path, playlists=1, audio=False)
    (tmp_path / "config.toml").write_text('tracks = "old"\naudio-root = "sound"\n', encoding="utf-8")
    config, catalog = ["--config", str(tmp_path / "config.toml")], ["--catalog", out]
    given = [*config, *catalog] if last else [*catalog, *config]
    assert options_of(*given, "--playlists", "mine") == [f"{out}/tracks.parquet", "mine", "sound"]


EMBEDDINGS = {"playlist": {"path": "all.parquet", "column": "cf"}, "audio": {"path": "all.parquet", "column": "clap"}}
CF, CLAP = ["all.parquet", "cf"], ["all.parquet", "clap"]


@pytest.mark.parametrize(
    ("arguments", "playlists", "tables"),
    [
        ((), None, {"playlist": CF, "audio": CLAP}),
        (("--playlists", "mine"), "mine", {"audio": CLAP}),
        (("--embeddings", "playlist=mine"), None, {"playlist": ["mine", None], "audio": CLAP}),
        (("--audio-encoder", "descriptors", "--encoder", "playlist=own"), "playlists.parquet", {}),
        (("--embeddings-column", "audio=other"), None, {"playlist": CF, "audio": ["all.parquet", "other"]}),
        (("--embeddings", "tags=mine"), None, {"tags": ["mine", None], "playlist": CF, "audio": CLAP}),
    ],
)
def test_the_embeddings_of_a_catalog_are_used_unless_an_option_names_a_source(
    tmp_path: Path, arguments: tuple[str, ...], playlists: str | None, tables: Any
) -> None:
    out = write_import(tmp_path, playlists=1, audio=False, embeddings=EMBEDDINGS)
    expected = str(Path(out, playlists)) if playlists == "playlists.parquet" else playlists
    assert options_of("--catalog", out, *arguments, command=show_embeddings) == [expected, tables]


def test_embeddings_of_a_catalog_that_are_not_used_are_counted(tmp_path: Path) -> None:
    out = write_import(tmp_path, playlists=1, audio=False, embeddings=EMBEDDINGS)
    result = CliRunner().invoke(show_embeddings, ["--catalog", out, "--audio-encoder", "clap"], catch_exceptions=False)
    assert "1 of 2 embeddings of the catalog are not used (audio)" in result.stderr


@pytest.mark.parametrize(
    ("released", "tables"),
    [
        ({"audio-encoder": "clap", "clap-checkpoint": "c.pt"}, {}),
        ({"audio-encoder": "descriptors", "embeddings": {"playlist": "old.parquet"}}, {"playlist": CF}),
        ({"embeddings": {"audio": "old.parquet", "tags": "t"}}, {"audio": CLAP, "tags": ["t", None]}),
    ],
)
def test_a_refresh_keeps_the_kind_of_source_of_each_modality(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, released: dict[str, Any], tables: Any
) -> None:
    out = write_import(tmp_path, playlists=1, audio=True, embeddings=EMBEDDINGS)
    for name, value in {"tracks": "old", **released}.items():
        monkeypatch.setitem(RELEASED, name, value)
    _, found = options_of("--store", "store", "--catalog", out, command=show_refresh)
    assert found == tables


def test_the_embeddings_of_a_config_file_win_over_those_of_the_catalog(tmp_path: Path) -> None:
    out = write_import(tmp_path, playlists=1, audio=False, embeddings=EMBEDDINGS)
    (tmp_path / "config.toml").write_text('[embeddings]\naudio = "mine"\nlyrics = "words"\n', encoding="utf-8")
    arguments = ("--config", str(tmp_path / "config.toml"), "--catalog", out)
    _, tables = options_of(*arguments, command=show_embeddings)
    assert tables == {"audio": ["mine", None], "lyrics": ["words", None], "playlist": CF}


def test_playlists_of_a_catalog_give_way_to_embeddings_that_an_option_names(tmp_path: Path) -> None:
    out = write_import(tmp_path, playlists=1, audio=False)
    arguments = ("--catalog", out, "--embeddings", "playlist=mine")
    assert options_of(*arguments, command=show_embeddings) == [None, {"playlist": ["mine", None]}]


def test_a_folder_without_an_import_is_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["run", "--catalog", str(tmp_path), "--store", str(tmp_path / "store")])
    assert result.exit_code == 2
    assert "is not an imported catalog" in result.output


def test_a_damaged_import_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "import.json").write_text("[]", encoding="utf-8")
    result = CliRunner().invoke(main, ["run", "--catalog", str(tmp_path), "--store", str(tmp_path / "store")])
    assert result.exit_code == 3
    assert "import the catalog again" in result.output

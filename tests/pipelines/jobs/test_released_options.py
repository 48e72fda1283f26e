"""A release keeps the options that made it, and a refresh takes those that are not given again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from click.testing import CliRunner, Result

from tests.support.vector_catalog import CODES, DIMS, group_vectors, write_vectors
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.released_options import released_source
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import AUDIO, LYRICS, METADATA, PLAYLIST, TAGS

pytestmark = pytest.mark.job

TRACKS, SONGS = 40, 8
PRECOMPUTED = (PLAYLIST, TAGS, METADATA, LYRICS)


def write_catalog(folder: Path) -> None:
    """Tracks with precomputed embeddings, some of them with audio."""
    (folder / "audio").mkdir(parents=True)
    paths = [f"{n}.wav" if n < SONGS else None for n in range(TRACKS)]
    for n in range(SONGS):
        wave = np.sin(np.arange(22050) * (0.02 + 0.01 * n)).astype(np.float32)
        soundfile.write(folder / "audio" / f"{n}.wav", wave, 22050)
    ids = [f"t{n}" for n in range(TRACKS)]
    pq.write_table(pa.table({"track_id": ids, "audio_path": pa.array(paths, pa.string())}), folder / "tracks.parquet")
    for seed, modality in enumerate(PRECOMPUTED):
        write_vectors(folder / modality / "part.parquet", group_vectors(seed, DIMS[modality], TRACKS))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog, and ``store``, which a run made of it with relative paths."""
    folder = tmp_path_factory.mktemp("released") / "catalog"
    write_catalog(folder)
    embeddings = [word for m in PRECOMPUTED for word in ("--embeddings", f"{m}={m}")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = ["--tracks", "tracks.parquet", "--audio-root", "audio", "--codebook-size", str(CODES), "--seed", "3"]
        called("run", "--store", "store", *options, *embeddings, "--embeddings-version", "lyrics=v1")
    return folder


@pytest.fixture
def store(catalog: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(catalog / "store", tmp_path / "store"))


def called(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def latest(store: Path) -> Path:
    return store / "releases" / (store / "LATEST").read_text().strip()


def manifest(store: Path) -> dict[str, object]:
    parsed: dict[str, object] = json.loads((latest(store) / "manifest.json").read_text())
    return parsed


def snapshot(store: Path) -> dict[str, dict[str, int]]:
    path = store / "catalogs" / str(manifest(store)["catalog_id"]) / "catalog.json"
    parsed: dict[str, dict[str, int]] = json.loads(path.read_text())
    return parsed


def tokens(store: Path) -> pa.Table:
    return pq.read_table(latest(store) / "tokens").sort_by("track_id")


def source_of(catalog: Path) -> CatalogSource:
    versions = {LYRICS: "v1"}
    return CatalogSource(
        tracks=str(catalog / "tracks.parquet"),
        audio_root=str(catalog / "audio"),
        embeddings={m: PrecomputedConfig(path=str(catalog / m), version=versions.get(m)) for m in PRECOMPUTED},
    )


def without_options(store: Path) -> None:
    """Make the release one of an older version."""
    path = latest(store) / "manifest.json"
    older = json.loads(path.read_text())
    del older["options"]
    path.write_text(json.dumps(older))


def test_a_release_and_its_snapshot_keep_the_options_with_absolute_paths(catalog: Path) -> None:
    expected = {
        "tracks": str(catalog / "tracks.parquet"),
        "audio-root": str(catalog / "audio"),
        "text-backend": "auto",
        "audio-encoder": "descriptors",
        "trust-checkpoint": False,
        "embeddings": {modality: str(catalog / modality) for modality in PRECOMPUTED},
        "embeddings-version": {LYRICS: "v1"},
        "max-reject-rate": 0.05,
        "max-lost": 0.5,
        "max-removed": 0.2,
    }
    assert snapshot(catalog / "store")["options"] == expected
    assert manifest(catalog / "store")["options"] == {**expected, "codebook-size": CODES, "seed": 3}


def test_a_refresh_with_the_store_alone_encodes_nothing_and_keeps_every_token(catalog: Path, store: Path) -> None:
    before, release = tokens(store), latest(store).name
    assert before[AUDIO].null_count == TRACKS - SONGS
    result = called("refresh", "--store", store)
    assert latest(store).name != release
    assert tokens(store).equals(before)
    assert snapshot(store)["encoded"] == dict.fromkeys([*PRECOMPUTED, AUDIO], 0)
    [line] = [line for line in result.stderr.splitlines() if line.startswith("options from release")]
    kept = "tracks, audio-root, embeddings (playlist, tags, metadata, lyrics), embeddings-version (lyrics)"
    assert line == f"options from release {release}: {kept}"
    assert manifest(store)["options"] == {**source_of(catalog).to_options(), "fail-on-drift": False}


def test_plan_and_retry_take_the_options_of_the_release_too(store: Path) -> None:
    plan = json.loads(called("plan", "--store", store, "--json").stdout)
    assert plan["rows"] == {"read": TRACKS, "rejected": 0, "new": 0, "changed": 0, "removed": 0}
    assert set(plan["inputs"].values()) == {0}
    before = tokens(store)
    called("rejects", "retry", "--store", store)
    assert tokens(store).equals(before)


def test_an_option_that_is_given_wins_over_the_release_and_the_others_stay(
    catalog: Path, store: Path, tmp_path: Path
) -> None:
    changed = group_vectors(3, DIMS[LYRICS], TRACKS)
    changed[0] = changed[1] + 0.01  # between the groups, and like no other
    write_vectors(tmp_path / "lyrics" / "part.parquet", changed)
    pq.write_table(pq.read_table(catalog / "tracks.parquet").slice(0, 30), tmp_path / "fewer.parquet")
    config, release = tmp_path / "options.toml", latest(store).name
    config.write_text(f'tracks = "{tmp_path / "fewer.parquet"}"\n')
    arguments = ["--store", store, "--config", config, "--embeddings", f"lyrics={tmp_path / 'lyrics'}"]
    for command in ("plan", "refresh"):
        result = CliRunner().invoke(main, [command, *map(str, arguments)])
        assert result.exit_code == 3
        assert "10 of the 40 tracks of release" in result.stderr
    assert latest(store).name == release
    result = called("refresh", *arguments, "--max-removed", 0.25)
    assert "embeddings (playlist, tags, metadata), embeddings-version (lyrics)" in result.stderr
    assert ": tracks" not in result.stderr
    assert tokens(store).num_rows == 30
    assert snapshot(store)["encoded"] == {**dict.fromkeys([*PRECOMPUTED, AUDIO], 0), LYRICS: 1}
    kept = released_source(str(store))
    assert kept.tracks == str(tmp_path / "fewer.parquet")
    assert kept.embeddings[LYRICS] == PrecomputedConfig(path=str(tmp_path / "lyrics"), version="v1")
    assert kept.embeddings[TAGS] == PrecomputedConfig(path=str(catalog / TAGS))


def test_the_source_of_a_release_can_be_read_from_python(catalog: Path) -> None:
    assert released_source(str(catalog / "store")) == source_of(catalog)


def test_a_run_keeps_the_vocabulary_and_takes_the_embeddings_of_the_release(catalog: Path, store: Path) -> None:
    before, release = tokens(store), latest(store).name
    inputs = ["--tracks", catalog / "tracks.parquet", "--audio-root", catalog / "audio"]
    result = called("run", "--store", store, *inputs)
    kept = f"embeddings (playlist, tags, metadata, lyrics), embeddings-version (lyrics), codebook-size {CODES}"
    assert f"options from release {release}: {kept}\n" in result.stderr
    assert latest(store).name != release
    assert tokens(store).equals(before)
    assert manifest(store)["codebook_size"] == CODES


def test_a_release_of_an_older_version_needs_the_options_again(catalog: Path, store: Path) -> None:
    without_options(store)
    for command in ("refresh", "plan", "rejects retry"):
        result = CliRunner().invoke(main, [*command.split(), "--store", str(store)])
        assert result.exit_code == 2
        assert f"--tracks is missing, and release {latest(store).name} keeps no options" in result.stderr
    with pytest.raises(UsageError, match="keeps no options"):
        released_source(str(store))
    before = tokens(store)
    embeddings = [word for m in PRECOMPUTED for word in ("--embeddings", f"{m}={catalog / m}")]
    inputs = ["--tracks", catalog / "tracks.parquet", "--audio-root", catalog / "audio", *embeddings]
    result = called("refresh", "--store", store, *inputs, "--embeddings-version", "lyrics=v1")
    assert "options from release" not in result.stderr
    assert tokens(store).equals(before)
    called("plan", "--store", store)


def test_trust_in_a_checkpoint_is_not_inherited(store: Path) -> None:
    path = latest(store) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["options"]["trust-checkpoint"] = True
    path.write_text(json.dumps(manifest))
    assert released_source(str(store)).audio.trust_checkpoint is False


def test_a_store_without_a_release_has_no_options(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["refresh", "--store", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "is not a store" in result.stderr

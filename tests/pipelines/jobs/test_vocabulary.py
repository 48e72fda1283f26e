"""The vocabulary of a release is continued, and replaced only with ``--new-vocabulary``."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.jobs.vocabulary import DEFAULT_CODEBOOK_SIZE, ReleasedVocabulary, new_format
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.manifests.encoder import EncoderManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.manifests.store import StoreManifest
from tracktokens.schemas.modalities import AUDIO, MODALITIES, PLAYLIST, TAGS
from tracktokens.schemas.token_format import NUMBERED, FurtherTokens, TokenFormat

RELEASE = "20260101T000000Z-00000000"
TRACKS = 10
OLD = TokenFormat.of(8, levels={TAGS: [4]}, numbers=16)
TOKENS = {**dict.fromkeys(MODALITIES, 5), TAGS: 7, "tags2": 6}
TOTAL = sum(TOKENS.values()) + TRACKS
ENCODERS = {PLAYLIST: "als-1", TAGS: "text-1", AUDIO: "audio-1"}
OPTIONS = {"text-model": "/models/a", "text-backend": "torch", "encoder": {AUDIO: "mine"}}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with what is read of a release: its manifest, its metrics, and its playlist encoder."""
    folder = tmp_path / "store"
    manifest = ReleaseManifest(
        release_id=RELEASE,
        bundle_id="b",
        catalog_id="c",
        codebook_size=8,
        encoders=ENCODERS,
        rows={"read": TRACKS, "published": TRACKS, "rejected": 0},
        files={},
        options=OPTIONS,
        tokens=OLD.to_json(),
    )
    metrics = {"modalities": {name: {"tracks": tokens} for name, tokens in TOKENS.items()}}
    contents = {
        "store.json": StoreManifest(1).to_json(),
        "LATEST": f"{RELEASE}\n",
        f"releases/{RELEASE}/manifest.json": manifest.to_json(),
        f"releases/{RELEASE}/metrics.json": json.dumps(metrics),
        f"vectors/{PLAYLIST}/als-1/encoder.json": EncoderManifest(False, {"name": "als"}).to_json(),
    }
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


def released(store: Path, *, may_change: bool = False) -> ReleasedVocabulary:
    found = ReleasedVocabulary.of(str(store), may_change=may_change)
    assert found is not None
    return found


def test_what_is_not_given_is_that_of_the_release(store: Path) -> None:
    assert released(store).token_format == OLD
    assert new_format(OLD, None, FurtherTokens()) == OLD
    assert new_format(None, None, FurtherTokens()) == TokenFormat.of(DEFAULT_CODEBOOK_SIZE)
    assert new_format(OLD, 4, FurtherTokens()) == TokenFormat.of(4)
    assert released(store).playlist_encoder == "als"
    expected = {"codebook-size": 8, "levels": "tags=2", "number": 16, "playlist-encoder": "als"}
    assert released(store).options() == expected
    assert released(store).options(4) == {"codebook-size": 8, "playlist-encoder": "als"}


def test_a_store_without_a_release_has_no_vocabulary(store: Path, tmp_path: Path) -> None:
    assert ReleasedVocabulary.of(str(tmp_path / "none")) is None
    (store / "LATEST").unlink()
    assert released(store).release.release_id == RELEASE  # LATEST is lost, and the vocabulary is still in use
    (store / "releases" / RELEASE / "manifest.json").unlink()
    assert ReleasedVocabulary.of(str(store)) is None


def test_the_same_and_more_tokens_per_track_are_no_change(store: Path) -> None:
    released(store).check_format(OLD)
    released(store).check_format(TokenFormat.of(8, levels={TAGS: [4, 4], AUDIO: [4]}, numbers=16))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (TokenFormat.of(9), f"--codebook-size is 9 instead of 8: {TOTAL} of the {TOTAL} tokens"),
        (TokenFormat.of(8, numbers=16), f"without tags2 tokens: 6 of the {TOTAL} tokens"),
        (
            TokenFormat.of(8, levels={TAGS: [5]}, numbers=4),
            f"5 tags2 codes instead of 4; 4 n codes instead of 16: {6 + TRACKS} of the {TOTAL} tokens",
        ),
        (
            TokenFormat.of(8, levels={TAGS: [4]}, numbers=16, same_song=NUMBERED),
            f"--same-song is numbered instead of shared: {TRACKS} of the {TOTAL} tokens",
        ),
    ],
)
def test_a_format_without_a_token_of_the_release_is_refused_with_the_tokens_that_change(
    store: Path, caplog: pytest.LogCaptureFixture, changed: TokenFormat, message: str
) -> None:
    full = f"{message} of release {RELEASE} would change their meaning"
    with pytest.raises(UsageError) as error:
        released(store).check_format(changed)
    assert str(error.value).startswith(full)
    assert "--new-vocabulary" in str(error.value)
    with caplog.at_level(logging.WARNING):
        released(store, may_change=True).check_format(changed)
    assert [record.message for record in caplog.records] == [f"{full} (--new-vocabulary)"]


@pytest.mark.parametrize(
    ("encoders", "options", "message"),
    [
        (
            {**ENCODERS, TAGS: "text-2"},
            {**OPTIONS, "text-model": "/models/b"},
            f"tags: --text-model is /models/b instead of /models/a: {7 + 6} of",
        ),
        (
            {**ENCODERS, AUDIO: "audio-2"},
            {**OPTIONS, "encoder": {}, "embeddings": {AUDIO: "/clap"}},
            "audio: --encoder is None instead of mine; audio: --embeddings is /clap instead of None: 5 of",
        ),
        ({PLAYLIST: "als-2"}, {"playlist-encoder": "als"}, "playlist: its encoder changed, or the files that"),
    ],
)
def test_another_encoder_is_refused_with_the_options_that_differ(
    store: Path, encoders: Mapping[str, str], options: Mapping[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        released(store).check_encoders(encoders, options)


def test_the_same_encoders_or_a_modality_that_had_none_are_no_change(store: Path) -> None:
    released(store).check_encoders(ENCODERS | {"lyrics": "text-3"}, {"text-model": "moved, and the same"})


def test_another_kind_of_playlist_encoder_is_refused_before_it_is_trained(store: Path) -> None:
    released(store).check_playlist_encoder("als")
    released(store).check_playlist_encoder("auto")
    with pytest.raises(UsageError, match=r"^--playlist-encoder is word2vec instead of als: 5 of"):
        released(store).check_playlist_encoder("word2vec")


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text('{"modalities": {')])
def test_a_release_without_metrics_names_the_tokens_that_change(store: Path, damage: Callable[[Path], object]) -> None:
    damage(store / "releases" / RELEASE / "metrics.json")
    with pytest.raises(UsageError, match="without tags2 tokens: all tags2 tokens of release"):
        released(store).check_format(TokenFormat.of(8, numbers=16))


def called(store: Path, *arguments: str) -> Result:
    (store.parent / "tracks.csv").write_text("track_id,title\na,b\n")
    return CliRunner().invoke(
        main, ["run", "--tracks", str(store.parent / "tracks.csv"), "--store", str(store), *arguments]
    )


def test_a_run_names_what_it_remembers_and_refuses_another_size(store: Path) -> None:
    result = called(store, "--codebook-size", "9", "--number", "4")
    assert result.exit_code == 2
    names = "text-model, text-backend, encoder (audio), playlist-encoder als"
    assert result.stderr.splitlines()[0] == f"options from release {RELEASE}: {names}"
    assert "--codebook-size is 9 instead of 8" in result.stderr
    assert (store / "LATEST").read_text().strip() == RELEASE
    assert not (store / "catalogs").exists()

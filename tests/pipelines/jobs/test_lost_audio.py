"""Audio files that vanish all at once: a disk that is not mounted, or a worker that does not see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.modalities import AUDIO
from tracktokens.transforms.encoders.base import Encoded, Encoder, LoadedEncoder, encoded
from tracktokens.transforms.readers import audio_root
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.snapshots import complete_catalogs

pytestmark = pytest.mark.job

TRACKS = 10


@dataclass(frozen=True)
class PathLength(Encoder):
    """Encodes a file as the length of its path."""

    def identity(self) -> Mapping[str, object]:
        return {"name": "path length"}

    def load(self, threads: int) -> LoadedEncoder:
        return LoadedPathLength()


class LoadedPathLength(LoadedEncoder):
    def encode(self, inputs: pa.StringArray) -> Encoded:
        return encoded([np.array([len(path), 1], np.float32) for path in inputs.to_pylist()], 2)


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """Ten tracks with a file each, beside a file that belongs to none."""
    names = [f"{'a' * (n + 1)}.wav" for n in range(TRACKS)]
    rows = {"track_id": [f"t{n}" for n in range(TRACKS)], "audio_path": names}
    pq.write_table(pa.table(rows), tmp_path / "tracks.parquet")
    (tmp_path / "audio").mkdir()
    for name in (*names, "cover.jpg"):
        (tmp_path / "audio" / name).touch()
    scan(tmp_path)
    return tmp_path


def scan(folder: Path, max_lost: float = 0.5) -> CatalogManifest:
    source = CatalogSource(
        tracks=str(folder / "tracks.parquet"),
        audio_root=str(folder / "audio"),
        encoders={AUDIO: PathLength()},
        max_lost=max_lost,
    )
    return EmbedJob(source=source, store=str(folder / "store")).run(PipelineRunner())


def remove(folder: Path, files: int) -> None:
    for number in range(files):
        (folder / "audio" / f"{'a' * (number + 1)}.wav").unlink()


@pytest.mark.parametrize("files", [6, 10])
def test_a_catalog_that_loses_most_of_its_audio_files_is_refused(catalog: Path, files: int) -> None:
    remove(catalog, files)
    lost = rf"^{files} of 10 audio inputs cannot be used \(audio_missing {files}, for example .*a\.wav' is missing.*\)"
    asked = "check that the audio root .*audio is the folder that audio_path is relative to"
    with pytest.raises(InvalidDataError, match=rf"{lost}, more than 50\.0%: {asked}"):
        scan(catalog)
    assert len(complete_catalogs(Store.open(str(catalog / "store")))) == 1


def test_a_higher_limit_accepts_the_loss(catalog: Path) -> None:
    remove(catalog, 6)
    assert scan(catalog, max_lost=0.6).tracks_with[AUDIO] == 4


def test_fewer_lost_files_are_rejects(catalog: Path) -> None:
    remove(catalog, 5)
    assert scan(catalog).tracks_with[AUDIO] == 5


def test_tracks_that_are_removed_with_their_files_are_no_loss(catalog: Path) -> None:
    remove(catalog, 8)
    rows = pq.read_table(catalog / "tracks.parquet").slice(8)
    pq.write_table(rows, catalog / "tracks.parquet")
    assert scan(catalog).tracks_with[AUDIO] == 2


def test_a_worker_that_does_not_see_the_audio_root_fails_the_scan(
    catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_root, "check_audio_root", lambda root: None)  # the driver sees it
    (catalog / "audio").rename(catalog / "elsewhere")
    with pytest.raises(UsageError, match=r"^no such folder: .*/audio; give the folder"):
        scan(catalog)

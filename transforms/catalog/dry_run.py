"""Compare a catalog with the one before and with the store, and write nothing."""

from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.filesystems import FileSystems

from tracktokens.schemas.modalities import AUDIO, MODALITIES
from tracktokens.transforms.catalog.find_missing import FindMissing
from tracktokens.transforms.catalog.snapshot_tracks import WriteSnapshotBucket
from tracktokens.transforms.store import files


class CompareTracks(WriteSnapshotBucket):
    """Compares a bucket of tracks with the one before, and keeps nothing."""

    def _settle(self, bucket: int, tracks: pa.Table, places: pa.Table) -> None:
        pass


class CountMissing(FindMissing):
    """Finds the inputs that were never encoded, and keeps nothing."""

    def _settle(self, modality: str, bucket: int, keys: pa.Table) -> None:
        pass


class OnlyAudio(beam.DoFn):
    """Passes on the ``WANTED_INPUTS`` that are audio."""

    def process(self, element: tuple[int, pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Choose from one fragment."""
        number, wanted = element
        chosen = wanted.filter(pc.equal(wanted["modality"], MODALITIES.index(AUDIO)))
        if chosen.num_rows:
            yield number, chosen


class CountBytes(beam.DoFn):
    """Adds up the sizes of the audio files that would be read; one that is gone has none."""

    def __init__(self, audio_root: str) -> None:
        self._root = audio_root

    def process(self, element: tuple[tuple[str, int], pa.RecordBatch]) -> Iterator[tuple[str, int]]:
        """Add up one batch of ``INPUTS``."""
        _, inputs = element
        yield "audio_bytes", sum(self._size(path) for path in inputs["input"].to_pylist())

    def _size(self, path: str) -> int:
        full = files.join(self._root, path)
        if not files.is_remote(full):
            return Path(full).stat().st_size if Path(full).is_file() else 0
        return sum(found.size_in_bytes for found in FileSystems.match([full])[0].metadata_list)

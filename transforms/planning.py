"""Compare a catalog with the one before and with the store, and write nothing."""

from collections.abc import Collection, Iterator
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.catalog import CATALOG_TRACKS
from tracktokens.transforms import files
from tracktokens.transforms.counts import COUNTS_TAG
from tracktokens.transforms.settling import FindMissing, SettleTracks, count_against
from tracktokens.transforms.store import Catalog


class CompareTracks(SettleTracks):
    """Counts the rows of a bucket that are new, changed and removed, in place of keeping them."""

    def __init__(self, before: Catalog, given: Collection[str]) -> None:
        super().__init__(before, given)

    def _settle(self, bucket: int, tracks: pa.Table) -> Iterator[TaggedOutput]:
        before = files.read_table(self._catalog.tracks(bucket), CATALOG_TRACKS, ["track_id", "digest"])
        for name, count in count_against(before, tracks).items():
            yield TaggedOutput(COUNTS_TAG, (f"rows_{name}", count))


class CountMissing(FindMissing):
    """Finds the inputs that were never encoded, and keeps nothing."""

    def _settle(self, modality: str, bucket: int, keys: pa.Table) -> None:
        pass


class CountInputs(beam.DoFn):
    """Counts the inputs of a modality that would be encoded."""

    def __init__(self, modality: str) -> None:
        self._modality = modality

    def process(self, inputs: pa.RecordBatch) -> Iterator[tuple[str, int]]:
        """Count one batch of ``INPUTS``."""
        yield f"missing/{self._modality}", inputs.num_rows


class CountGiven(beam.DoFn):
    """Counts the given vectors that would be stored."""

    def process(self, element: tuple[tuple[str, int], pa.RecordBatch]) -> Iterator[tuple[str, int]]:
        """Count those of one row group."""
        (modality, _), places = element
        yield f"missing/{modality}", places.num_rows


class CountBytes(beam.DoFn):
    """Adds up the sizes of the audio files that would be read; one that is gone has none."""

    def __init__(self, audio_root: str) -> None:
        self._root = audio_root

    def process(self, inputs: pa.RecordBatch) -> Iterator[tuple[str, int]]:
        """Add up one batch of ``INPUTS``."""
        yield "audio_bytes", sum(self._size(path) for path in inputs["input"].to_pylist())

    def _size(self, path: str) -> int:
        full = files.join(self._root, path)
        if not files.is_remote(full):
            return Path(full).stat().st_size if Path(full).is_file() else 0
        return sum(found.size_in_bytes for found in FileSystems.match([full])[0].metadata_list)

"""Measurements of a dry run: the size of the audio that an embed job would read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.filesystems import FileSystems

from tracktokens.schemas.modalities import AUDIO, MODALITIES
from tracktokens.transforms.store import files


class OnlyAudio(beam.DoFn):
    """Filter ``WANTED_INPUTS`` by fragment: keep audio."""

    def process(self, element: tuple[int, pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Filter one batch."""
        number, wanted = element
        audio = wanted.filter(pc.equal(wanted["modality"], MODALITIES.index(AUDIO)))
        if audio.num_rows:
            yield number, audio


@dataclass(kw_only=True, eq=False)
class CountBytes(beam.DoFn):
    """Sum the sizes of the audio files of ``INPUTS``, in bytes. A missing file counts as 0.

    Attributes:
        audio_root: folder that audio paths are relative to.
    """

    audio_root: str

    def process(self, element: tuple[tuple[str, int], pa.RecordBatch]) -> Iterator[tuple[str, int]]:
        """Sum one batch."""
        _, inputs = element
        yield "audio_bytes", sum(self._size(path) for path in inputs["input"].to_pylist())

    def _size(self, path: str) -> int:
        full = files.join(self.audio_root, path)
        if not files.is_remote(full):
            return Path(full).stat().st_size if Path(full).is_file() else 0
        return sum(metadata.size_in_bytes for metadata in FileSystems.match([full])[0].metadata_list)

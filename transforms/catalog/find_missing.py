"""Find the inputs that were never encoded, and read them from their locations in the input tables.

A scan sends only keys between workers, and of these only the ones that differ from the base snapshot. Known inputs,
such as unchanged lyrics, never travel.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import AUDIO, MODALITIES
from tracktokens.schemas.tables.catalog import KEY_DIFF, TRACK_KEYS
from tracktokens.schemas.tables.records import INPUT_LOCATIONS, INPUTS
from tracktokens.schemas.tables.tracks import POSITION_SHIFT, TRACKS
from tracktokens.transforms.catalog.key_diff import apply_key_diff
from tracktokens.transforms.catalog.scan_tracks import TEXTS
from tracktokens.transforms.catalog.snapshot_writer import BucketWriter
from tracktokens.transforms.embedding.batches import encoding_batches
from tracktokens.transforms.precomputed.load_vectors import LOCATIONS_TAG, by_fragment
from tracktokens.transforms.readers.audio_root import AudioRoot
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.readers.validation import blank_to_null
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import (
    bucket_numbers,
    content_keys,
    distinct_sorted,
    sort_by_key,
    split_by_bucket,
)
from tracktokens.transforms.store.layout import Catalog, Store
from tracktokens.transforms.store.records import failed, unencoded

WANTED_TAG = "wanted"
"""Output with the inputs to encode: ``WANTED_INPUTS`` by fragment of the tracks table."""

WANTED_INPUTS = pa.schema([pa.field("modality", pa.int8(), nullable=False), *INPUT_LOCATIONS])
"""``INPUT_LOCATIONS`` of several modalities."""


@dataclass(kw_only=True, eq=False)
class FindMissing(beam.DoFn):
    """Write the keys of one bucket, and locate the inputs that were never encoded.

    Outputs: precomputed embeddings that the store lacks to ``LOCATIONS_TAG``, other inputs to ``WANTED_TAG``, counts.

    Attributes:
        store: the store.
        writer: destination of the keys.
        base: snapshot that the changes were diffed against, or None.
        encoders: modality to encoder id.
        precomputed: modalities that have precomputed embeddings.
        retry: count inputs with a permanent failure as never encoded.
        progress: receives the number of missing inputs.
    """

    store: Store
    writer: BucketWriter
    base: Catalog | None
    encoders: Mapping[str, str]
    precomputed: Collection[str]
    retry: bool
    progress: ProgressReporter
    _listings: files.Listings = field(default_factory=files.Listings, init=False, repr=False)

    def process(
        self, element: tuple[tuple[str, int], Mapping[str, Iterable[pa.RecordBatch]]], refused: bool
    ) -> Iterator[object]:
        """Write one bucket of one modality. Write and yield nothing if the catalog is refused."""
        (modality, bucket), parts = element
        changes = pa.Table.from_batches(parts["changes"], KEY_DIFF).combine_chunks()
        keys = apply_key_diff(self._previous_keys(modality, bucket), changes)
        if not keys.num_rows or refused:
            return
        if modality in self.encoders:
            keys = self._mark_failed(modality, bucket, keys)
        self.writer.write_keys(modality, bucket, keys)
        yield TaggedOutput(COUNTS_TAG, ("keys_written", keys.num_rows))
        if modality in self.encoders:
            distinct = distinct_sorted(keys["key"].combine_chunks())
            yield TaggedOutput(COUNTS_TAG, (f"tracks_with/{modality}", keys.num_rows))
            yield TaggedOutput(COUNTS_TAG, (f"inputs/{modality}", len(distinct)))
            with self._listings.used():
                missing = unencoded(self.store, modality, self.encoders[modality], bucket, distinct, self.retry)
            yield from self._locate(modality, missing, changes)

    def _previous_keys(self, modality: str, bucket: int) -> pa.Table:
        if self.base is None:
            return TRACK_KEYS.empty_table()
        with self._listings.used():
            return files.read_table(self.base.keys(modality, bucket), TRACK_KEYS)

    def _mark_failed(self, modality: str, bucket: int, keys: pa.Table) -> pa.Table:
        """Mark keys that failed in the base as changed, since they may have a vector by now."""
        if self.base is None:
            return keys
        with self._listings.used():
            failures = failed(self.store, self.base, modality, self.encoders[modality], bucket)
        if not failures.num_rows:
            return keys
        has_failed = pc.is_in(keys["key"], value_set=failures["key"].combine_chunks())
        column = TRACK_KEYS.get_field_index("changed")
        return keys.set_column(column, TRACK_KEYS.field("changed"), pc.or_(keys["changed"], has_failed))

    def _locate(self, modality: str, missing: pa.Array, changes: pa.Table) -> Iterator[TaggedOutput]:
        """Yield the locations of missing inputs. A missing key that did not change is counted: its record was lost."""
        added = changes.filter(pc.invert(changes["removed"]))
        rows = pc.index_in(missing, value_set=added["key"].combine_chunks())
        yield TaggedOutput(COUNTS_TAG, ("records_lost", rows.null_count))
        yield TaggedOutput(COUNTS_TAG, (f"missing/{modality}", len(missing)))
        locations = added.take(rows.drop_null()).select(INPUT_LOCATIONS.names).combine_chunks()
        if modality in self.precomputed:
            self.progress.add(f"load {modality} vectors", total=locations.num_rows)
            yield from (TaggedOutput(LOCATIONS_TAG, part) for part in by_fragment(locations, modality))
        else:
            self.progress.add(f"encode {modality}", total=locations.num_rows)
            yield from (TaggedOutput(WANTED_TAG, part) for part in by_tracks_fragment(locations, modality))


def by_tracks_fragment(missing: pa.Table, modality: str) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Split ``INPUT_LOCATIONS`` by fragment of the tracks table into batches of ``WANTED_INPUTS``."""
    number = pa.array(np.full(missing.num_rows, MODALITIES.index(modality), np.int8))
    columns = [number, missing["key"].combine_chunks(), missing["position"].combine_chunks()]
    batch = pa.record_batch(columns, schema=WANTED_INPUTS)
    yield from split_by_bucket(batch, missing["position"].to_numpy() >> POSITION_SHIFT)


@dataclass(kw_only=True, eq=False)
class ReadInputs(beam.DoFn):
    """Read the inputs to encode from a fragment of the tracks table: ``INPUTS`` by modality and bucket of key.

    Attributes:
        fragments: fragments of the tracks table, by number.
        buckets: number of buckets of the store.
        audio_root: folder that audio paths are relative to, or None.
    """

    fragments: Sequence[Fragment]
    buckets: int
    audio_root: str | None = None

    def process(
        self, element: tuple[int, Iterable[pa.RecordBatch]]
    ) -> Iterator[tuple[tuple[str, int], pa.RecordBatch]]:
        """Read one fragment.

        Raises:
            InvalidDataError: the fragment changed since it was scanned.
        """
        number, batches = element
        fragment, wanted = self.fragments[number], pa.Table.from_batches(batches, WANTED_INPUTS).combine_chunks()
        numbers = pc.unique(wanted["modality"]).to_pylist()
        by_modality = {MODALITIES[n]: wanted.filter(pc.equal(wanted["modality"], n)) for n in numbers}
        audio_root = None if self.audio_root is None else AudioRoot(self.audio_root)
        num_read = 0
        for scanned in read_fragment(fragment, TRACKS):
            for modality, locations in by_modality.items():
                inputs = inputs_at(scanned.rows, modality, locations, audio_root)
                num_read += inputs.num_rows
                for bucket, part in split_by_bucket(_batch(inputs), bucket_numbers(_keys(inputs), self.buckets)):
                    yield (modality, bucket), part
        if num_read != wanted.num_rows:
            raise InvalidDataError(
                f"{fragment.path} changed while it was read, so nothing was published; "
                "run this command again when the file is complete"
            )


def inputs_at(
    rows: pa.RecordBatch, modality: str, locations: pa.Table, audio_root: AudioRoot | None = None
) -> pa.Table:
    """Select the inputs of a modality at some locations: ``INPUTS``. A text that changed since the scan is left out.

    Args:
        rows: ``SCANNED_TRACKS``.
        modality: a modality that has an encoder.
        locations: ``WANTED_INPUTS`` of the modality.
        audio_root: folder that audio paths are relative to, or None.
    """
    matches = pc.index_in(rows["position"], value_set=locations["position"].combine_chunks())
    selected = blank_to_null(rows.filter(matches.is_valid()))
    keys = locations["key"].combine_chunks().take(matches.drop_null())
    if modality == AUDIO:  # its key depends on the file, which the encoder checks itself
        paths = selected["audio_path"] if audio_root is None else audio_root.relative(selected["audio_path"])
        return pa.table([keys, paths], schema=INPUTS)
    values = TEXTS[modality](selected)
    return pa.table([keys, values], schema=INPUTS).filter(pc.equal(content_keys(values), keys))


def _batch(inputs: pa.Table) -> pa.RecordBatch:
    return pa.record_batch([inputs[name].combine_chunks() for name in INPUTS.names], schema=INPUTS)


def _keys(inputs: pa.Table) -> pa.Array:
    return inputs["key"].combine_chunks()


class CutBatches(beam.DoFn):
    """Cut the inputs of a bucket, sorted by key: every runner makes the same batches. One output per modality."""

    def process(self, element: tuple[tuple[str, int], Iterable[pa.RecordBatch]]) -> Iterator[object]:
        """Cut one bucket of one modality."""
        (modality, _), batches = element
        inputs = _batch(sort_by_key(pa.Table.from_batches(batches, INPUTS)))
        yield from (TaggedOutput(modality, batch) for batch in encoding_batches(inputs, modality))

"""Find the inputs that were never encoded, and read them from where they stand in the input tables.

A scan passes on keys alone, and of those only what is otherwise than in the catalog before. So inputs that are known,
such as all lyrics of last night, are never sent from one worker to another.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

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
from tracktokens.transforms.embedding.batches import encoding_batches
from tracktokens.transforms.precomputed.load_vectors import LOCATIONS_TAG, by_fragment
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
from tracktokens.transforms.store.records import VECTOR_FILE, failed, unencoded

WANTED_TAG = "wanted"
"""Output with the inputs that are to be encoded: ``WANTED_INPUTS`` by fragment of the tracks table."""

WANTED_INPUTS = pa.schema([pa.field("modality", pa.int8(), nullable=False), *INPUT_LOCATIONS])
"""``INPUT_LOCATIONS`` of several modalities."""


class FindMissing(beam.DoFn):
    """Writes which tracks have which key, and passes on where the inputs stand that were never encoded.

    Outputs: given vectors that are not stored yet to ``LOCATIONS_TAG``, other inputs to ``WANTED_TAG``, counts. With
    ``retry`` inputs that failed for good count as never encoded.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        base: Catalog | None,
        encoders: Mapping[str, str],
        given: Collection[str],
        retry: bool,
        progress: ProgressReporter,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._base = base
        self._encoders = dict(encoders)
        self._given = frozenset(given)
        self._retry = retry
        self._progress = progress

    def process(
        self, element: tuple[tuple[str, int], Mapping[str, Iterable[pa.RecordBatch]]], refused: bool
    ) -> Iterator[object]:
        """Settle one bucket of one modality; nothing is encoded of a catalog that is refused."""
        (modality, bucket), parts = element
        changes = pa.Table.from_batches(parts["changes"], KEY_DIFF).combine_chunks()
        keys = apply_key_diff(self._before(modality, bucket), changes)
        if not keys.num_rows or refused:
            return
        if modality in self._encoders:
            keys = self._with_failed(modality, bucket, keys)
        self._settle(modality, bucket, keys)
        yield TaggedOutput(COUNTS_TAG, ("keys_written", keys.num_rows))
        if modality in self._encoders:
            distinct = distinct_sorted(keys["key"].combine_chunks())
            yield TaggedOutput(COUNTS_TAG, (f"tracks_with/{modality}", keys.num_rows))
            yield TaggedOutput(COUNTS_TAG, (f"inputs/{modality}", len(distinct)))
            missing = unencoded(self._store, modality, self._encoders[modality], bucket, distinct, self._retry)
            yield from self._pass_on(modality, missing, changes)

    def _before(self, modality: str, bucket: int) -> pa.Table:
        """The keys of the base."""
        if self._base is None:
            return TRACK_KEYS.empty_table()
        return files.read_table(self._base.keys(modality, bucket), TRACK_KEYS)

    def _with_failed(self, modality: str, bucket: int, keys: pa.Table) -> pa.Table:
        """Mark the keys that were tried and failed: by now there may be a vector."""
        if self._base is None:
            return keys
        failures = failed(self._store, self._base, modality, self._encoders[modality], bucket)
        if not failures.num_rows:
            return keys
        once = pc.is_in(keys["key"], value_set=failures["key"].combine_chunks())
        place = TRACK_KEYS.get_field_index("changed")
        return keys.set_column(place, TRACK_KEYS.field("changed"), pc.or_(keys["changed"], once))

    def _settle(self, modality: str, bucket: int, keys: pa.Table) -> None:
        """Keep which tracks have which key."""
        path = files.join(self._catalog.keys(modality, bucket), "part.parquet")
        files.write_batches(path, TRACK_KEYS, [keys], **VECTOR_FILE)

    def _pass_on(self, modality: str, missing: pa.Array, changes: pa.Table) -> Iterator[TaggedOutput]:
        """Say where the missing inputs stand. Of a key that did not change a fact was lost: that is counted."""
        added = changes.filter(pc.invert(changes["removed"]))
        places = pc.index_in(missing, value_set=added["key"].combine_chunks())
        yield TaggedOutput(COUNTS_TAG, ("facts_lost", places.null_count))
        yield TaggedOutput(COUNTS_TAG, (f"missing/{modality}", len(missing)))
        found = added.take(places.drop_null()).select(INPUT_LOCATIONS.names).combine_chunks()
        given = modality in self._given
        self._progress.add(f"take {modality} vectors" if given else f"encode {modality}", total=found.num_rows)
        if given:
            yield from (TaggedOutput(LOCATIONS_TAG, part) for part in by_fragment(found, modality))
        else:
            yield from (TaggedOutput(WANTED_TAG, part) for part in by_tracks_fragment(found, modality))


def by_tracks_fragment(missing: pa.Table, modality: str) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Divide ``INPUT_LOCATIONS`` by the fragment of the tracks table that they are in: batches of ``WANTED_INPUTS``."""
    number = pa.array(np.full(missing.num_rows, MODALITIES.index(modality), np.int8))
    columns = [number, missing["key"].combine_chunks(), missing["position"].combine_chunks()]
    batch = pa.record_batch(columns, schema=WANTED_INPUTS)
    yield from split_by_bucket(batch, missing["position"].to_numpy() >> POSITION_SHIFT)


class ReadInputs(beam.DoFn):
    """Reads a fragment of the tracks table again, for inputs that are to be encoded: ``INPUTS`` by bucket of key."""

    def __init__(self, fragments: Sequence[Fragment], buckets: int) -> None:
        self._fragments = tuple(fragments)
        self._buckets = buckets

    def process(
        self, element: tuple[int, Iterable[pa.RecordBatch]]
    ) -> Iterator[tuple[tuple[str, int], pa.RecordBatch]]:
        """Read one fragment.

        Raises:
            InvalidDataError: the fragment is another one than when it was scanned.
        """
        number, batches = element
        fragment, wanted = self._fragments[number], pa.Table.from_batches(batches, WANTED_INPUTS).combine_chunks()
        numbers = pc.unique(wanted["modality"]).to_pylist()
        by_modality = {MODALITIES[n]: wanted.filter(pc.equal(wanted["modality"], n)) for n in numbers}
        found = 0
        for scanned in read_fragment(fragment, TRACKS):
            for modality, places in by_modality.items():
                inputs = inputs_at(scanned.rows, modality, places)
                found += inputs.num_rows
                for bucket, part in split_by_bucket(_batch(inputs), bucket_numbers(_keys(inputs), self._buckets)):
                    yield (modality, bucket), part
        if found != wanted.num_rows:
            raise InvalidDataError(
                f"{fragment.path} changed while it was read: nothing was published, run this again when it is complete"
            )


def inputs_at(rows: pa.RecordBatch, modality: str, places: pa.Table) -> pa.Table:
    """The inputs of a modality that stand in some rows, and are what they were when they were scanned: ``INPUTS``.

    Args:
        rows: ``SCANNED_TRACKS``.
        modality: one that is encoded.
        places: ``WANTED_INPUTS`` of it.
    """
    found = pc.index_in(rows["position"], value_set=places["position"].combine_chunks())
    chosen = blank_to_null(rows.filter(found.is_valid()))
    keys = places["key"].combine_chunks().take(found.drop_null())
    if modality == AUDIO:  # its key is of the file, which the encoder looks at itself
        return pa.table([keys, chosen["audio_path"]], schema=INPUTS)
    values = TEXTS[modality](chosen)
    return pa.table([keys, values], schema=INPUTS).filter(pc.equal(content_keys(values), keys))


def _batch(inputs: pa.Table) -> pa.RecordBatch:
    return pa.record_batch([inputs[name].combine_chunks() for name in INPUTS.names], schema=INPUTS)


def _keys(inputs: pa.Table) -> pa.Array:
    return inputs["key"].combine_chunks()


class CutBatches(beam.DoFn):
    """Cuts the inputs of a bucket, in order of key: batches are the same on every runner. An output a modality."""

    def process(self, element: tuple[tuple[str, int], Iterable[pa.RecordBatch]]) -> Iterator[object]:
        """Cut one bucket of one modality."""
        (modality, _), batches = element
        inputs = _batch(sort_by_key(pa.Table.from_batches(batches, INPUTS)))
        yield from (TaggedOutput(modality, batch) for batch in encoding_batches(inputs, modality))

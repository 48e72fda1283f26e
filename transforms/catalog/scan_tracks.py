"""Scan the tracks table: read, validate, compute content keys, and divide rows into buckets."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.modalities import AUDIO, CONTENT_MODALITIES, LYRICS, METADATA, TAGS
from tracktokens.schemas.tables.catalog import KNOWN_OF_TRACK
from tracktokens.schemas.tables.records import KEY
from tracktokens.schemas.tables.tracks import POSITION, TRACKS
from tracktokens.transforms.catalog import texts
from tracktokens.transforms.readers.audio_root import AudioRoot
from tracktokens.transforms.readers.fragment_reader import ScanBatch, read_fragment
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.readers.validation import blank_to_null, validate_audio, validate_ids
from tracktokens.transforms.runtime.arrow_coder import SENT_ROWS
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.rejects import tag_rejects
from tracktokens.transforms.store.keys import bucket_numbers, content_keys, split_by_bucket

TEXTS = {TAGS: texts.tags_text, METADATA: texts.metadata_text, LYRICS: texts.lyrics_text}
"""What makes the input of each text modality."""


def keyed_tracks(encoded: Collection[str]) -> pa.Schema:
    """Schema of a scanned row without its inputs: who it is, and a content key for each modality that is encoded."""
    return pa.schema(
        [
            pa.field("track_key", KEY.type, nullable=False),
            pa.field("track_id", pa.string(), nullable=False),
            POSITION,
            *KNOWN_OF_TRACK,
            *[pa.field(modality, KEY.type) for modality in CONTENT_MODALITIES if modality in encoded],
        ]
    )


@dataclass(frozen=True)
class PreparedRows:
    """What a batch of input rows comes to.

    Attributes:
        rows: batch of :func:`keyed_tracks`.
        rejects: batches of rejects, of rows and of values.
    """

    rows: pa.RecordBatch
    rejects: list[pa.RecordBatch]


def prepare(batch: pa.RecordBatch, modalities: Collection[str], audio_root: AudioRoot | None) -> PreparedRows:
    """Validate a batch of scanned tracks, and compute the keys of the modalities that are to be encoded.

    Without an audio root no track has audio.
    """
    identified = validate_ids(batch)
    good = blank_to_null(identified.rows)
    keys = {modality: content_keys(TEXTS[modality](good)) for modality in TEXTS if modality in modalities}
    found = [identified.rejects]
    if audio_root is not None and AUDIO in modalities:
        audible = validate_audio(good, audio_root)
        keys[AUDIO] = content_keys(audio_identity(audible.rows))
        found.append(audible.rejects)
    rows = _keyed_tracks(good, keys, keyed_tracks(modalities))
    return PreparedRows(rows, rejects=[rows for rows in found if rows.num_rows])


def audio_identity(batch: pa.RecordBatch) -> pa.StringArray:
    """What an audio file's key is a hash of: its path below the root, and its version."""
    return pc.binary_join_element_wise(batch["audio_path"], batch["audio_version"], "\0")


def _keyed_tracks(batch: pa.RecordBatch, keys: Mapping[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    named = {name: batch[name] for name in ("track_id", "position", "title", "artist", "popularity")}
    named |= {"tag_names": batch["tags"], "track_key": content_keys(batch["track_id"]), **keys}
    absent = pa.nulls(batch.num_rows, KEY.type)
    return pa.record_batch([named.get(name, absent) for name in schema.names], schema=schema)


class ScanTracks(beam.DoFn):
    """Reads fragments of the tracks table. Outputs: :func:`keyed_tracks` by bucket of track; rejects, counts."""

    def __init__(
        self, buckets: int, audio_root: str | None, encoded: Collection[str], progress: ProgressReporter
    ) -> None:
        self._buckets = buckets
        self._audio_root = audio_root
        self._encoded = frozenset(encoded)
        self._progress = progress

    def setup(self) -> None:
        """Look at the audio root once a worker."""
        self._audio = None if self._audio_root is None else AudioRoot(self._audio_root)

    def process(self, fragment: Fragment) -> Iterator[object]:
        """Read one fragment, batch by batch."""
        pending: list[pa.RecordBatch] = []
        for scanned in read_fragment(fragment, TRACKS):
            prepared = prepare(scanned.rows, self._encoded, self._audio)
            pending.append(prepared.rows)
            self._progress.add("scan", done=scanned.rows_read)
            yield from self._counts(scanned)
            for found in (scanned.rejects, *prepared.rejects):
                yield from tag_rejects(fragment.number, found)
            if sum(part.num_rows for part in pending) >= SENT_ROWS:
                yield from self._divide(pending)
                pending = []
        yield from self._divide(pending)

    def _counts(self, scanned: ScanBatch) -> Iterator[TaggedOutput]:
        yield TaggedOutput(COUNTS_TAG, ("rows_read", scanned.rows_read))
        if self._audio is None:
            paths = scanned.rows["audio_path"]
            yield TaggedOutput(COUNTS_TAG, ("audio_without_root", len(paths) - paths.null_count))
        for column in scanned.ignored_columns:
            yield TaggedOutput(COUNTS_TAG, (f"ignored/{column}", scanned.rows_read))

    def _divide(self, pending: Sequence[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
        if pending:
            rows = pa.concat_batches(pending)
            yield from split_by_bucket(rows, bucket_numbers(rows["track_key"], self._buckets))

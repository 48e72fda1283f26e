"""Scan the tracks table: read, validate, compute content keys, and split rows into buckets."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.modalities import AUDIO, CONTENT_MODALITIES, LYRICS, METADATA, TAGS
from tracktokens.schemas.tables.catalog import KNOWN_OF_TRACK
from tracktokens.schemas.tables.records import KEY
from tracktokens.schemas.tables.rejects import AUDIO_MISSING, VALIDATE, make_rejects
from tracktokens.schemas.tables.tracks import POSITION, TRACK_ID, TRACKS, describe_position
from tracktokens.transforms.catalog.column_losses import column_counts
from tracktokens.transforms.catalog.lyrics import lyrics_text
from tracktokens.transforms.catalog.texts import metadata_text, tags_text
from tracktokens.transforms.readers.audio_root import AudioRoot, check_audio_root
from tracktokens.transforms.readers.fragment_reader import ScanBatch, read_fragment
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.readers.validation import blank_to_null, validate_audio, validate_ids
from tracktokens.transforms.runtime.arrow_coder import SENT_ROWS
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.forgotten_tracks import NOTHING_FORGOTTEN, ForgottenTracks, row_rejects
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.rejects import tag_rejects
from tracktokens.transforms.store.keys import bucket_numbers, content_keys, split_by_bucket

TEXTS = {TAGS: tags_text, METADATA: metadata_text, LYRICS: lyrics_text}
"""Text modality to the function that makes its inputs."""

AUDIO_FOUND = "audio_found"
"""Name of the count of rows whose audio path leads to a file."""


def keyed_tracks(encoded: Collection[str]) -> pa.Schema:
    """Schema of a scanned row without its inputs: its identity, and a content key per encoded modality."""
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
    """Prepared batch of input rows.

    Attributes:
        rows: batch of :func:`keyed_tracks`.
        rejects: batches of rejects, of whole rows or of single values.
    """

    rows: pa.RecordBatch
    rejects: list[pa.RecordBatch]


def prepare(
    batch: pa.RecordBatch,
    modalities: Collection[str],
    audio_root: AudioRoot | None,
    forgotten: ForgottenTracks = NOTHING_FORGOTTEN,
) -> PreparedRows:
    """Validate a batch of scanned tracks, and compute the keys of the encoded modalities.

    Without an audio root, no track has audio. Rows of forgotten tracks are rejected.
    """
    identified = validate_ids(batch)
    allowed, taken_down = _without_forgotten(identified.rows, forgotten)
    valid = blank_to_null(allowed)
    keys = {modality: content_keys(TEXTS[modality](valid)) for modality in TEXTS if modality in modalities}
    rejects = [identified.rejects, taken_down]
    if audio_root is not None and AUDIO in modalities:
        audible = validate_audio(valid, audio_root)
        keys[AUDIO] = content_keys(audio_identity(audible.rows))
        rejects.append(audible.rejects)
    rows = _keyed_tracks(valid, keys, keyed_tracks(modalities))
    return PreparedRows(rows, rejects=[batch for batch in rejects if batch.num_rows])


def _without_forgotten(batch: pa.RecordBatch, forgotten: ForgottenTracks) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Split a batch into the rows that are accepted, and the rejects of the others, which do not have the id."""
    rows = forgotten.mask(batch[TRACK_ID])
    if not rows.any():
        return batch, make_rejects([])
    positions = batch["position"].filter(pa.array(rows)).to_pylist()
    return batch.filter(pa.array(~rows)), row_rejects(VALIDATE, map(describe_position, positions))


def no_file_found(batch: pa.RecordBatch, rejects: Sequence[pa.RecordBatch]) -> bool:
    """Return whether a batch has audio paths, and all of their files are missing."""
    paths = len(batch) - batch["audio_path"].null_count
    missing = sum(pc.sum(pc.equal(part["reason"], AUDIO_MISSING)).as_py() for part in rejects)
    return bool(0 < paths == missing)


def audio_identity(batch: pa.RecordBatch) -> pa.StringArray:
    """Identity that an audio file's key hashes: its path below the root, and its version."""
    return pc.binary_join_element_wise(batch["audio_path"], batch["audio_version"], "\0")


def _keyed_tracks(batch: pa.RecordBatch, keys: Mapping[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    named = {name: batch[name] for name in ("track_id", "position", "title", "artist", "popularity")}
    named |= {"tag_names": batch["tags"], "track_key": content_keys(batch["track_id"]), **keys}
    absent = pa.nulls(batch.num_rows, KEY.type)
    return pa.record_batch([named.get(name, absent) for name in schema.names], schema=schema)


@dataclass(kw_only=True, eq=False)
class ScanTracks(beam.DoFn):
    """Scan fragments of the tracks table.

    Main output: :func:`keyed_tracks` by bucket of track. Other outputs: rejects, counts.

    Attributes:
        buckets: number of buckets of the store.
        audio_root: folder that audio paths are relative to, or None.
        encoded: modalities that have an encoder.
        progress: receives the number of rows.
        forgotten: tracks whose rows are rejected.
    """

    buckets: int
    audio_root: str | None
    encoded: Collection[str]
    progress: ProgressReporter
    forgotten: ForgottenTracks = NOTHING_FORGOTTEN
    _audio: AudioRoot | None = field(default=None, init=False, repr=False)

    def setup(self) -> None:
        """Open the audio root, once per worker."""
        self._audio = None if self.audio_root is None else AudioRoot(self.audio_root)

    def process(self, fragment: Fragment) -> Iterator[object]:
        """Scan one fragment, batch by batch."""
        pending: list[pa.RecordBatch] = []
        for scanned in read_fragment(fragment, TRACKS):
            prepared = prepare(scanned.rows, self.encoded, self._audio, self.forgotten)
            if self._audio is not None and no_file_found(scanned.rows, prepared.rejects):
                check_audio_root(self._audio.root)  # a worker that does not see it, or a mount that was dropped
            pending.append(prepared.rows)
            self.progress.add("scan", done=scanned.rows_read)
            yield from self._counts(scanned)
            if AUDIO in self.encoded:
                yield TaggedOutput(COUNTS_TAG, (AUDIO_FOUND, len(prepared.rows) - prepared.rows[AUDIO].null_count))
            for rejects in (self.forgotten.scrub(scanned.rejects), *prepared.rejects):
                yield from tag_rejects(fragment.number, rejects)
            if sum(part.num_rows for part in pending) >= SENT_ROWS:
                yield from self._split(pending)
                pending = []
        yield from self._split(pending)

    def _counts(self, scanned: ScanBatch) -> Iterator[TaggedOutput]:
        yield TaggedOutput(COUNTS_TAG, ("rows_read", scanned.rows_read))
        if self._audio is None:
            paths = scanned.rows["audio_path"]
            yield TaggedOutput(COUNTS_TAG, ("audio_without_root", len(paths) - paths.null_count))
        yield from (TaggedOutput(COUNTS_TAG, count) for count in column_counts(scanned))

    def _split(self, pending: Sequence[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
        if pending:
            rows = pa.concat_batches(pending)
            yield from split_by_bucket(rows, bucket_numbers(rows["track_key"], self.buckets))

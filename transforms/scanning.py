"""Scan the tracks table: read, validate, compute content keys, and divide rows and inputs into buckets."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.facts import INPUTS, KEY
from tracktokens.schemas.modalities import AUDIO, CONTENT_MODALITIES, LYRICS, METADATA, TAGS
from tracktokens.schemas.tracks import POSITION, TRACKS
from tracktokens.transforms import texts
from tracktokens.transforms.counts import COUNTS_TAG
from tracktokens.transforms.inputs.fragments import Fragment
from tracktokens.transforms.inputs.reading import read_fragment
from tracktokens.transforms.inputs.validation import AudioRoot, blank_to_null, validate_audio, validate_ids
from tracktokens.transforms.keys import bucket_numbers, content_keys, split_by_bucket
from tracktokens.transforms.progress import Board
from tracktokens.transforms.rejecting import tag_rejects

INPUTS_TAG = "inputs"

TEXTS = {TAGS: texts.tags_text, METADATA: texts.metadata_text, LYRICS: texts.lyrics_text}
"""What makes the input of each text modality."""

KEYED_TRACKS = pa.schema(
    [
        pa.field("track_key", KEY.type, nullable=False),
        pa.field("track_id", pa.string(), nullable=False),
        POSITION,
        ("title", pa.string()),
        ("artist", pa.string()),
        ("tag_names", pa.list_(pa.string())),
        ("popularity", pa.float64()),
        *[pa.field(modality, KEY.type) for modality in CONTENT_MODALITIES],
    ]
)
"""A scanned row without its inputs: who it is, and a content key for each modality that it has."""


@dataclass(frozen=True)
class PreparedRows:
    """What a batch of input rows comes to.

    Attributes:
        rows: batch of ``KEYED_TRACKS``.
        inputs: modality to a batch of ``INPUTS``, each distinct input of the batch once.
        rejects: batches of rejects, of rows and of values.
    """

    rows: pa.RecordBatch
    inputs: dict[str, pa.RecordBatch]
    rejects: list[pa.RecordBatch]


def prepare(batch: pa.RecordBatch, modalities: Collection[str], audio_root: AudioRoot | None) -> PreparedRows:
    """Validate a batch of scanned tracks, and compute keys and inputs of the modalities that are to be encoded.

    Without an audio root no track has audio.
    """
    identified = validate_ids(batch)
    good = blank_to_null(identified.rows)
    columns = {modality: keyed_inputs(TEXTS[modality](good)) for modality in TEXTS if modality in modalities}
    found = [identified.rejects]
    if audio_root is not None and AUDIO in modalities:
        audible = validate_audio(good, audio_root)
        columns[AUDIO] = (content_keys(audio_identity(audible.rows)), audible.rows["audio_path"])
        found.append(audible.rejects)
    return PreparedRows(
        rows=_keyed_tracks(good, {modality: keys for modality, (keys, _) in columns.items()}),
        inputs={modality: distinct_inputs(keys, values) for modality, (keys, values) in columns.items()},
        rejects=[rows for rows in found if rows.num_rows],
    )


def audio_identity(batch: pa.RecordBatch) -> pa.StringArray:
    """What an audio file's key is a hash of: its path below the root, and its version."""
    return pc.binary_join_element_wise(batch["audio_path"], batch["audio_version"], "\0")


def keyed_inputs(values: pa.StringArray) -> tuple[pa.Array, pa.StringArray]:
    """Give inputs their content keys."""
    return content_keys(values), values


def distinct_inputs(keys: pa.Array, values: pa.StringArray) -> pa.RecordBatch:
    """Put the inputs that are there into a batch of ``INPUTS``, each key once."""
    present = pa.table([keys, values], names=INPUTS.names).filter(pc.is_valid(keys))
    grouped = present.group_by("key", use_threads=False).aggregate([("input", "first")])
    columns = [grouped["key"].combine_chunks(), grouped["input_first"].combine_chunks()]
    return pa.record_batch(columns, schema=INPUTS)


def _keyed_tracks(batch: pa.RecordBatch, keys: dict[str, pa.Array]) -> pa.RecordBatch:
    named = {name: batch[name] for name in ("track_id", "position", "title", "artist", "popularity")}
    named["tag_names"] = batch["tags"]
    absent = pa.nulls(batch.num_rows, KEY.type)
    for modality in CONTENT_MODALITIES:
        named[modality] = keys.get(modality, absent)
    named["track_key"] = content_keys(batch["track_id"])
    return pa.record_batch([named[name] for name in KEYED_TRACKS.names], schema=KEYED_TRACKS)


class ScanTracks(beam.DoFn):
    """Reads fragments of the tracks table. Outputs: ``KEYED_TRACKS`` by bucket of track; inputs, rejects, counts."""

    def __init__(self, buckets: int, audio_root: str | None, encoded: Collection[str], board: Board) -> None:
        self._buckets = buckets
        self._audio_root = audio_root
        self._encoded = frozenset(encoded)
        self._board = board

    def setup(self) -> None:
        """Look at the audio root once a worker."""
        self._audio = None if self._audio_root is None else AudioRoot(self._audio_root)

    def process(self, fragment: Fragment) -> Iterator[object]:
        """Read one fragment, batch by batch."""
        for scanned in read_fragment(fragment, TRACKS):
            prepared = prepare(scanned.rows, self._encoded, self._audio)
            self._board.add("scan", done=scanned.rows_read)
            yield TaggedOutput(COUNTS_TAG, ("rows_read", scanned.rows_read))
            if self._audio is None:
                paths = scanned.rows["audio_path"]
                yield TaggedOutput(COUNTS_TAG, ("audio_without_root", len(paths) - paths.null_count))
            for column in scanned.ignored_columns:
                yield TaggedOutput(COUNTS_TAG, (f"ignored/{column}", scanned.rows_read))
            for found in (scanned.rejects, *prepared.rejects):
                yield from tag_rejects(fragment.number, found)
            yield from split_by_bucket(prepared.rows, bucket_numbers(prepared.rows["track_key"], self._buckets))
            for modality, inputs in prepared.inputs.items():
                yield from self._divide(modality, inputs)

    def _divide(self, modality: str, inputs: pa.RecordBatch) -> Iterator[TaggedOutput]:
        for bucket, part in split_by_bucket(inputs, bucket_numbers(inputs["key"], self._buckets)):
            yield TaggedOutput(INPUTS_TAG, ((modality, bucket), part))

"""Examples of unknown tracks in playlists, beside ids of the catalog, so that a person sees how they differ."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.display import show_value
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS
from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.transforms.playlists.read_playlists import TRACK_IDS
from tracktokens.transforms.readers.fragment_reader import ScanBatch, read_fragment
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, content_keys, split_by_bucket
from tracktokens.transforms.store.layout import Catalog

_EXAMPLES = 2
_SAMPLE = 256
"""Distinct track ids that are looked up."""


def find_unknown(fragments: Sequence[Fragment], catalog: Catalog) -> str:
    """Describe some unknown tracks among the first entries of the playlists; empty without any."""
    sample = _first_ids(fragments)
    unknown: list[str] = []
    known: list[str] = []
    for bucket, part in split_by_bucket(
        pa.record_batch([sample], names=["id"]), bucket_numbers(content_keys(sample), catalog.buckets)
    ):
        tracks = files.read_table(catalog.tracks(bucket), CATALOG_TRACKS, ["track_id"])["track_id"]
        unknown += part["id"].filter(pc.invert(pc.is_in(part["id"], value_set=tracks.combine_chunks()))).to_pylist()
        known += tracks[:_EXAMPLES].to_pylist()
        if len(unknown) >= _EXAMPLES and known:
            break
    return describe_unknown(unknown, known)


def describe_unknown(unknown: Sequence[str], known: Sequence[str]) -> str:
    """Show some unknown ids and some of the catalog, for the end of a sentence; empty without unknown ones."""
    if not unknown:
        return ""
    ours = f" (the catalog has, for example, {_show(known)})" if known else ""
    return f", for example {_show(unknown)}{ours}"


def _show(ids: Sequence[str]) -> str:
    return ", ".join(map(show_value, ids[:_EXAMPLES]))


def _first_ids(fragments: Sequence[Fragment]) -> pa.StringArray:
    """Distinct track ids of the first batch that has any."""
    lists = (pc.list_flatten(batch.rows[TRACK_IDS]) for batch in _batches(fragments))
    first = next((ids for ids in lists if len(ids)), pa.array([], pa.string()))
    return pc.unique(first.drop_null())[:_SAMPLE]


def _batches(fragments: Sequence[Fragment]) -> Iterator[ScanBatch]:
    return (batch for fragment in fragments for batch in read_fragment(fragment, PLAYLISTS))

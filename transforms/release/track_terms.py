"""Terms that describe tracks: tags, words of titles, artists."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MOST_TERMS = 20_000
"""Most terms that are counted; bounds the table of groups and terms."""

_NO_WORD = r"[^\p{L}\p{N}']+"

TRACK_TERMS = pa.schema([pa.field("row", pa.int64(), nullable=False), pa.field("term", pa.string(), nullable=False)])
"""One row per track and term, without repeats: the row of the track and the term."""


def track_terms(tracks: pa.Table) -> pa.Table:
    """List the terms of tracks with ``title``, ``artist`` and ``tag_names``: a table of ``TRACK_TERMS``.

    Terms are lower-case. An artist's whole name is one term.
    """
    titles = pc.split_pattern_regex(pc.utf8_lower(tracks["title"].combine_chunks()), _NO_WORD)
    tags = tracks["tag_names"].combine_chunks()
    artists = pc.utf8_lower(tracks["artist"].combine_chunks())
    rows = [pc.list_parent_indices(titles), pc.list_parent_indices(tags), pa.array(np.arange(len(artists)))]
    terms = [pc.list_flatten(titles), pc.utf8_lower(pc.list_flatten(tags)), artists]
    table = pa.table([pa.chunked_array([part.cast(field.type) for part in parts]) for parts, field in zip(
        (rows, terms), TRACK_TERMS, strict=True)], names=TRACK_TERMS.names)  # fmt: skip
    present = table.filter(pc.greater(pc.binary_length(pc.fill_null(table["term"], "")), 0))
    return present.group_by(TRACK_TERMS.names, use_threads=False).aggregate([]).cast(TRACK_TERMS)


def term_counts(terms: pa.Table, groups: npt.NDArray[np.int64], number: int) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Count the tracks of each group that have each of the ``MOST_TERMS`` commonest terms.

    Args:
        terms: ``TRACK_TERMS``.
        groups: int64 (tracks,), the group of each track.
        number: number of groups.

    Returns:
        The distinct terms, the commonest first, and int64 (groups, terms) counts.
    """
    common = pc.value_counts(terms["term"]).flatten()
    order = pc.sort_indices(
        pa.table(common, names=["term", "tracks"]), [("tracks", "descending"), ("term", "ascending")]
    )
    names = common[0].take(order[:MOST_TERMS])
    codes = pc.index_in(terms["term"].combine_chunks(), value_set=names)
    owners = groups[terms["row"].filter(codes.is_valid()).to_numpy()]
    cells = owners * len(names) + codes.drop_null().to_numpy()
    return names, np.bincount(cells, minlength=number * len(names)).reshape(number, len(names))

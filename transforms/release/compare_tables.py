"""Compare two token tables of a store, bucket by bucket: what became of the tracks that both have."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.metrics.churn import Churn, ChurnAccumulator
from tracktokens.codebooks.tokens.code_matrix import Codes
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.store.token_tables import TokenTable, code_matrix, popularity_weights

_IO_THREADS = 8


def compare(old: TokenTable, new: TokenTable, reserved: int) -> Churn:
    """Measure the churn between two token tables; tracks are weighted by their popularity in the new catalog.

    It reads half a million tracks a second and holds a few buckets, so it takes no job of its own.

    Args:
        old: the table before.
        new: the table now, of the same store, and so of the same buckets.
        reserved: codes a modality in both vocabularies.

    Raises:
        DataRefusedError: a part is of another bundle, or cannot be read.
    """
    churn = ChurnAccumulator(reserved)
    with ThreadPoolExecutor(_IO_THREADS) as threads:
        for part in threads.map(lambda bucket: _compare_bucket(old, new, reserved, bucket), range(new.catalog.buckets)):
            churn.merge(part)
    return churn.finalize()


def common_codes(old: pa.Table, track_ids: pa.StringArray) -> tuple[pa.Array, Codes]:
    """Find tracks in an old token table.

    Args:
        old: rows of a token table.
        track_ids: ids of the tracks now, none twice.

    Returns:
        Rows of ``track_ids`` that the old table has, and their old codes, int16 (rows, 5).
    """
    places = pc.index_in(track_ids, value_set=old["track_id"].combine_chunks())
    found = pa.array(np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False)))
    return found, code_matrix(old.take(places.drop_null()))


def _compare_bucket(old: TokenTable, new: TokenTable, reserved: int, bucket: int) -> ChurnAccumulator:
    columns = ["track_id", *MODALITIES]
    rows = new.read(bucket, columns)
    found, before = common_codes(old.read(bucket, columns), rows["track_id"].combine_chunks())
    both = rows.take(found)
    popularity = popularity_weights(new.tracks(bucket, ["popularity"])["popularity"].take(found))
    churn = ChurnAccumulator(reserved)
    churn.update(both["track_id"].combine_chunks(), before, code_matrix(both), popularity)
    return churn

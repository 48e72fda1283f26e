"""Compare two token tables of a store bucket by bucket, over the tracks that both have."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from tracktokens.codebooks.metrics.churn import Churn, ChurnAccumulator
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.transforms.quantization.code_join import common_codes
from tracktokens.transforms.store.token_tables import TokenTable, code_matrix

_IO_THREADS = 8


def compare(old: TokenTable, new: TokenTable) -> Churn:
    """Measure the churn between two token tables; tracks are weighted by their popularity in the new table.

    A column that one of them lacks has no codes there.

    It reads half a million tracks per second and holds a few buckets in memory, so it needs no Beam job.

    Args:
        old: the baseline.
        new: a table of the same store, and so with the same buckets.

    Raises:
        InvalidDataError: a part has codes of another bundle, or cannot be read.
    """
    sizes = column_sizes(old.token_format, new.token_format)
    churn = ChurnAccumulator(sizes)
    with ThreadPoolExecutor(_IO_THREADS) as threads:
        for part in threads.map(lambda bucket: _compare_bucket(old, new, sizes, bucket), range(new.catalog.buckets)):
            churn.merge(part)
    return churn.finalize()


def column_sizes(old: TokenFormat, new: TokenFormat) -> dict[str, int]:
    """Return the columns of two formats, in order, with the larger of both sizes."""
    sizes: dict[str, int] = {}
    for column in (*new.coded, *old.coded, *new.columns, *old.columns):  # the number is last
        sizes[column.name] = max(sizes.get(column.name, 0), column.size)
    return sizes


def _compare_bucket(old: TokenTable, new: TokenTable, sizes: Mapping[str, int], bucket: int) -> ChurnAccumulator:
    rows = new.read_codes(bucket)
    row_indices, old_codes = common_codes(old.read_codes(bucket), rows["track_id"].combine_chunks(), list(sizes))
    common = rows.take(row_indices)
    popularity = new.popularity(bucket)[row_indices.to_numpy()]
    churn = ChurnAccumulator(sizes)
    churn.update(common["track_id"].combine_chunks(), old_codes, code_matrix(common, list(sizes)), popularity)
    return churn

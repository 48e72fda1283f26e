"""Compare two token tables of a store bucket by bucket, over the tracks that both have."""

from concurrent.futures import ThreadPoolExecutor

from tracktokens.codebooks.metrics.churn import Churn, ChurnAccumulator
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.quantization.code_join import common_codes
from tracktokens.transforms.store.token_tables import TokenTable, code_matrix

_IO_THREADS = 8


def compare(old: TokenTable, new: TokenTable, codebook_size: int) -> Churn:
    """Measure the churn between two token tables; tracks are weighted by their popularity in the new table.

    It reads half a million tracks per second and holds a few buckets in memory, so it needs no Beam job.

    Args:
        old: the baseline.
        new: a table of the same store, and so with the same buckets.
        codebook_size: codes per modality in both vocabularies.

    Raises:
        InvalidDataError: a part has codes of another bundle, or cannot be read.
    """
    churn = ChurnAccumulator(codebook_size)
    with ThreadPoolExecutor(_IO_THREADS) as threads:
        for part in threads.map(
            lambda bucket: _compare_bucket(old, new, codebook_size, bucket), range(new.catalog.buckets)
        ):
            churn.merge(part)
    return churn.finalize()


def _compare_bucket(old: TokenTable, new: TokenTable, codebook_size: int, bucket: int) -> ChurnAccumulator:
    columns = ["track_id", *MODALITIES]
    rows = new.read(bucket, columns)
    row_indices, old_codes = common_codes(old.read(bucket, columns), rows["track_id"].combine_chunks())
    common = rows.take(row_indices)
    popularity = new.popularity(bucket)[row_indices.to_numpy()]
    churn = ChurnAccumulator(codebook_size)
    churn.update(common["track_id"].combine_chunks(), old_codes, code_matrix(common), popularity)
    return churn

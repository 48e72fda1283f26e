"""Balance checks of a catalog scan: every row, key and input that is read must be accounted for."""

from collections.abc import Mapping

from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.vectors import VectorCounts
from tracktokens.transforms.precomputed.scan_vectors import vector_counts
from tracktokens.transforms.runtime.counters import first_imbalance, require_balance


def reconcile_rows(manifest: CatalogManifest) -> None:
    """Check that every row of tracks and of precomputed embeddings was used, skipped or rejected.

    Raises:
        TracktokensError: rows are unaccounted for, which is a bug in tracktokens.
    """
    require_balance("rows", manifest.rows_read, manifest.rows_accepted, "accepted", manifest.rows_rejected)
    for modality, fields in manifest.vectors.items():
        rows = VectorCounts(**fields)
        name = f"rows of {modality} vectors"
        require_balance(name, rows.read, rows.accounted - rows.rejected, "used or skipped", rows.rejected)


def reconcile_inputs(counts: Mapping[str, int]) -> None:
    """Check that every key was written, and every new input encoded or failed.

    Do not call this for a refused catalog: nothing of it is encoded, so its counts do not balance.

    Raises:
        TracktokensError: keys or inputs are unaccounted for, which is a bug in tracktokens.
    """
    require_balance("keys", counts["keys_expected"], counts["keys_written"], "written", 0)
    for modality in MODALITIES:
        require_balance(f"new {modality} inputs", counts[f"missing/{modality}"], _tried(counts, modality), "tried", 0)


def find_loss(counts: Mapping[str, int], *, refused: bool) -> str | None:
    """Describe the loss of a scan; None if everything balances.

    The base snapshot may lack records, and in rare cases Beam's local runner with several workers drops a message.

    Args:
        counts: named counts of the scan.
        refused: whether the catalog was refused: then nothing of it is encoded, so only its rows balance.
    """
    balances = {"rows of tracks": (counts["rows_read"], counts["rows_accepted"] + counts["rows_rejected"])}
    if refused:
        return first_imbalance(balances, "are left")
    if counts["records_lost"]:
        return f"{counts['records_lost']} vectors or failures are missing from the store"
    balances["keys"] = counts["keys_expected"], counts["keys_written"]
    for modality in MODALITIES:
        rows = vector_counts(counts, modality)
        balances[f"rows of {modality} vectors"] = rows.read, rows.accounted
        balances[f"new {modality} inputs"] = counts[f"missing/{modality}"], _tried(counts, modality)
    return first_imbalance(balances, "are left")


def _tried(counts: Mapping[str, int], modality: str) -> int:
    return counts[f"encoded/{modality}"] + counts[f"failed/{modality}"]

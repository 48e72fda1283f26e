"""Check by what was counted while a catalog was scanned that no row was lost, and not too many were rejected."""

from collections.abc import Mapping

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.vectors import VectorCounts
from tracktokens.transforms.precomputed.scan_vectors import vector_counts
from tracktokens.transforms.runtime.counters import first_imbalance, require_balance


def reconcile(manifest: CatalogManifest, counts: Mapping[str, int], max_reject_rate: float) -> None:
    """Check that every row read was accepted or rejected, of tracks and of vectors, and that not too many were.

    Raises:
        InvalidDataError: when there are no rows, or too many were rejected, or no vector is of a track.
        TracktokensError: when rows are unaccounted for, which is a fault of ours.
    """
    read, rejected = manifest.rows_read, manifest.rows_rejected
    require_balance("rows", read, manifest.rows_accepted, "accepted", rejected)
    if not manifest.rows_accepted:
        raise InvalidDataError(f"none of {read} rows can be used ({_reasons(counts)}): mend the input")
    if exceeds(rejected, read, max_reject_rate):
        raise InvalidDataError(
            f"{rejected} of {read} rows rejected, more than {max_reject_rate:.1%} ({_reasons(counts)}): "
            "mend the input, or raise --max-reject-rate; nothing was published"
        )
    for modality, found in manifest.vectors.items():
        reconcile_vectors(modality, VectorCounts(**found), max_reject_rate)
    require_balance("keys", counts["keys_settled"], counts["keys_written"], "written", 0)
    for modality in MODALITIES:
        require_balance(f"new {modality} inputs", counts[f"missing/{modality}"], _tried(counts, modality), "tried", 0)


def reconcile_vectors(modality: str, counts: VectorCounts, max_reject_rate: float) -> None:
    """Check that every row of a vectors table is accounted for, and that there is something to use; see above."""
    rows = f"rows of {modality} vectors"
    require_balance(rows, counts.read, counts.accounted - counts.rejected, "used or left", counts.rejected)
    if exceeds(counts.rejected, counts.read, max_reject_rate):
        raise InvalidDataError(
            f"{counts.rejected} of {counts.read} {rows} rejected, more than {max_reject_rate:.1%}: "
            "mend them, or raise --max-reject-rate; nothing was published"
        )
    if not counts.used:
        raise InvalidDataError(
            f"none of {counts.read} {rows} is of a track of the catalog ({counts.unknown} have another track_id): "
            "compare their track_id with the catalog's"
        )


def _reasons(counts: Mapping[str, int]) -> str:
    prefix = "rejects/"
    return ", ".join(
        f"{name.removeprefix(prefix)} {n}" for name, n in sorted(counts.items()) if name.startswith(prefix)
    )


def exceeds(rejected: int, read: int, max_reject_rate: float) -> bool:
    """Whether more rows were rejected than may be."""
    return rejected > max_reject_rate * read


def is_refused(counts: Mapping[str, int], max_reject_rate: float) -> bool:
    """Whether so many rows were lost, of tracks or of a modality's vectors, that the catalog is refused."""
    names = [("rows_rejected", "rows_read")]
    names += [(f"vectors_rejected/{modality}", f"vectors_read/{modality}") for modality in MODALITIES]
    return any(exceeds(counts.get(lost, 0), counts.get(read, 0), max_reject_rate) for lost, read in names)


def what_is_lost(counts: Mapping[str, int], max_reject_rate: float) -> str | None:
    """What a scan should have come to and did not, in words; None where all is there.

    The base, which it was compared with, may lack something; and in rare cases Beam's local runner with several
    workers loses a message. A catalog that is refused was not compared to the end.
    """
    if is_refused(counts, max_reject_rate):
        return None
    if counts["facts_lost"]:
        return f"{counts['facts_lost']} vectors or failures are gone from the store"
    balances = {"rows of tracks": (counts["rows_read"], counts["rows_accepted"] + counts["rows_rejected"])}
    balances["keys"] = counts["keys_settled"], counts["keys_written"]
    for modality in MODALITIES:
        found = vector_counts(counts, modality)
        balances[f"rows of {modality} vectors"] = found.read, found.accounted
        balances[f"new {modality} inputs"] = counts[f"missing/{modality}"], _tried(counts, modality)
    return first_imbalance(balances, "are left")


def _tried(counts: Mapping[str, int], modality: str) -> int:
    return counts[f"encoded/{modality}"] + counts[f"failed/{modality}"]

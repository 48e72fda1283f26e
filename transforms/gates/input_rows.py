"""Row counts of an input table, and the gate that bounds its rejects."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tracktokens.schemas.tables.rejects import FORGOTTEN, ID_WRONG_TYPE, ROW_REASONS, WRONG_TYPE
from tracktokens.transforms.catalog.column_losses import describe_reasons
from tracktokens.transforms.gates.base import Gate
from tracktokens.transforms.playlists.read_playlists import LOST_BY_REASON, PLAYLISTS_LOST, PLAYLISTS_READ
from tracktokens.transforms.precomputed.scan_vectors import vector_counts
from tracktokens.transforms.runtime.rejects import REJECTS_PREFIX, VECTOR_REJECTS

REMEDIES = {
    ID_WRONG_TYPE: "write each track_id as a text, since 7 and 007 are not the same id",
    WRONG_TYPE: "write ids as texts, and the other columns in the types of the documentation",
}
"""Reason to what to do about it, where that is the same for all inputs."""


@dataclass(frozen=True)
class InputRows:
    """Row counts of one input table.

    Attributes:
        name: name of the rows in messages.
        read: rows read.
        rejected: rows in the rejects.
        unknown: rows of tracks that the catalog does not have.
        used: rows that something was made of.
        reasons: reject reason to number of rows.
    """

    name: str
    read: int
    rejected: int
    unknown: int
    used: int
    reasons: Mapping[str, int]

    @property
    def faulty(self) -> int:
        """Rejected rows that count to a limit: not those of tracks that were taken down."""
        return self.rejected - self.reasons.get(FORGOTTEN, 0)

    @property
    def detail(self) -> str:
        """The reject reasons in brackets, for the middle of a sentence; empty without any."""
        return f" ({describe_reasons(self.reasons)})" if self.reasons else ""


def input_rows(counts: Mapping[str, int], precomputed: Iterable[str]) -> Iterator[InputRows]:
    """List the row counts of a scan: the tracks, then the precomputed embeddings of each modality.

    Args:
        counts: named counts of the scan.
        precomputed: modalities that have precomputed embeddings.
    """
    reasons = {why: count for why, count in _reject_reasons(counts, REJECTS_PREFIX).items() if why in ROW_REASONS}
    read, rejected, accepted = (counts.get(f"rows_{name}", 0) for name in ("read", "rejected", "accepted"))
    yield InputRows("rows", read, rejected, 0, accepted, reasons)
    for modality in precomputed:
        rows = vector_counts(counts, modality)
        reasons = _reject_reasons(counts, f"{VECTOR_REJECTS}{modality}/")
        yield InputRows(f"rows of {modality} vectors", rows.read, rows.rejected, rows.unknown, rows.used, reasons)


def _reject_reasons(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    """Select the counts of rejects whose name is a prefix and a reason."""
    named = {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}
    return {reason: count for reason, count in named.items() if "/" not in reason}


def playlist_rows(counts: Mapping[str, int]) -> InputRows:
    """Collect the row counts of a scan of playlists. One with too few known tracks counts as used."""
    read, lost = counts.get(PLAYLISTS_READ, 0), counts.get(PLAYLISTS_LOST, 0)
    names = (name for name in counts if name.startswith(LOST_BY_REASON))
    reasons = {name.removeprefix(LOST_BY_REASON): counts[name] for name in names}
    return InputRows("playlists", read, lost, 0, read - lost, reasons)


@dataclass(frozen=True)
class RejectRateGate(Gate[InputRows]):
    """Bounds the rejects of an input table.

    Attributes:
        max_reject_rate: largest share of rejected rows.
    """

    max_reject_rate: float

    def find_violation(self, measured: InputRows) -> str | None:
        """Describe a table with too many rejects, or without a row that can be used."""
        if measured.read == measured.rejected:
            return f"none of {measured.read} {measured.name} can be used{measured.detail}: {_remedy(measured)}"
        if self.is_exceeded(measured.faulty, measured.read):
            return (
                f"{measured.faulty} of {measured.read} {measured.name} rejected, more than "
                f"{self.max_reject_rate:.1%}{measured.detail}: {_remedy(measured)}, or raise --max-reject-rate"
            )
        if not measured.used:
            return (
                f"none of {measured.read} {measured.name} is of a track of the catalog ({measured.unknown} have "
                "another track_id): compare their track_id with the catalog's"
            )
        return None

    def is_exceeded(self, rejected: int, read: int) -> bool:
        """Return whether too many of the rows that were read are rejected."""
        return rejected > self.max_reject_rate * read


def _remedy(measured: InputRows) -> str:
    """Name the remedy for the most frequent reject."""
    commonest = max(measured.reasons, key=lambda reason: measured.reasons[reason], default=None)
    return REMEDIES.get(commonest or "", "fix the input")


def playlists_refused(gate: RejectRateGate, counts: Mapping[str, int]) -> bool:
    """Return whether the counts of a scan of playlists are reason enough to refuse them."""
    rows = playlist_rows(counts)
    return gate.is_exceeded(rows.rejected, rows.read)

"""Gates: the conditions under which a release is published. Each measures one thing against one limit.

A gate holds its limit. ``find_violation`` describes what is past it, and ``check`` raises on that, so that nothing is
published.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from tracktokens.codebooks.metrics.churn import Churn
from tracktokens.schemas.errors import DriftError, InvalidDataError, TracktokensError
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.rejects import FORGOTTEN, ROW_REASONS
from tracktokens.schemas.tables.vectors import VectorCounts
from tracktokens.transforms.catalog.column_losses import ColumnLosses, column_losses, describe_reasons
from tracktokens.transforms.playlists.read_playlists import LOST_BY_REASON, PLAYLISTS_LOST, PLAYLISTS_READ
from tracktokens.transforms.release.drift_baseline import DriftReport, drift_message
from tracktokens.transforms.runtime.rejects import REJECTS_PREFIX, VECTOR_REJECTS

_logger = logging.getLogger(__name__)

Measured = TypeVar("Measured")


class Gate(ABC, Generic[Measured]):
    """One condition of a release."""

    error: ClassVar[type[TracktokensError]] = InvalidDataError

    @property
    def enforced(self) -> bool:
        """Return whether a violation is an error; otherwise it is logged as a warning."""
        return True

    @abstractmethod
    def find_violation(self, measured: Measured) -> str | None:
        """Describe what is past the limit and what to do about it; None where nothing is."""

    def check(self, measured: Measured) -> None:
        """Check the condition.

        Raises:
            TracktokensError: it is violated and enforced; the class is ``error``.
        """
        violation = self.find_violation(measured)
        if violation is None:
            return
        if self.enforced:
            raise self.error(f"{violation}; nothing was published")
        _logger.warning("%s", violation)


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


def input_rows(manifest: CatalogManifest, counts: Mapping[str, int]) -> Iterator[InputRows]:
    """List the row counts of a scan: the tracks, then the precomputed embeddings of each modality."""
    reasons = {why: count for why, count in _reject_reasons(counts, REJECTS_PREFIX).items() if why in ROW_REASONS}
    yield InputRows("rows", manifest.rows_read, manifest.rows_rejected, 0, manifest.rows_accepted, reasons)
    for modality, fields in manifest.vectors.items():
        rows = VectorCounts(**fields)
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
            return f"none of {measured.read} {measured.name} can be used{measured.detail}: fix the input"
        if self.is_exceeded(measured.faulty, measured.read):
            return (
                f"{measured.faulty} of {measured.read} {measured.name} rejected, more than "
                f"{self.max_reject_rate:.1%}{measured.detail}: fix the input, or raise --max-reject-rate"
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


@dataclass(frozen=True)
class ColumnGate(Gate[Sequence[ColumnLosses]]):
    """Refuses a table with a column of which every value is rejected.

    Attributes:
        table: name of the table in messages.
        limit: number of rejected values up to which such a column is accepted: one value in a column without any other
            is an oversight, and not the format of the export.
        example: one rejected value, for people; None where none is known.
    """

    table: str
    limit: float = 0
    example: str | None = None

    def find_violation(self, measured: Sequence[ColumnLosses]) -> str | None:
        """Name the columns without a value that can be used."""
        lost = unusable_columns(measured, self.limit)
        if not lost:
            return None
        example = "" if self.example is None else f", for example {self.example}"
        names = ", ".join(column.describe() for column in lost)
        return f"no value of {self.table} can be used in {names}{example}: fix the column or remove it"


def unusable_columns(columns: Sequence[ColumnLosses], limit: float) -> list[ColumnLosses]:
    """List the columns of which every value is rejected, and more values than ``limit``."""
    return [column for column in columns if column.lost > limit and not column.kept]


@dataclass(frozen=True)
class AudioFiles:
    """Audio of a scan, and of the one before.

    Attributes:
        root: the audio root.
        before: tracks that had audio in the previous snapshot.
        now: tracks that have audio.
        missing: audio paths whose file is missing.
    """

    root: str
    before: int
    now: int
    missing: int


class AudioGate(Gate[AudioFiles]):
    """Refuses a catalog of which most of the audio files have vanished, as with a disk that is not mounted."""

    def find_violation(self, measured: AudioFiles) -> str | None:
        """Describe the loss of more than half of the audio."""
        if 2 * measured.now >= measured.before or 2 * measured.missing <= measured.before:
            return None
        return (
            f"{measured.missing} audio files are missing below the audio root {measured.root}, and {measured.now} of "
            f"the {measured.before} tracks with audio in the previous catalog still have it: mount the disk, or remove "
            "the paths of the deleted files from the tracks"
        )


def is_refused(gate: RejectRateGate, counts: Mapping[str, int]) -> bool:
    """Return whether the counts of a scan of the catalog, by name, are reason enough to refuse it."""
    names = [("rows_rejected", "rows_read", f"{REJECTS_PREFIX}{FORGOTTEN}")]
    names += [(f"vectors_rejected/{m}", f"vectors_read/{m}", f"{VECTOR_REJECTS}{m}/{FORGOTTEN}") for m in MODALITIES]
    lost = unusable_columns(column_losses(counts), gate.max_reject_rate * counts.get("rows_read", 0))
    found = [[counts.get(name, 0) for name in names_of_table] for names_of_table in names]
    return bool(lost) or any(gate.is_exceeded(rejected - forgotten, read) for rejected, read, forgotten in found)


def playlists_refused(gate: RejectRateGate, counts: Mapping[str, int]) -> bool:
    """Return whether the counts of a scan of playlists are reason enough to refuse them."""
    rows = playlist_rows(counts)
    return gate.is_exceeded(rows.rejected, rows.read)


@dataclass(frozen=True)
class ReleaseTokens:
    """Tokens of a release.

    Attributes:
        tracks: rows of the token table.
        tokens: tokens that are not ``none``.
        ignored_columns: description of the columns that were not read; empty without any.
        reasons: reject reason to number of rejects, over all tables.
    """

    tracks: int
    tokens: int
    ignored_columns: str
    reasons: Mapping[str, int]


class TokenGate(Gate[ReleaseTokens]):
    """Refuses a release without tokens."""

    def find_violation(self, measured: ReleaseTokens) -> str | None:
        """Describe what the tracks lost."""
        if measured.tokens:
            return None
        causes = [f"columns that are not read: {measured.ignored_columns}"] if measured.ignored_columns else []
        causes += [f"rejects: {describe_reasons(measured.reasons)}"] if measured.reasons else []
        found = "; ".join(causes) or "no title, tags, lyrics or playlists are given, and no audio with --audio-root"
        return f"none of {measured.tracks} tracks has a token in any modality ({found}): fix the input"


@dataclass(frozen=True)
class ReleaseChurn:
    """Churn of a token table against the latest release.

    Attributes:
        latest: manifest of the latest release.
        codebook_size: codes per modality in the new table.
        churn: None where the two vocabularies differ in size, since such tables cannot be compared.
    """

    latest: ReleaseManifest
    codebook_size: int
    churn: Churn | None


@dataclass(frozen=True)
class ChurnGate(Gate[ReleaseChurn]):
    """Bounds the share of a modality's tokens that change.

    Attributes:
        max_churn: largest share; see :func:`largest_churn`.
    """

    max_churn: float

    def find_violation(self, measured: ReleaseChurn) -> str | None:
        """Describe the modality with the most churn, or a vocabulary of another size."""
        if measured.churn is None:
            return (
                f"the latest release has {measured.latest.codebook_size} codes per modality, this one "
                f"{measured.codebook_size}: every token gets another id; publish without --max-churn if that is meant"
            )
        modality, share = largest_churn(measured.churn)
        if share <= self.max_churn:
            return None
        return (
            f"{share:.2%} of the {modality} tokens would change since {measured.latest.release_id}, more than "
            f"{self.max_churn:.2%}: retrain from bundle {measured.latest.bundle_id}, or raise --max-churn"
        )


def largest_churn(churn: Churn) -> tuple[str, float]:
    """Find the modality with the largest share of changed codes, over tracks that have a code in both tables."""
    shares = {modality: change.recoded or 0.0 for modality, change in churn.modalities.items()}
    return max(shares.items(), key=lambda item: item[1])


@dataclass(frozen=True)
class DriftGate(Gate[DriftReport]):
    """Bounds the drift of a catalog; the report was measured against the limits.

    Attributes:
        fail_on_drift: whether drift past a limit is an error; otherwise it is a warning.
    """

    error: ClassVar[type[TracktokensError]] = DriftError

    fail_on_drift: bool

    @property
    def enforced(self) -> bool:
        """Return whether drift is an error."""
        return self.fail_on_drift

    def find_violation(self, measured: DriftReport) -> str | None:
        """Describe the drift past its limits."""
        return drift_message(measured) if measured.warnings else None

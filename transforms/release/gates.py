"""Gates of a finished release: it has tokens, and they changed and drifted no more than the limits allow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tracktokens.codebooks.metrics.churn import Churn
from tracktokens.schemas.errors import DriftError, TracktokensError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.transforms.catalog.column_losses import describe_reasons
from tracktokens.transforms.gates.base import Gate
from tracktokens.transforms.release.drift_baseline import DriftReport, drift_message


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

"""All gates of a scan of the catalog. A scan checks them before it encodes anything, and a dry run too."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import AUDIO, MODALITY_OF_COLUMN, TEXT_MODALITIES
from tracktokens.schemas.tables.rejects import AUDIO_MISSING, AUDIO_OUTSIDE_ROOT, TRACKS_TABLE
from tracktokens.transforms.catalog.column_losses import column_losses, kept_values
from tracktokens.transforms.catalog.scan_tracks import AUDIO_FOUND
from tracktokens.transforms.gates.columns import ColumnGate
from tracktokens.transforms.gates.input_rows import RejectRateGate, input_rows
from tracktokens.transforms.gates.losses import (
    LossLimits,
    LostInputs,
    LostInputsGate,
    LostValues,
    LostValuesGate,
    RemovedTracks,
    RemovedTracksGate,
)
from tracktokens.transforms.runtime.rejects import REJECTS_PREFIX
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import latest_release
from tracktokens.transforms.store.snapshots import find_snapshot


@dataclass(frozen=True)
class PreviousScan:
    """The catalog of the latest release, as far as a scan is compared with it.

    Attributes:
        release_id: the release.
        tracks: its tracks.
        values: column to the number of its values.
    """

    release_id: str
    tracks: int
    values: Mapping[str, int]

    @classmethod
    def of(cls, store: Store) -> "PreviousScan | None":
        """Read it from a store; None without a release, or without its catalog."""
        release = latest_release(store)
        snapshot = None if release is None else find_snapshot(store, release.catalog_id)
        if release is None or snapshot is None:
            return None
        counts = snapshot.catalog.counts
        values = kept_values(files.read_json(counts)) if files.exists(counts) else {}
        return cls(release.release_id, snapshot.manifest.rows_accepted, values)


@dataclass(frozen=True, kw_only=True)
class ScanGates:
    """The conditions under which a scanned catalog is used.

    Attributes:
        max_reject_rate: largest share of rejected rows of each table.
        losses: limits of losses.
        encoded: modalities that have an encoder.
        precomputed: modalities that have precomputed embeddings.
        audio_root: folder of the audio files, for messages.
        previous: the catalog of the latest release, or None.
    """

    max_reject_rate: float
    losses: LossLimits
    encoded: Collection[str]
    precomputed: Collection[str]
    audio_root: str | None
    previous: PreviousScan | None

    def is_refused(self, counts: Mapping[str, int]) -> bool:
        """Return whether the named counts of the rows of a scan are reason enough to refuse the catalog."""
        return self.find_violation(counts) is not None

    def check(self, counts: Mapping[str, int], example: str | None = None) -> None:
        """Check all conditions.

        Args:
            counts: named counts of the scan.
            example: one rejected value, for people.

        Raises:
            InvalidDataError: a condition is violated.
        """
        violation = self.find_violation(counts, example)
        if violation is not None:
            raise InvalidDataError(f"{violation}; nothing was published")

    def find_violation(self, counts: Mapping[str, int], example: str | None = None) -> str | None:
        """Describe the first violation, and what to do about it; None without any."""
        return next((found for found in self._violations(counts, example) if found is not None), None)

    def _violations(self, counts: Mapping[str, int], example: str | None) -> Iterator[str | None]:
        rejects = RejectRateGate(self.max_reject_rate)
        yield from (rejects.find_violation(rows) for rows in input_rows(counts, self.precomputed))
        unusable = self.max_reject_rate * counts.get("rows_read", 0)
        yield ColumnGate(TRACKS_TABLE, unusable, example).find_violation(column_losses(counts))
        lost = LostInputsGate(self.losses.max_lost)
        yield from (lost.find_violation(inputs) for inputs in self._lost_inputs(counts, unusable, example))
        if self.previous is not None:
            yield RemovedTracksGate(self.losses.max_removed).find_violation(_removed(self.previous, counts))
            lost_values = LostValues.of(self.previous.release_id, self._compared(self.previous), kept_values(counts))
            yield LostValuesGate(self.losses.max_removed).find_violation(lost_values)

    def _lost_inputs(self, counts: Mapping[str, int], limit: float, example: str | None) -> Iterator[LostInputs]:
        """Count the lost inputs of each encoded modality; up to ``limit`` wrong values of a column are an oversight."""
        if AUDIO in self.encoded:
            found = ((name, counts.get(f"{REJECTS_PREFIX}{name}", 0)) for name in (AUDIO_MISSING, AUDIO_OUTSIDE_ROOT))
            reasons = {name: count for name, count in found if count}
            lost = sum(reasons.values())
            yield LostInputs(
                modality=AUDIO,
                given=counts.get(AUDIO_FOUND, 0) + lost,
                lost=lost,
                reasons=reasons,
                audio_root=self.audio_root,
                example=example,
            )
        kept = kept_values(counts)
        for column in column_losses(counts):
            modality = MODALITY_OF_COLUMN.get(column.name)
            alone = [name for name, other in MODALITY_OF_COLUMN.items() if other == modality] == [column.name]
            if alone and modality in self.encoded and modality in TEXT_MODALITIES and column.lost > limit:
                yield LostInputs(
                    modality=modality,
                    given=kept.get(column.name, 0) + column.lost,
                    lost=column.lost,
                    reasons=column.rejected,
                    example=example,
                )

    def _compared(self, previous: PreviousScan) -> dict[str, int]:
        """Column to its values in the previous catalog, without columns of modalities that are not encoded."""
        used = (None, *self.encoded)
        return {name: count for name, count in previous.values.items() if MODALITY_OF_COLUMN.get(name) in used}


def _removed(previous: PreviousScan, counts: Mapping[str, int]) -> RemovedTracks:
    """Count the removed tracks. Without a base, only the decrease of their number is known."""
    fewer = previous.tracks - counts.get("rows_accepted", 0)
    return RemovedTracks(previous.release_id, previous.tracks, max(counts.get("rows_removed", 0), fewer))

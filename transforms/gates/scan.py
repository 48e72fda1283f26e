"""All gates of a scan of the catalog. A scan checks them before it encodes anything, and a dry run too."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import AUDIO, MODALITY_OF_COLUMN
from tracktokens.schemas.tables.rejects import AUDIO_MISSING, AUDIO_OUTSIDE_ROOT, TRACKS_TABLE
from tracktokens.transforms.catalog.column_losses import ColumnLosses, column_losses, kept_values, reject_example
from tracktokens.transforms.catalog.scan_tracks import AUDIO_FOUND
from tracktokens.transforms.gates.columns import ColumnGate, unusable_columns
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

AUDIO_PATH = "audio_path"
"""Column of the audio files."""

_logger = logging.getLogger(__name__)


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
        path = snapshot.catalog.counts
        counts = files.find_json(path)
        if counts is None:
            _logger.warning("%s cannot be read, so the columns are not compared with the last ones: restore it", path)
        return cls(release.release_id, snapshot.manifest.rows_accepted, kept_values(counts or {}))


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

    def check(self, counts: Mapping[str, int], rejects: str | None = None) -> None:
        """Check all conditions.

        Args:
            counts: named counts of the scan.
            rejects: folder of its rejects, for an example.

        Raises:
            InvalidDataError: a condition is violated.
        """
        violation = self.find_violation(counts, rejects)
        if violation is not None:
            raise InvalidDataError(f"{violation}; nothing was published")

    def find_violation(self, counts: Mapping[str, int], rejects: str | None = None) -> str | None:
        """Describe the first violation, and what to do about it; None without any."""
        return next((found for found in self._violations(counts, rejects) if found is not None), None)

    def _violations(self, counts: Mapping[str, int], rejects: str | None) -> Iterator[str | None]:
        rate = RejectRateGate(self.max_reject_rate)
        yield from (rate.find_violation(rows) for rows in input_rows(counts, self.precomputed))
        limit = self.max_reject_rate * counts.get("rows_read", 0)
        unusable = unusable_columns(column_losses(counts), limit)
        yield ColumnGate(TRACKS_TABLE, limit, _example(rejects, unusable)).find_violation(unusable)
        lost = LostInputsGate(self.losses.max_lost)
        for column in self._lost_inputs(counts, limit):
            inputs = self._describe(column)
            if lost.find_violation(inputs) is not None:
                yield lost.find_violation(replace(inputs, example=_example(rejects, [column])))
        if self.previous is not None:
            yield RemovedTracksGate(self.losses.max_removed).find_violation(_removed(self.previous, counts))
            lost_values = LostValues.of(self.previous.release_id, self._compared(self.previous), kept_values(counts))
            yield LostValuesGate(self.losses.max_removed).find_violation(lost_values)

    def _lost_inputs(self, counts: Mapping[str, int], limit: float) -> Iterator[ColumnLosses]:
        """List the columns that alone are the input of an encoded modality, with the values that are lost.

        Up to ``limit`` texts of the wrong type are an oversight, and not the format of the export.
        """
        if AUDIO in self.encoded:
            missing = ((name, counts.get(f"{REJECTS_PREFIX}{name}", 0)) for name in (AUDIO_MISSING, AUDIO_OUTSIDE_ROOT))
            reasons = {name: count for name, count in missing if count}
            yield ColumnLosses(AUDIO_PATH, counts.get(AUDIO_FOUND, 0), sum(reasons.values()), reasons)
        for column in column_losses(counts):
            modality = MODALITY_OF_COLUMN.get(column.name)
            alone = sum(other == modality for other in MODALITY_OF_COLUMN.values()) == 1
            if alone and modality in self.encoded and column.lost > limit:
                yield column

    def _describe(self, column: ColumnLosses) -> LostInputs:
        return LostInputs(
            modality=MODALITY_OF_COLUMN[column.name],
            given=column.kept + column.lost,
            lost=column.lost,
            reasons=column.rejected,
            audio_root=self.audio_root,
        )

    def _compared(self, previous: PreviousScan) -> dict[str, int]:
        """Column to its values in the previous catalog, without columns of modalities that are not encoded."""
        used = (None, *self.encoded)
        return {name: count for name, count in previous.values.items() if MODALITY_OF_COLUMN.get(name) in used}


def _example(rejects: str | None, columns: Sequence[ColumnLosses]) -> str | None:
    """Describe one rejected value of some columns; None without a folder of rejects."""
    return reject_example(rejects, columns) if rejects is not None and columns else None


def _removed(previous: PreviousScan, counts: Mapping[str, int]) -> RemovedTracks:
    """Count the removed tracks. Without a base, only the decrease of their number is known."""
    fewer = previous.tracks - counts.get("rows_accepted", 0)
    return RemovedTracks(previous.release_id, previous.tracks, max(counts.get("rows_removed", 0), fewer))

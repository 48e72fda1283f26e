"""Gates against great losses: of inputs that cannot be used, and of what the latest release had.

Much that is lost at once is probably an export that is cut short, or a disk that is not mounted. Each message therefore
asks for that first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tracktokens.schemas.modalities import AUDIO
from tracktokens.transforms.catalog.column_losses import describe_reasons
from tracktokens.transforms.gates.base import Gate


@dataclass(frozen=True, kw_only=True)
class LossLimits:
    """Limits of losses.

    Attributes:
        max_lost: largest share of a modality's inputs, 0 to 1, of which nothing can be used.
        max_removed: largest share of the latest release's tracks, 0 to 1, that are not in the catalog. Below 1, no
            column and no modality may lose all of its values.
    """

    max_lost: float
    max_removed: float


@dataclass(frozen=True, kw_only=True)
class LostInputs:
    """Inputs of a modality, and those of which nothing can be used.

    Attributes:
        modality: the modality.
        given: tracks that have an input.
        lost: tracks whose input cannot be used.
        reasons: reject reason to number of rejects.
        audio_root: folder of the audio files, if it is known and the modality is audio.
        example: one rejected input, for people.
    """

    modality: str
    given: int
    lost: int
    reasons: Mapping[str, int]
    audio_root: str | None = None
    example: str | None = None


@dataclass(frozen=True)
class LostInputsGate(Gate[LostInputs]):
    """Bounds the share of a modality's inputs that cannot be used.

    Attributes:
        max_lost: largest share.
    """

    max_lost: float

    def find_violation(self, measured: LostInputs) -> str | None:
        """Describe a modality of which too much is lost."""
        if measured.lost <= self.max_lost * measured.given:
            return None
        example = "" if measured.example is None else f", for example {measured.example}"
        return (
            f"{measured.lost} of {measured.given} {measured.modality} inputs cannot be used "
            f"({describe_reasons(measured.reasons)}{example}), more than {self.max_lost:.1%}: check that "
            f"{self._question(measured)}. If so, fix these inputs, or raise --max-lost"
        )

    def _question(self, measured: LostInputs) -> str:
        """Ask for the probable fault."""
        if measured.modality != AUDIO:
            return "the export is complete"
        root = "" if measured.audio_root is None else f" {measured.audio_root}"
        return f"the audio root{root} is the folder that audio_path is relative to, and that its disk is mounted"


@dataclass(frozen=True)
class RemovedTracks:
    """Tracks of the latest release that a catalog does not have.

    Attributes:
        release_id: the release.
        tracks: its tracks.
        removed: those that the catalog does not have.
    """

    release_id: str
    tracks: int
    removed: int


@dataclass(frozen=True)
class RemovedTracksGate(Gate[RemovedTracks]):
    """Bounds the share of tracks that are removed at once.

    Attributes:
        max_removed: largest share.
    """

    max_removed: float

    def find_violation(self, measured: RemovedTracks) -> str | None:
        """Describe a catalog that lacks too many tracks."""
        if measured.removed <= self.max_removed * measured.tracks:
            return None
        return (
            f"{measured.removed} of the {measured.tracks} tracks of release {measured.release_id} are not in the "
            f"catalog, more than {self.max_removed:.1%}: check that the export is complete, and that --tracks names "
            "all of it. If these tracks are to be removed, raise --max-removed"
        )


@dataclass(frozen=True)
class LostValues:
    """Values of the latest release of which the catalog has none.

    Attributes:
        release_id: the release.
        values: name of a column, or of the tokens of a modality, to its number of values in the release.
    """

    release_id: str
    values: Mapping[str, int]

    @classmethod
    def of(cls, release_id: str, before: Mapping[str, int], now: Mapping[str, int]) -> "LostValues":
        """Select what had values before and has none now.

        Example:
            >>> LostValues.of("r1", {"tags": 9, "album": 0, "title": 9}, {"title": 1}).values
            {'tags': 9}
        """
        return cls(release_id, {name: count for name, count in before.items() if count and not now.get(name, 0)})


@dataclass(frozen=True)
class LostValuesGate(Gate[LostValues]):
    """Refuses a catalog that lost all values of a column, or a modality.

    Attributes:
        max_removed: 1 to accept it.
    """

    max_removed: float

    def find_violation(self, measured: LostValues) -> str | None:
        """Name what is lost."""
        if not measured.values or self.max_removed >= 1:
            return None
        names = ", ".join(f"{name} ({count})" for name, count in measured.values.items())
        return (
            f"no value is left of what release {measured.release_id} had: {names}. Check that the export is complete, "
            "with all of its columns, and that every input of that release is given, as --playlists and --audio-root. "
            "If this is to be removed, give --max-removed 1"
        )

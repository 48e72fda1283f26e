"""Great losses are refused, and the message asks first whether the export and the disk are complete."""

import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import AUDIO, TAGS
from tracktokens.transforms.gates.losses import (
    LostInputs,
    LostInputsGate,
    LostValues,
    LostValuesGate,
    RemovedTracks,
    RemovedTracksGate,
)


def lost(modality: str, count: int, **further: str) -> LostInputs:
    return LostInputs(modality=modality, given=10, lost=count, reasons={"audio_missing": count}, **further)


def test_losses_at_the_limit_are_accepted() -> None:
    LostInputsGate(0.5).check(lost(AUDIO, 5))
    LostInputsGate(0.5).check(LostInputs(modality=AUDIO, given=0, lost=0, reasons={}))
    LostInputsGate(1).check(lost(AUDIO, 10))
    RemovedTracksGate(0.2).check(RemovedTracks("r1", 10, 2))
    RemovedTracksGate(0.2).check(RemovedTracks("r1", 10, -5))
    LostValuesGate(0.2).check(LostValues("r1", {}))
    LostValuesGate(1).check(LostValues("r1", {"tags": 9}))


def test_lost_audio_asks_for_the_root_and_its_disk_before_it_names_the_option() -> None:
    with pytest.raises(InvalidDataError) as error:
        LostInputsGate(0.5).check(lost(AUDIO, 6, audio_root="/music", example="t1: 'a.wav' is missing"))
    assert str(error.value) == (
        "6 of 10 audio inputs cannot be used (audio_missing 6, for example t1: 'a.wav' is missing), more than 50.0%: "
        "check that the audio root /music is the folder that audio_path is relative to, and that its disk is mounted. "
        "If so, fix these inputs, or raise --max-lost; nothing was published"
    )


def test_lost_texts_ask_for_the_export() -> None:
    message = r"^6 of 10 tags inputs cannot be used .*: check that the export is complete\. If so, .* raise --max-lost"
    with pytest.raises(InvalidDataError, match=message):
        LostInputsGate(0.5).check(lost(TAGS, 6))


def test_removed_tracks_ask_for_the_export() -> None:
    message = (
        r"^3 of the 10 tracks of release r1 .* more than 20\.0%: check that the export .* raise --max-removed; noth"
    )
    with pytest.raises(InvalidDataError, match=message):
        RemovedTracksGate(0.2).check(RemovedTracks("r1", 10, 3))


def test_a_column_or_a_modality_without_a_value_left_is_refused() -> None:
    measured = LostValues.of("r1", {"tags": 9, "album": 0, "audio tokens": 4, "title": 9}, {"title": 1})
    message = (
        r"^no value is left of what release r1 had: tags \(9\), audio tokens \(4\)\. Check .* --max-removed 1; noth"
    )
    with pytest.raises(InvalidDataError, match=message):
        LostValuesGate(0.99).check(measured)

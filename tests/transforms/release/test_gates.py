"""Gates of a release: what is published, what is refused, and what is only a warning."""

import logging
from dataclasses import replace

import pytest

from tracktokens.codebooks.metrics.churn import Churn, ModalityChurn
from tracktokens.schemas.errors import DriftError, InvalidDataError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import AUDIO, MODALITIES
from tracktokens.transforms.release.drift_baseline import DriftReport
from tracktokens.transforms.release.gates import ChurnGate, DriftGate, ReleaseChurn, ReleaseTokens, TokenGate

LATEST = ReleaseManifest("r1", "b1", "c1", 8, {}, {"read": 1, "published": 1, "rejected": 0}, {})
UNCHANGED = ModalityChurn(0, 0, 0, 0.0, None, 0.0, (), ())


def churn_of(audio: float) -> Churn:
    modalities = {**dict.fromkeys(MODALITIES, UNCHANGED), AUDIO: replace(UNCHANGED, recoded=audio)}
    return Churn(9, 1, audio, None, (8, 1, 0, 0, 0, 0), modalities, ())


def test_a_share_at_the_limit_is_published() -> None:
    ChurnGate(0.25).check(ReleaseChurn(LATEST, 8, churn_of(0.25)))


def test_a_release_without_a_token_is_refused_with_the_causes() -> None:
    TokenGate().check(ReleaseTokens(9, 1, "", {}))
    with pytest.raises(InvalidDataError, match=r"^none of 9 tracks has a token .*Title.*; rejects: audio_missing 9"):
        TokenGate().check(ReleaseTokens(9, 0, "Title (did you mean title?)", {"audio_missing": 9}))
    with pytest.raises(InvalidDataError, match="no title, tags"):
        TokenGate().check(ReleaseTokens(9, 0, "", {}))


def test_the_modality_with_the_most_churn_is_named() -> None:
    with pytest.raises(InvalidDataError, match=r"^26\.00% of the audio tokens would change since r1, more than 25"):
        ChurnGate(0.25).check(ReleaseChurn(LATEST, 8, churn_of(0.26)))


def test_a_vocabulary_of_another_size_is_refused_at_any_churn() -> None:
    with pytest.raises(InvalidDataError, match="has 8 codes per modality, this one 4: every token gets another id"):
        ChurnGate(1.0).check(ReleaseChurn(LATEST, 4, None))


def test_drift_past_a_limit_is_an_error_or_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    report = DriftReport("r0", {}, None, None, ("audio: moved", "tags: moved"))
    with pytest.raises(DriftError, match=r"since release r0: audio: moved; tags: moved: .*; nothing was published$"):
        DriftGate(fail_on_drift=True).check(report)
    with caplog.at_level(logging.WARNING):
        DriftGate(fail_on_drift=False).check(report)
        DriftGate(fail_on_drift=True).check(replace(report, warnings=()))
    [record] = caplog.records
    assert "audio: moved; tags: moved" in record.message
    assert "nothing was published" not in record.message


def test_a_drift_report_keeps_the_keys_of_metrics_json() -> None:
    assert DriftReport("r0", {}, 0.25, 0.5, ("playlists: moved",)).to_json() == {
        "since": "r0",
        "modalities": {},
        "unknown_entries_then": 0.25,
        "unknown_entries_now": 0.5,
        "warnings": ("playlists: moved",),
    }

"""Gates: what is published, what is refused, and what is only a warning."""

import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from tracktokens.codebooks.metrics.churn import Churn, ModalityChurn
from tracktokens.schemas.errors import DriftError, InvalidDataError
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import AUDIO, MODALITIES
from tracktokens.transforms.catalog.column_losses import ColumnLosses
from tracktokens.transforms.release.drift_baseline import DriftReport
from tracktokens.transforms.release.gates import (
    ChurnGate,
    ColumnGate,
    DriftGate,
    InputRows,
    RejectRateGate,
    ReleaseChurn,
    ReleaseTokens,
    TokenGate,
    input_rows,
    is_refused,
    playlist_rows,
    playlists_refused,
)

ROWS = InputRows("rows", read=100, rejected=5, unknown=0, used=95, reasons={"id_missing": 3, "id_duplicate": 2})
LATEST = ReleaseManifest("r1", "b1", "c1", 8, {}, {}, {})
UNCHANGED = ModalityChurn(0, 0, 0, 0.0, None, 0.0, (), ())


def churn_of(audio: float) -> Churn:
    modalities = {**dict.fromkeys(MODALITIES, UNCHANGED), AUDIO: replace(UNCHANGED, recoded=audio)}
    return Churn(9, 1, audio, None, (8, 1, 0, 0, 0, 0), modalities, ())


def test_a_share_at_the_limit_is_published() -> None:
    RejectRateGate(0.05).check(ROWS)
    ChurnGate(0.25).check(ReleaseChurn(LATEST, 8, churn_of(0.25)))


def test_too_many_rejects_are_refused_with_their_reasons() -> None:
    message = r"^5 of 100 rows rejected, more than 4\.0% \(id_duplicate 2, id_missing 3\): .*--max-reject-rate"
    with pytest.raises(InvalidDataError, match=f"{message}; nothing was published$"):
        RejectRateGate(0.04).check(ROWS)


@pytest.mark.parametrize("read", [0, 5])
def test_a_table_without_a_row_that_can_be_used_is_refused_at_any_rate(read: int) -> None:
    with pytest.raises(InvalidDataError, match=f"^none of {read} rows can be used"):
        RejectRateGate(1.0).check(replace(ROWS, read=read, rejected=read, used=0))


def test_embeddings_of_other_tracks_alone_are_refused() -> None:
    with pytest.raises(InvalidDataError, match=r"is of a track of the catalog \(95 have another track_id\)"):
        RejectRateGate(1.0).check(replace(ROWS, unknown=95, used=0))


def test_each_table_of_a_scan_has_its_own_reasons() -> None:
    counts = {"rejects/id_missing": 1, "rejects/vectors/audio/id_wrong_type": 4, "rejects/vectors/tags/not_finite": 2}
    vectors = {"audio": {"read": 4, "used": 0, "absent": 0, "unknown": 0, "rejected": 4}}
    manifest = SimpleNamespace(rows_read=9, rows_rejected=1, rows_accepted=8, vectors=vectors)
    rows, audio = input_rows(cast(CatalogManifest, manifest), counts)
    assert (rows.reasons, audio.reasons) == ({"id_missing": 1}, {"id_wrong_type": 4})
    with pytest.raises(
        InvalidDataError, match=r"^none of 4 rows of audio vectors can be used \(id_wrong_type 4\): fix"
    ):
        RejectRateGate(0.05).check(audio)


def test_playlists_have_the_limit_of_tracks_without_those_that_are_too_short() -> None:
    counts = {"playlists_read": 30, "playlists_lost": 3, "playlists_lost/malformed_row": 3, "rows_rejected": 30}
    assert playlist_rows(counts) == InputRows("playlists", 30, 3, 0, 27, {"malformed_row": 3})
    with pytest.raises(InvalidDataError, match=r"^3 of 30 playlists rejected, more than 5\.0% \(malformed_row 3\)"):
        RejectRateGate(0.05).check(playlist_rows(counts))
    RejectRateGate(0.1).check(playlist_rows(counts))


def test_a_column_without_a_usable_value_is_refused_with_an_example() -> None:
    year, tags = ColumnLosses("year", 0, 9, {"wrong_type": 9}), ColumnLosses("tags", 1, 9, {"wrong_type": 9})
    with pytest.raises(InvalidDataError, match=r"^no value of tracks .* year \(wrong_type 9\), for example '\?': fix"):
        ColumnGate("tracks", example="'?'").check([tags, year])
    ColumnGate("tracks").check([tags])
    ColumnGate("tracks", limit=9).check([tags, year])


def test_nothing_is_encoded_of_a_catalog_with_an_unusable_column() -> None:
    counts = {"rows_read": 100, "values_rejected/year/wrong_type": 9, "values_lost/year": 9}
    assert is_refused(RejectRateGate(0.05), counts)
    assert not is_refused(RejectRateGate(0.05), counts | {"values_kept/year": 1})
    assert not is_refused(RejectRateGate(0.09), counts)


def test_a_release_without_a_token_is_refused_with_the_causes() -> None:
    TokenGate().check(ReleaseTokens(9, 1, "", {}))
    with pytest.raises(InvalidDataError, match=r"^none of 9 tracks has a token .*Title.*; rejects: audio_missing 9"):
        TokenGate().check(ReleaseTokens(9, 0, "Title (did you mean title?)", {"audio_missing": 9}))
    with pytest.raises(InvalidDataError, match="no title, tags"):
        TokenGate().check(ReleaseTokens(9, 0, "", {}))


@pytest.mark.parametrize("table", ["rows_{}", "vectors_{}/audio"])
def test_the_counts_of_a_scan_exceed_the_rate_by_tracks_or_by_embeddings(table: str) -> None:
    counts = {table.format("read"): 100, table.format("rejected"): 5}
    assert is_refused(RejectRateGate(0.04), counts)
    assert not is_refused(RejectRateGate(0.05), counts)
    assert not is_refused(RejectRateGate(0.0), {})


def test_playlists_are_refused_by_their_own_counts_alone() -> None:
    counts = {"playlists_read": 100, "playlists_lost": 5, "rows_rejected": 60}
    assert playlists_refused(RejectRateGate(0.04), counts)
    assert not playlists_refused(RejectRateGate(0.05), counts)


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

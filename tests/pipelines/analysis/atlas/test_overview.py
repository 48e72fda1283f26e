"""The state of a release in sentences, with limits."""

from typing import Any

from tracktokens.pipelines.analysis.atlas.history import ReleaseFigures
from tracktokens.pipelines.analysis.atlas.overview import BAD, GOOD, NOTE, findings

QUALITY = {"tracks": 80, "coverage": 0.8, "centroids": 10, "codes_used": 9, "explained_variance": 0.5}


def metrics(**changed: Any) -> dict[str, Any]:
    return {
        "rows": {"read": 100, "published": 97, "rejected": 3},
        "modalities": {"tags": QUALITY, "lyrics": {**QUALITY, "tracks": 0}},
        "tokens": {"uniquely_identified_track_rate": 0.25, "largest_set_tracks": 7, "tokenless_tracks": 0},
        "oracle": {"every_track": {"hit_at_1": 0.5, "hit_at_10": 0.75}},
        "drift": None,
        **changed,
    }


def drift(**changed: float) -> dict[str, Any]:
    new = {"tracks": 200, "far_share": changed.get("far"), "unsure_share": None}
    moved = {"stability_index": 0.01, "coverage_then": 0.8, "coverage_now": 0.79, "new": new, **changed}
    return {"modalities": {"tags": moved}}


def states(found: dict[str, Any], word: str) -> list[str]:
    return [finding.state for finding in findings(found) if word in finding.text]


def test_rejected_rows_are_compared_with_the_limit_of_the_readers() -> None:
    assert states(metrics(), "3 were rejected") == [GOOD]
    assert states(metrics(rows={"read": 100, "published": 90, "rejected": 10}), "10 were rejected") == [BAD]


def test_each_limit_of_drift_is_green_within_and_red_beyond() -> None:
    assert states(metrics(), "first release") == [NOTE]
    assert states(metrics(drift=drift()), "used much as at first") == [GOOD]
    assert states(metrics(drift=drift(stability_index=0.3)), "used differently") == [BAD]
    assert states(metrics(drift=drift(coverage_now=0.7)), "70.0% of the tracks have a code, 80.0%") == [BAD]
    assert states(metrics(drift=drift(far=0.1)), "far from their code") == [GOOD]
    assert states(metrics(drift=drift(far=0.5)), "far from their code") == [BAD]


def test_figures_of_codebooks_with_too_few_tracks_are_not_reported() -> None:
    assert [f.text for f in findings(metrics()) if "explain 50.0%" in f.text] != []
    few = metrics(modalities={"tags": {**QUALITY, "tracks": 39}})
    assert states(few, "39 tracks are too few for 10 codes") == [BAD]
    assert states(few, "explain 50.0%") == []
    assert states(metrics(), "lyrics: no track has a code") == [NOTE]


def test_churn_of_a_release_is_the_share_of_the_tracks_with_a_changed_token() -> None:
    changes = {"tags": {"new": 1, "removed": 2, "input changed": 3, "codebook changed": 0}, "old2": {"new": 9}}
    usage = {"tags": {"coverage": 0.5}}
    found = ReleaseFigures.of("r", metrics(modalities=usage, changes=changes, rows={"published": 60}, drift=drift()))
    assert found.churn == {"tags": 0.1}
    assert found.drift == {"tags": 0.01}
    assert found.coverage == {"tags": 0.5}

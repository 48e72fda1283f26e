"""Drift of a catalog away from its codebooks."""

import dataclasses
import math

import numpy as np
import pytest

from tracktokens.codebooks.metrics.codebook_quality import CodebookQualityAccumulator
from tracktokens.codebooks.metrics.drift import (
    CodeUsage,
    DriftLimits,
    NewTrackFit,
    code_usage,
    drift,
    exceeded_limits,
    new_track_fit,
    stability_index,
)

NOTHING_NEW = NewTrackFit(0, None, None)


def measured(
    distances: list[float], margins: list[float] | None = None, centroids: int = 2
) -> CodebookQualityAccumulator:
    accumulator = CodebookQualityAccumulator(centroids)
    count = len(distances)
    found = np.array(margins or [1.0] * count, np.float32)
    accumulator.update(np.zeros(count, np.int16), np.array(distances, np.float32), found)
    return accumulator


def use(*counts: int, coverage: float = 1.0, p95: float | None = None, p05: float | None = None) -> CodeUsage:
    return CodeUsage(sum(counts), coverage, counts, p95, p05)


def test_the_stability_index_is_the_one_worked_out_by_hand() -> None:
    # Half a track more in each code: shares 1/4 and 3/4, then 3/4 and 1/4.
    index = stability_index(np.array([0, 1]), np.array([1, 0]))
    assert index == pytest.approx(2 * (3 / 4 - 1 / 4) * math.log(3))


def test_codes_that_are_used_alike_are_stable_whatever_the_size_of_the_catalog() -> None:
    assert stability_index(np.array([1000, 3000]), np.array([100_000, 300_000])) < 1e-5


def test_a_code_that_was_never_used_can_be_compared() -> None:
    assert math.isfinite(stability_index(np.array([0, 10]), np.array([10, 10])))


def test_the_code_that_grew_most_is_named() -> None:
    found = drift(use(50, 40, 10), use(50, 30, 120), NOTHING_NEW)
    assert (found.grown_code, found.grown_from, found.grown_to) == (2, 0.1, 0.6)


def test_five_percent_of_tracks_like_the_old_ones_are_beyond_the_p95_distance() -> None:
    draw = np.random.default_rng(0)
    old = measured(list(draw.gamma(4, 1, 20_000)), list(draw.gamma(2, 1, 20_000)))
    then = code_usage(old.finalize(), old.counts, 20_000)
    same = new_track_fit(measured(list(draw.gamma(4, 1, 20_000)), list(draw.gamma(2, 1, 20_000))), then)
    assert same.beyond_p95_distance_share == pytest.approx(0.05, abs=0.02)
    assert same.below_p05_margin_share == pytest.approx(0.05, abs=0.02)
    moved = new_track_fit(measured(list(3 * draw.gamma(4, 1, 20_000)), list(0.1 * draw.gamma(2, 1, 20_000))), then)
    assert moved.beyond_p95_distance_share is not None
    assert moved.beyond_p95_distance_share > 0.5
    assert moved.below_p05_margin_share is not None
    assert moved.below_p05_margin_share > 0.3


def test_few_new_tracks_and_codes_with_few_tracks_give_no_warning() -> None:
    old = use(500, 500, p95=1.0, p05=0.1)
    assert new_track_fit(measured([9.0] * 99), old).beyond_p95_distance_share is None
    assert new_track_fit(measured([9.0] * 100), old).beyond_p95_distance_share == 1.0
    assert new_track_fit(measured([9.0] * 100), use(4, 3, p95=1.0)).beyond_p95_distance_share is None


def test_codebooks_of_different_sizes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="baseline has 2 codes, the current use 3"):
        drift(use(1, 1), use(1, 1, 1), NOTHING_NEW)


def test_each_limit_is_a_sentence_of_its_own() -> None:
    quiet = drift(use(100, 100), use(101, 100), NewTrackFit(200, 0.05, 0.05))
    assert exceeded_limits(quiet, DriftLimits()) == []
    loud = drift(use(100, 100, coverage=0.9), use(1000, 10, coverage=0.5), NewTrackFit(200, 0.5, 0.6))
    said = exceeded_limits(loud, DriftLimits())
    assert [text.split()[0] for text in said] == ["50%", "60%", "codes", "50.0%"]
    lenient = DriftLimits(1, 1, 100, 1, 1)
    assert exceeded_limits(loud, dataclasses.replace(lenient)) == []


def test_stored_keys_stay_those_of_the_first_version() -> None:
    usage = use(3, 1, coverage=0.5, p95=2.0, p05=0.25)
    assert usage.to_json() == {"tracks": 4, "coverage": 0.5, "counts": [3, 1], "far": 2.0, "unsure": 0.25}
    assert CodeUsage.from_json(usage.to_json()) == dataclasses.replace(usage, counts=[3, 1])
    fit = NewTrackFit(200, 0.5, None)
    assert fit.to_json() == {"tracks": 200, "far_share": 0.5, "unsure_share": None}
    assert NewTrackFit.from_json(fit.to_json()) == fit
    change = drift(usage, use(1, 3, coverage=0.25), fit)
    assert list(change.to_json().items()) == [
        ("new", fit.to_json()),
        ("stability_index", change.stability_index),
        ("grown_code", 1),
        ("grown_from", 0.25),
        ("grown_to", 0.75),
        ("coverage_then", 0.5),
        ("coverage_now", 0.25),
    ]

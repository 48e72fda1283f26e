"""The quality of a codebook is measured from its codes, in parts."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.metrics.codebook_quality import CodebookQualityAccumulator, gini, perplexity
from tracktokens.codebooks.training.fit import fit_codebook

NOTHING = np.zeros(0, np.float32)


def measured(codes, distances, margins, weights=None, centroids=3, variance=None):
    gathered = CodebookQualityAccumulator(centroids)
    gathered.update(
        np.array(codes, np.int16),
        np.array(distances, np.float32),
        np.array(margins, np.float32),
        None if weights is None else np.array(weights, np.int64),
    )
    return gathered.finalize(variance)


def test_quality_is_what_is_worked_out_by_hand():
    quality = measured([0, 0, 1], [1, 3, 2], [3, 1, 2], weights=[1, 2, 1], variance=9.0)
    assert (quality.tracks, quality.inputs, quality.centroids, quality.dead_codes) == (4, 3, 3, 1)
    assert quality.inertia == (1 + 2 * 3 + 2) / 4
    assert quality.explained_variance == 0.75
    assert quality.largest_code_share == 0.75
    # Three tracks and one: 2 ** (3/4 log2 4/3 + 1/4 log2 4) = (4/3) ** (3/4) * 4 ** (1/4).
    assert quality.perplexity == pytest.approx((4 / 3) ** 0.75 * 4**0.25)
    # Counts 0, 1 and 3: half of 12/9, the mean absolute difference over all nine pairs, over their mean 4/3.
    assert quality.gini == pytest.approx(0.5)
    # Relative margins 3/4, 1/4 twice and 1/2: half of the tracks lie below the end of the bin of 1/4.
    assert quality.relative_margins.p50 == pytest.approx(0.251)
    assert quality.relative_margins.p05 == pytest.approx(0.25, abs=0.001)
    assert quality.relative_margins.p95 == pytest.approx(0.75, abs=0.001)


def test_a_weight_counts_as_that_many_tracks():
    once = measured([0, 1, 1, 1], [1, 2, 2, 2], [1, 5, 5, 5], variance=3.0)
    weighted = measured([0, 1], [1, 2], [1, 5], weights=[1, 3], variance=3.0)
    assert (once.inputs, weighted.inputs) == (4, 2)
    assert {**asdict(once), "inputs": 0} == {**asdict(weighted), "inputs": 0}


def test_parts_merge_to_the_same_result_in_any_order():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 50, 3000).astype(np.int16)
    distances, margins = rng.lognormal(0, 3, (2, 3000)).astype(np.float32)
    weights = rng.integers(1, 1000, 3000)
    whole = measured(codes, distances, margins, weights, centroids=50, variance=99.0)
    for _ in range(3):
        merged = CodebookQualityAccumulator(50)
        for rows in np.array_split(rng.permutation(3000), 7):
            part = CodebookQualityAccumulator(50)
            part.update(codes[rows], distances[rows], margins[rows], weights[rows])
            merged.merge(part)
        assert merged.finalize(99.0) == whole


def test_quantiles_of_margins_agree_with_sorting_them():
    rng = np.random.default_rng(1)
    distances, margins = rng.lognormal(0, 1, (2, 20_000)).astype(np.float32)
    found = measured(np.zeros(20_000), distances, margins).relative_margins
    expected = np.quantile(margins / (margins + distances), [0.05, 0.25, 0.5, 0.75, 0.95])
    np.testing.assert_allclose([found.p05, found.p25, found.p50, found.p75, found.p95], expected, atol=0.001)


def test_a_margin_is_largest_on_the_centroid_and_smallest_half_way_to_the_second():
    assert measured([0], [0], [7]).relative_margins.p05 >= 0.999
    assert measured([0], [7], [0]).relative_margins.p95 <= 0.001
    assert measured([0], [0], [0]).relative_margins.p95 <= 0.001  # on two centroids at once


def test_one_centroid_has_no_margins():
    quality = measured([0, 0], [1, 2], [np.nan, np.nan], centroids=1)
    assert quality.relative_margins is None
    assert (quality.perplexity, quality.largest_code_share, quality.inertia) == (1, 1, 1.5)


@pytest.mark.parametrize("centroids", [0, 3])
def test_no_tracks_have_no_quality_and_it_is_json_all_the_same(centroids):
    quality = measured(NOTHING, NOTHING, NOTHING, centroids=centroids, variance=1.0)
    assert (quality.tracks, quality.perplexity, quality.dead_codes) == (0, 0, centroids)
    values = (quality.inertia, quality.explained_variance, quality.largest_code_share, quality.relative_margins)
    assert values == (None, None, None, None)
    json.dumps(asdict(quality), allow_nan=False)


def test_explained_variance_needs_the_variance():
    assert measured([0], [1], [1]).explained_variance is None
    assert measured([0], [0], [1], variance=0.0).explained_variance == 1


def test_quality_on_the_training_vectors_agrees_with_the_training_metrics():
    vectors = np.random.default_rng(2).normal(size=(2000, 8)).astype(np.float16)
    fit = fit_codebook(vectors, modality="tags", encoder_id="encoder", codebook_size=64)
    found = assign(fit.codebook, vectors)
    variance = fit.metrics.variance
    points = fit.codebook.preprocessing.apply(vectors).astype(np.float64)
    assert variance == pytest.approx(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean(), rel=1e-3)
    quality = measured(
        found.codes, found.distances, found.margins, centroids=fit.codebook.num_centroids, variance=variance
    )
    assert quality.inertia == pytest.approx(fit.metrics.inertia, rel=1e-3)
    assert quality.explained_variance == pytest.approx(fit.metrics.explained_variance, rel=1e-3)
    assert quality.largest_code_share == pytest.approx(fit.metrics.largest_cluster / 2000, abs=2 / 2000)
    assert quality.dead_codes == 0


@pytest.mark.parametrize("codes", [1, 7, 1024])
def test_equally_common_codes_have_a_perplexity_of_their_number(codes):
    assert perplexity(np.full(codes, 5)) == pytest.approx(codes)
    assert perplexity(np.append(np.full(codes, 5), [0, 0])) == pytest.approx(codes)


@pytest.mark.parametrize("code", [-1, 3])
def test_a_code_without_a_centroid_is_refused(code):
    with pytest.raises(ValueError, match="do not fit 3 centroids"):
        measured([0, code], [1, 1], [1, 1])


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="different shapes"):
        measured([0, 1], [1, 1], [1])
    with pytest.raises(ValueError, match="different shapes"):
        measured([0, 1], [1, 1], [1, 1], weights=[1])


def test_codebooks_of_different_sizes_do_not_merge():
    with pytest.raises(ValueError, match="3 centroids, the other 4"):
        CodebookQualityAccumulator(3).merge(CodebookQualityAccumulator(4))


def test_the_gini_coefficient_is_half_of_the_relative_mean_difference():
    counts = np.random.default_rng(3).integers(0, 50, 30)
    differences = np.abs(counts[:, None] - counts[None])
    assert gini(counts) == pytest.approx(differences.mean() / counts.mean() / 2)

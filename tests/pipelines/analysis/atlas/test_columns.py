"""Views of columns: the nearest codes."""

import numpy as np

from tracktokens.codebooks.numerics.distances import distance_table
from tracktokens.pipelines.analysis.atlas.columns import nearest_codes


def test_the_nearest_codes_are_those_of_a_stable_sort_of_all_distances() -> None:
    centroids = np.random.default_rng(0).integers(0, 3, (1500, 3)).astype(np.float32)  # many ties
    distances = distance_table(centroids, centroids)
    np.fill_diagonal(distances, np.inf)
    assert (nearest_codes(centroids, 5) == np.argsort(distances, axis=1, kind="stable")[:, :5]).all()


def test_a_codebook_of_one_code_has_no_nearest_ones() -> None:
    assert nearest_codes(np.zeros((1, 3), np.float32), 5).shape == (1, 0)
    assert nearest_codes(np.array([[0.0], [1.0], [3.0]], np.float32), 5).tolist() == [[1, 2], [0, 2], [1, 0]]

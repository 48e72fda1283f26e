"""Matching of residual levels and numbers, against an exhaustive search."""

import numpy as np
import pytest

from tracktokens.codebooks.matching.code_similarity import CodeSimilarity
from tracktokens.codebooks.matching.token_index import Matching, TokenIndex
from tracktokens.codebooks.tokens.code_matrix import WILDCARD
from tracktokens.schemas.token_format import TokenFormat

FORMAT = TokenFormat.of(3, levels={"metadata": [3, 2], "playlist": [2]}, numbers=3)
WEIGHTS = np.array([25.0, 5.0, 5.0, 1.0, 1.0, 25.0, 5.0, 5.0, 1.0])
"""Weights of playlist, tags, metadata, lyrics, audio, playlist2, metadata2, metadata3 and n."""

PARENTS = {5: [0], 6: [2], 7: [2, 6], 8: list(range(8))}


def random_codes(rows: int, seed: int) -> np.ndarray:
    """Draw codes in which a residual level is none where its modality is."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(-1, column.size, rows) for column in FORMAT.columns], axis=1).astype(np.int16)
    codes[:, 5:8] = np.where(codes[:, [0, 2, 2]] < 0, -1, np.maximum(codes[:, 5:8], 0))
    codes[:, 8] = np.maximum(codes[:, 8], 0)
    return codes


def expected_scores(codes: np.ndarray, query: np.ndarray, similarities: list[np.ndarray]) -> np.ndarray:
    """Score all rows one by one."""
    counted = query > WILDCARD
    for column in (5, 6, 7):
        counted[column] &= counted[PARENTS[column]].all()
    counted[8] &= counted[:8].any()
    scores = []
    for row in codes:
        score = 0.0
        for column in np.flatnonzero(counted):
            needed = [parent for parent in PARENTS.get(column, []) if counted[parent]]
            if all(row[parent] == query[parent] for parent in needed):
                score += WEIGHTS[column] * similarities[column][row[column]]
        scores.append(score / WEIGHTS[counted].sum())
    return np.array(scores)


@pytest.mark.parametrize("graded", [False, True])
def test_the_best_rows_are_those_of_an_exhaustive_search(graded: bool) -> None:
    codes, rng = random_codes(400, seed=1), np.random.default_rng(2)
    similarities = [CodeSimilarity(rng.random((column.size, 2), np.float32)) for column in FORMAT.columns[:-1]]
    similarities.append(CodeSimilarity(np.zeros((3, 0), np.float32)))
    index = TokenIndex(codes, similarities, FORMAT)
    for query in random_codes(60, seed=3):
        query[rng.random(len(query)) < 0.3] = WILDCARD
        exact = [
            np.append(np.arange(column.size) == code, code == -1)
            for column, code in zip(FORMAT.columns, query, strict=True)
        ]
        tables = (
            [similarity.to(code) for similarity, code in zip(similarities, query, strict=True)] if graded else exact
        )
        expected = expected_scores(codes, query, tables)
        matches = index.match(query, k=20, matching=Matching(graded=graded))
        best = np.lexsort((np.arange(400), -expected.round(9)))[:20]
        best = best[expected[best] > 0]
        np.testing.assert_allclose(matches.scores, expected[best], atol=1e-8)
        if not graded:
            assert matches.rows.tolist() == best.tolist()
        np.testing.assert_allclose(matches.similarities @ matches.shares, matches.scores, atol=1e-8)


def test_a_number_decides_only_between_tracks_with_equal_tokens() -> None:
    codes = np.array([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 2, 1]], np.int16)
    index = TokenIndex(codes, token_format=TokenFormat.of(3, numbers=2))
    assert index.match(np.array([1, 1, 1, 1, 1, 1], np.int16)).rows.tolist() == [1, 0, 2]
    assert len(index.match(np.array([-2, -2, -2, -2, -2, 1], np.int16)).rows) == 0


def test_a_matrix_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="5 columns do not fit a format of 6"):
        TokenIndex(np.zeros((1, 5), np.int16), token_format=TokenFormat.of(3, numbers=2))

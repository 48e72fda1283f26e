"""Distinctive terms of a group of tracks: log-odds ratios with an informative Dirichlet prior.

Source: Monroe, Colaresi and Quinn, "Fightin' Words", Political Analysis 2008, equations 15 to 22. The prior pulls the
odds of a term, inside and outside of the group, towards its odds in the whole catalog, so that a term of two tracks
does not lead the list. The ratio is divided by its standard deviation.
"""

import numpy as np

from tracktokens.codebooks.numerics.arrays import Counts, Doubles, Scores

PRIOR_TERMS = 100.0
"""Weight of the prior: number of terms, distributed as in the whole catalog, that are added to each side."""


def distinctiveness(inside: Counts, everywhere: Counts, terms_inside: int, terms_everywhere: int) -> Scores:
    """Score how much more frequent terms are inside a group than outside.

    Example:
        >>> import numpy as np
        >>> distinctiveness(np.array([9, 1]), np.array([10, 10]), 10, 20).round(1).tolist()
        [1.5, -1.5]

    Args:
        inside: int64 (terms,), tracks of the group with each term.
        everywhere: int64 (terms,), tracks of the whole catalog, group included, with each term; above 0.
        terms_inside: sum of ``inside`` over all terms, also those that are not scored.
        terms_everywhere: sum of ``everywhere`` over all terms.

    Returns:
        float64 (terms,), log-odds ratio in standard deviations; negative for terms that are rarer inside.

    Raises:
        ValueError: shapes differ, a term is more frequent inside than everywhere, or a sum is too small.
    """
    if inside.shape != everywhere.shape:
        raise ValueError(f"counts of shapes {inside.shape} and {everywhere.shape} are not of the same terms")
    if (inside > everywhere).any() or (everywhere < 1).any():
        raise ValueError("a term is more often in the group than in the catalog, or not in the catalog")
    if inside.sum() > terms_inside or everywhere.sum() > terms_everywhere:
        raise ValueError("the terms are more than those of the group or of the catalog")
    prior = PRIOR_TERMS * everywhere / terms_everywhere
    here, elsewhere = inside + prior, everywhere - inside + prior
    ratio = _log_odds(here, terms_inside) - _log_odds(elsewhere, terms_everywhere - terms_inside)
    scores: Scores = ratio / np.sqrt(1 / here + 1 / elsewhere)
    return scores


def _log_odds(counts: Doubles, terms: int) -> Scores:
    rest = terms + PRIOR_TERMS - counts
    return np.log(counts / np.where(rest > 0, rest, 1))  # type: ignore[no-any-return]  # a single term has no rest

"""Which terms tell one group of tracks from all others: log-odds ratios with an informative Dirichlet prior.

Source: Monroe, Colaresi and Quinn, "Fightin' Words", Political Analysis 2008, equations 15 to 22. The prior draws the
odds of a term in both sides towards its odds in the whole catalog, so that a term of two tracks does not lead the list,
and the ratio is divided by its deviation.
"""

import numpy as np

from tracktokens.codebooks.numerics.arrays import Counts, Doubles, Scores

PRIOR_TERMS = 100.0
"""Weight of the prior: as if each side had been seen with so many terms more, spread as in the whole catalog."""


def distinctiveness(inside: Counts, everywhere: Counts) -> Scores:
    """Score how much more common terms are inside a group than outside.

    Args:
        inside: int64 (terms,), tracks of the group that have each term.
        everywhere: int64 (terms,), tracks of the whole catalog, the group among them, that have each term; above 0.

    Returns:
        float64 (terms,), standard deviations of the log-odds ratio above 0; negative for terms that are rarer inside.

    Raises:
        ValueError: shapes differ, or a term is more often inside than everywhere.
    """
    if inside.shape != everywhere.shape:
        raise ValueError(f"counts of shapes {inside.shape} and {everywhere.shape} are not of the same terms")
    if (inside > everywhere).any() or (everywhere < 1).any():
        raise ValueError("a term is more often in the group than in the catalog, or not in the catalog")
    prior = PRIOR_TERMS * everywhere / everywhere.sum()
    here, elsewhere = inside + prior, everywhere - inside + prior
    ratio = _log_odds(here) - _log_odds(elsewhere)
    scores: Scores = ratio / np.sqrt(1 / here + 1 / elsewhere)
    return scores


def _log_odds(counts: Doubles) -> Scores:
    rest = counts.sum() - counts
    return np.log(counts / np.where(rest > 0, rest, 1))  # type: ignore[no-any-return]  # one term alone has no rest

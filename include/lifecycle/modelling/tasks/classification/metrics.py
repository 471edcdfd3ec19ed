"""How good probabilities are: the same metrics for candidate, baseline and champion.

None of them depends on the order of the rows, also where scores are tied.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.modelling.score_bins import BINS, score_bins

LIFT_SHARE = 0.1
DRAWS = 200
SEED = 0


def measure(labels: NDArray[np.integer], scores: NDArray[np.float64]) -> dict[str, float]:
    """Metrics of probabilistic scores against labels, both of shape (rows,).

    Parameters
    ----------
    labels : 0 or 1; both must occur.
    scores : probability of label 1, within 0..1.

    Returns
    -------
    `average_precision`, `roc_auc` and `lift_10` (higher is better), `brier` and `ece` (lower is better).

    Raises
    ------
    ValueError
        If a label is not 0 or 1, only one of them occurs, or a score is no probability.
    """
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    _check(labels, scores)
    return {
        "average_precision": float(average_precision_score(labels, scores)),
        "roc_auc": float(roc_auc_score(labels, scores)),
        "brier": float(brier_score_loss(labels, scores)),
        "ece": expected_calibration_error(labels, scores),
        "lift_10": lift(labels, scores, LIFT_SHARE),
    }


def expected_calibration_error(
    labels: NDArray[np.integer], scores: NDArray[np.float64], bins: int = BINS
) -> float:
    """Mean distance between predicted and observed rate, over equally full bins weighted by their rows.

    Naeini, Cooper and Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian binning", with
    the equally full bins of Nguyen and O'Connor (2015), "Posterior calibration and exploratory analysis".
    """
    number = score_bins(scores, bins)
    gaps = np.bincount(number, scores - labels)
    return float(np.abs(gaps).sum() / len(scores))


def calibration_error_by_chance(scores: NDArray[np.float64]) -> float:
    """What the ECE of 19 in 20 perfectly calibrated models with these scores is at most.

    Outcomes are drawn from the scores themselves (consistency resampling: Bröcker and Smith 2007, "Increasing the
    reliability of reliability diagrams"), as if rows were independent.
    """
    random = np.random.default_rng(SEED)
    drawn = [
        expected_calibration_error((random.random(len(scores)) < scores).astype(int), scores) for _ in range(DRAWS)
    ]
    return float(np.quantile(drawn, 0.95))


def lift(labels: NDArray[np.integer], scores: NDArray[np.float64], share: float) -> float:
    """Rate of label 1 among the `share` of rows with the highest scores, divided by the rate among all.

    Rows tied at the cut count with the rate of the tied rows, as if the cut went through them at random.
    """
    rows = int(np.ceil(share * len(scores)))
    cut = np.partition(scores, -rows)[-rows]
    above, tied = scores > cut, scores == cut
    hits = labels[above].sum() + labels[tied].mean() * (rows - above.sum())
    return float(hits / rows / labels.mean())


def _check(labels: NDArray[np.integer], scores: NDArray[np.float64]) -> None:
    if set(np.unique(labels)) != {0, 1}:
        raise ValueError(
            f"The labels of {len(labels)} rows are {np.unique(labels).tolist()}, but measuring needs both "
            "0 and 1; evaluate on more rows."
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(
            f"The scores reach from {scores.min()} to {scores.max()}, but must be probabilities from 0 to 1; "
            "pass the second column of `predict_proba`."
        )

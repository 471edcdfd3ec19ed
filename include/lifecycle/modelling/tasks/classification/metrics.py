"""How good probabilities are: the same metrics for candidate, baseline and champion.

None of them depends on the order of the rows, also where scores are tied.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.modelling.score_bins import BINS, score_bins

LIFT_SHARE = 0.1
RESAMPLES = 200
BOOTSTRAP_SEED = 0


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


def lift(labels: NDArray[np.integer], scores: NDArray[np.float64], share: float) -> float:
    """Rate of label 1 among the `share` of rows with the highest scores, divided by the rate among all.

    Rows tied at the cut count with the rate of the tied rows, as if the cut went through them at random.
    """
    rows = int(np.ceil(share * len(scores)))
    cut = np.partition(scores, -rows)[-rows]
    above, tied = scores > cut, scores == cut
    hits = labels[above].sum() + labels[tied].mean() * (rows - above.sum())
    return float(hits / rows / labels.mean())


def paired_gain(
    labels: NDArray[np.integer],
    scores: NDArray[np.float64],
    others: NDArray[np.float64],
    keys: NDArray[np.integer],
    metric: str,
) -> tuple[float, float]:
    """How much higher the metric of `scores` is than that of `others`, and the lower end of its 95 % interval.

    A paired bootstrap: both are measured on the same draws. Rows of one key are not independent, so keys are drawn
    with all their rows (Field and Welsh 2007, "Bootstrapping clustered data").

    Parameters
    ----------
    labels, scores, others : shape (rows,), as in `measure`.
    keys : shape (rows,), the number of each row's key, counted from 0.
    metric : `average_precision` or `roc_auc`.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    metric_of = {"average_precision": average_precision_score, "roc_auc": roc_auc_score}[metric]

    def difference(rows: NDArray[np.integer], weights: NDArray[np.integer]) -> float:
        own, other = (metric_of(labels[rows], of[rows], sample_weight=weights[rows]) for of in (scores, others))
        return float(own - other)

    everyone = difference(np.arange(len(labels)), np.ones(len(labels), dtype=int))
    random, drawn, number = np.random.default_rng(BOOTSTRAP_SEED), [], int(keys.max()) + 1
    for _ in range(RESAMPLES):
        weights = np.bincount(random.integers(0, number, number), minlength=number)[keys]
        rows = np.flatnonzero(weights)
        if len(np.unique(labels[rows])) == 2:
            drawn.append(difference(rows, weights))
    return everyone, float(np.quantile(drawn, 0.025)) if drawn else float("nan")


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

"""What the metrics of probabilities will be, by the probabilities alone, before any label is known.

Confidence-based performance estimation (CBPE): a calibrated score says how probable a label is, so the scores of a
week say which metrics to expect of it. The method is that of NannyML's documentation and of Białek et al. (2024),
"Estimating model performance under covariate shift without labels", arXiv:2401.08348. Here labels are simulated,
so that each metric has an interval of its own, and the rows of a key are not taken for independent.

The interval is one of prediction: it holds the metric that will be measured on these very rows in 95 of 100 weeks,
as long as the scores are calibrated. It allows for chance in what happens to each key. It does not allow for
scores that have lost their calibration, for features that mean something else than before (concept drift), or for
what makes many keys turn out alike, such as a competitor's offer: only measured metrics show these.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.modelling.tasks import Expected

SIMULATIONS = 500
MOST_ROWS = 50_000
"""Of more rows, each batch of simulations has those of a sample of keys: the interval is wider than it need be."""
SEED = 0

_BATCH = 25

Worlds = Mapping[str, NDArray[np.float64]]
"""By metric, its value in each simulated world."""


def simulate(
    probabilities: NDArray[np.float64], judged: Mapping[str, NDArray[np.float64]], keys: NDArray[np.integer]
) -> dict[str, Worlds]:
    """Metrics of scores in worlds whose labels have the given probabilities; by the scores' name.

    Rows of a key share one draw: what happens to a customer is the same event on neighbouring days. A world with
    one label only is left out.

    Parameters
    ----------
    probabilities : shape (rows,), of label 1.
    judged : scores by name, each of shape (rows,), measured on the same labels.
    keys : shape (rows,), the number of each row's key, counted from 0.
    """
    random = np.random.default_rng(SEED)
    found: dict[str, list[Worlds]] = {name: [] for name in judged}
    for _ in range(SIMULATIONS // _BATCH):
        rows = _drawn_rows(random, keys)
        _, number = np.unique(keys[rows], return_inverse=True)
        drawn = random.random((_BATCH, number.max() + 1))[:, number]
        labels = drawn < probabilities[rows]
        positives = labels.sum(axis=1)
        labels = labels[(positives > 0) & (positives < len(rows))]
        for name, scores in judged.items():
            found[name].append(_measure(labels, scores[rows]))
    return {name: _concatenated(batches) for name, batches in found.items()}


def expected(values: NDArray[np.float64]) -> Expected:
    """Mean and 2.5 and 97.5 % quantiles over the simulated worlds."""
    low, high = np.quantile(values, [0.025, 0.975])
    return Expected(value=float(values.mean()), lower_bound=float(low), upper_bound=float(high))


def _drawn_rows(random: np.random.Generator, keys: NDArray[np.integer]) -> NDArray[np.integer]:
    """All rows, or those of as many keys as have about MOST_ROWS of them."""
    if len(keys) <= MOST_ROWS:
        return np.arange(len(keys))
    number = int(keys.max()) + 1
    taken = np.zeros(number, dtype=bool)
    taken[random.choice(number, max(1, number * MOST_ROWS // len(keys)), replace=False)] = True
    return np.flatnonzero(taken[keys])


def _measure(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> Worlds:
    """Average precision, ROC AUC and Brier score, as scikit-learn defines them, for labels of (worlds, rows)."""
    from scipy.stats import rankdata

    truth = labels.astype(np.float64)
    positives = truth.sum(axis=1)
    negatives = len(scores) - positives
    rank_sums = truth @ rankdata(scores)
    return {
        "average_precision": _average_precision(labels, scores),
        "roc_auc": (rank_sums - positives * (positives + 1) / 2) / (positives * negatives),
        "brier": (np.sum(scores**2) + truth @ (1 - 2 * scores)) / len(scores),
    }


def _average_precision(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(-scores, kind="stable")
    # Tied scores are one threshold.
    last_of_tie = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    found = np.cumsum(labels[:, order], axis=1, dtype=np.int32)[:, last_of_tie]
    precision = found / (last_of_tie + 1)
    averages: NDArray[np.float64] = (precision * np.diff(found, axis=1, prepend=0)).sum(axis=1) / found[:, -1]
    return averages


def _concatenated(batches: list[Worlds]) -> Worlds:
    return {metric: np.concatenate([batch[metric] for batch in batches]) for metric in batches[0]}

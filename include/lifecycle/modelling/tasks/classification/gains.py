"""How much better probabilities order the rows than others do, beyond what chance explains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.modelling.bootstrap import SEED, interval_ends, samples_for
from include.lifecycle.modelling.tasks import Gain

Floats = NDArray[np.float64]
Counts = NDArray[np.integer]


def paired_gain(labels: Counts, scores: tuple[Floats, Floats], keys: Counts, metric: str, level: float) -> Gain:
    """How much higher the metric of the first scores is than that of the second, with an interval of a level.

    A paired bootstrap: both are measured on the same draws. Rows of one key are not independent, so keys are drawn
    with all their rows (Field and Welsh 2007, "Bootstrapping clustered data").

    Parameters
    ----------
    labels : shape (rows,), 0 or 1; both must occur.
    scores : two of shape (rows,).
    keys : shape (rows,), the number of each row's key, counted from 0.
    metric : `average_precision` or `roc_auc`.
    """
    own, other = (_Order(labels, of, _METRICS[metric]) for of in scores)

    def difference(weights: Counts) -> float:
        return own.measure(weights) - other.measure(weights)

    drawn = [
        difference(weights) for weights in _draws(keys, samples_for(level)) if 0 < weights @ labels < weights.sum()
    ]
    ends = interval_ends(drawn, level) if drawn else (float("nan"), float("nan"))
    return Gain(difference(np.ones(len(labels), dtype=int)), *ends)


def _draws(keys: Counts, samples: int) -> Iterator[Counts]:
    """How often each row is in each sample of the keys."""
    random, number = np.random.default_rng(SEED), int(keys.max()) + 1
    for _ in range(samples):
        yield np.bincount(random.integers(0, number, number), minlength=number)[keys]


class _Order:
    """Rows by descending score, sorted once for all samples: scikit-learn's metrics sort for each."""

    def __init__(self, labels: Counts, scores: Floats, metric: Callable[[Floats, Floats], float]) -> None:
        self._rows = np.argsort(-scores, kind="stable")
        self._hits = labels[self._rows]
        # The cut may only go between rows of different scores.
        self._cuts = np.flatnonzero(np.diff(scores[self._rows], append=-np.inf))
        self._metric = metric

    def measure(self, weights: Counts) -> float:
        """The metric of rows that count so many times."""
        ordered = weights[self._rows]
        found = np.cumsum(ordered * self._hits)[self._cuts].astype(float)
        return self._metric(found, np.cumsum(ordered)[self._cuts].astype(float))


def _average_precision(found: Floats, taken: Floats) -> float:
    """From the positives among the rows taken down to each score, as `sklearn.metrics` has it."""
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    return float(np.diff(found, prepend=0) @ precision / found[-1])


def _roc_auc(found: Floats, taken: Floats) -> float:
    """As `_average_precision`: the share of pairs in which the positive row has the higher score, ties by half."""
    missed = taken - found
    heights = found + np.concatenate([[0.0], found[:-1]])
    return float(np.diff(missed, prepend=0) @ heights / 2 / found[-1] / missed[-1])


_METRICS: Mapping[str, Callable[[Floats, Floats], float]] = {
    "average_precision": _average_precision,
    "roc_auc": _roc_auc,
}

"""Behaviour tests: what a model's spec says of any candidate is asked of the fitted one.

A sample of the holdout is changed, and scored again. A test that cannot be run has failed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.lifecycle.failures import one_line
from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.shown import short
from include.lifecycle.specs import AnyOrder, BehaviourTest, Extreme, Invariant, Monotonic, Profile
from include.lifecycle.training.record import BehaviourResult

if TYPE_CHECKING:
    from include.lifecycle.specs import ModelSpec

SAMPLE_ROWS = 200
"""So many rows of the holdout at most are changed and scored again by each test."""

Scores = NDArray[np.float64]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Subject:
    """A fitted estimator, and the rows that it is asked about."""

    model: ModelSpec
    estimator: Any
    sample: pl.DataFrame

    def scores(self, rows: pl.DataFrame) -> Scores:
        """The score of each row."""
        return predict(self.estimator, rows, self.model)

    def key(self, row: Mapping[str, Any]) -> str:
        """A row by its key, to stand within a sentence."""
        return ", ".join(f"{name} {short(str(row[name]))}" for name in self.model.dataset.key if name in row)


@dataclass(frozen=True)
class _Finding:
    """What was measured, whether that is as asked, and the row that is furthest from it."""

    measured: str
    passed: bool
    example: str


def run_behaviour_tests(
    model: ModelSpec, estimator: Any, rows: pl.DataFrame, seed: int
) -> tuple[BehaviourResult, ...]:
    """The result of each behaviour test of a model, asked of a fitted estimator.

    Parameters
    ----------
    rows : key, `dt` and features of rows that the estimator has not seen, of which `SAMPLE_ROWS` are drawn with
        the seed.
    """
    if not model.behaviour:
        return ()
    drawn = rows.drop("label", strict=False).sample(min(SAMPLE_ROWS, rows.height), seed=seed)
    subject = _Subject(model, estimator, drawn.with_columns(_as_read(model)))
    return tuple(_result(subject, test) for test in model.behaviour)


def _as_read(model: ModelSpec) -> list[pl.Expr]:
    """The features in the types in which an estimator reads them, so that any value can be put in their place."""
    return [pl.col(model.numeric).cast(pl.Float64), pl.col(model.categorical).cast(pl.String)]


def _result(subject: _Subject, test: BehaviourTest) -> BehaviourResult:
    try:
        finding = _RUNNERS[type(test)](subject, test)
    except MemoryError:
        raise
    except Exception as error:
        # What a spec names and what an estimator does with such rows may raise anything; the gate then refuses.
        log.exception("The behaviour test %r of %r could not be run.", test.name, subject.model.name)
        why = f"It could not be run: {type(error).__name__}: {one_line(error)}."
        return BehaviourResult(name=test.name, asked=test.asked, measured=why, passed=False, was_run=False)
    return BehaviourResult(
        name=test.name,
        asked=test.asked,
        measured=finding.measured,
        passed=finding.passed,
        example="" if finding.passed else finding.example,
    )


def _monotonic(subject: _Subject, test: Monotonic) -> _Finding:
    count = len(next(iter(test.steps.values())))
    values = [{column: steps[number] for column, steps in test.steps.items()} for number in range(count)]
    scores = subject.scores(_with_each(subject.sample, values)).reshape(count, -1)
    gains = np.diff(scores, axis=0) * (1 if test.direction == "up" else -1)
    step, row = np.unravel_index(_lowest(gains), gains.shape)
    example = (
        f"{subject.key(subject.sample.row(int(row), named=True))}: from {_named(values[step])} to "
        f"{_named(values[step + 1])} the score goes from {scores[step, row]:.4g} to {scores[step + 1, row]:.4g}."
    )
    wrong = max(0.0, -float(gains[step, row]))
    measured = f"The largest step the wrong way is {wrong:.3g}, in {subject.sample.height} rows."
    return _Finding(measured, bool(gains[step, row] >= -test.tolerance), example)


def _invariant(subject: _Subject, test: Invariant) -> _Finding:
    before = test.before(subject.sample) if test.before else subject.sample
    after = test.after(subject.sample)
    if before.height != after.height or not after.height:
        raise ValueError(
            f"`before` gives {before.height} rows and `after` {after.height}; give as many, and at least one"
        )
    return _difference(subject, before, subject.scores(after), test.tolerance)


def _any_order(subject: _Subject, test: AnyOrder) -> _Finding:
    sample, middle = subject.sample, (subject.sample.height + 1) // 2
    backwards = subject.scores(sample.reverse())[::-1]
    halves = [subject.scores(half) for half in (sample[:middle], sample[middle:]) if half.height]
    findings = [
        _difference(subject, sample, scores, test.tolerance) for scores in (backwards, np.concatenate(halves))
    ]
    return min(findings, key=lambda finding: finding.passed)


def _extreme(subject: _Subject, test: Extreme) -> _Finding:
    alone = [{column: value} for column, values in test.values.items() for value in values]
    together = [
        {column: values[number] for column, values in test.values.items() if number < len(values)}
        for number in range(max(map(len, test.values.values())))
    ]
    changes = [*alone, *together]
    scores = subject.scores(_with_each(subject.sample, changes))
    change, row = divmod(_furthest(subject, scores, test), subject.sample.height)
    values = changes[change]
    shown = _named(values) if len(values) == 1 else f"{_named(dict(list(values.items())[:1]))} and others"
    example = f"{subject.key(subject.sample.row(row, named=True))}, with {shown}"
    return _within_limits(subject, scores, test, example)


def _profile(subject: _Subject, test: Profile) -> _Finding:
    rows = test.rows(subject.sample)
    if not rows.height:
        raise ValueError("`rows` gives no row; give at least one")
    scores = subject.scores(rows)
    row = rows.row(_furthest(subject, scores, test), named=True)
    return _within_limits(subject, scores, test, subject.key(row))


_RUNNERS: Mapping[type[BehaviourTest], Callable[[_Subject, Any], _Finding]] = {
    Monotonic: _monotonic,
    Invariant: _invariant,
    AnyOrder: _any_order,
    Extreme: _extreme,
    Profile: _profile,
}


def _with_each(rows: pl.DataFrame, changes: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The rows once with each change of columns, one after the other, so that they can be scored together."""
    return pl.concat(
        rows.with_columns(
            pl.lit(value).cast(rows.schema[column]).alias(column) for column, value in change.items()
        )
        for change in changes
    )


def _difference(subject: _Subject, before: pl.DataFrame, scores: Scores, tolerance: float) -> _Finding:
    """How far scores are from those of `before`, row by row."""
    expected = subject.scores(before)
    gaps = np.abs(scores - expected)
    row = _lowest(-gaps)
    who = subject.key(before.row(row, named=True))
    example = f"{who}: the score goes from {expected[row]:.4g} to {scores[row]:.4g}."
    measured = f"The largest difference is {gaps[row]:.3g}, in {before.height} rows."
    return _Finding(measured, bool(gaps[row] <= tolerance), example)


def _within_limits(subject: _Subject, scores: Scores, test: Extreme | Profile, example: str) -> _Finding:
    """Whether scores are valid and within the limits of a test; `example` is the row of the furthest."""
    furthest = _furthest(subject, scores, test)
    is_bad = ~(_valid(subject, scores) & (scores >= test.low) & (scores <= test.high))
    if len(scores) == 1:
        return _Finding(f"The score is {scores[0]:.4g}.", not is_bad.any(), "")
    lowest, highest = np.fmin.reduce(scores), np.fmax.reduce(scores)
    bad = f", {is_bad.sum():,} of them not as asked" if is_bad.any() else ""
    measured = f"{len(scores):,} scores from {lowest:.4g} to {highest:.4g}{bad}."
    return _Finding(measured, not is_bad.any(), f"{example}: the score is {scores[furthest]:.4g}.")


def _furthest(subject: _Subject, scores: Scores, test: Extreme | Profile) -> int:
    """The place of the score that is invalid, or nearest to a limit or beyond it."""
    room = np.minimum(scores - test.low, test.high - scores)
    return _lowest(np.where(_valid(subject, scores), room, -np.inf))


def _valid(subject: _Subject, scores: Scores) -> NDArray[np.bool_]:
    is_valid = task_of(subject.model).is_valid_score(pl.col("score"))
    return pl.DataFrame({"score": scores}).select(is_valid).to_series().to_numpy()


def _lowest(values: NDArray[np.float64]) -> int:
    """The place of the lowest value in the flattened array; what is no number is lower than any."""
    return int(np.argmin(np.where(np.isnan(values), -np.inf, values)))


def _named(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{column} {'missing' if value is None else value}" for column, value in values.items())

"""What the labels and candidates of any model must keep."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.tasks import checked_against_task
from include.lifecycle.specs import ModelSpec
from include.lifecycle.training.behaviour_tests import run_behaviour_tests
from include.lifecycle.training.record import BehaviourResult
from include.lifecycle.training.rehearsal import fit_candidate, fitted_and_loaded
from include.toolkit.estimators import NaiveForecast
from include.toolkit.keys import lasting

SEED = 7
_MOST_FITTED_ROWS = 20_000


def assert_labels_fit(model: ModelSpec, day: date, features: pl.DataFrame, outcomes: pl.LazyFrame) -> pl.DataFrame:
    """The labels of a day have the key and `label`, no row twice, none without features; returns them.

    Parameters
    ----------
    outcomes : clean rows of the label's table from `day` until its label matures, with the day in `dt`.

    Raises
    ------
    AssertionError
        Says what is wrong with them.
    """
    key = list(model.dataset.key)
    labels = model.label.make(day, features, outcomes)
    assert set(labels.columns) == {*key, "label"}, (
        f"The labels of {model.name!r} on {day} have the columns {labels.columns}; they should be "
        f"{[*key, 'label']}."
    )
    assert not labels.select(key).is_duplicated().any(), f"{model.name!r} labels a key twice on {day}."
    assert labels.join(features, on=key, how="anti").is_empty(), (
        f"{model.name!r} labels keys on {day} that have no features; join the labels to the features' keys."
    )
    assert not labels["label"].null_count(), f"Labels of {model.name!r} on {day} are null; leave such rows out."
    return labels


def assert_decisions_fit(model: ModelSpec, rows: pl.DataFrame) -> pl.DataFrame:
    """`decide` keeps each row and adds a column, also that of the reasons; returns the columns that it adds.

    Parameters
    ----------
    rows : features with key, `dt` and `label`, which stands in for the score.

    Raises
    ------
    AssertionError
        Says what is wrong with the decisions.
    """
    scored = rows.drop("label", "dt").with_columns(score=rows["label"].cast(pl.Float64))
    if model.interval:
        score = pl.col("score")
        scored = scored.with_columns(score_low=score - 1, score_high=score + 1, coverage=pl.lit(0.8))
    decided = model.decide(scored)
    assert decided.height == rows.height, f"`decide` made {decided.height} rows of {rows.height}; keep each row."
    added = [name for name in decided.columns if name not in scored.columns]
    assert added, "`decide` adds no column; add what a person does with a score."
    acted_by = model.reasons.column if model.reasons else added[0]
    assert acted_by in added, (
        f"`reasons.column` of {model.name!r} is {acted_by!r}, which `decide` does not add; choose one of {added}."
    )
    return decided.select(added)


def assert_naive_forecast_fits(model: ModelSpec, rows: pl.DataFrame) -> None:
    """A baseline that says the value of the target's weekday reads that of the weekday which the label is of.

    Parameters
    ----------
    rows : features with key and `dt`; only days whose weekday before is there, too, are looked at.

    Raises
    ------
    AssertionError
        Says of which day it should be.
    """
    baseline = model.baseline(SEED)
    if not isinstance(baseline, NaiveForecast):
        return
    first, last = model.label.target_days or (1, model.label.horizon_days)
    assert first == last, (
        f"The baseline of {model.name!r} says the value of one day, and the label is of the days {first} to "
        f"{last} after; take another baseline."
    )
    by, ago = lasting(model.dataset.key, rows.schema), timedelta(days=-last % 7)
    before = rows.select(*by, pl.col("dt") + ago, should_be=baseline.column)
    found = rows.join(before, on=[*by, "dt"]).filter(pl.col(baseline.same_weekday) != pl.col("should_be"))
    assert found.is_empty(), (
        f"The label of {model.name!r} is of {last} days after, and {baseline.same_weekday!r} is not the "
        f"{baseline.column!r} of that weekday, {ago.days} days before. Give the feature and the label the "
        "same number of days ahead."
    )


def assert_can_be_stored(model: ModelSpec, rows: pl.DataFrame) -> None:
    """Each candidate and the baseline can be fitted, stored and loaded, and predicts the same after it.

    Parameters
    ----------
    rows : features with key, `dt` and `label`.

    Raises
    ------
    AssertionError
        If a loaded estimator predicts something else, or no number.
    ValueError
        If the spec does not fit the model's task, or one cannot be fitted.
    UntrustedModelError
        If a fitted estimator contains types that the spec does not trust.
    """
    checked_against_task(model)
    for name, (fitted, loaded) in fitted_and_loaded(model, rows, SEED).items():
        scores = predict(fitted, rows, model)
        assert np.isfinite(scores).all(), f"{name!r} of {model.name!r} predicts {scores[~np.isfinite(scores)][0]}."
        assert np.array_equal(scores, predict(loaded, rows, model)), (
            f"{name!r} of {model.name!r} predicts something else after it was stored and loaded; keep all of its "
            "state in attributes that scikit-learn knows."
        )


def assert_behaviour_can_be_tested(model: ModelSpec, rows: pl.DataFrame) -> dict[str, tuple[BehaviourResult, ...]]:
    """Each behaviour test can be run on each candidate; returns what came of them, by candidate.

    Parameters
    ----------
    rows : features with key, `dt` and `label`, of which some are learnt from, and some of these scored.

    Raises
    ------
    AssertionError
        Says which test could not be run, and why.
    """
    few = rows.sample(min(rows.height, _MOST_FITTED_ROWS), seed=SEED)
    found = {
        candidate.name: run_behaviour_tests(model, fit_candidate(model, candidate, few, SEED), few, SEED)
        for candidate in model.candidates()
    }
    for name, results in found.items():
        for result in results:
            assert result.was_run, f"{name!r} of {model.name!r}, behaviour test {result.name!r}: {result.measured}"
    return found

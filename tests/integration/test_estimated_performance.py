"""Performance that is estimated before outcomes are known, on a real lake and in a real warehouse."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.modelling import model_files
from include.lifecycle.modelling.estimator_input import to_matrix
from include.lifecycle.monitoring import performance
from include.lifecycle.monitoring.earlier_outcomes import OUTCOMES
from include.lifecycle.monitoring.performance_verdict import KIND, VERDICT, PerformanceVerdict
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.scoring.prediction_files import PARQUET
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from include.lifecycle.training.record import BASELINE, HOLDOUT
from include.models.churn import CHURN
from tests.integration.churn_history import day, features_of, labels_of, publish_history
from tests.unit.models.churn.customers import risk

WEEKS = [[day(7 * week + number) for number in range(7)] for week in range(1, 4)]
TRAINED_ON, UNTIL = day(0), day(70)
REFERENCE = Reference(TRAINED_ON, 1)
REPORT = CHURN.report_prefix(KIND)


@pytest.fixture
def predicted(lake: Lake, run: RunInfo, tmp_path: Path) -> Lake:
    """Three weeks that a calibrated version has scored, with all their outcomes, and what its training left."""
    publish_history(lake, tmp_path, [TRAINED_ON, *(scored for week in WEEKS for scored in week)], until=UNTIL)
    features = features_of(TRAINED_ON)
    baseline = CHURN.baseline(7).fit(to_matrix(features, CHURN), labels_of(TRAINED_ON))
    model_files.dump(baseline, tmp_path / BASELINE, CHURN.trusted_types)
    holdout = features.with_columns(
        dt=pl.lit(TRAINED_ON),
        label=pl.Series(labels_of(TRAINED_ON)),
        candidate_score=pl.Series(risk(features)),
        baseline_score=pl.lit(0.1),
    )
    holdout.write_parquet(tmp_path / HOLDOUT)
    left = [LocalFile(tmp_path / BASELINE), LocalFile(tmp_path / HOLDOUT, holdout.height)]
    lake.publish(CHURN.reference_prefix(1), TRAINED_ON, left, run=run)
    for week in WEEKS:
        for scored in week:
            predict(lake, run, tmp_path, scored, risk(features_of(scored)))
    return lake


def predict(lake: Lake, run: RunInfo, scratch: Path, scored: date, scores: np.ndarray, version: int = 1) -> None:
    rows = features_of(scored).select("customer_id", score=pl.Series(scores), model_version=pl.lit(version))
    rows.write_parquet(scratch / PARQUET)
    lake.publish(CHURN.predictions_prefix, scored, [LocalFile(scratch / PARQUET, rows.height)], run=run)


def report(lake: Lake, postgres: Any, run: RunInfo, reported: date) -> PerformanceVerdict:
    return performance.monitor(CHURN, lake, postgres, reported, run, REFERENCE)


def stored(postgres: Any, measure: str) -> dict[date, tuple[Any, ...]]:
    with postgres, postgres.cursor() as cursor:
        cursor.execute(
            "select dt, value, lower_bound, upper_bound, realised_value from ml.performance where measure = %s",
            [measure],
        )
        return {row[0]: row[1:] for row in cursor.fetchall()}


def test_a_week_is_estimated_before_its_outcomes_are_known_and_compared_once_they_are(
    predicted: Lake, postgres: Any, run: RunInfo
) -> None:
    then = [report(predicted, postgres, run, week[-1]) for week in WEEKS]
    known = CHURN.matures_on(WEEKS[1][-1])

    now = report(predicted, postgres, run, known)

    for week, verdict in zip(WEEKS, then, strict=True):
        assert verdict.rows == 0
        assert verdict.estimated is not None
        assert (verdict.estimated.days, verdict.estimated.verdict) == (tuple(week), "as expected")
    assert now.estimated is not None
    assert now.estimated.days == ()
    weeks = now.estimated_weeks
    assert [week.reported for week in weeks] == [week[-1] for week in WEEKS]
    for compared, verdict in zip(weeks[:2], then, strict=False):
        found, published = compared.metrics["average_precision"], verdict.estimated
        assert published is not None
        assert published.estimate is not None
        assert found.value == published.estimate.metrics["average_precision"].value
        assert found.held
        assert found.realised is not None
        assert found.difference == pytest.approx(found.realised - found.value)
    assert weeks[2].metrics["average_precision"].realised is None
    rows = stored(postgres, "estimated_average_precision")
    assert rows == {
        week.reported: (found.value, found.lower_bound, found.upper_bound, found.realised)
        for week in weeks
        if (found := week.metrics["average_precision"])
    }


def test_what_is_realised_is_what_the_report_of_those_days_alone_would_measure(
    predicted: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    report(predicted, postgres, run, WEEKS[0][-1])
    now = report(predicted, postgres, run, CHURN.matures_on(WEEKS[1][-1]))

    [path] = predicted.download(REPORT, CHURN.matures_on(WEEKS[1][-1]), tmp_path, OUTCOMES)
    of_week = pl.read_parquet(path).filter(pl.col("dt").is_in(WEEKS[0]))

    measured = performance.measured(CHURN, WEEKS[0], of_week).measures
    assert {name: found.realised for name, found in now.estimated_weeks[0].metrics.items()} == {
        name: measured[name] for name in now.estimated_weeks[0].metrics
    }


def test_a_week_that_another_version_has_scored_again_is_not_compared(
    predicted: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    report(predicted, postgres, run, WEEKS[0][-1])
    predict(predicted, run, tmp_path, WEEKS[0][2], risk(features_of(WEEKS[0][2])), version=2)

    now = report(predicted, postgres, run, CHURN.matures_on(WEEKS[1][-1]))

    assert [week.metrics["brier"].realised for week in now.estimated_weeks] == [None]


def test_only_the_champion_and_days_without_known_outcomes_are_estimated(
    predicted: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    for scored in WEEKS[0][:3]:
        predict(predicted, run, tmp_path, scored, risk(features_of(scored)), version=2)

    verdict = report(predicted, postgres, run, WEEKS[0][-1])

    assert verdict.estimated is not None
    assert verdict.estimated.days == tuple(WEEKS[0][3:])


def test_scores_that_have_become_blurred_are_estimated_worse(
    predicted: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    for scored in WEEKS[0]:
        scores = risk(features_of(scored))
        predict(predicted, run, tmp_path, scored, 0.9 * scores.mean() + 0.1 * scores)

    verdict = report(predicted, postgres, run, WEEKS[0][-1])

    assert verdict.estimated is not None
    assert verdict.estimated.verdict == "worse"
    assert verdict.verdict == "not enough evidence"


def test_a_damaged_report_loses_its_own_estimate_and_no_other(
    predicted: Lake, postgres: Any, run: RunInfo
) -> None:
    for week in WEEKS[:2]:
        report(predicted, postgres, run, week[-1])
    name = predicted.manifest(REPORT, WEEKS[0][-1]).file(VERDICT).name
    predicted.write_object(f"{REPORT}/dt={WEEKS[0][-1]}/{name}", b"damaged")

    verdict = report(predicted, postgres, run, WEEKS[2][-1])

    assert [week.reported for week in verdict.estimated_weeks] == [week[-1] for week in WEEKS[1:]]


def test_a_report_made_again_is_the_same_and_names_what_it_read(
    predicted: Lake, postgres: Any, run: RunInfo
) -> None:
    for week in WEEKS:
        report(predicted, postgres, run, week[-1])
    first = predicted.manifest(REPORT, WEEKS[2][-1])

    report(predicted, postgres, run, WEEKS[2][-1])

    again = predicted.manifest(REPORT, WEEKS[2][-1])
    assert (again.digest, again.inputs) == (first.digest, first.inputs)
    named = [f"{CHURN.predictions_prefix}/dt={scored}" for scored in WEEKS[2]]
    named += [f"{CHURN.dataset.features_prefix}/dt={scored}" for scored in WEEKS[2]]
    named += [f"{REPORT}/dt={week[-1]}" for week in WEEKS[:2]]
    assert set(named) <= set(first.inputs)


def test_a_table_from_before_there_were_estimates_is_written_on(
    predicted: Lake, postgres: Any, run: RunInfo
) -> None:
    before = TRAINED_ON - timedelta(7)
    old = pl.DataFrame(
        {
            "model": ["churn"],
            "dt": [before],
            "measure": ["roc_auc"],
            "value": [0.7],
            "baseline_value": [0.5],
            "rows": [900],
        }
    )
    warehouse.upsert(postgres, performance.TABLE, old, key=("model", "dt", "measure"))

    report(predicted, postgres, run, WEEKS[0][-1])

    assert stored(postgres, "roc_auc") == {before: (0.7, None, None, None)}
    assert set(stored(postgres, "estimated_roc_auc")) == {WEEKS[0][-1]}

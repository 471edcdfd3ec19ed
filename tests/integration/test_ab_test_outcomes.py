"""The performance report asks once what became of the keys of an A/B test, on a real lake and ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.lifecycle.modelling import model_files
from include.lifecycle.modelling.estimator_input import to_matrix
from include.lifecycle.monitoring import ab_test_outcomes, performance
from include.lifecycle.monitoring.earlier_outcomes import OUTCOMES
from include.lifecycle.monitoring.performance_verdict import KIND, PerformanceVerdict
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.ab_test import AbTest
from include.lifecycle.promotion.ab_test_policy import AbTestResult
from include.lifecycle.promotion.ledger import Entry
from include.lifecycle.scoring.prediction_files import PARQUET
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo, partition
from include.lifecycle.training.record import BASELINE
from include.models.churn import CHURN
from tests.integration.churn_history import CHURNS, churns_of, day, features_of, labels_of, publish_history
from tests.specs import changed

SNAPSHOTS = [day(number) for number in range(7)]
FIRST_DAY = 2
TEST = AbTest(share=0.4, salt="churn version 2", first_day=day(FIRST_DAY), days=3, aim="lower")
# The outcomes of a day are known 35 days later: before the horizon, at it, and later.
BEFORE, AT, LATER = day(FIRST_DAY + 36), day(FIRST_DAY + 37), day(FIRST_DAY + 44)
CHAMPION = Entry("churn", "promote", 1, None, 1, day(0), "gate", "", {}, "first")
BEGUN = replace(
    CHAMPION,
    action="shadow",
    candidate=2,
    from_version=1,
    evidence={"ab_test": TEST.model_dump(mode="json")},
    run_id="second",
)
ENDED = replace(BEGUN, action="withdraw", evidence={"last_split_day": str(day(6))}, run_id="third")
REPORT = CHURN.report_prefix(KIND)


@pytest.fixture
def tested(lake: Lake, postgres: Any, run: RunInfo, tmp_path: Path) -> Lake:
    """A week that is split from its third day on; half of those who would leave stay with the challenger."""
    for entry in (CHAMPION, BEGUN):
        ledger.record(postgres, entry)
    publish_history(lake, tmp_path, SNAPSHOTS, until=LATER)
    keep_customers(lake, run, tmp_path, every=2)
    baseline = CHURN.baseline(7).fit(to_matrix(features_of(day(0)), CHURN), labels_of(day(0)))
    model_files.dump(baseline, tmp_path / BASELINE, CHURN.trusted_types)
    lake.publish(CHURN.reference_prefix(1), day(0), [LocalFile(tmp_path / BASELINE)], run=run)
    for number, snapshot in enumerate(SNAPSHOTS):
        predict(lake, run, tmp_path, snapshot, None if number >= FIRST_DAY else 1)
    return lake


def predict(lake: Lake, run: RunInfo, scratch: Path, scored: date, alone: int | None = None) -> None:
    """Publish predictions of both versions, or of one of them alone."""
    customers = features_of(scored).select("customer_id")
    version = pl.lit(alone) if alone else 1 + TEST.is_challengers(customers).cast(pl.Int64)
    rows = customers.with_columns(score=pl.lit(0.2), model_version=version)
    rows.write_parquet(scratch / PARQUET)
    lake.publish(CHURN.predictions_prefix, scored, [LocalFile(scratch / PARQUET, rows.height)], run=run)


def keep_customers(lake: Lake, run: RunInfo, scratch: Path, every: int) -> None:
    """Of the challenger's customers who would leave, only one in so many does."""
    churns = pl.concat(churns_of(snapshot) for snapshot in SNAPSHOTS)
    own = TEST.is_challengers(churns.select("customer_id"))
    stays = own & pl.Series([number % every > 0 for number in range(churns.height)])
    for recorded_on, rows in churns.filter(~stays).partition_by("recorded_on", as_dict=True).items():
        lake.publish_frame(CHURNS, recorded_on[0], rows, run=run, scratch=scratch)


def report(
    lake: Lake, postgres: Any, run: RunInfo, reported: date, model: ModelSpec = CHURN
) -> PerformanceVerdict:
    return performance.monitor(model, lake, postgres, reported, run, Reference(day(0), 1))


def result(verdict: PerformanceVerdict) -> AbTestResult:
    assert verdict.ab_test is not None
    return verdict.ab_test


def page(lake: Lake, scratch: Path, reported: date) -> str:
    [file] = lake.download(REPORT, reported, scratch / str(reported), "index.html")
    return file.read_text()


def by_version(html: str) -> str:
    return html.partition("By version")[2].partition("</table>")[0]


def test_before_the_horizon_nobody_sees_how_it_stands(
    tested: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    found = result(report(tested, postgres, run, BEFORE))

    assert (found.verdict, found.days) == ("running", tuple(SNAPSHOTS[2:4]))
    assert (found.champion_arm, found.challenger_arm, found.difference) == (None, None, None)
    html = page(tested, tmp_path, BEFORE)
    assert "The outcomes of 2 of 3 days are known; they are compared once, when all are." in html
    assert "are shown at its horizon, and not before." in html
    assert by_version(html).count("\u2013") == 2
    assert "churn_<wbr>shadow" not in html


def test_at_the_horizon_the_mean_outcomes_of_the_keys_are_compared_on_the_days_that_were_stated(
    tested: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    verdict = report(tested, postgres, run, AT)

    found = result(verdict)
    [file] = tested.download(REPORT, AT, tmp_path, OUTCOMES)
    rows = pl.read_parquet(file).filter(pl.col("dt").is_in(SNAPSHOTS[2:5]))
    own, other = (rows.filter(pl.col("model_version") == version) for version in (2, 1))
    assert (found.verdict, found.days) == ("better", tuple(SNAPSHOTS[2:5]))
    assert found.challenger_arm is not None
    assert found.champion_arm is not None
    assert (found.challenger_arm.keys, found.champion_arm.keys) == (own.height, other.height)
    assert found.challenger_arm.mean == pytest.approx(own["label"].mean())
    assert found.champion_arm.mean == pytest.approx(other["label"].mean())
    html = page(tested, tmp_path, AT)
    assert "the challenger is better: churn_" in html
    assert "On the days of the A/B test these are the predictions of both" in html
    assert "\u2013" not in by_version(html)


@pytest.mark.parametrize("ended", [False, True])
def test_the_verdict_stands_whatever_becomes_of_the_data_and_of_the_test(
    tested: Lake, postgres: Any, run: RunInfo, tmp_path: Path, ended: bool
) -> None:
    given = result(report(tested, postgres, run, AT))
    keep_customers(tested, run, tmp_path, every=1)
    if ended:
        ledger.record(postgres, ENDED)

    found, again = (result(report(tested, postgres, run, reported)) for reported in (LATER, AT))

    assert found == again == given.model_copy(update={"has_ended": ended})
    path = partition(REPORT, AT)
    assert path in tested.manifest(REPORT, LATER).inputs
    assert path not in tested.manifest(REPORT, AT).inputs
    assert ("can promote it" in page(tested, tmp_path, LATER)) == (not ended)


def test_a_verdict_that_cannot_be_read_any_more_is_found_again(tested: Lake, postgres: Any, run: RunInfo) -> None:
    given = result(report(tested, postgres, run, AT))
    tested.write_object(f"{partition(REPORT, AT)}/manifest.json", b"damaged")

    found = result(report(tested, postgres, run, LATER))

    assert found.model_copy(update={"looked_at": given.looked_at}) == given


def test_a_test_that_was_ended_before_its_horizon_has_no_verdict(
    tested: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    ledger.record(postgres, ENDED)

    found = result(report(tested, postgres, run, LATER))

    assert (found.verdict, found.champion_arm) == ("stopped", None)
    html = page(tested, tmp_path, LATER)
    assert "The test was ended before a report had compared both sides, so it has no verdict; by now" in html


@pytest.mark.parametrize("alone", [1, 2])
def test_a_day_on_which_one_of_the_versions_could_not_score_does_not_count(
    tested: Lake, postgres: Any, run: RunInfo, tmp_path: Path, alone: int
) -> None:
    predict(tested, run, tmp_path, SNAPSHOTS[3], alone)

    assert result(report(tested, postgres, run, AT)).days == (SNAPSHOTS[2], SNAPSHOTS[4])
    assert result(report(tested, postgres, run, LATER)).days == (SNAPSHOTS[2], SNAPSHOTS[4], SNAPSHOTS[5])


def test_a_report_that_does_not_look_back_to_the_first_day_of_the_test_gives_no_verdict(
    tested: Lake, postgres: Any, run: RunInfo
) -> None:
    model = changed(CHURN, drift=changed(CHURN.drift, outcome_days=(AT - SNAPSHOTS[2]).days - 1))

    found = result(report(tested, postgres, run, AT, model))

    assert (found.verdict, found.is_final, found.champion_arm) == ("stopped", False, None)
    assert found.reason.startswith(f"The first day of the test is {SNAPSHOTS[2]}, but the report looks back to ")


def test_a_report_on_days_without_a_test_says_nothing_of_it(tested: Lake, postgres: Any) -> None:
    history = ledger.entries(postgres, "churn")
    long_after = day(6) + timedelta(CHURN.drift.outcome_days + 1)

    def look(reported: date, *further: Entry) -> Any:
        return ab_test_outcomes.look(CHURN, tested, reported, [*history, *further], pl.DataFrame()).result

    assert look(day(FIRST_DAY - 1)) is None
    assert look(day(FIRST_DAY)) is not None
    assert look(long_after) is not None
    assert look(long_after, ENDED) is None
    assert look(LATER, replace(ENDED, evidence={"last_split_day": str(day(FIRST_DAY - 1))})) is None

"""The performance report sets the challenger beside the champion, on the same outcomes of a lake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.lifecycle.modelling import model_files
from include.lifecycle.modelling.estimator_input import predict, to_matrix
from include.lifecycle.monitoring import performance, shadow_comparison
from include.lifecycle.monitoring.performance_verdict import KIND, PerformanceVerdict
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.ledger import Entry
from include.lifecycle.promotion.shadow import Request, Seen
from include.lifecycle.promotion.shadow_policy import ShadowComparison, ShadowEvidence, decide
from include.lifecycle.scoring.prediction_files import PARQUET
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo, partition
from include.lifecycle.training.record import BASELINE
from include.models.churn import CHURN
from tests.integration.churn_history import day, features_of, labels_of, publish_history

SNAPSHOTS = [day(number) for number in range(0, 12)]
REPORTED = day(45)
CHAMPION = Entry("churn", "promote", 1, None, 1, day(0), "gate", "", {}, "first")
SHADOW = replace(CHAMPION, action="shadow", candidate=2, from_version=1, run_id="second")


@pytest.fixture
def good() -> Any:
    """A fitted estimator that knows something of who leaves."""
    frames, labels = zip(*((features_of(one), labels_of(one)) for one in SNAPSHOTS[:4]), strict=True)
    return CHURN.baseline(7).fit(to_matrix(pl.concat(frames), CHURN), [x for some in labels for x in some])


@pytest.fixture
def scored(lake: Lake, run: RunInfo, tmp_path: Path, good: Any) -> Lake:
    """Twelve days that a champion has scored which knows nothing, the first two by a version before it.

    The challenger, which knows something, has scored all but the last two.
    """
    publish_history(lake, tmp_path, SNAPSHOTS, until=REPORTED)
    model_files.dump(good, tmp_path / BASELINE, CHURN.trusted_types)
    lake.publish(CHURN.reference_prefix(1), day(0), [LocalFile(tmp_path / BASELINE)], run=run)
    for number, snapshot in enumerate(SNAPSHOTS):
        features = features_of(snapshot)
        noise = pl.Series([index % 97 / 97 for index in range(features.height)]).shuffle(seed=number)
        version = 7 if number < 2 else 1
        publish_scores(lake, run, tmp_path, CHURN.predictions_prefix, number, noise, version)
        if number < 10:
            known = pl.Series(predict(good, features, CHURN))
            publish_scores(lake, run, tmp_path, CHURN.shadow_prefix(2), number, known, 2)
    return lake


def publish_scores(
    lake: Lake, run: RunInfo, scratch: Path, prefix: str, number: int, scores: pl.Series, version: int
) -> None:
    customers = features_of(SNAPSHOTS[number]).select("customer_id")
    rows = customers.with_columns(score=scores, model_version=pl.lit(version))
    rows.write_parquet(scratch / PARQUET)
    lake.publish(prefix, SNAPSHOTS[number], [LocalFile(scratch / PARQUET, rows.height)], run=run)


def reported(lake: Lake, postgres: Any, run: RunInfo, *history: Entry) -> PerformanceVerdict:
    for entry in history:
        ledger.record(postgres, entry)
    return performance.monitor(CHURN, lake, postgres, REPORTED, run, Reference(day(0), 1))


def comparison(verdict: PerformanceVerdict) -> ShadowComparison:
    assert verdict.shadow is not None
    return verdict.shadow


def seen(lake: Lake) -> Seen:
    return shadow_comparison.see(CHURN, lake, Request("promote", None, ""))


def page(lake: Lake, scratch: Path) -> str:
    [file] = lake.download(CHURN.report_prefix(KIND), REPORTED, scratch, "index.html")
    return file.read_text()


def test_both_are_measured_on_the_days_of_the_champion_that_the_challenger_has_scored_too(
    scored: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    found = comparison(reported(scored, postgres, run, CHAMPION, SHADOW))

    assert (found.champion, found.challenger, found.title) == (1, 2, "Average precision")
    assert found.days == tuple(SNAPSHOTS[2:10])
    assert found.rows == 600 * 8
    assert found.gain is not None
    assert found.gain_lower_bound is not None
    own, other = (
        measures["average_precision"] or 0.0 for measures in (found.challenger_measures, found.champion_measures)
    )
    assert found.gain == pytest.approx(own - other)
    assert 0 < found.gain_lower_bound < found.gain
    assert seen(scored) == Seen(found, None, SNAPSHOTS[-1])
    html = page(scored, tmp_path / "page")
    assert "Both versions on the same 4,800 outcomes of 8 days" in html
    assert "The challenger is better beyond chance; churn_" in html
    inputs = scored.manifest(CHURN.report_prefix(KIND), REPORTED).inputs
    path = partition(CHURN.shadow_prefix(2), SNAPSHOTS[2])
    assert inputs[path] == scored.manifest(CHURN.shadow_prefix(2), SNAPSHOTS[2]).digest
    asked = {"asked": "promote", "version": 2, "champion": 1, "challenger": 2, "is_judged": True}
    evidence = ShadowEvidence.model_validate({**asked, "reason": "It is better.", "comparison": found})
    assert decide(evidence).action == "promote"


def test_a_report_says_nothing_of_a_challenger_where_there_is_none(
    scored: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    verdict = reported(scored, postgres, run, CHAMPION)

    assert verdict.shadow is None
    assert seen(scored) == Seen(None, None, SNAPSHOTS[-1])
    assert "hallenger" not in page(scored, tmp_path / "page")


def test_the_champions_report_is_the_same_whatever_the_challenger_has_done(
    scored: Lake, postgres: Any, run: RunInfo
) -> None:
    alone = reported(scored, postgres, run, CHAMPION)
    beside = reported(scored, postgres, run, SHADOW)

    assert beside.model_copy(update={"shadow": None}) == alone


def test_a_day_whose_scores_in_shadow_are_damaged_is_left_out(scored: Lake, postgres: Any, run: RunInfo) -> None:
    prefix = CHURN.shadow_prefix(2)
    name = scored.manifest(prefix, SNAPSHOTS[4]).file(PARQUET).name
    scored.write_object(f"{partition(prefix, SNAPSHOTS[4])}/{name}", b"damaged")
    scored.write_object(f"{partition(prefix, SNAPSHOTS[5])}/manifest.json", b"damaged")

    found = comparison(reported(scored, postgres, run, CHAMPION, SHADOW))

    assert found.days == (*SNAPSHOTS[2:4], *SNAPSHOTS[6:10])


def test_a_challenger_that_has_scored_nothing_is_not_measured(
    scored: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    third = replace(SHADOW, candidate=3, run_id="third")

    found = comparison(reported(scored, postgres, run, CHAMPION, third))

    assert (found.challenger, found.rows, found.shortage) == (3, 0, "no rows")
    assert found.gain is None
    assert "beside those of version 1 have no rows." in page(scored, tmp_path / "page")


def test_a_report_from_before_there_were_challengers_can_be_read(
    scored: Lake, postgres: Any, run: RunInfo
) -> None:
    verdict = reported(scored, postgres, run, CHAMPION)

    older = PerformanceVerdict.model_validate(verdict.model_dump(mode="json", exclude={"shadow"}))

    assert older.shadow is None

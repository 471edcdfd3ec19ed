"""What a decision about retraining is gathered from, on a real lake and a real database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.lifecycle.modelling.tasks import Estimate, Expected, Standing
from include.lifecycle.monitoring import drift_verdict, estimate_verdict, performance, performance_verdict
from include.lifecycle.monitoring import retraining_requests as requests
from include.lifecycle.monitoring.drift_verdict import ColumnEvidence, DriftEvidence
from include.lifecycle.monitoring.earlier_outcomes import OUTCOMES
from include.lifecycle.monitoring.estimate_verdict import Comparison, EstimatedWeek, EstimateEvidence
from include.lifecycle.monitoring.retraining_evidence import gather
from include.lifecycle.monitoring.retraining_policy import (
    RetrainingEvidence,
    decide,
)
from include.lifecycle.promotion import ledger
from include.lifecycle.specs import DriftPolicy, RetrainingSpec
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from tests.requests_made import requests_made
from tests.specs import people_model

DAY = date(2026, 11, 29)
POLICY = RetrainingSpec()


MODEL = people_model(
    numeric=("age",), categorical=(), drift=DriftPolicy(min_rows=50), retraining=RetrainingSpec(max_age_days=None)
)
TRAINED = DAY - timedelta(60)


class World:
    """Reports on a champion, version 3, that took the place of version 2, on a real lake."""

    def __init__(self, lake: Lake, connection: Any, run: RunInfo, scratch: Path) -> None:
        self.lake, self.connection, self.run, self.scratch = lake, connection, run, scratch
        for version, trained in ((2, TRAINED - timedelta(60)), (3, TRAINED)):
            before = version - 1 if version == 3 else None
            entry = ledger.Entry(
                "leaving", "promote", version, before, version, trained, "gate", "", {}, f"run {version}"
            )
            ledger.record(connection, entry)

    def validated(self, day: date = DAY, *, accepted: bool = True) -> None:
        verdict = {"day": str(day), "accepted": accepted, "tables": {}}
        self._publish("reports/people/validation", day, verdict)

    def drift(self, day: date, *, drifted: bool = True, version: int = 3) -> None:
        column = ColumnEvidence(
            method="wasserstein",
            threshold=0.1,
            distance=0.5 if drifted else 0.0,
            exceeded=drifted,
            null_rate_reference=0.0,
            null_rate_current=0.0,
            reference_rows=100,
            current_rows=100,
        )
        evidence = DriftEvidence(
            reference_rows=100,
            current_rows=100,
            days=(day,),
            missing_days=(),
            score=column,
            columns={"age": column},
        )
        verdict = drift_verdict.decide(evidence, MODEL.drift).model_dump(mode="json")
        self._publish("reports/leaving/drift", day, verdict, inputs={"models:/leaving": str(version)})

    def outcomes(self, *, worse: bool, version: int = 3) -> None:
        """Of 20 days, 10 of which have become known since the champion was trained."""
        known_with_training = TRAINED - timedelta(MODEL.label.horizon_days + MODEL.label.delay_days)
        label = [number % 2 for number in range(200)]
        score = [1 - value if worse else value for value in label]
        rows = pl.DataFrame(
            {
                "person": [f"P{number}" for number in range(200)],
                "dt": [known_with_training + timedelta(number % 20 - 9) for number in range(200)],
                "label": label,
                "score": [0.1 + 0.8 * value + number / 10_000 for number, value in enumerate(score)],
                "baseline_score": [0.5 + number / 10_000 for number in range(200)],
                "model_version": [version] * 200,
            }
        )
        path = self.scratch / OUTCOMES
        rows.write_parquet(path)
        self.lake.publish("reports/leaving/performance", DAY, [LocalFile(path, 200)], run=self.run)

    def estimated(self, *, worse: bool, version: int = 3) -> None:
        """Predictions of which no outcome is known yet."""
        known = Expected(value=0.7, lower_bound=0.6, upper_bound=0.8)
        standing = Standing(0.8, 0.9 if worse else 0.7, "ROC AUC is expected to be 0.7")
        estimate = Estimate(metrics={"roc_auc": known}, baseline_metrics={}, standing=standing)
        week = EstimateEvidence(days=(DAY,), model_version=version, rows=200, shortage=None, estimate=estimate)
        measured = performance.measured(MODEL, [], pl.DataFrame())
        found = measured.model_copy(update={"estimated": estimate_verdict.decide(week, MODEL)})
        content = performance_verdict.decide(found, MODEL).model_dump(mode="json")
        (self.scratch / "verdict.json").write_text(json.dumps(content))
        pl.DataFrame().write_parquet(self.scratch / OUTCOMES)
        files = [LocalFile(self.scratch / "verdict.json"), LocalFile(self.scratch / OUTCOMES, 0)]
        self.lake.publish("reports/leaving/performance", DAY, files, run=self.run)

    def realised(self, weeks: Mapping[int, float], version: int = 3) -> None:
        """By days after the champion's training on which they became known, weeks that were estimated at 0.7."""
        estimate = Comparison(value=0.7, lower_bound=0.6, upper_bound=0.8, baseline=None)
        delay = MODEL.label.horizon_days + MODEL.label.delay_days
        found = tuple(
            EstimatedWeek(
                reported=(last := TRAINED + timedelta(known - delay)),
                days=(last,),
                model_version=version,
                rows=200,
                outcomes=200,
                metrics={"roc_auc": estimate.model_copy(update={"realised": value})},
            )
            for known, value in weeks.items()
        )
        measured = performance.measured(MODEL, [], pl.DataFrame()).model_copy(update={"estimated_weeks": found})
        content = performance_verdict.decide(measured, MODEL).model_dump(mode="json")
        (self.scratch / "verdict.json").write_text(json.dumps(content))
        pl.DataFrame().write_parquet(self.scratch / OUTCOMES)
        files = [LocalFile(self.scratch / "verdict.json"), LocalFile(self.scratch / OUTCOMES, 0)]
        self.lake.publish("reports/leaving/performance", DAY, files, run=self.run)

    def evidence(self, fault: str | None = None) -> RetrainingEvidence:
        return gather(MODEL, self.lake, self.connection, DAY, lambda *_: fault)

    def _publish(self, prefix: str, day: date, content: Any, inputs: dict[str, str] | None = None) -> None:
        path = self.scratch / "verdict.json"
        path.write_text(json.dumps(content))
        self.lake.publish(prefix, day, [LocalFile(path)], run=self.run, inputs=inputs)


@pytest.fixture
def world(lake: Lake, postgres: Any, run: RunInfo, tmp_path: Path) -> World:
    """In which nothing is wrong."""
    made = World(lake, postgres, run, tmp_path)
    made.validated()
    made.drift(DAY, drifted=False)
    made.outcomes(worse=False)
    return made


def test_of_a_quiet_world_all_is_known_and_nothing_asks(world: World) -> None:
    found = world.evidence()

    assert (found.champion, found.trained_on, found.last_training) == (3, TRAINED, TRAINED)
    assert [report.day for report in found.drift] == [DAY]
    assert found.performance is not None
    assert (found.performance.verdict, found.performance.new_label_days) == ("as expected", 10)
    assert (found.validated_days, found.rejected_days) == ((DAY,), ())
    assert decide(found, MODEL.retraining).action == "wait"


def test_drift_that_goes_on_makes_one_request_and_the_same_report_none(world: World) -> None:
    for weeks in (1, 0):
        world.drift(DAY - timedelta(weeks=weeks))

    first = decide(world.evidence(), MODEL.retraining)
    made = requests.make(world.connection, first)
    again = decide(world.evidence(), MODEL.retraining)
    taken = requests.take(world.connection, "leaving", "weekly", DAY)
    assert taken is not None
    requests.finish(world.connection, taken.id, "keep")
    after = decide(world.evidence(), MODEL.retraining)

    assert (first.action, made) == ("train", True)
    assert again.reasons[0] == f"Request {first.request} is not yet answered."
    assert (after.action, after.request) == ("wait", first.request)
    assert after.reasons[0].startswith("These reports have made request")


def test_reports_on_another_version_and_old_ones_say_nothing_of_the_champion(world: World) -> None:
    world.drift(DAY - timedelta(weeks=1), version=2)
    world.drift(DAY - timedelta(weeks=6))
    world.drift(DAY - timedelta(weeks=2))

    assert [report.day for report in world.evidence().drift] == [DAY - timedelta(weeks=2), DAY]


def test_a_decision_makes_no_more_requests_as_reports_pile_up(world: World) -> None:
    with requests_made(world.lake) as few:
        world.evidence()
    for weeks in range(6, 30):
        world.drift(DAY - timedelta(weeks=weeks))
        world.validated(DAY - timedelta(weeks=weeks))

    with requests_made(world.lake) as many:
        world.evidence()

    assert len(many) == len(few)


def test_worse_outcomes_ask_only_where_they_are_the_champions_own(world: World) -> None:
    world.outcomes(worse=True, version=2)
    others = world.evidence()
    world.outcomes(worse=True)
    own = world.evidence()

    assert others.performance is not None
    assert others.performance.verdict == "not enough evidence"
    assert decide(others, MODEL.retraining).action == "wait"
    assert own.performance is not None
    assert own.performance.verdict == "worse"
    assert decide(own, MODEL.retraining).action == "train"


def test_a_worse_estimate_asks_before_outcomes_are_known_where_it_is_the_champions_own(world: World) -> None:
    world.estimated(worse=True, version=2)
    others = world.evidence()
    world.estimated(worse=False)
    quiet = world.evidence()
    world.estimated(worse=True)
    own = world.evidence()

    assert others.estimate is None
    assert quiet.estimate is not None
    assert quiet.estimate.points == 0
    assert own.estimate is not None
    assert own.estimate.verdict == "worse"
    decision = decide(own, MODEL.retraining)
    assert decision.request is not None
    assert any("estimated to be worse than those of its holdout" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("weeks", "known", "refuted"),
    [
        ({7: 0.57, 14: 0.57}, 2, 2),
        ({7: 0.59, 14: 0.57}, 2, 1),
        ({0: 0.5, 7: 0.57}, 1, 1),
        ({7: 0.5, 14: 0.7, 21: 0.7, 28: 0.7, 35: 0.7}, 4, 0),
        ({7: 0.5, 10: 0.5, 14: 0.5}, 2, 2),
    ],
    ids=["both below", "within what may pass", "known to the training", "of long ago", "overlapping"],
)
def test_weeks_that_did_worse_than_estimated_count_while_the_champion_has_not_learnt_from_them(
    world: World, weeks: dict[int, float], known: int, refuted: int
) -> None:
    world.realised(weeks)
    own = world.evidence().performance
    world.realised(weeks, version=2)
    others = world.evidence().performance

    assert own is not None
    assert others is not None
    assert (own.known_weeks, own.refuted_weeks) == (known, refuted)
    assert (others.known_weeks, others.refuted_weeks) == (known, refuted)


def test_a_rejected_day_and_a_missing_report_block(world: World, lake: Lake) -> None:
    for weeks in (1, 0):
        world.drift(DAY - timedelta(weeks=weeks))
    world.validated(DAY - timedelta(1), accepted=False)
    rejected = decide(world.evidence(), MODEL.retraining)
    for key in list(lake.keys("reports/leaving/performance")):
        lake.client.delete_object(Bucket=lake.bucket, Key=key)
    missing = decide(world.evidence(), MODEL.retraining)

    assert (rejected.action, missing.action) == ("block", "block")
    assert rejected.reasons[0].startswith("Validation rejected 2026-11-28")
    assert missing.reasons[1] == "There is no performance report of 2026-11-29."


def test_a_champion_that_cannot_be_used_asks_without_any_report_once_a_day(lake: Lake, world: World) -> None:
    for key in list(lake.keys("reports/leaving/")):
        lake.client.delete_object(Bucket=lake.bucket, Key=key)
    assert decide(world.evidence(), MODEL.retraining).action == "block"

    first = decide(world.evidence("Its file is empty."), MODEL.retraining)

    assert first.action == "train"
    assert first.reasons == ("The champion, version 3, cannot be used: Its file is empty.",)
    assert requests.make(world.connection, first) is True
    assert decide(world.evidence("Its file is gone."), MODEL.retraining).action == "wait"
    assert requests.make(world.connection, first) is False


def test_a_model_without_a_champion_is_trained_by_its_schedule(lake: Lake, postgres: Any) -> None:
    decision = decide(gather(MODEL, lake, postgres, DAY, lambda *_: "It is gone."), MODEL.retraining)

    assert decision.action == "block"
    assert decision.reasons == ("There is no champion yet; the scheduled training makes the first.",)

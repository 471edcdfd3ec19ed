"""Requests for a training on a real database, and what a decision is gathered from on a real lake."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg2
import pytest

from include.lifecycle.modelling.tasks import Estimate, Expected, Standing
from include.lifecycle.monitoring import drift_verdict, estimate_verdict, performance, performance_verdict
from include.lifecycle.monitoring import retraining_requests as requests
from include.lifecycle.monitoring.drift_verdict import ColumnEvidence, DriftEvidence
from include.lifecycle.monitoring.earlier_outcomes import OUTCOMES
from include.lifecycle.monitoring.estimate_verdict import Comparison, EstimatedWeek, EstimateEvidence
from include.lifecycle.monitoring.retraining_evidence import gather
from include.lifecycle.monitoring.retraining_policy import (
    DriftReport,
    PerformanceReport,
    RetrainingDecision,
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


def decision(day: date = DAY, **changes: Any) -> RetrainingDecision:
    """The decision on two weekly reports that found the scores drifted."""
    reports = [
        DriftReport(day=day - timedelta(before), digest=f"{day}-{before}", verdict="drift", score_drifted=True)
        for before in (7, 0)
    ]
    known: dict[str, Any] = {
        "model": "churn",
        "day": day,
        "champion": 3,
        "trained_on": day - timedelta(40),
        "last_training": None,
        "drift": tuple(reports),
        "performance": PerformanceReport(day=day, digest="", verdict="as expected", new_label_days=40),
        "validated_days": (day,),
        "rejected_days": (),
    }
    return decide(RetrainingEvidence(**known | changes), POLICY)


def rows(connection: Any) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute("select state, attempts, run_id, outcome from ml.retraining order by recorded_at")
        return list(cursor.fetchall())


def test_a_report_that_asks_makes_one_request_and_repeated_it_makes_none(postgres: Any) -> None:
    assert requests.make(postgres, decision()) is True
    assert requests.make(postgres, decision()) is False

    assert rows(postgres) == [("open", 0, None, None)]
    found = requests.pending(postgres, "churn")
    assert found is not None
    assert (found.id, found.asked_on) == (decision().request, DAY)
    assert found.reason.startswith("Requested on 2026-11-29: Of the last 2 drift reports, 2 found that the scores")


def test_a_report_makes_no_second_request_after_the_first_is_answered(postgres: Any) -> None:
    requests.make(postgres, decision())
    taken = requests.take(postgres, "churn", "weekly", DAY)
    assert taken is not None
    requests.finish(postgres, taken.id, "keep: the champion is as good.")

    assert requests.make(postgres, decision()) is False
    assert requests.made_since(postgres, "churn", DAY) == (decision().request,)
    assert rows(postgres) == [("done", 1, "weekly", "keep: the champion is as good.")]


def test_of_two_reports_at_the_same_time_one_makes_the_request(postgres: Any, postgres_dsn: str) -> None:
    requests.pending(postgres, "churn")

    def make(week: int) -> bool:
        with closing(psycopg2.connect(postgres_dsn)) as connection:
            return requests.make(connection, decision(DAY - timedelta(weeks=week)))

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, range(4)))

    assert sum(made) == 1
    assert len(rows(postgres)) == 1


def test_a_request_of_one_model_is_none_of_another(postgres: Any) -> None:
    requests.make(postgres, decision())

    assert requests.pending(postgres, "returns") is None
    assert requests.take(postgres, "returns", "weekly", DAY) is None
    assert requests.make(postgres, decision(model="returns")) is True


def test_a_run_takes_the_open_request_and_takes_the_same_again_when_it_is_tried_again(postgres: Any) -> None:
    requests.make(postgres, decision())

    first = requests.take(postgres, "churn", "weekly", DAY)
    again = requests.take(postgres, "churn", "weekly", DAY)

    assert first is not None
    assert first == again
    assert rows(postgres) == [("taken", 1, "weekly", None)]


def test_a_training_of_days_before_the_report_leaves_its_request_alone(postgres: Any) -> None:
    requests.make(postgres, decision())

    assert requests.take(postgres, "churn", "by hand", DAY - timedelta(1)) is None
    assert rows(postgres) == [("open", 0, None, None)]


def test_a_request_that_a_dead_run_took_is_taken_over_by_the_next(postgres: Any) -> None:
    requests.make(postgres, decision())
    requests.take(postgres, "churn", "killed", DAY)

    taken = requests.take(postgres, "churn", "weekly", DAY + timedelta(7))

    assert taken is not None
    assert rows(postgres) == [("taken", 2, "weekly", None)]


def test_a_request_is_open_again_after_a_failed_training_and_closed_after_the_last_attempt(postgres: Any) -> None:
    requests.make(postgres, decision())
    identity = str(decision().request)

    states = []
    for number in range(3):
        requests.take(postgres, "churn", f"run {number}", DAY)
        states.append(requests.give_back(postgres, identity, f"Run {number} failed.", max_attempts=3))

    assert states == ["open", "open", "done"]
    assert rows(postgres) == [("done", 3, "run 2", "Closed after 3 failed trainings. Run 2 failed.")]
    assert requests.take(postgres, "churn", "run 3", DAY) is None


def test_after_the_last_attempt_the_next_report_asks_again(postgres: Any) -> None:
    first, next_week = decision(), decision(DAY + timedelta(7))
    requests.make(postgres, first)
    requests.take(postgres, "churn", "weekly", DAY)
    requests.give_back(postgres, str(first.request), "It failed.", max_attempts=1)

    assert requests.make(postgres, first) is False
    assert requests.make(postgres, next_week) is True


def test_what_is_done_stays_done_when_a_task_of_its_run_is_cleared(postgres: Any) -> None:
    requests.make(postgres, decision())
    taken = requests.take(postgres, "churn", "weekly", DAY)
    assert taken is not None
    requests.finish(postgres, taken.id, "promote: it is better.")

    again = requests.take(postgres, "churn", "weekly", DAY)
    requests.give_back(postgres, taken.id, "It failed.", max_attempts=3)

    assert again is not None
    assert again.id == taken.id
    assert rows(postgres) == [("done", 1, "weekly", "promote: it is better.")]


@pytest.mark.parametrize("state", ["asked", ""])
def test_the_table_refuses_a_state_that_there_is_not(postgres: Any, state: str) -> None:
    requests.make(postgres, decision())

    with pytest.raises(psycopg2.errors.CheckViolation), postgres, postgres.cursor() as cursor:
        cursor.execute("update ml.retraining set state = %s", (state,))


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

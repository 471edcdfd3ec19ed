"""Requests for a training on a real database: made once, taken by one run, and answered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from typing import Any

import psycopg2
import pytest

from include.lifecycle.monitoring import retraining_requests as requests
from include.lifecycle.monitoring.retraining_policy import (
    DriftReport,
    PerformanceReport,
    RetrainingDecision,
    RetrainingEvidence,
    decide,
)
from include.lifecycle.specs import RetrainingSpec

DAY = date(2026, 11, 29)
POLICY = RetrainingSpec()


def decision(day: date = DAY, **changes: Any) -> RetrainingDecision:
    """The decision on two weekly reports that found the scores drifted."""
    reports = [
        DriftReport(
            day=day - timedelta(before),
            digest=f"{day}-{before}",
            verdict="drift",
            score_drifted=True,
            gaps_changed=False,
        )
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

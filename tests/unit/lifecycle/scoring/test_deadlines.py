"""By when a day's predictions are due, worked out by hand from the schedules of the datasets."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from include.lifecycle.scoring.deadlines import deadline, overdue
from include.models.churn import CHURN
from include.models.volatility import VOLATILITY
from tests.specs import changed


def test_a_days_predictions_are_due_four_hours_after_the_run_of_the_next_morning() -> None:
    assert deadline(CHURN, date(2026, 11, 20)) == datetime(2026, 11, 21, 7, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("session", "due"),
    [
        (date(2026, 11, 19), datetime(2026, 11, 20, 11, tzinfo=UTC)),  # Thursday; New York is 5 hours behind
        (date(2026, 11, 20), datetime(2026, 11, 21, 11, tzinfo=UTC)),  # Friday: the run of Saturday
        (date(2026, 7, 2), datetime(2026, 7, 3, 10, tzinfo=UTC)),  # summer time: 4 hours
    ],
)
def test_deadlines_follow_the_time_zone_of_the_dataset(session: date, due: datetime) -> None:
    assert deadline(VOLATILITY, session) == due


def test_a_run_at_midnight_follows_the_day_that_has_just_ended() -> None:
    at_midnight = changed(CHURN, dataset={"schedule": "0 0 * * *"}, schedule={"deadline_hours": 1.5})

    assert deadline(at_midnight, date(2026, 11, 20)) == datetime(2026, 11, 21, 1, 30, tzinfo=UTC)


def test_nothing_is_overdue_before_the_deadline_of_the_next_day() -> None:
    newest = date(2026, 11, 19)

    assert overdue(CHURN, newest, datetime(2026, 11, 21, 7, 30, tzinfo=UTC)) == timedelta()
    assert overdue(CHURN, newest, datetime(2026, 11, 21, 9, 0, tzinfo=UTC)) == timedelta(hours=1.5)


def test_no_predictions_are_due_of_a_day_without_trading() -> None:
    """Friday has its predictions; Monday's are due on Tuesday morning."""
    friday, tuesday = date(2026, 11, 13), datetime(2026, 11, 17, 11, tzinfo=UTC)

    assert overdue(VOLATILITY, friday, tuesday) == timedelta()
    assert overdue(VOLATILITY, friday, tuesday + timedelta(minutes=1)) == timedelta(minutes=1)

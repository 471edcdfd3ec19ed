"""By when a day's predictions must be there."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from include.lifecycle.specs import ModelSpec


def deadline(model: ModelSpec, day: date) -> datetime:
    """When the predictions of a day are due: `deadline_hours` after the first scheduled run that follows it."""
    dataset = model.dataset
    end_of_day = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(dataset.timezone))
    # The schedule's time is strictly after the one it is asked of, and a run at midnight follows the day too.
    run: datetime = croniter(dataset.schedule, end_of_day - timedelta(seconds=1)).get_next(datetime)
    return run + timedelta(hours=model.schedule.deadline_hours)


def overdue(model: ModelSpec, newest: date, now: datetime) -> timedelta:
    """How long the day that follows `newest`, which has predictions, has been due; zero if it is not due yet."""
    following = model.dataset.calendar.later(newest, 1)
    return max(now - deadline(model, following), timedelta())

"""When a DAG runs, as a timetable and in the words of its docs."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, AssetOrTimeSchedule, CronTriggerTimetable

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def from_next_time(cron: str, timezone: str) -> CronTriggerTimetable:
    """Runs at the times of a cron expression, for the day before; an unpaused DAG waits for the next of them."""
    # With False instead, Airflow 3.3 makes up for a time that is less than a tenth of the interval ago: a weekly
    # DAG that is unpaused on a Monday would run once more.
    never = timedelta(0)
    return CronTriggerTimetable(cron, timezone=timezone, interval=timedelta(days=1), run_immediately=never)


def from_next_time_or(asset: Asset, cron: str, timezone: str) -> AssetOrTimeSchedule:
    """As `from_next_time`, and whenever there is an event of an asset."""
    return AssetOrTimeSchedule(timetable=from_next_time(cron, timezone), assets=[asset])


def in_words(cron: str, timezone: str) -> str:
    """A cron expression of one time of day, e.g. `30 3 * * 1-5`, as "Monday to Friday at 03:30 (UTC)".

    Raises
    ------
    ValueError
        If it names days of months, months, or more than one time.
    """
    minute, hour, *dates, weekdays = cron.split()
    if dates != ["*", "*"] or not (minute.isdigit() and hour.isdigit()):
        raise ValueError(f"The schedule {cron!r} is not one time on days of the week; describe it here as well.")
    days = "every day" if weekdays == "*" else " to ".join(_WEEKDAYS[int(day)] for day in weekdays.split("-"))
    every = f"every {days}" if days in _WEEKDAYS else days
    return f"{every} at {int(hour):02}:{int(minute):02} ({timezone})"

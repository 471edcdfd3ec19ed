"""When a new DAG begins, and schedules in words, as a DAG's docs say them."""

from __future__ import annotations

from datetime import timedelta

NOT_AT_ONCE = timedelta(0)
"""For `run_immediately`: a DAG that is unpaused waits for its next time.

With False, Airflow 3.3 makes up for a time that is less than a tenth of the interval ago: on Mondays a weekly DAG
would run once more than on other days.
"""
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


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

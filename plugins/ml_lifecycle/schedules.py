"""When a DAG runs, as a timetable and in the words of its docs."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, AssetOrTimeSchedule, CronTriggerTimetable
from airflow.timetables.trigger import CronTriggerTimetable as DescribedTimetable


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
    """A cron expression as Airflow's own pages say it, e.g. "At 03:30, Monday through Friday (UTC)".

    One that Airflow has no words for stays as it is.
    """
    described = DescribedTimetable(cron, timezone=timezone).description
    return f"{described or cron} ({timezone})"

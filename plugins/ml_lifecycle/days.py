"""Which days a run is about. `logical_date` and `ds` are absent in asset-triggered and null-date runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk.types import DagRunProtocol


def run_day(context: Mapping[str, Any], timezone: str) -> date:
    """The day of a run: the form's `day`, else its data interval's, else yesterday in the dataset's time zone."""
    chosen = chosen_day(context)
    if chosen is not None:
        return chosen
    start: datetime | None = context.get("data_interval_start")
    return yesterday(context, timezone) if start is None else start.astimezone(ZoneInfo(timezone)).date()


def chosen_day(context: Mapping[str, Any]) -> date | None:
    """The form's `day`, or None where it was left empty."""
    chosen = context["params"].get("day")
    return date.fromisoformat(chosen) if chosen else None


def yesterday(context: Mapping[str, Any], timezone: str) -> date:
    """The last day that was over where the dataset lives when the run started."""
    return run_start(context).astimezone(ZoneInfo(timezone)).date() - timedelta(days=1)


def requested_range(context: Mapping[str, Any], timezone: str) -> tuple[date, date] | None:
    """The days somebody asked for: the form's `day` to `last_day`, or a backfill run's day; else None.

    Raises
    ------
    ValueError
        If the form's `last_day` is given without, or lies before, its `day`.
    """
    first, last = context["params"].get("day"), context["params"].get("last_day")
    if first:
        return _ordered(date.fromisoformat(first), date.fromisoformat(last or first))
    if last:
        raise ValueError(f"The form has the last day {last} but no first day; fill in `day` as well.")
    if context["dag_run"].run_type == "backfill":
        day = run_day(context, timezone)
        return day, day
    return None


def run_start(context: Mapping[str, Any]) -> datetime:
    """When the run was due or triggered, in UTC: the same in each retry, and after its tasks were cleared."""
    run: DagRunProtocol = context["dag_run"]
    return run.run_after.astimezone(UTC)


def _ordered(first: date, last: date) -> tuple[date, date]:
    if last < first:
        raise ValueError(f"The last day {last} lies before the first day {first}; exchange them.")
    return first, last

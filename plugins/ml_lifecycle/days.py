"""Which days a run is about. `logical_date` and `ds` are absent in asset-triggered and null-date runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from airflow.sdk.types import DagRunProtocol

from ml_lifecycle.form_values import refuse_unknown_fields


class Timeline(Protocol):
    """What bounds the days of a run, e.g. a dataset: its time zone and the first day that can have data."""

    @property
    def timezone(self) -> str:
        """Name of the time zone in which days begin and end."""
        ...

    @property
    def first_day(self) -> date:
        """No data lie before this day."""
        ...


def run_day(context: Mapping[str, Any], timeline: Timeline) -> date:
    """The day of a run: the form's `day`, else its data interval's, else yesterday where the dataset lives.

    Raises
    ------
    ValueError
        If the day lies before the timeline's first day or after yesterday.
    """
    chosen = chosen_day(context, timeline)
    if chosen is not None:
        return chosen
    start: datetime | None = context.get("data_interval_start")
    if start is None:
        return yesterday(context, timeline.timezone)
    day = start.astimezone(ZoneInfo(timeline.timezone)).date()
    return _within(day, "The run's day", context, timeline)


def chosen_day(context: Mapping[str, Any], timeline: Timeline) -> date | None:
    """The form's `day`, or None where it was left empty.

    Raises
    ------
    ValueError
        If it is no day, or lies before the timeline's first day or after yesterday.
    """
    return _form_day(context, "day", timeline)


def yesterday(context: Mapping[str, Any], timezone: str) -> date:
    """The last day that was over where the dataset lives when the run started."""
    return run_start(context).astimezone(ZoneInfo(timezone)).date() - timedelta(days=1)


def requested_range(context: Mapping[str, Any], timeline: Timeline) -> tuple[date, date] | None:
    """The days somebody asked for: the form's `day` to `last_day`, or a backfill run's day; else None.

    Raises
    ------
    ValueError
        If the form's `last_day` is given without, or lies before, its `day`, or one of them is no day, or lies
        before the timeline's first day or after yesterday.
    """
    first, last = (_form_day(context, field, timeline) for field in ("day", "last_day"))
    if first is not None:
        return _ordered(first, last or first)
    if last is not None:
        raise ValueError(f"The form has the last day {last} but no first day; fill in `day` as well.")
    if context["dag_run"].run_type == "backfill":
        day = run_day(context, timeline)
        return day, day
    return None


def run_start(context: Mapping[str, Any]) -> datetime:
    """When the run was due or triggered, in UTC: the same in each retry, and after its tasks were cleared."""
    run: DagRunProtocol = context["dag_run"]
    return run.run_after.astimezone(UTC)


def _form_day(context: Mapping[str, Any], field: str, timeline: Timeline) -> date | None:
    refuse_unknown_fields(context)
    text = context["params"].get(field)
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"The form's `{field}` is {text!r}, which is no day; write it as 2026-01-31.") from error
    return _within(day, f"The form's `{field}`", context, timeline)


def _within(day: date, what: str, context: Mapping[str, Any], timeline: Timeline) -> date:
    first, last = timeline.first_day, yesterday(context, timeline.timezone)
    choose = f"choose a day from {first} to {last}."
    if day < first:
        raise ValueError(f"{what} is {day}, but there are no data before {first}; {choose}")
    if day > last:
        raise ValueError(
            f"{what} is {day}, but the last day that was over in {timeline.timezone} when the run started "
            f"is {last}; {choose}"
        )
    return day


def _ordered(first: date, last: date) -> tuple[date, date]:
    if last < first:
        raise ValueError(f"The last day {last} lies before the first day {first}; exchange them.")
    return first, last

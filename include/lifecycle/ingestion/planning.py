"""Which of the source's days an ETL run works on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from datetime import date
from typing import TypeVar

from pydantic import ValidationError

from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.specs import DatasetSpec, Source, Spec
from include.lifecycle.storage.lake import Lake, LakeError

log = logging.getLogger(__name__)

_MOST_NAMED = 5

Day = TypeVar("Day", date, str)


class StaleSourceError(ValueError):
    """The source has had no new day for longer than it may."""


class _Settled(Spec):
    """The note that all of the source's days until `until` are dealt with; `days` is a digest of these."""

    until: date
    days: str


def plan(
    dataset: DatasetSpec, lake: Lake, source: Source, requested: tuple[date, date] | None, until: date
) -> list[date]:
    """The days to work on, oldest first, none of them after `until`.

    Without a request these are the days that the source has and that lack features (new ones, and those whose run
    was cut short), and the newest `revisit_days`, which the source may have corrected. A day that validation
    rejected is left alone until somebody asks for it, since the same rows would be rejected again. A requested
    range (both ends included) is redone whatever the lake has. Days once found to be dealt with are not looked for
    again, so that the cost does not grow with the history; see `_settled_until`.

    Raises
    ------
    StaleSourceError
        If, without a request, there is nothing to do because the source has stopped delivering.
    ValueError
        If the source has none of the requested days, or none at all because of its faults.
    """
    given = _days_of(dataset, source, until)
    if requested is None:
        return _open_days(dataset, lake, source, given, until)
    first, last = requested
    days = [day for day in given if first <= day <= last]
    if not days:
        raise ValueError(
            f"The source of {dataset.name!r} has no day from {first} to {last}: {_described(given)} "
            "Ask for days among these."
        )
    return days


def chunks(days: Sequence[Day], size: int) -> list[list[Day]]:
    """`days` in lists of at most `size`, in their order."""
    return [list(days[start : start + size]) for start in range(0, len(days), size)]


def some_days(days: Sequence[date]) -> str:
    """The first few days, to stand within a sentence."""
    more = f" and {len(days) - _MOST_NAMED} more" if len(days) > _MOST_NAMED else ""
    return ", ".join(map(str, days[:_MOST_NAMED])) + more


def _days_of(dataset: DatasetSpec, source: Source, until: date) -> list[date]:
    """The days that the source offers and that may be; the others are named in a warning."""
    offered = source.days()
    given = [day for day in offered if dataset.first_day <= day <= until]
    if ignored := sorted(set(offered) - set(given)):
        log.warning(
            "%d days that the source of %s offers are ignored, as they do not lie between %s and %s: %s.",
            len(ignored),
            dataset.name,
            dataset.first_day,
            until,
            some_days(ignored),
        )
    faults = source.faults()
    if faults and not given:
        raise ValueError(f"The source of {dataset.name!r} has no day. {' '.join(faults)}")
    return given


def _open_days(dataset: DatasetSpec, lake: Lake, source: Source, given: Sequence[date], until: date) -> list[date]:
    """Those of the source's days that lack features or may have been corrected, and were not rejected."""
    settled = _settled_until(dataset, lake, given)
    done = set(lake.days(dataset.features_prefix, settled)) | {day for day in given if day <= settled}
    newest = given[-dataset.revisit_days :] if dataset.revisit_days else []
    wanted = [day for day in given if day not in done or day in newest]
    validated = set(lake.days(dataset.validation_prefix, since=wanted[0])) if wanted else set()
    days = [day for day in wanted if not (day in validated and _is_rejected(dataset, lake, day))]
    _settle(dataset, lake, given, min((day for day in days if day not in done), default=date.max))
    if done.issuperset(days):
        _refuse_silence(dataset, source, given, until)
    return days


def _settled_until(dataset: DatasetSpec, lake: Lake, given: Sequence[date]) -> date:
    """The day until which an earlier plan found each of the source's days made or rejected.

    It counts as long as the source has the same days until then; where it has others now, or the note of it is
    missing or damaged, all are looked for.
    """
    body = lake.read_object(_settled_key(dataset))
    try:
        mark = _Settled.model_validate_json(body or b"")
    except ValidationError:
        return date.min
    return mark.until if _digest([day for day in given if day <= mark.until]) == mark.days else date.min


def _settle(dataset: DatasetSpec, lake: Lake, given: Sequence[date], first_open: date) -> None:
    """Note that the days before `first_open` are dealt with."""
    dealt_with = [day for day in given if day < first_open]
    if dealt_with:
        mark = _Settled(until=dealt_with[-1], days=_digest(dealt_with))
        lake.write_object(_settled_key(dataset), mark.model_dump_json().encode())


def _digest(days: Sequence[date]) -> str:
    return hashlib.sha256(" ".join(map(str, days)).encode()).hexdigest()


def _settled_key(dataset: DatasetSpec) -> str:
    return f"plans/{dataset.name}/settled.json"


def _is_rejected(dataset: DatasetSpec, lake: Lake, day: date) -> bool:
    try:
        return not DayVerdict.read(lake, dataset, day).accepted
    except LakeError as error:
        log.warning("%s is worked on again: %s", day, error)
        return False


def _refuse_silence(dataset: DatasetSpec, source: Source, given: Sequence[date], until: date) -> None:
    if source.max_lag_days is None:
        return
    if not given or (until - given[-1]).days > source.max_lag_days:
        raise StaleSourceError(
            f"The source of {dataset.name!r} has stopped delivering: {_described(given)} "
            f"By {until} it should be at most {source.max_lag_days} days behind. "
            "Find out why, or set `max_lag_days` in its settings."
        )


def _described(days: Sequence[date]) -> str:
    return f"it has {days[0]} to {days[-1]}." if days else "it has none yet."

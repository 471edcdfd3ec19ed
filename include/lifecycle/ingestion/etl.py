"""From the source to the features: which days to work on, copying them raw, and making features of clean days."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, TypeVar

import polars as pl
from pydantic import Field, ValidationError

from include.lifecycle.failures import lies_in_a_days_data, one_line
from include.lifecycle.ingestion.line_count import count_data_lines
from include.lifecycle.ingestion.verdicts import DayVerdict, present_verdicts
from include.lifecycle.specs import DatasetSpec, Extracted, Source, Spec, TableSpec
from include.lifecycle.storage.lake import (
    CorruptFileError,
    CorruptManifestError,
    Lake,
    LakeError,
    LocalFile,
    RunInfo,
    partition,
)

log = logging.getLogger(__name__)

_MOST_NAMED = 5
LOOK_BACK_DAYS = 400
"""So far back a run looks for features that others have left outdated."""

Day = TypeVar("Day", date, str)


class _Settled(Spec):
    """The note that all of the source's days until `until` are dealt with; `days` is a digest of these."""

    until: date
    days: str


class DamagedInputsError(LakeError):
    """Features were not built, since a partition that they look at is damaged."""


class StaleSourceError(ValueError):
    """The source has had no new day for longer than it may."""


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
    offered = source.days()
    given = [day for day in offered if dataset.first_day <= day <= until]
    if ignored := sorted(set(offered) - set(given)):
        log.warning(
            "%d days that the source of %s offers are ignored, as they do not lie between %s and %s: %s.",
            len(ignored),
            dataset.name,
            dataset.first_day,
            until,
            _some(ignored),
        )
    faults = source.faults()
    if faults and not given:
        raise ValueError(f"The source of {dataset.name!r} has no day. {' '.join(faults)}")
    if requested is None:
        settled = _settled_until(dataset, lake, given)
        done = set(lake.days(dataset.features_prefix, settled)) | {day for day in given if day <= settled}
        newest = given[-dataset.revisit_days :] if dataset.revisit_days else []
        wanted = [day for day in given if day not in done or day in newest]
        judged = set(lake.days(dataset.validation_prefix, since=wanted[0])) if wanted else set()
        days = [day for day in wanted if not (day in judged and _is_rejected(dataset, lake, day))]
        _settle(dataset, lake, given, min((day for day in days if day not in done), default=date.max))
        if done.issuperset(days):
            _refuse_silence(dataset, source, given, until)
        return days
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


class ExtractedDays(Spec):
    """What came of extracting some days: `faults` say, by day and table, why a table could not be had.

    `source_faults` are sentences on what the source should give and cannot, on any day.
    """

    days: tuple[date, ...]
    faults: dict[date, dict[str, str]] = Field(default_factory=dict)
    source_faults: tuple[str, ...] = ()


class JudgedDays(Spec):
    """What validation said of some days: those accepted, and by rejected day the problems, in sentences.

    `is_complete` is false where validation failed, and this is what the lake has of the days.
    """

    is_complete: bool = True
    accepted: tuple[date, ...]
    rejected: dict[date, tuple[str, ...]] = Field(default_factory=dict)

    @classmethod
    def of(cls, verdicts: Sequence[DayVerdict]) -> Self:
        """The verdicts, summed up."""
        return cls(
            accepted=tuple(verdict.day for verdict in verdicts if verdict.accepted),
            rejected={verdict.day: verdict.problems for verdict in verdicts if not verdict.accepted},
        )


def judged_days(
    dataset: DatasetSpec, lake: Lake, extracted: Sequence[ExtractedDays], judged: Mapping[str, Any] | None
) -> JudgedDays:
    """What validation said of extracted days; where it failed and gave nothing, what the lake has of it."""
    if judged is not None:
        return JudgedDays.model_validate(judged)
    days = sorted(day for some in extracted for day in some.days)
    faults = {day: tables for some in extracted for day, tables in some.faults.items()}
    found = JudgedDays.of(present_verdicts(dataset, lake, days, faults))
    return found.model_copy(update={"is_complete": False})


def extract(dataset: DatasetSpec, lake: Lake, source: Source, days: Sequence[date], run: RunInfo) -> ExtractedDays:
    """Copy each of the source's tables as it is into the lake: `raw/<dataset>/<table>/dt=<day>/table.csv`.

    No file is parsed, so none is too broken for it: what cannot be read is for validation to say. The manifest has
    the rows that the source counted, or else the file's lines. Tables that the source lacks are left out. A table
    that the source cannot give for a day is noted as a fault of that day, and stops no other.
    """
    faults: dict[date, dict[str, str]] = {}
    for day in days:
        for table in dataset.tables:
            fault = _extract_table(dataset, lake, source, table.name, day, run)
            if fault is not None:
                faults.setdefault(day, {})[table.name] = fault
    return ExtractedDays(days=tuple(days), faults=faults, source_faults=tuple(source.faults()))


def shortfall(planned: Sequence[date], extracted: Sequence[ExtractedDays], judged: JudgedDays) -> list[str]:
    """What a run owes, in sentences: its rejected days, those without a verdict, and what the source lacks."""
    without_verdict = set(planned) - {*judged.accepted, *judged.rejected}
    sentences = []
    if planned and not judged.is_complete:
        sentences.append("Validation did not end well, so a verdict may be from before; its log says why.")
    sentences += [f"{day} was rejected: {' '.join(problems)}" for day, problems in sorted(judged.rejected.items())]
    if judged.rejected:
        sentences.append("Correct the source, then trigger this DAG with the days that were rejected.")
    if without_verdict:
        sentences.append(
            f"Without a verdict, because a task failed: {_some(sorted(without_verdict))}. The next run takes up "
            "those that are new; trigger this DAG with the others."
        )
    return sentences + list(dict.fromkeys(fault for some in extracted for fault in some.source_faults))


def features_to_build(dataset: DatasetSpec, lake: Lake, validated: Sequence[date], until: date) -> list[date]:
    """The days, oldest first, that were validated, and those whose features they or others have changed.

    Others, whose runs ended between the two, count for `LOOK_BACK_DAYS` before `until`.
    """
    since = min([*validated, until - timedelta(days=LOOK_BACK_DAYS)])
    changed = set(outdated_features(dataset, lake, since)) - set(validated)
    return sorted({*validated, *(day for day in changed if not _is_half_published(dataset, lake, day))})


def _is_half_published(dataset: DatasetSpec, lake: Lake, day: date) -> bool:
    """Whether a validation was cut short that had published clean tables of a day and not its verdict."""
    verdict = lake.usable_manifest(dataset.validation_prefix, day)
    for table in dataset.tables if verdict else ():
        clean, raw = (lake.usable_manifest(prefix(table.name), day) for prefix in (dataset.clean, dataset.raw))
        path = partition(dataset.raw(table.name), day)
        if verdict and clean and raw and clean.inputs.get(path) == raw.digest != verdict.inputs.get(path):
            log.warning("The features of %s stay as they are: its validation was cut short; do it again.", day)
            return True
    return False


def outdated_features(dataset: DatasetSpec, lake: Lake, since: date = date.min) -> list[date]:
    """Days from `since` on, oldest first, whose features were built from other partitions than there are now.

    That happens when an older day is corrected or backfilled. Only features that are not younger than all
    clean partitions of their history are looked at closely.
    """
    built = lake.written(dataset.features_prefix, since)
    cleaned = {
        table: lake.written(dataset.clean(table), _earlier(since, days))
        for table, days in dataset.history_days.items()
    }
    suspects = [
        day for day, written in sorted(built.items()) if _has_younger_input(dataset, cleaned, day, written)
    ]
    inputs, _ = _readable_inputs(dataset, lake, suspects)
    built_of = {day: lake.usable_manifest(dataset.features_prefix, day) for day in inputs}
    return [day for day, found in built_of.items() if found is None or found.inputs != inputs[day]]


def build_features(dataset: DatasetSpec, lake: Lake, days: Sequence[date], run: RunInfo) -> None:
    """Build and publish the features of clean days, each from its own rows and those of its history.

    A day of the history that the lake lacks is passed over; `inputs` in the manifest name the partitions that were
    used. Where another run changes one of them meanwhile, the features of that day are built again.

    Raises
    ------
    PartitionNotFoundError
        If one of `days` is not clean.
    DamagedInputsError
        If a partition that some of the days look at is damaged; the features of the other days are published.
    """
    pending, faults = sorted(days), dict[date, str]()
    while pending:
        inputs, damaged = _readable_inputs(dataset, lake, pending)
        unreadable = _publish_features(dataset, lake, inputs, run)
        faults |= damaged | unreadable
        now, _ = _readable_inputs(dataset, lake, list(inputs))
        pending = [day for day in inputs if day not in unreadable and inputs[day] != now.get(day)]
    if faults:
        named, reasons = ", ".join(map(str, sorted(faults))), " ".join(dict.fromkeys(faults.values()))
        raise DamagedInputsError(f"The features of {named} were not built. {reasons}")


def _publish_features(
    dataset: DatasetSpec, lake: Lake, inputs: Mapping[date, Mapping[str, str]], run: RunInfo
) -> dict[date, str]:
    """Build and publish days, where a file is damaged those that can be; by other day what is damaged."""
    days = list(inputs)
    if not days:
        return {}
    try:
        with TemporaryDirectory() as folder:
            _publish_together(dataset, lake, inputs, run, Path(folder))
    except CorruptFileError as error:
        if len(days) == 1:
            log.warning("The features of %s stay as they are: %s", days[0], error)
            return {days[0]: str(error)}
        middle = len(days) // 2
        halves = ({day: inputs[day] for day in half} for half in (days[:middle], days[middle:]))
        return {
            day: fault for half in halves for day, fault in _publish_features(dataset, lake, half, run).items()
        }
    return {}


def _publish_together(
    dataset: DatasetSpec, lake: Lake, inputs: Mapping[date, Mapping[str, str]], run: RunInfo, scratch: Path
) -> None:
    days = list(inputs)
    tables = {table.name: _rows(dataset, table, lake, days, scratch) for table in dataset.tables}
    for day, features in dataset.features(days, tables):
        lake.publish_frame(dataset.features_prefix, day, features, run=run, scratch=scratch, inputs=inputs[day])


def _rows(dataset: DatasetSpec, table: TableSpec, lake: Lake, days: Sequence[date], scratch: Path) -> pl.LazyFrame:
    """The table's clean rows of `days` and of their histories."""
    found = _clean_history(dataset, table.name, lake, days)
    if not table.optional:
        found |= set(days)
    if not found:
        return pl.LazyFrame(schema={**table.columns, "dt": pl.Date})
    rows = lake.scan(dataset.clean(table.name), sorted(found), scratch)
    # What many days look at is read once.
    return rows.collect().lazy() if dataset.history_days[table.name] else rows


def _inputs(dataset: DatasetSpec, lake: Lake, days: Sequence[date]) -> dict[date, dict[str, str]]:
    """By day, path and digest of the clean partitions that there are to make its features of."""
    inputs: dict[date, dict[str, str]] = {day: {} for day in days}
    for table in dataset.tables:
        prefix = dataset.clean(table.name)
        digests = lake.digests(prefix, _clean_history(dataset, table.name, lake, days))
        for day in days:
            paths = (partition(prefix, other) for other in _history(dataset, table.name, day))
            inputs[day].update((path, digests[path]) for path in paths if path in digests)
    return inputs


def _readable_inputs(
    dataset: DatasetSpec, lake: Lake, days: Sequence[date]
) -> tuple[dict[date, dict[str, str]], dict[date, str]]:
    """As `_inputs`, without the days that look at a damaged partition, and by day what is damaged."""
    try:
        return _inputs(dataset, lake, days), {}
    except CorruptManifestError as error:
        if len(days) == 1:
            log.warning("The features of %s stay as they are: %s", days[0], error)
            return {}, {days[0]: str(error)}
    inputs, faults = dict[date, dict[str, str]](), dict[date, str]()
    for day in days:
        found, damaged = _readable_inputs(dataset, lake, [day])
        inputs |= found
        faults |= damaged
    return inputs, faults


def _clean_history(dataset: DatasetSpec, table: str, lake: Lake, days: Sequence[date]) -> set[date]:
    """The clean days of a table within the histories of `days`."""
    wanted = {other for day in days for other in _history(dataset, table, day)}
    return wanted & set(lake.days(dataset.clean(table), since=min(wanted))) if wanted else set()


def _history(dataset: DatasetSpec, table: str, day: date) -> list[date]:
    """The days of a table that the features of `day` look at, oldest first."""
    return [day - timedelta(days=back) for back in range(dataset.history_days[table], -1, -1)]


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


def _earlier(day: date, days: int) -> date:
    return date.min + max(day - date.min - timedelta(days=days), timedelta(0))


def _has_younger_input(
    dataset: DatasetSpec, cleaned: Mapping[str, Mapping[date, datetime]], day: date, written: datetime
) -> bool:
    """Whether a clean partition of the day's history was written as late as the features, or later."""
    return any(
        other in days and days[other] >= written
        for table, days in cleaned.items()
        for other in _history(dataset, table, day)
    )


def _extract_table(
    dataset: DatasetSpec, lake: Lake, source: Source, table: str, day: date, run: RunInfo
) -> str | None:
    """Copy a table of a day; returns why that cannot be, to follow the table's name, or None."""
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "table.csv"
        try:
            extracted = source.extract(table, day, file)
        except Exception as error:
            if not lies_in_a_days_data(error):
                raise
            log.exception("%s of %s could not be extracted.", table, day)
            return f"could not be extracted: {one_line(error)}"
        if extracted is None:
            return _other_source(dataset, lake, table, day)
        _publish_csv(lake, dataset.raw(table), day, file, extracted, run)
        return None


def _publish_csv(lake: Lake, prefix: str, day: date, file: Path, extracted: Extracted, run: RunInfo) -> None:
    if extracted.records is not None:
        lake.publish(prefix, day, [LocalFile(file, extracted.records)], run=run)
    else:
        lake.publish(prefix, day, [LocalFile(file, count_data_lines(file))], run=run, counted="lines")


def _other_source(dataset: DatasetSpec, lake: Lake, table: str, day: date) -> str | None:
    """Why a table that the source lacks is a fault: validation would mix two sources, or two extracts."""
    if not lake.has_manifest(dataset.raw(table), day):
        return None
    return (
        "is not in the source, but the lake has rows of it from an earlier extract; give the day's table back, or "
        "give each source days, or a lake, of its own"
    )


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


def _some(days: Sequence[date]) -> str:
    more = f" and {len(days) - _MOST_NAMED} more" if len(days) > _MOST_NAMED else ""
    return ", ".join(map(str, days[:_MOST_NAMED])) + more


def _described(days: Sequence[date]) -> str:
    return f"it has {days[0]} to {days[-1]}." if days else "it has none yet."

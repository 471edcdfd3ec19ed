"""From raw to clean: each day of a dataset is checked, and what broke a rule is set aside with its reason.

Single bad rows go to quarantine. A day on which something is wrong with a table as a whole is rejected: none of
its tables becomes clean, and what an earlier extract left there stays.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import polars as pl

from include.lifecycle.failures import lies_in_a_days_data, lies_in_the_data, one_line
from include.lifecycle.ingestion.checked_table import CheckedTable
from include.lifecycle.ingestion.quarantine import CheckedRows, Rule, check_rows, rule_book
from include.lifecycle.ingestion.raw_tables import RawTable, no_rows, plain_rows, read_raw
from include.lifecycle.ingestion.records import ExtractedDays
from include.lifecycle.ingestion.row_rules import make_rules
from include.lifecycle.ingestion.table_rules import (
    Facts,
    TableFacts,
    content_digest,
    is_level,
    repeated_rows,
    unusual_rows,
)
from include.lifecycle.ingestion.validation_page import render_validation
from include.lifecycle.ingestion.verdicts import DayVerdict, PastVerdicts, TableVerdict
from include.lifecycle.reporting.pages import percent
from include.lifecycle.shown import columns_in_words
from include.lifecycle.specs import DatasetSpec, TableSpec
from include.lifecycle.storage.lake import Lake, LakeError, LocalFile, PartitionNotFoundError, Pinned, RunInfo

log = logging.getLogger(__name__)

Faults = Mapping[date, Mapping[str, str]]
"""By day and table, why the table could not be extracted, to follow the table's name in a sentence."""

_NO_FAULTS: Faults = MappingProxyType({})


Checked = Sequence[Mapping[date, CheckedTable]]
"""Of each table, by day, what was found on the days that are checked together."""


def validate_chunks(
    dataset: DatasetSpec, lake: Lake, extracted: Sequence[ExtractedDays], run: RunInfo
) -> list[DayVerdict]:
    """Check chunks of extracted days one after the other, the oldest first; see `validate`."""
    chunks = sorted(extracted, key=lambda chunk: chunk.days)
    past = PastVerdicts(dataset, lake, [day for chunk in chunks for day in chunk.days])
    return [verdict for chunk in chunks for verdict in _validate(past, chunk.days, run, chunk.faults)]


def validate(
    dataset: DatasetSpec, lake: Lake, days: Sequence[date], run: RunInfo, faults: Faults = _NO_FAULTS
) -> list[DayVerdict]:
    """Check the raw tables of `days`, publish clean and quarantined rows, and a report for each day.

    The report is published last, so a day without one, or with an older one, is a day to do again. A table that
    `faults` name could not be extracted, so its day is rejected, whatever the lake has from an earlier extract.

    A table that cannot be read or checked, as its raw file is damaged or a rule cannot be computed on its rows,
    rejects its day and no other.

    A day is compared with the days before it that have a verdict by now, so validate days in their order. After
    earlier days were backfilled, or the days behind it have shown that a number of rows lasts, a day may get
    another verdict; a run that is tried again gives the same ones.

    Raises
    ------
    RuleError
        If a rule of the dataset is written wrongly.
    """
    return _validate(PastVerdicts(dataset, lake, days), days, run, faults)


def _validate(past: PastVerdicts, days: Sequence[date], run: RunInfo, faults: Faults) -> list[DayVerdict]:
    dataset = past.dataset
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        checked = [_check(dataset, table, past.lake, days, faults, scratch) for table in dataset.tables]
        return [_conclude_alone(past, day, checked, run, scratch) for day in sorted(days)]


def _check(
    dataset: DatasetSpec, table: TableSpec, lake: Lake, days: Sequence[date], faults: Faults, scratch: Path
) -> dict[date, CheckedTable]:
    """Read and check a table. An optional one is not missed on days before the first that ever had it."""
    prefix = dataset.raw(table.name)
    found: dict[date, RawTable | None] = {}
    for day in days:
        fault = faults.get(day, {}).get(table.name)
        found[day] = no_rows(table, day, fault) if fault else _read(table, lake, prefix, day, scratch)
    has_gaps = table.optional and None in found.values()
    since = lake.oldest(prefix) or date.max if has_gaps else date.min
    raws = [raw or no_rows(table, day, "was not extracted") for day, raw in found.items() if raw or day >= since]
    return _check_raws(table, make_rules(table.rules), raws) if raws else {}


def _read(table: TableSpec, lake: Lake, prefix: str, day: date, scratch: Path) -> RawTable | None:
    """A table's raw rows, none of what is damaged; None where there is no such table."""
    try:
        pinned = lake.pin(prefix, [day])
    except PartitionNotFoundError:
        return None
    except LakeError as error:
        log.exception("%s of %s cannot be read.", table.name, day)
        return no_rows(table, day, f"cannot be read: {one_line(error)}")
    return replace(_read_file(table, pinned, day, scratch), inputs=pinned.inputs)


def _read_file(table: TableSpec, pinned: Pinned, day: date, scratch: Path) -> RawTable:
    manifest = pinned.manifests[day]
    if len(manifest.files) != 1:
        return no_rows(table, day, f"cannot be read: its manifest names {len(manifest.files)} files, and not one")
    [file] = manifest.files
    counted, lines = (file.rows, 0) if manifest.counted == "rows" else (None, file.rows or 0)
    if file.bytes > table.max_bytes:
        fault = f"has {file.bytes:,} bytes, and the table's limit (`max_bytes`) is {table.max_bytes:,}"
        return replace(no_rows(table, day, fault), lines=lines, counted=counted)
    try:
        [path] = pinned.download(day, scratch)
        return read_raw(path, table, day, counted)
    except Exception as error:
        if not (isinstance(error, LakeError) or lies_in_the_data(error)):
            raise
        log.exception("%s of %s cannot be read.", table.name, day)
        fault = f"cannot be read: {one_line(error)}"
        return replace(no_rows(table, day, fault), lines=lines, counted=counted)


def _check_raws(table: TableSpec, rules: Mapping[str, Any], raws: Sequence[RawTable]) -> dict[date, CheckedTable]:
    """Check a table on all days together: the rules cost much less once on many rows than many times on few.

    Where that fails, each day is checked alone, and one that it fails for has that as its fault. What fails on a
    plain row as well lies in no day's data.
    """
    try:
        return _checked(table, rules, raws)
    except Exception as error:
        if not lies_in_the_data(error):
            raise
        log.exception("%s of %s to %s could not be checked together.", table.name, raws[0].day, raws[-1].day)
        check_rows(table, plain_rows(table), rules)
    return {raw.day: _check_alone(table, rules, raw) for raw in raws}


def _check_alone(table: TableSpec, rules: Mapping[str, Any], raw: RawTable) -> CheckedTable:
    try:
        return _checked(table, rules, [raw])[raw.day]
    except Exception as error:
        if not lies_in_the_data(error):
            raise
        log.exception("%s of %s could not be checked.", table.name, raw.day)
        return _unchecked(table, raw.day, raw, raw.inputs, error)


def _unchecked(
    table: TableSpec, day: date, found: RawTable | TableVerdict, inputs: Mapping[str, str], error: Exception
) -> CheckedTable:
    """A table of which an error leaves no row to check; `found` knows how many there were."""
    empty = no_rows(table, day, f"could not be checked: {one_line(error)}")
    raw = replace(empty, lines=found.lines, counted=found.counted, inputs=inputs)
    return _checked(table, make_rules(table.rules), [raw])[day]


def _checked(table: TableSpec, rules: Mapping[str, Any], raws: Sequence[RawTable]) -> dict[date, CheckedTable]:
    checked = check_rows(table, pl.concat([raw.frame for raw in raws], how="diagonal"), rules)
    book = rule_book(table, rules)
    return {raw.day: _of_day(table, book, raw, checked) for raw in raws}


def _of_day(table: TableSpec, book: Mapping[str, Rule], raw: RawTable, checked: CheckedRows) -> CheckedTable:
    """The part of a day in what was checked together."""
    is_day = pl.col("dt") == raw.day
    good = checked.good.filter(is_day).drop("dt")
    quarantined = checked.quarantined.filter(is_day)
    broken = checked.broken.filter(is_day).drop("dt")
    quarantined_lines = int(quarantined["raw_lines"].sum())
    verdict = TableVerdict(
        counted=raw.counted,
        lines=raw.lines,
        rows=raw.frame.height,
        good=good.height,
        good_lines=int(raw.frame["raw_lines"].sum()) - quarantined_lines,
        quarantined=quarantined.height,
        quarantined_lines=quarantined_lines,
        rules=dict(sorted(broken["rule"].value_counts().iter_rows())),
        problems=(),
        warnings=_warnings(table, raw),
    )
    verdict = verdict.model_copy(update={"problems": _problems(table, raw, verdict)})
    columns = [*raw.text_columns, "raw_row", "raw_lines", "raw_line", "broken_rules"]
    return CheckedTable(table, book, raw.inputs, verdict, good, quarantined.select(columns), broken)


def _problems(table: TableSpec, raw: RawTable, found: TableVerdict) -> tuple[str, ...]:
    """What is wrong with the table as a whole."""
    if raw.fault:
        return (f"{table.name} {raw.fault}.",)
    if found.imbalance:
        return (f"{table.name} does not add up: {found.imbalance}",)
    if raw.missing:
        lacking = columns_in_words(raw.missing)
        return (f"{table.name} lacks {lacking}, so none of its {found.rows:,} rows can be checked.",)
    if found.rows < table.min_rows:
        return (f"{table.name} has {found.rows:,} rows, and the minimum is {table.min_rows:,}.",)
    if found.bad_share > table.max_bad_share:
        return (_too_many_bad_rows(table, found),)
    return ()


def _compared(past: PastVerdicts, by_day: Mapping[date, CheckedTable], day: date) -> CheckedTable:
    """The table with what is wrong with it beside the same table on other days, where nothing else is."""
    found = by_day[day]
    table, verdict = found.spec, found.verdict
    facts = TableFacts(verdict.rows, content_digest(found.good, day))
    update: dict[str, Any] = {"content": facts.content}
    if not verdict.problems:
        before = _facts(past.before(day), table)
        unusual, repeated = unusual_rows(table, facts, before), repeated_rows(table, facts, before)
        if unusual and is_level(table, facts, before, _after(past, by_day, table, day)):
            unusual = None
        update["problems"] = tuple(problem for problem in (unusual, repeated) if problem is not None)
        update["only_rows_are_unusual"] = unusual is not None and repeated is None
    return replace(found, verdict=verdict.model_copy(update=update))


def _facts(verdicts: Sequence[DayVerdict], table: TableSpec) -> Facts:
    return {
        verdict.day: TableFacts(found.rows, found.content)
        for verdict in verdicts
        if (found := verdict.tables.get(table.name)) is not None
    }


def _after(past: PastVerdicts, by_day: Mapping[date, CheckedTable], table: TableSpec, day: date) -> Facts:
    """The next days: those checked together with it that have nothing else wrong, and those of other runs."""
    facts = dict(_facts(past.after(day), table))
    for later, found in by_day.items():
        if later > day and not found.verdict.problems:
            facts[later] = TableFacts(found.verdict.rows, None)
    return dict(sorted(facts.items()))


def _too_many_bad_rows(table: TableSpec, found: TableVerdict) -> str:
    rule, most = max(found.rules.items(), key=lambda count: count[1])
    swallowed = (
        f" The bad rows take {found.quarantined_lines:,} of its {found.lines:,} lines."
        if found.quarantined_lines > found.quarantined
        else ""
    )
    return (
        f"{table.name} has {percent(found.bad_share)} bad rows, and the limit is {percent(table.max_bad_share)}; "
        f"{most:,} of its {found.rows:,} rows break {rule}.{swallowed}"
    )


def _warnings(table: TableSpec, raw: RawTable) -> tuple[str, ...]:
    if not raw.unexpected:
        return ()
    others = columns_in_words(raw.unexpected)
    return (f"{table.name} also has {others}, which nothing reads; raw data have it.",)


def _conclude_alone(past: PastVerdicts, day: date, checked: Checked, run: RunInfo, scratch: Path) -> DayVerdict:
    """Conclude a day; where its rows make that fail, reject it without them, so that it stops no other."""
    try:
        return _conclude(past, day, checked, run, scratch)
    except Exception as error:
        if not lies_in_a_days_data(error):
            raise
        log.exception("%s of %s could not be concluded.", past.dataset.name, day)
        tables = [by_day[day] for by_day in checked if day in by_day]
        emptied = [{day: _unchecked(one.spec, day, one.verdict, one.inputs, error)} for one in tables]
    return _conclude(past, day, emptied, run, scratch)


def _conclude(past: PastVerdicts, day: date, checked: Checked, run: RunInfo, scratch: Path) -> DayVerdict:
    """Write a day's report, and publish quarantine, clean tables if the day is accepted, and last the report."""
    dataset, lake = past.dataset, past.lake
    tables = [_compared(past, by_day, day) for by_day in checked if day in by_day]
    accepted = not any(table.verdict.problems for table in tables)
    usual = past.usual_bad_shares(day)
    verdict = DayVerdict(
        day=day,
        accepted=accepted,
        stale=not accepted and _has_clean_table(dataset, lake, day),
        tables={
            table.spec.name: table.verdict.model_copy(update={"usual_bad_share": usual.get(table.spec.name)})
            for table in tables
        },
    )
    report = _report(dataset, lake, verdict, tables, scratch)
    for table in tables:
        rows, prefix = table.quarantined, dataset.quarantine(table.spec.name)
        lake.publish_frame(prefix, day, rows, run=run, scratch=scratch, inputs=table.inputs)
    for table in tables if accepted else ():
        rows, prefix = table.good, dataset.clean(table.spec.name)
        lake.publish_frame(prefix, day, rows, run=run, scratch=scratch, inputs=table.inputs)
    inputs = {path: digest for table in tables for path, digest in table.inputs.items()}
    lake.publish(dataset.validation_prefix, day, report, run=run, inputs=inputs)
    past.add(verdict)
    outcome = "accepted" if accepted else "rejected"
    log.info("%s of %s was %s. %s", dataset.name, day, outcome, " ".join(verdict.problems))
    return verdict


def _has_clean_table(dataset: DatasetSpec, lake: Lake, day: date) -> bool:
    return any(lake.has_manifest(dataset.clean(table.name), day) for table in dataset.tables)


def _report(
    dataset: DatasetSpec, lake: Lake, verdict: DayVerdict, tables: Sequence[CheckedTable], scratch: Path
) -> list[LocalFile]:
    page, json = scratch / "index.html", scratch / "verdict.json"
    page.write_text(render_validation(dataset, lake, verdict, tables))
    json.write_text(verdict.model_dump_json(indent=2))
    return [LocalFile(page), LocalFile(json)]

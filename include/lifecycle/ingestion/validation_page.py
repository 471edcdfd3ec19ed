"""The validation report as a page: may the day be used, what is wrong, what to do, and rows to look at."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import polars as pl

from include.lifecycle.ingestion.checked_table import CheckedTable
from include.lifecycle.ingestion.table_rules import LEVEL_DAYS
from include.lifecycle.ingestion.verdicts import FEWEST_DAYS, RECENT_DAYS, DayVerdict, TableVerdict
from include.lifecycle.reporting.pages import (
    Cell,
    Page,
    Section,
    Status,
    Table,
    Verdict,
    percent,
    render,
    unbreakable,
)
from include.lifecycle.shown import short
from include.lifecycle.specs import DatasetSpec
from include.lifecycle.storage.lake import Lake, partition

_EXAMPLES = 5
_WIDTH, _LABEL, _ROOM, _ROW, _BAR = 520, 130, 165, 34, 16
_THINNEST_BAR = 3

_REJECTED = (
    "Nothing of this day is used: features, training and scores leave it out{stale}.{rows} Fix the source, "
    "then trigger {dataset}_etl and name this day in its form. If the data are right and a rule is wrong, correct "
    "the rule first."
)
_NEW_LEVEL = (
    " If this number of rows is the new normal, change nothing: after {days} such days the next ones will be "
    "accepted. Trigger {dataset}_etl with this day once they are."
)
_ROWS_BELOW = " The rows below show what is wrong; quarantine has all of them, as they came."
_STALE = ", and go on with what an earlier extract of the day left"
_UNUSUAL = (
    "The good rows are used, and quarantine has the others as they came. Look at what is in quarantine below. If "
    "the rows matter, fix the source, then trigger {dataset}_etl and name this day in its form."
)
_USUAL = (
    "Nothing: the good rows are used, and quarantine has the others as they came. If rows that matter are among "
    "them, fix the source, then trigger {dataset}_etl and name this day in its form."
)
_WHEN_AMBER = (
    f"A share is compared with those of the last {RECENT_DAYS} accepted days. It is unusual where it exceeds the "
    "largest of them by more than the difference between the largest and the smallest. With fewer than "
    f"{FEWEST_DAYS} such days nothing is compared."
)
_BALANCE = (
    "Every row that the source gave must be good or in quarantine. Lines are those of the file, counted without "
    "reading it as a table; a broken record may take several."
)


def render_validation(
    dataset: DatasetSpec, lake: Lake, verdict: DayVerdict, tables: Sequence[CheckedTable]
) -> str:
    """The page of a day, self-contained."""
    return render(
        Page(
            title=f"{dataset.title}: validation, {verdict.day}",
            verdict=_verdict(verdict),
            sections=[
                *_advice(dataset, verdict, tables),
                *_overview(verdict, tables),
                *(section for table in tables for section in _table_sections(table)),
            ],
            facts=_facts(dataset, lake, verdict, tables),
        )
    )


def _verdict(verdict: DayVerdict) -> Verdict:
    if not verdict.accepted:
        return Verdict("bad", f"{verdict.day} was rejected", " ".join(verdict.problems))
    rows = sum(table.rows for table in verdict.tables.values())
    quarantined = sum(table.quarantined for table in verdict.tables.values())
    warnings = [warning for table in verdict.tables.values() for warning in table.warnings]
    found = (
        f"{quarantined:,} of {rows:,} rows broke a rule and are in quarantine."
        if quarantined
        else f"All {rows:,} rows are good."
    )
    status, compared = _compared(verdict)
    return Verdict(status, f"{verdict.day} was accepted", " ".join([found, *compared, *warnings]))


def _compared(verdict: DayVerdict) -> tuple[Status, list[str]]:
    """Whether the shares of bad rows are those of recent days, and sentences that say so."""
    with_bad_rows = {name: table for name, table in verdict.tables.items() if table.quarantined}
    unusual = [name for name, table in with_bad_rows.items() if table.has_unusually_many_bad_rows]
    if unusual:
        return "warning", [_unusual(name, verdict.tables[name]) for name in unusual]
    if any(table.usual_bad_share is None for table in with_bad_rows.values()):
        return "neutral", ["There are too few earlier days to say whether that is usual."]
    has_warnings = any(table.warnings for table in verdict.tables.values())
    return "neutral" if has_warnings else "good", ["That is as usual."] if with_bad_rows else []


def _unusual(name: str, table: TableVerdict) -> str:
    return f"{name} has {percent(table.bad_share)} bad rows; recent days had {_range(table)}."


def _range(table: TableVerdict) -> str | None:
    if table.usual_bad_share is None:
        return None
    lowest, highest = table.usual_bad_share
    return percent(highest) if lowest == highest else f"{percent(lowest)} to {percent(highest)}"


def _advice(dataset: DatasetSpec, verdict: DayVerdict, tables: Sequence[CheckedTable]) -> list[Section]:
    if not verdict.accepted:
        has_too_many_bad_rows = any(_bad_share(table) > table.spec.max_bad_share for table in tables)
        text = _REJECTED.format(
            dataset=dataset.name,
            stale=_STALE if verdict.stale else "",
            rows=_ROWS_BELOW if has_too_many_bad_rows else "",
        )
        if verdict.only_rows_are_unusual:
            text += _NEW_LEVEL.format(days=LEVEL_DAYS, dataset=dataset.name)
        return [Section("What to do", text)]
    found = verdict.tables.values()
    if any(table.quarantined for table in found):
        is_unusual = any(table.has_unusually_many_bad_rows for table in found)
        return [Section("What to do", (_UNUSUAL if is_unusual else _USUAL).format(dataset=dataset.name))]
    return []


def _overview(verdict: DayVerdict, tables: Sequence[CheckedTable]) -> list[Section]:
    rows: list[list[Cell]] = [
        [table.spec.name, percent(found.bad_share), _range(found), percent(table.spec.max_bad_share)]
        for table in tables
        if (found := verdict.tables[table.spec.name])
    ]
    shares = Table(["table", "bad rows", "recent days", "limit"], rows)
    if not any(table.verdict.quarantined for table in tables):
        return [_balance(verdict), Section("Bad rows", table=shares)]
    text = (
        "The share of each table's lines that broke a rule. A day is rejected when a bar passes its limit, the "
        f"vertical line; the dataset sets a limit for each of its tables. {_WHEN_AMBER}"
    )
    return [_balance(verdict), Section("Bad rows", text, _shares(tables), shares)]


def _balance(verdict: DayVerdict) -> Section:
    """What the source gave, beside what became of it."""
    rows: list[list[Cell]] = [
        [
            name,
            table.counted,
            table.lines,
            table.good,
            table.quarantined,
            table.good_lines + table.quarantined_lines,
            "no" if table.imbalance else "yes",
        ]
        for name, table in verdict.tables.items()
    ]
    columns = [
        "table",
        "rows at the source",
        "lines",
        "good rows",
        "in quarantine",
        "lines of both",
        "adds up",
    ]
    return Section("Rows in, rows out", _BALANCE, table=Table(columns, rows))


def _table_sections(table: CheckedTable) -> list[Section]:
    counts = sorted(table.verdict.rules.items(), key=lambda count: (-count[1], count[0]))
    if not counts:
        return []
    name = table.spec.name
    rules: list[list[Cell]] = [[rule, table.rules[rule].why, rows] for rule, rows in counts]
    examples = [row for rule, _ in counts for row in _examples(table, rule)]
    return [
        Section(
            f"{name}: rules that were broken",
            "A row that breaks several rules is counted with each.",
            table=Table(["rule", "why it exists", "rows"], rules),
        ),
        Section(
            f"{name}: rows to look at",
            f"The first rows that broke each rule, {_EXAMPLES} at most, with what the rule looks at.",
            table=Table(["rule", "line", *table.spec.key, "found"], examples),
        ),
    ]


def _examples(table: CheckedTable, rule: str) -> list[list[Cell]]:
    numbers = table.broken.filter(pl.col("rule") == rule)["raw_row"].sort().head(_EXAMPLES)
    rows = table.quarantined.filter(pl.col("raw_row").is_in(numbers.implode()))
    return [
        [
            "" if number else rule,
            row["raw_row"],
            *(_short(row[name]) for name in table.spec.key),
            _found(table, rule, row),
        ]
        for number, row in enumerate(rows.iter_rows(named=True))
    ]


def _found(table: CheckedTable, rule: str, row: dict[str, str | None]) -> str:
    if row["raw_line"] is not None:
        return _short(row["raw_line"])
    shown = row.keys() - set(table.spec.key)
    return ", ".join(f"{name}: {_short(row[name])}" for name in table.rules[rule].columns if name in shown)


def _facts(
    dataset: DatasetSpec, lake: Lake, verdict: DayVerdict, tables: Sequence[CheckedTable]
) -> dict[str, Cell]:
    where = {
        f"Quarantine of {table.spec.name}": lake.uri(partition(dataset.quarantine(table.spec.name), verdict.day))
        + "/"
        for table in tables
        if table.verdict.quarantined
    }
    versions: dict[str, Cell] = {
        f"Raw {table.spec.name}": f"version {digest[:12]}" for table in tables for digest in table.inputs.values()
    }
    return {"Dataset": dataset.description, **where, **versions}


def _shares(tables: Sequence[CheckedTable]) -> str:
    """Inline SVG: a bar per table for its share of bad rows, and its limit."""
    longest = max(max(_bad_share(table), table.spec.max_bad_share) for table in tables)
    scale = (_WIDTH - _LABEL - _ROOM) / longest
    bars = "".join(_bar(table, number * _ROW, scale) for number, table in enumerate(tables))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {len(tables) * _ROW}" role="img" aria-label="Share of bad rows by table" '
        f'font-size="14" width="{_WIDTH}">{bars}</svg>'
    )


def _bar(table: CheckedTable, top: float, scale: float) -> str:
    share, limit = _bad_share(table), table.spec.max_bad_share
    colour = "var(--bad)" if share > limit else "var(--accent)"
    width = max(share * scale, _THINNEST_BAR) if share else 0
    limit_at, middle = _LABEL + limit * scale, top + _ROW / 2
    label = unbreakable(f"{percent(share)}, limit {percent(limit)}")
    return (
        f'<text x="{_LABEL - 10}" y="{middle + 5}" text-anchor="end">{escape(table.spec.name)}</text>'
        f'<rect x="{_LABEL}" y="{middle - _BAR / 2}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>'
        f'<path d="M{limit_at:.1f} {top + 3}V{top + _ROW - 3}" stroke="currentColor" stroke-width="2"/>'
        f'<text x="{_LABEL + max(share, limit) * scale + 8:.1f}" y="{middle + 5}">{label}</text>'
    )


def _bad_share(table: CheckedTable) -> float:
    return table.verdict.bad_share


def _short(value: str | None) -> str:
    return "blank" if value is None else short(value)

"""Would the rows of the file pass validation, as far as the engine itself judges them?"""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from include.lifecycle.ingestion.quarantine import CheckedRows, check_rows, rule_book
from include.lifecycle.specs import TableSpec
from include.scaffold.columns import ScaffoldError
from include.scaffold.proposal import Proposal

_MOST_BAD = 0.1
_LONGEST_EXAMPLE = 60


def refuse_unfit_rows(proposal: Proposal) -> None:
    """Refuse a file of which validation would refuse more than a day may have bad rows.

    Raises
    ------
    ScaffoldError
        Says how many rows that are, which rule most of them break, and an example.
    """
    spec = TableSpec(
        name=proposal.wish.dataset,
        columns=proposal.column_types,
        key=proposal.key,
        rules=lambda: [],
        days_ahead=proposal.days_ahead,
    )
    given = proposal.table.rows
    dated = given.with_columns(
        proposal.table.values(proposal.date_column).cast(pl.Date).alias("dt"),
        raw_row=pl.int_range(1, given.height + 1, dtype=pl.UInt32),
        raw_lines=pl.lit(1, pl.UInt32),
        raw_line=pl.lit(None, pl.String),
        unreadable=pl.lit(None, pl.String),
    ).filter(pl.col("dt").is_between(proposal.first_day, datetime.now(UTC).date()))
    checked = check_rows(spec, dated, {})
    bad = given.height - checked.good.height
    if bad > (proposal.max_bad_share or _MOST_BAD) * given.height:
        why = _why(spec, checked) or f"Their {proposal.date_column} is no day until today."
        raise ScaffoldError(
            f"{bad} of the {given.height} rows of {proposal.wish.csv} would go to quarantine. {why} Correct the "
            "file, or leave out the column."
        )


def _why(spec: TableSpec, checked: CheckedRows) -> str:
    """The rule that most rows break, and the values of one of them."""
    if checked.broken.is_empty():
        return ""
    [rule] = checked.broken["rule"].value_counts().sort("count", "rule", descending=True)["rule"].head(1)
    known = rule_book(spec, {})[rule]
    row = checked.broken.filter(rule=rule)["raw_row"][0]
    values = checked.quarantined.filter(raw_row=row).select(known.columns).row(0, named=True)
    example = ", ".join(f"{name} {value!r}" for name, value in values.items())
    return f"{known.why} An example, in row {row}: {example[:_LONGEST_EXAMPLE]}."

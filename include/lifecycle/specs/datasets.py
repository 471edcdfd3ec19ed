"""What a dataset says of itself: where it comes from, what must hold of it, and the features made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Protocol, Self

import polars as pl
from pydantic import Field, model_validator

from include.lifecycle.calendars import Calendar, EveryDay
from include.lifecycle.specs.spec import Cron, Spec, takes


class Extracted(Spec):
    """What a source says of a table of a day that it wrote to a file."""

    records: int | None = Field(
        None, ge=0, description="The rows that the source itself counted; None where only the file can tell."
    )


class Source(Protocol):
    """Where a dataset's tables come from."""

    @property
    def max_lag_days(self) -> int | None:
        """How far its newest day may be behind before it counts as silent; None for what never gets new days."""
        ...

    def days(self) -> list[date]:
        """The complete days that the source can give, oldest first."""
        ...

    def faults(self) -> list[str]:
        """What it should give and cannot, on any day, in sentences, e.g. of a file that is missing."""
        ...

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Write one day of a table, as known at the end of that day, to `file` as CSV with a header.

        Returns None, and writes nothing, where the source has no such table. An empty day is a header alone. An
        error that lies in the day's data (see `failures`) rejects the day alone; any other fails the task.
        """
        ...


RESERVED_COLUMNS = frozenset({"dt", "raw_row", "raw_lines", "raw_line", "unreadable", "broken_rules", "_index"})
"""Names of columns that validation itself uses, so that no table may have them."""


class TableSpec(Spec):
    """One table of a dataset: its clean schema and the rules a row and a day must meet."""

    name: str = Field(description="How files, folders and rules call it.")
    columns: dict[str, Any] = Field(description="Clean schema: column name to polars data type.")
    key: tuple[str, ...] = Field(description="Columns that identify a row within a day.")
    rules: Annotated[Callable[[], list[Any]], takes()] = Field(
        description="Makes the row rules: Great Expectations expectations with `meta={'rule_id', 'why'}`."
    )
    min_rows: int = Field(1, ge=0, description="A day with fewer rows is rejected.")
    max_bad_share: float = Field(0.1, gt=0, le=1, description="A day with a larger share of bad rows is rejected.")
    optional: bool = Field(False, description="A source may lack the table altogether.")
    usual_rows: tuple[float, float] | None = Field(
        (0.5, 2.0),
        description=(
            "A day is rejected whose rows lie outside this range, in times the median of the days just before it, "
            "unless the days next to it have as many; None where rows may vary more. Medians under 100 are not "
            "compared."
        ),
    )
    may_repeat: bool = Field(
        False, description="A day may have the same rows as another; else one of 100 rows or more is rejected."
    )
    max_bytes: int = Field(
        256 * 2**20, gt=0, description="A day with a larger file is rejected unread: it might not fit into memory."
    )
    first_date: date = Field(date(1900, 1, 1), description="No date in a row lies before this day.")
    days_ahead: Mapping[str, int] = Field(
        {}, description="Date columns that may lie after the row's day, and by how many days at most."
    )

    @model_validator(mode="after")
    def _key_is_in_columns(self) -> Self:
        missing = set(self.key) - set(self.columns)
        if missing:
            raise ValueError(
                f"Table {self.name!r}: key columns {sorted(missing)} are not in `columns`; correct either."
            )
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        reserved = RESERVED_COLUMNS & set(self.columns)
        if reserved:
            raise ValueError(
                f"Table {self.name!r}: `columns` has {sorted(reserved)}, which validation uses; rename them."
            )
        return self

    @model_validator(mode="after")
    def _plausibility_is_plausible(self) -> Self:
        if self.usual_rows is not None and not 0 <= self.usual_rows[0] <= 1 <= self.usual_rows[1]:
            raise ValueError(
                f"Table {self.name!r}: `usual_rows` is {self.usual_rows}; the first should be from 0 to 1, the "
                "second at least 1."
            )
        dates = {name for name, dtype in self.columns.items() if dtype in (pl.Date, pl.Datetime)}
        if not set(self.days_ahead) <= dates:
            raise ValueError(
                f"Table {self.name!r}: `days_ahead` names {sorted(self.days_ahead)}, and the date columns are "
                f"{sorted(dates)}; name only these."
            )
        return self


class DatasetSpec(Spec):
    """A dataset: where it comes from, what must hold of it, and the features made of it."""

    name: str = Field(description="How folders, DAGs and the variable `<name>_source` call it.")
    title: str = Field(description="How people call it: in the UI and on pages.")
    description: str = Field(description="What it is, in a sentence.")
    key: tuple[str, ...] = Field(description="Columns that identify a row of the features within a day.")
    timezone: str = Field(description="Where its days begin and end, e.g. Europe/Berlin.")
    first_day: date = Field(date(2000, 1, 1), description="No data, and no day of a form, lies before this day.")
    schedule: Cron = Field(description="Cron expression, in `timezone`, of the daily run.")
    calendar: Calendar = Field(EveryDay(), description="The days on which there are data.")
    revisit_days: int = Field(
        0,
        ge=0,
        description="So many of the newest days are read again, as the source may correct them.",
    )
    chunk_days: int = Field(
        15, ge=1, description="So many days at most are worked on together, by a task or a step of it."
    )
    tables: tuple[TableSpec, ...] = Field(description="Its tables, in the order in which they are extracted.")
    make_source: Annotated[
        Callable[[Mapping[str, Any], Callable[[str], Any]], Source], takes("settings", "connect")
    ] = Field(description="From the source's settings and a function that gives the database connection of an id.")
    features: Annotated[
        Callable[[Sequence[date], Mapping[str, pl.LazyFrame]], Iterable[tuple[date, pl.DataFrame]]],
        takes("days", "tables"),
    ] = Field(
        description=(
            "Each of some days with its features, from the clean tables with the partition's day in `dt`: those "
            "days and their histories. A day's features may use rows from `history_days` before it up to itself, "
            "and no others. A table that the source lacks is an empty frame."
        )
    )
    history_days: Mapping[str, int] = Field(
        description="How many calendar days (of 24 hours) the features look back, per table; 0 is the day alone."
    )

    @model_validator(mode="after")
    def _history_names_tables(self) -> Self:
        names = {table.name for table in self.tables}
        if set(self.history_days) != names:
            raise ValueError(
                f"Dataset {self.name!r}: `history_days` names {sorted(self.history_days)}, "
                f"but the tables are {sorted(names)}; give each table its number of days."
            )
        return self

    def table(self, name: str) -> TableSpec:
        """The table of that name; KeyError says which there are."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(f"Dataset {self.name!r} has no table {name!r}; it has {[t.name for t in self.tables]}.")

    def raw(self, table: str) -> str:
        """Lake prefix of a table as extracted."""
        return f"raw/{self.name}/{table}"

    def clean(self, table: str) -> str:
        """Lake prefix of a table's rows that passed validation."""
        return f"clean/{self.name}/{table}"

    def quarantine(self, table: str) -> str:
        """Lake prefix of a table's rows that broke a rule."""
        return f"quarantine/{self.name}/{table}"

    @property
    def features_prefix(self) -> str:
        """Lake prefix of the features."""
        return f"features/{self.name}"

    @property
    def validation_prefix(self) -> str:
        """Lake prefix of the validation pages."""
        return f"reports/{self.name}/validation"

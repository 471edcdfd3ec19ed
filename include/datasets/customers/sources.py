"""Where customers come from: the operational PostgreSQL database, or files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import Field, TypeAdapter

from include.datasets.customers.extracts import DATES, EXTRACTS, OPENING_DAYS
from include.datasets.customers.tables import CHURNS_TABLE, CUSTOMERS_TABLE, TABLES, USAGE_DAILY_TABLE
from include.lifecycle.calendars import DAYS_THAT_TELL, first_plausible
from include.lifecycle.ingestion.csv_records import Records, UnreadableFileError, read_records
from include.lifecycle.ingestion.line_count import count_data_lines
from include.lifecycle.specs import Extracted, Source
from include.sources.day_files import DayFilesSource
from include.sources.files import check_is_regular, existing
from include.sources.postgres import columns_of, reading, stream
from include.sources.settings import MaxLagDays, SourceSettings

TELCO_COLUMNS = {
    "customerID": "customer_id",
    "gender": "gender",
    "SeniorCitizen": "senior_citizen",
    "Partner": "partner",
    "Dependents": "dependents",
    "tenure": "tenure",
    "PhoneService": "phone_service",
    "MultipleLines": "multiple_lines",
    "InternetService": "internet_service",
    "OnlineSecurity": "online_security",
    "OnlineBackup": "online_backup",
    "DeviceProtection": "device_protection",
    "TechSupport": "tech_support",
    "StreamingTV": "streaming_tv",
    "StreamingMovies": "streaming_movies",
    "Contract": "contract",
    "PaperlessBilling": "paperless_billing",
    "PaymentMethod": "payment_method",
    "MonthlyCharges": "monthly_charges",
    "TotalCharges": "total_charges",
}
_NOT_IN_TELCO = ("age", "location", "signup_date")
_CHURNED_AFTER = timedelta(days=30)
_RECORDED_AFTER = timedelta(days=5)


class PostgresSettings(SourceSettings):
    """Tables of an operational database, in the layout that `extracts` reads."""

    kind: Literal["postgres"]
    connection: str = Field(description="Id of the database connection.")
    max_lag_days: MaxLagDays = 3


class TelcoFileSettings(SourceSettings):
    """One file in the layout of the IBM Telco churn data: customers, and whether each has left."""

    kind: Literal["csv"]
    path: Path
    day: date = Field(description="The day that the file describes.")


class FolderSettings(SourceSettings):
    """A folder of day folders: `<path>/<YYYY-MM-DD>/<table>.csv`, with the columns of our own tables."""

    kind: Literal["csv_folder"]
    path: Path
    max_lag_days: MaxLagDays = 3


Settings = Annotated[PostgresSettings | TelcoFileSettings | FolderSettings, Field(discriminator="kind")]
_SETTINGS: TypeAdapter[PostgresSettings | TelcoFileSettings | FolderSettings] = TypeAdapter(Settings)


def make_source(settings: Mapping[str, Any], connect: Callable[[str], Any]) -> Source:
    """The source that `settings` describe; their `kind` is `postgres`, `csv` or `csv_folder`.

    `connect` gives an open psycopg2 connection from its id.

    Raises
    ------
    ValueError
        If a setting is missing, unknown or of the wrong type.
    FileNotFoundError
        If a file or folder that they name does not exist.
    """
    checked = _SETTINGS.validate_python(dict(settings))
    match checked:
        case PostgresSettings():
            return PostgresSource(connect(checked.connection), checked.max_lag_days)
        case TelcoFileSettings():
            return TelcoFileSource(existing(checked.path), checked.day)
        case FolderSettings():
            tables = tuple(table.name for table in TABLES)
            return DayFilesSource(existing(checked.path), tables, checked.max_lag_days)


@dataclass(frozen=True)
class PostgresSource:
    """The operational database, asked for what it knew at the end of a day.

    Rows come as they are, broken ones too: finding them is the task of validation. A column that the database has
    lost is missing in the file as well.
    """

    connection: Any
    max_lag_days: int
    today: date = field(default_factory=lambda: datetime.now(UTC).date())

    def days(self) -> list[date]:
        """All days from the first usage to the last day on which anything was recorded; none before there is any.

        A day of which the usage is missing altogether is among them, so that validation meets it. Days that have
        not come yet, and strays such as a lone 1970-01-01, are left out.
        """
        first = self._first_day
        if first is None:
            return []
        last = self._last_day
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]

    def faults(self) -> list[str]:
        """None: it gives what it has."""
        return []

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Stream a table's rows of `day`, as known at the end of that day, into `file`."""
        present = self._columns[table]
        if not present:
            return None
        since = day - timedelta(days=OPENING_DAYS) if day == self._first_day else day
        with reading(self.connection) as cursor:
            return stream(cursor, EXTRACTS[table].query(present), {"day": day, "since": since}, file)

    @cached_property
    def _columns(self) -> dict[str, list[str]]:
        """Columns of each table; none where the database lacks the table."""
        return {table: columns_of(self.connection, "telecom", table, DATES) for table in EXTRACTS}

    @cached_property
    def _first_day(self) -> date | None:
        if not self._columns["usage_daily"]:
            return None
        days = self._outermost(
            "select min(day) from telecom.usage_daily where day > %s and day <= %s", newest=False
        )
        return first_plausible(days) if days else None

    @cached_property
    def _last_day(self) -> date:
        """Of the recorded days that are over or present, the last that is no stray."""
        newest = " union all ".join(
            f"select max({column}) as day from telecom.{table} where {column} > %s and {column} < %s"
            for table, extract in EXTRACTS.items()
            for column in extract.recorded
            if column in self._columns[table]
        )
        return first_plausible(self._outermost(f"select max(day) from ({newest}) as newest", newest=True))

    def _outermost(self, query: str, *, newest: bool) -> list[date]:
        """The outermost days at one end, from it inwards: as many as tell which of them are strays.

        `query` gives the outermost day between pairs of bounds; with an index, it reads one row each time.
        """
        first, last = USAGE_DAILY_TABLE.first_date, self.today + timedelta(days=newest)
        bounds = query.count("%s") // 2
        days: list[date] = []
        while len(days) < DAYS_THAT_TELL:
            [day] = self._fetch(query, (first, last) * bounds)
            if day is None:
                break
            days.append(day)
            first, last = (first, day) if newest else (day, last)
        return days

    def _fetch(self, query: str, values: tuple[date, ...] = ()) -> list[Any]:
        """The values of a query's only column."""
        with reading(self.connection) as cursor:
            cursor.execute(query, values)
            return [value for (value,) in cursor.fetchall()]


@dataclass(frozen=True)
class TelcoFileSource:
    """The IBM Telco churn file as the customers of one day.

    It answers for that day whether a customer left in the month after it: `Churn` = Yes becomes a leaving 30 days
    later, recorded 5 days after that. What the file does not have (age, location, signup date) stays empty.
    """

    path: Path
    day: date

    @property
    def max_lag_days(self) -> None:
        """A file gets no new days."""

    def days(self) -> list[date]:
        """The file's one day."""
        return [self.day]

    def faults(self) -> list[str]:
        """None: it gives what it has."""
        return []

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Write the file's customers, or those who left, under our names; texts stay as they are.

        Records that do not split into the file's columns, and those whose `Churn` is neither Yes nor No, are
        written among the customers as a single field, so that validation quarantines them.
        """
        records = self._records()
        rows, names = records.rows, [name for name in records.rows.columns if name not in ("raw_row", "raw_lines")]
        if "customerID" not in names:
            raise ValueError(
                f"{self.path} has no column 'customerID', so it is not in the layout of the Telco churn data; "
                f"its columns are {names}. For files in our own layout use the kind 'csv_folder'."
            )
        if day != self.day:
            raise ValueError(f"{self.path} describes {self.day}, not {day}; correct `day` in its settings.")
        if table == CUSTOMERS_TABLE.name:
            unclear = _without_answer(rows, names)
            extracted = _telco_customers(
                rows.join(unclear, on="raw_row", how="anti", maintain_order="left"), names
            )
            broken = [*records.broken["raw_line"], *_as_lines(unclear.select(names))]
        elif table == CHURNS_TABLE.name and "Churn" in names:
            extracted, broken = _telco_churns(rows, day), []
        else:
            return None
        with file.open("w", encoding="utf-8", newline="") as target:
            extracted.write_csv(target)
            csv.writer(target, lineterminator="\n").writerows([line] for line in broken)
        return Extracted(records=extracted.height + len(broken))

    def _records(self) -> Records:
        check_is_regular(self.path)
        try:
            records = read_records(self.path.read_bytes())
        except UnreadableFileError as error:
            raise ValueError(f"{self.path} {error}.") from error
        lines = count_data_lines(self.path)
        if lines != records.lines:
            raise ValueError(f"{self.path} has {lines} lines of data, but {records.lines} were read.")
        return records


def _telco_customers(rows: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    return rows.select(
        *(pl.col(theirs).alias(ours) for theirs, ours in TELCO_COLUMNS.items() if theirs in names),
        *(pl.lit(None, pl.String).alias(name) for name in _NOT_IN_TELCO),
    )


def _without_answer(rows: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Customers of whom the file does not say whether they left; none where it does not say so of anybody."""
    if "Churn" not in names:
        return rows.clear()
    return rows.filter(~pl.col("Churn").is_in(["Yes", "No"]).fill_null(False))


def _as_lines(rows: pl.DataFrame) -> list[str]:
    return [row.write_csv(include_header=False).removesuffix("\n") for row in rows.iter_slices(1)]


def _telco_churns(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    churned_on = day + _CHURNED_AFTER
    return rows.filter(pl.col("Churn") == "Yes").select(
        customer_id="customerID",
        churned_on=pl.lit(churned_on),
        recorded_on=pl.lit(churned_on + _RECORDED_AFTER),
    )

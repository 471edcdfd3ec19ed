"""The settings of the sources that need no code, as the Airflow variable `<dataset>_source` has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from include.lifecycle.specs import Source, TableSpec
from include.sources.csv_tables import CsvTablesSource
from include.sources.day_files import DayFilesSource
from include.sources.files import existing, warn_of_ignored
from include.sources.queries import QuerySource, check_is_one_query, check_query

MaxLagDays = Annotated[int, Field(ge=1, description="With no new day for longer, the ETL fails.")]
"""In a field that may be null, null stands for a source that never gets new days."""


class SourceSettings(BaseModel):
    """Settings of any source: a name that is not among them is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Settings(SourceSettings):
    max_lag_days: MaxLagDays | None = None


class CsvSettings(_Settings):
    """A CSV file with a column of dates; for a dataset of several tables, a folder with `<table>.csv` for each."""

    kind: Literal["csv"]
    path: Path
    date_column: str = Field("date", description="The column that says, as YYYY-MM-DD, which day a row is of.")
    columns: dict[str, str] = Field({}, description="Columns of the files that we call otherwise, and how.")


class DayFilesSettings(_Settings):
    """A folder with `<YYYY-MM-DD>.csv` for each day; for several tables, with `<YYYY-MM-DD>/<table>.csv`."""

    kind: Literal["csv_days"]
    path: Path


class SqlSettings(_Settings):
    """Queries of a PostgreSQL database."""

    kind: Literal["sql"]
    connection: str = Field(description="Id of the database connection.")
    query: str | dict[str, str] = Field(
        description="Gives the rows of the day `%(day)s`; for a dataset of several tables, a query by table."
    )
    days: str = Field(description="Gives the days that there are, in one column.")

    @field_validator("query")
    @classmethod
    def _asks_for_a_day(cls, query: str | dict[str, str]) -> str | dict[str, str]:
        for text in [query] if isinstance(query, str) else query.values():
            check_query(text)
        return query

    @field_validator("days")
    @classmethod
    def _is_one_query(cls, days: str) -> str:
        check_is_one_query(days)
        return days


Settings = Annotated[CsvSettings | DayFilesSettings | SqlSettings, Field(discriminator="kind")]
_SETTINGS: TypeAdapter[CsvSettings | DayFilesSettings | SqlSettings] = TypeAdapter(Settings)


def source_of(*tables: TableSpec) -> Callable[[Mapping[str, Any], Callable[[str], Any]], Source]:
    """What a dataset of these tables has as `make_source`, where its source needs no code.

    The `kind` of the settings is `csv`, `csv_days` or `sql`.
    """
    names = tuple(table.name for table in tables)

    def make_source(settings: Mapping[str, Any], connect: Callable[[str], Any]) -> Source:
        """The source that `settings` describe; `connect` gives an open psycopg2 connection from its id.

        Raises
        ------
        ValueError
            If a setting is missing, unknown or of the wrong type.
        FileNotFoundError
            If a file or folder that they name does not exist.
        """
        checked = _SETTINGS.validate_python(dict(settings))
        match checked:
            case CsvSettings():
                files = _csv_files(existing(checked.path), names)
                is_whole = len(files) == len(names)
                return CsvTablesSource(files, checked.date_column, checked.columns, checked.max_lag_days, is_whole)
            case DayFilesSettings():
                return DayFilesSource(existing(checked.path), names, checked.max_lag_days)
            case SqlSettings():
                queries = _by_table(checked.query, names)
                return QuerySource(connect(checked.connection), queries, checked.days, checked.max_lag_days)

    return make_source


def _csv_files(path: Path, tables: tuple[str, ...]) -> dict[str, Path]:
    """The file of each table; a folder lacks those that are optional."""
    if path.is_dir():
        known = {path / f"{table}.csv": table for table in tables}
        entries = sorted(path.iterdir())
        # A link that leads nowhere is there: a table would be missing in silence where it is optional.
        files = {table: file for file, table in known.items() if file in entries}
        warn_of_ignored(path, [entry for entry in entries if entry not in known], "no table")
        if not files:
            raise ValueError(f"The folder {path} has no file <table>.csv for any of the tables {list(tables)}.")
        return files
    if len(tables) > 1:
        raise ValueError(
            f"`path` is the file {path}, but the dataset has the tables {list(tables)}; name a folder with a file "
            "<table>.csv for each."
        )
    return {tables[0]: path}


def _by_table(query: str | dict[str, str], tables: tuple[str, ...]) -> dict[str, str]:
    if isinstance(query, str) and len(tables) == 1:
        return {tables[0]: query}
    if isinstance(query, str) or not set(query) <= set(tables):
        given = "one query" if isinstance(query, str) else f"queries for {sorted(query)}"
        raise ValueError(f"`query` has {given}, but the tables are {list(tables)}; give a query by table.")
    return query

"""Where prices come from: files, one per symbol, an HTTP server that gives such files, or PostgreSQL.

A row dated on a day without a session is landed with the next session, where the rule
`prices.date.day_of_partition` sets it aside: it stops nothing, and nobody has to wonder where it went.
"""

from __future__ import annotations

import string
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from include.datasets.market.calendar import NEW_YORK
from include.datasets.market.tables import PRICES, SYMBOL_PATTERN
from include.lifecycle.specs import Extracted, Source

# The files may have further columns, e.g. OpenInt, which shares do not have; they are not read.
FILE_COLUMNS = {"Date": "date", **{name.title(): name for name in (*PRICES, "volume")}}
_COLUMNS = ("symbol", *FILE_COLUMNS.values())

Symbol = Annotated[str, StringConstraints(pattern=SYMBOL_PATTERN)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    symbols: tuple[Symbol, ...] = Field(min_length=1, description="In capitals, e.g. AAPL.")
    first_day: date | None = Field(None, description="Earlier rows are not read.")
    last_day: date | None = Field(None, description="Later rows are not read.")
    max_lag_days: int | None = Field(
        5, ge=1, description="With no new day for longer, the ETL fails; null for what never gets new days."
    )

    @model_validator(mode="after")
    def _symbols_are_unique(self) -> Self:
        repeated = sorted({symbol for symbol in self.symbols if self.symbols.count(symbol) > 1})
        if repeated:
            raise ValueError(f"`symbols` has {repeated} more than once; name each symbol once.")
        return self

    @property
    def period(self) -> Period:
        """The days that may be read."""
        return Period(self.first_day or date.min, self.last_day or date.max)


class FileSettings(_Settings):
    """A folder with one CSV file per symbol, in the layout Date,Open,High,Low,Close,Volume."""

    kind: Literal["files"]
    path: Path
    file_name: str = Field("{symbol}.us.txt", description="`{symbol}` becomes the symbol in small letters.")

    @model_validator(mode="after")
    def _file_name_has_symbol(self) -> Self:
        _check_template("file_name", self.file_name, {"symbol"})
        return self


class HttpSettings(_Settings):
    """A server that gives one CSV file per symbol, in the layout Date,Open,High,Low,Close,Volume."""

    kind: Literal["http"]
    base_url: str | None = Field(None, description="Address of a server that wants no key.")
    connection: str | None = Field(None, description="Id of the connection that has the address and the key.")
    url: str = Field(
        "{symbol}.us.txt",
        description="Path below the address; `{symbol}` becomes the symbol in small letters, `{key}` the key.",
    )
    min_seconds_between_requests: float = Field(0, ge=0)
    cache: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / "market-prices",
        description="Folder for what was downloaded, so that it is not sent again unless it has changed.",
    )

    @model_validator(mode="after")
    def _address_is_given_once(self) -> Self:
        _check_template("url", self.url, {"symbol", "key"})
        if (self.base_url is None) == (self.connection is None):
            raise ValueError(
                f"`base_url` is {self.base_url!r} and `connection` is {self.connection!r}; set one of them."
            )
        if self.connection is None and "{key}" in self.url:
            raise ValueError(f"`url` is {self.url!r}, but a key comes from a connection only; set `connection`.")
        return self


class PostgresSettings(_Settings):
    """The table `market.prices` of an operational database: symbol, date, open, high, low, close, volume."""

    kind: Literal["postgres"]
    connection: str = Field(description="Id of the database connection.")


Settings = Annotated[FileSettings | HttpSettings | PostgresSettings, Field(discriminator="kind")]
_SETTINGS: TypeAdapter[FileSettings | HttpSettings | PostgresSettings] = TypeAdapter(Settings)


def make_source(settings: Mapping[str, Any], connect: Callable[[str], Any]) -> Source:
    """The source that `settings` describe; their `kind` is `files`, `http` or `postgres`.

    `connect` gives from its id an open psycopg2 connection for `postgres`; for `http`, an object with the texts
    `base_url` and `key` (None where there is no key).

    Raises
    ------
    ValueError
        If a setting is missing, unknown or of the wrong type.
    FileNotFoundError
        If the folder, or the file of a symbol, does not exist.
    """
    checked = _SETTINGS.validate_python(dict(settings))
    match checked:
        case FileSettings():
            return FileSource(_files(checked), checked.period, checked.max_lag_days)
        case HttpSettings():
            return _http_source(checked, connect)
        case PostgresSettings():
            connection = connect(checked.connection)
            return PostgresSource(connection, checked.symbols, checked.period, checked.max_lag_days)


@dataclass(frozen=True)
class Period:
    """Days from `first` to `last`, both included."""

    first: date
    last: date

    def landed_on(self, session: date) -> Period:
        """Days of the period whose rows are landed with a session: it and those since the session before it."""
        since = NEW_YORK.later(session, -1) + timedelta(days=1)
        return Period(max(self.first, since), min(self.last, session))

    def sessions(self, first: date | None, last: date | None) -> list[date]:
        """The sessions from a first to a last day within the period; none where there is no such day."""
        if first is None or last is None:
            return []
        return NEW_YORK.days(max(self.first, first), min(self.last, last))


@dataclass(frozen=True)
class FileSource:
    """One CSV file per symbol. Each is read once, as text, so that what is written stays as it came."""

    files: Mapping[str, Path]
    period: Period
    max_lag_days: int | None

    def days(self) -> list[date]:
        """All sessions from the first to the last day on which any symbol has a row.

        A session on which all of them lack a row is among them, so that validation meets it.
        """
        first, last = self._rows.select(pl.col("parsed").first(), last=pl.col("parsed").last()).row(0)
        return self.period.sessions(first, last)

    def faults(self) -> list[str]:
        """None: it gives what it has."""
        return []

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Write the rows that are landed with `day`, by symbol and date."""
        landed = self.period.landed_on(day)
        first, last = (self._rows["parsed"].search_sorted(end, side) for end, side in _ends(landed))
        rows = self._rows[first:last].sort("symbol", "parsed", maintain_order=True)
        rows.select(_COLUMNS).write_csv(file)
        return Extracted(records=rows.height)

    @cached_property
    def _rows(self) -> pl.DataFrame:
        """All rows within the period, by date: our columns as text, and `parsed`, the date."""
        rows = pl.concat([_read(symbol, path) for symbol, path in self.files.items()])
        return rows.filter(pl.col("parsed").is_between(self.period.first, self.period.last)).sort(
            "parsed", maintain_order=True
        )


@dataclass(frozen=True)
class HttpSource:
    """One CSV file per symbol on a server. Each is asked for once, then all is as with files."""

    download: Callable[[str], Path]
    symbols: tuple[str, ...]
    period: Period
    max_lag_days: int | None

    def days(self) -> list[date]:
        """All sessions from the first to the last day on which any symbol has a row."""
        return self._files.days()

    def faults(self) -> list[str]:
        """None: it gives what it has."""
        return []

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Write the rows that are landed with `day`, by symbol and date."""
        return self._files.extract(table, day, file)

    @cached_property
    def _files(self) -> FileSource:
        files = {symbol: self.download(symbol) for symbol in self.symbols}
        return FileSource(files, self.period, self.max_lag_days)


@dataclass(frozen=True)
class PostgresSource:
    """The table `market.prices` as it is now, late corrections included.

    With its primary key (symbol, date) and an index on date, no query reads more rows than it answers. A column
    that the table has lost is missing in the file as well, so that validation meets it.
    """

    connection: Any
    symbols: tuple[str, ...]
    period: Period
    max_lag_days: int | None

    def days(self) -> list[date]:
        """All sessions from the first to the last day of any symbol; none before there is any.

        A session on which all of them lack a row is among them, so that validation meets it.
        """
        if not self._columns:
            return []
        [(first, last)] = self._fetch(
            "select min(ends.first), max(ends.last) from unnest(%(symbols)s) as symbols (name), lateral"
            " (select min(date) as first, max(date) as last from market.prices where symbol = name) as ends",
            {"symbols": list(self.symbols)},
        )
        return self.period.sessions(first, last)

    def faults(self) -> list[str]:
        """None: it gives what it has."""
        return []

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Stream the rows that are landed with `day` into `file`, by symbol and date."""
        if not self._columns:
            return None
        landed = self.period.landed_on(day)
        values = {"first": landed.first, "last": landed.last, "symbols": list(self.symbols)}
        query = (
            f"select {', '.join(self._columns)} from market.prices"
            " where date between %(first)s and %(last)s and symbol = any(%(symbols)s) order by symbol, date"
        )
        with self.connection, self.connection.cursor() as cursor, file.open("wb") as target:
            rows = cursor.mogrify(query, values).decode()
            cursor.copy_expert(f"copy ({rows}) to stdout with (format csv, header, encoding 'UTF8')", target)
            return Extracted(records=cursor.rowcount)

    @cached_property
    def _columns(self) -> list[str]:
        """Those of our columns that the table has; none where there is no table."""
        rows = self._fetch(
            "select column_name from information_schema.columns"
            " where table_schema = 'market' and table_name = 'prices'",
            {},
        )
        present = {name for (name,) in rows}
        if present and not {"symbol", "date"} <= present:
            raise ValueError(
                f"A day's rows cannot be found without the columns 'symbol' and 'date'; market.prices has "
                f"{sorted(present)}."
            )
        return [name for name in _COLUMNS if name in present]

    def _fetch(self, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(query, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows


def _ends(period: Period) -> tuple[tuple[date, Literal["left"]], tuple[date, Literal["right"]]]:
    return (period.first, "left"), (period.last, "right")


def _http_source(settings: HttpSettings, connect: Callable[[str], Any]) -> HttpSource:
    from include.datasets.market.downloads import Downloads

    server = None if settings.connection is None else connect(settings.connection)
    downloads = Downloads(
        base_url=str(settings.base_url if server is None else server.base_url),
        url=settings.url,
        key=None if server is None else server.key,
        folder=settings.cache,
        min_seconds_between_requests=settings.min_seconds_between_requests,
    )
    return HttpSource(downloads.fetch, settings.symbols, settings.period, settings.max_lag_days)


def _files(settings: FileSettings) -> dict[str, Path]:
    files = {
        symbol: settings.path / settings.file_name.format(symbol=symbol.lower()) for symbol in settings.symbols
    }
    missing = [f"{symbol} ({path})" for symbol, path in files.items() if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"There is no file of {', '.join(missing)}; correct `path`, `file_name` or `symbols` in the market's "
            "source settings."
        )
    return files


def _read(symbol: str, path: Path) -> pl.DataFrame:
    """A symbol's rows as text under our names, and `parsed`, the date; blank lines are left out."""
    try:
        rows = pl.read_csv(path, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} of {symbol} is not a CSV table with a header: {error}") from error
    missing = [name for name in FILE_COLUMNS if name not in rows.columns]
    if missing:
        raise ValueError(f"{path} of {symbol} lacks the columns {missing}; it has {rows.columns}.")
    ours = rows.filter(~pl.all_horizontal(pl.all().is_null())).select(
        pl.lit(symbol).alias("symbol"),
        *(pl.col(theirs).alias(name) for theirs, name in FILE_COLUMNS.items()),
        parsed=pl.col("Date").str.to_date("%Y-%m-%d", strict=False),
    )
    undated = ours.filter(pl.col("parsed").is_null())
    if not undated.is_empty():
        raise ValueError(
            f"{path} of {symbol} has a row whose date is {undated['date'][0]!r}, so it belongs to no day; "
            "correct it to YYYY-MM-DD or remove it."
        )
    return ours


def _check_template(setting: str, template: str, known: set[str]) -> None:
    names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    if "symbol" not in names or not names <= known:
        places = " and ".join(f"{{{name}}}" for name in sorted(known, reverse=True))
        raise ValueError(f"`{setting}` is {template!r}; it needs {{symbol}}, and may have {places} alone.")

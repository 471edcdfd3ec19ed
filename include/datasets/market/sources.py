"""Where prices come from: files, one per symbol, an HTTP server that gives such files, or PostgreSQL.

Each row belongs to a session. One dated on a day without a session belongs to the next session; one whose date
nobody can read, to that of the nearest dated row before it in its file; one dated after today, years away from
all others, or after the last session that there are rows of, to the newest. There the rules set it aside: it stops
nothing, and nobody has to wonder where it went. Where a symbol has more such rows than a day can bear, they are
left out; that, and a symbol without a file, is a fault of the source. All other rows go on.
"""

from __future__ import annotations

import csv
import logging
import string
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from include.datasets.market.calendar import FIRST_DAY, NEW_YORK
from include.datasets.market.columns import SYMBOL_PATTERN
from include.datasets.market.price_files import COLUMNS, PriceFile, PriceFileError, read_price_file
from include.lifecycle.calendars import DAYS_THAT_TELL, first_plausible
from include.lifecycle.failures import LOCAL_FILE_ERRORS, lies_in_the_data, one_line
from include.lifecycle.specs import Extracted, Source

log = logging.getLogger(__name__)

_MOST_MISPLACED = 2
"""A session takes at most so many rows of a symbol that belong elsewhere; more would make it look rejected."""

_OUTAGES_OF_A_SERVER = 3
"""Where so many symbols in a row cannot be had, the server is down; fewer are faults of these symbols."""

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
    file_name: str = Field(
        "{symbol_lower}.us.txt",
        description="`{symbol}` becomes the symbol as it is, `{symbol_lower}` the symbol in lower case.",
    )

    @model_validator(mode="after")
    def _file_name_has_symbol(self) -> Self:
        _check_template("file_name", self.file_name, set())
        return self


class HttpSettings(_Settings):
    """A server that gives one CSV file per symbol, in the layout Date,Open,High,Low,Close,Volume."""

    kind: Literal["http"]
    base_url: str | None = Field(None, description="Address of a server that wants no key.")
    connection: str | None = Field(None, description="Id of the connection that has the address and the key.")
    url: str = Field(
        "{symbol_lower}.us.txt",
        description=(
            "Path below the address; `{symbol}` becomes the symbol as it is, `{symbol_lower}` the symbol in lower "
            "case, `{key}` the key."
        ),
    )
    min_seconds_between_requests: float = Field(0, ge=0)
    cache: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / "market-prices",
        description="Folder for what was downloaded, so that it is not sent again unless it has changed.",
    )

    @model_validator(mode="after")
    def _address_is_given_once(self) -> Self:
        _check_template("url", self.url, {"key"})
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
        If the folder does not exist.
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

    def belonging_to(self, session: date) -> Period:
        """Days of the period whose rows belong to a session: it and those since the session before it, if any."""
        earlier = NEW_YORK.days(FIRST_DAY, session - timedelta(days=1))
        since = earlier[-1] + timedelta(days=1) if earlier else FIRST_DAY
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
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    lacking: tuple[str, ...] = ()
    """Faults of symbols that have no file here."""

    def days(self) -> list[date]:
        """All sessions from the first to the last day to which any symbol has a row, strays left out.

        A session on which all of them lack a row is among them, so that validation meets it.
        """
        first, last = self._rows.select(pl.col("place").first(), last=pl.col("place").last()).row(0)
        return self.period.sessions(first, last)

    def faults(self) -> list[str]:
        """Symbols without a usable file, in a sentence each."""
        return [*self.lacking, *self._prices.faults]

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Write the rows that belong to `day`, by symbol and date; then broken lines, whole in one field."""
        belonging = self.period.belonging_to(day)
        first, last = (self._rows["place"].search_sorted(end, side) for end, side in _ends(belonging))
        rows = self._rows[first:last].sort("symbol", "place", maintain_order=True)
        broken = rows.filter(pl.col("raw_line").is_not_null()).select("symbol", "raw_line")
        with file.open("w", newline="") as target:
            rows.filter(pl.col("raw_line").is_null()).select(COLUMNS).write_csv(target)
            csv.writer(target, lineterminator="\n").writerows(broken.iter_rows())
        return Extracted(records=rows.height)

    @property
    def _rows(self) -> pl.DataFrame:
        return self._prices.rows

    @cached_property
    def _prices(self) -> _Prices:
        given, faults = [], []
        for symbol, path in self.files.items():
            try:
                given.append(read_price_file(symbol, path))
            except PriceFileError as error:
                faults.append(str(error))
            except LOCAL_FILE_ERRORS as error:
                faults.append(
                    f"The file {path} of {symbol} cannot be read: {error.strerror}. Correct `path`, `file_name` "
                    "or `symbols` in the market's source settings."
                )
            except Exception as error:
                if not lies_in_the_data(error):
                    raise
                faults.append(f"The file {path} of {symbol} cannot be read: {one_line(error)}. Correct it.")
        return _placed(given, self.period, self.today, faults)


@dataclass(frozen=True)
class _Prices:
    """All rows within the period, by `place`, the day to which each belongs; and what is wrong with symbols."""

    rows: pl.DataFrame
    faults: tuple[str, ...]


def _placed(files: Sequence[PriceFile], period: Period, today: date, faults: Sequence[str]) -> _Prices:
    """Give each row its day. Where a symbol has too many that belong elsewhere, they are left out, and a fault."""
    read = Period(max(period.first, FIRST_DAY), min(period.last, today))
    is_read = pl.col("parsed").is_between(read.first, read.last)
    dates = pl.concat([file.rows.filter(is_read)["parsed"] for file in files] or [pl.Series([], dtype=pl.Date)])
    days = dates.unique().sort().to_list()
    body = _until_last_session(first_plausible(days), first_plausible(days[::-1])) if days else read
    kept, found = [_NO_ROWS], list(faults)
    for file in files:
        rows = _with_places(file.rows, body, period)
        stays = pl.col("raw_line").is_null() & pl.col("place").eq(pl.col("parsed")).fill_null(False)
        misplaced = rows.filter(~stays)
        if _has_too_many(misplaced):
            kept.append(rows.filter(stays))
            found.append(
                f"{file.path} of {file.symbol} has {misplaced.height:,} rows that are left out: they are broken, "
                f"or have a date that cannot be read or cannot be right, e.g. {_described(misplaced)}. "
                "Correct them, or set `first_day` and `last_day`."
            )
        else:
            kept.append(rows)
            for row in misplaced.iter_slices(1):
                log.warning("%s of %s: %s goes to quarantine.", file.path, file.symbol, _described(row))
    return _Prices(pl.concat(kept).sort("place", maintain_order=True), tuple(found))


def _until_last_session(first: date, last: date) -> Period:
    """The days from `first` to the last session until `last`; none where there is no session between them."""
    sessions = NEW_YORK.days(first, last)
    return Period(first, sessions[-1] if sessions else first - timedelta(days=1))


_NO_ROWS = pl.DataFrame(
    schema={
        **dict.fromkeys(COLUMNS, pl.String),
        "line": pl.Int64,
        "raw_line": pl.String,
        "parsed": pl.Date,
        "place": pl.Date,
    }
)


def _with_places(rows: pl.DataFrame, body: Period, period: Period) -> pl.DataFrame:
    """The file's rows within the period, and their `place`: null where no row of the file has a plausible date."""
    near = pl.coalesce("parsed", pl.col("parsed").forward_fill(), pl.col("parsed").backward_fill())
    placed = pl.when(near.is_between(body.first, body.last)).then(near)
    newest = pl.when(placed.is_not_null().any()).then(pl.lit(body.last))
    rows = rows.with_columns(near=near, place=placed.fill_null(newest))
    is_read = pl.col("near").is_null() | pl.col("near").is_between(period.first, period.last)
    return rows.filter(is_read).drop("near")


def _has_too_many(misplaced: pl.DataFrame) -> bool:
    counts = misplaced.group_by("place").len()
    return counts.filter((pl.col("len") > _MOST_MISPLACED) | pl.col("place").is_null()).height > 0


def _described(misplaced: pl.DataFrame) -> str:
    line, whole, day = misplaced.select("line", "raw_line", "date").row(0)
    return f"line {line} ({whole!r})" if whole is not None else f"line {line}, dated {day!r}"


@dataclass(frozen=True)
class HttpSource:
    """One CSV file per symbol on a server. Each is asked for once, then all is as with files."""

    download: Callable[[str], Path]
    symbols: tuple[str, ...]
    period: Period
    max_lag_days: int | None

    def days(self) -> list[date]:
        """All sessions from the first to the last day to which any symbol has a row, strays left out."""
        return self._files.days()

    def faults(self) -> list[str]:
        """Symbols whose file the server refuses or cannot give, or that have no usable one, in a sentence each."""
        return self._files.faults()

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Write the rows that belong to `day`, by symbol and date."""
        return self._files.extract(table, day, file)

    @cached_property
    def _files(self) -> FileSource:
        files: dict[str, Path] = {}
        refused, outages_in_a_row = [], 0
        for symbol in self.symbols:
            try:
                files[symbol] = self.download(symbol)
                outages_in_a_row = 0
            except ValueError as error:
                refused.append(str(error))
            except ConnectionError as error:
                outages_in_a_row += 1
                if outages_in_a_row == min(_OUTAGES_OF_A_SERVER, len(self.symbols)):
                    raise
                refused.append(str(error))
        return FileSource(files, self.period, self.max_lag_days, lacking=tuple(refused))


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
    today: date = field(default_factory=lambda: datetime.now(UTC).date())

    def days(self) -> list[date]:
        """All sessions from the first to the last day of any symbol, strays left out; none before there is any.

        A session on which all of them lack a row is among them, so that validation meets it.
        """
        return self.period.sessions(self._body.first, self._body.last) if self._body else []

    def faults(self) -> list[str]:
        """Symbols with more strays than a day can bear, in a sentence each."""
        most = _MOST_MISPLACED if self.days() else 0
        return [
            f"market.prices of {symbol} has {count:,} rows that are left out: their date cannot be right, e.g. "
            f"{day}. Correct them, or set `first_day` and `last_day`."
            for symbol, (count, day) in self._strays.items()
            if count > most
        ]

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Stream the rows that belong to `day` into `file`, by symbol and date."""
        if not self._columns:
            return None
        belonging = self.period.belonging_to(day)
        with_few_strays = [name for name in self.symbols if self._strays.get(name, (0, ""))[0] <= _MOST_MISPLACED]
        values = {
            **self._bounds,
            "from": belonging.first,
            "to": belonging.last,
            "symbols": list(self.symbols),
            "with_few_strays": with_few_strays,
        }
        strays = f"or {_IS_STRAY} and symbol = any(%(with_few_strays)s)" if self.days()[-1:] == [day] else ""
        query = (
            f"select {', '.join(self._columns)} from market.prices where symbol = any(%(symbols)s)"
            f" and (date between %(from)s and %(to)s {strays}) order by symbol, date"
        )
        with self.connection, self.connection.cursor() as cursor, file.open("wb") as target:
            rows = cursor.mogrify(query, values).decode()
            cursor.copy_expert(f"copy ({rows}) to stdout with (format csv, header, encoding 'UTF8')", target)
            return Extracted(records=cursor.rowcount)

    @cached_property
    def _body(self) -> Period | None:
        """The days from the first plausible one to the last session; None where there are no rows."""
        if not self._columns:
            return None
        earliest, latest = self._end_days("asc"), self._end_days("desc")
        return _until_last_session(first_plausible(earliest), first_plausible(latest)) if earliest else None

    def _end_days(self, order: Literal["asc", "desc"]) -> list[date]:
        """The days at one end of the symbols' rows, from the outermost on: enough to tell which are strays."""
        rows = self._fetch(
            "select distinct ends.date from unnest(%(symbols)s) as symbols (name), lateral"
            " (select date from market.prices where symbol = name and date between %(from)s and %(to)s"
            f" order by date {order} limit {DAYS_THAT_TELL}) as ends order by date {order}",
            {
                "symbols": list(self.symbols),
                "from": max(self.period.first, FIRST_DAY),
                "to": min(self.period.last, self.today),
            },
        )
        return [day for (day,) in rows]

    @cached_property
    def _strays(self) -> dict[str, tuple[int, str]]:
        """By symbol, how many rows lie within the period but outside the body, and the day of one.

        The day is a text, as no date of Python says `infinity` or 0044-03-15 BC.
        """
        if not self._columns:
            return {}
        rows = self._fetch(
            "select symbol, count(*), max(date)::text from market.prices"
            f" where symbol = any(%(symbols)s) and {_IS_STRAY} group by symbol order by symbol",
            {"symbols": list(self.symbols), **self._bounds},
        )
        return {symbol: (count, day) for symbol, count, day in rows}

    @property
    def _bounds(self) -> dict[str, date | str]:
        """The body's ends and the period's; without a body, all rows are outside it."""
        body = self._body or Period(date.max, date.min)
        first, last = self.period.first, self.period.last
        return {
            "first": body.first,
            "last": body.last,
            "period_first": "-infinity" if first == date.min else first,
            "period_last": "infinity" if last == date.max else last,
        }

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
        return [name for name in COLUMNS if name in present]

    def _fetch(self, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(query, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows


_IS_STRAY = "((date < %(first)s or date > %(last)s) and date between %(period_first)s and %(period_last)s)"


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
    if not settings.path.is_dir():
        raise FileNotFoundError(
            f"The folder {settings.path} does not exist; correct `path` in the market's source settings."
        )
    return {
        symbol: settings.path / settings.file_name.format(symbol=symbol, symbol_lower=symbol.lower())
        for symbol in settings.symbols
    }


def _check_template(setting: str, template: str, others: set[str]) -> None:
    names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    symbols = {"symbol", "symbol_lower"}
    if not names & symbols or not names <= symbols | others:
        also = "".join(f", and may have {{{name}}}" for name in sorted(others))
        raise ValueError(
            f"`{setting}` is {template!r}; it needs {{symbol}}, the symbol as it is, or {{symbol_lower}}{also}, "
            "and nothing else in braces."
        )

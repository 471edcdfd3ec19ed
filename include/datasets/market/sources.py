"""Where prices come from: files, one per symbol, an HTTP server that gives such files, or PostgreSQL.

Each row belongs to a session. One dated on a day without a session belongs to the next session; one whose date
nobody can read, to that of the nearest dated row before it in its file; one dated after today, years away from
all others, or after the last session that there are rows of, to the newest. There the rules set it aside: it stops
nothing, and nobody has to wonder where it went. Where a symbol has more such rows than a day can bear, they are
left out; that, and a symbol without a file, is a fault of the source. All other rows go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from include.datasets.market.file_source import FileSource
from include.datasets.market.periods import Period
from include.datasets.market.postgres_source import PostgresSource
from include.datasets.market.source_settings import SETTINGS, FileSettings, HttpSettings, PostgresSettings
from include.lifecycle.specs import Extracted, Source

_OUTAGES_OF_A_SERVER = 3
"""Where so many symbols in a row cannot be had, the server is down; fewer are faults of these symbols."""


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
    checked = SETTINGS.validate_python(dict(settings))
    match checked:
        case FileSettings():
            return FileSource(_files(checked), checked.period, checked.max_lag_days)
        case HttpSettings():
            return _http_source(checked, connect)
        case PostgresSettings():
            connection = connect(checked.connection)
            return PostgresSource(connection, checked.symbols, checked.period, checked.max_lag_days)


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

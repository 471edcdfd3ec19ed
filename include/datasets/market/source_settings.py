"""What the source settings of the market say."""

from __future__ import annotations

import string
import tempfile
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, TypeAdapter, model_validator

from include.datasets.market.columns import SYMBOL_PATTERN
from include.datasets.market.periods import Period
from include.sources.settings import MaxLagDays, SourceSettings

Symbol = Annotated[str, StringConstraints(pattern=SYMBOL_PATTERN)]


class _Settings(SourceSettings):
    symbols: tuple[Symbol, ...] = Field(min_length=1, description="In capitals, e.g. AAPL.")
    first_day: date | None = Field(None, description="Earlier rows are not read.")
    last_day: date | None = Field(None, description="Later rows are not read.")
    max_lag_days: MaxLagDays | None = 5

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
SETTINGS: TypeAdapter[FileSettings | HttpSettings | PostgresSettings] = TypeAdapter(Settings)


def _check_template(setting: str, template: str, others: set[str]) -> None:
    names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    symbols = {"symbol", "symbol_lower"}
    if not names & symbols or not names <= symbols | others:
        also = "".join(f", and may have {{{name}}}" for name in sorted(others))
        raise ValueError(
            f"`{setting}` is {template!r}; it needs {{symbol}}, the symbol as it is, or {{symbol_lower}}{also}, "
            "and nothing else in braces."
        )

"""Folders with a file of prices for each symbol."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from include.datasets.market.sources import make_source
from include.lifecycle.specs import Source

HEADER = "Date,Open,High,Low,Close,Volume,OpenInt"
AAPL = """\
2017-06-30,36.00,36.2,35.9,36.10,1200,0
2017-07-03,36.1,36.4,36.0,36.3,900,0
2017-07-06,36.3,36.5,36.1,36.40,1.5e3,0
"""
MSFT = """\
2017-07-03,68.1,68.4,68.0,68.3,0,0
2017-07-07,68.3,68.5,68.1,,700,0
"""
FRIDAY, HALF_DAY, WEDNESDAY, THURSDAY, LAST = (
    date(2017, 6, 30),
    date(2017, 7, 3),
    date(2017, 7, 5),
    date(2017, 7, 6),
    date(2017, 7, 7),
)


def no_connection(connection_id: str) -> Any:
    raise AssertionError(f"The file source asked for the connection {connection_id!r}.")


def write(folder: Path, **bodies: str) -> None:
    for symbol, body in bodies.items():
        (folder / f"{symbol.lower()}.us.txt").write_text(f"{HEADER}\n{body}")


def source(folder: Path, *symbols: str, **settings: Any) -> Source:
    return make_source({"kind": "files", "path": str(folder), "symbols": symbols, **settings}, no_connection)


def extracted(origin: Source, day: date, folder: Path) -> list[str]:
    file = folder / "extracted.csv"
    assert origin.extract("prices", day, file)
    header, *rows = file.read_text().splitlines()
    assert header == "symbol,date,open,high,low,close,volume"
    return rows

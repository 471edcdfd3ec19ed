"""The market's sources, and what the ETL makes of their days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from include.datasets.market import MARKET
from include.datasets.market.sources import make_source
from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.features import build_features
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.specs import Source
from include.lifecycle.storage.lake import Lake, RunInfo
from include.samples.market import MarketSettings

UNTIL = date(2026, 6, 30)
SMALL = MarketSettings(history_days=80, halts=())


def database(connection: Any, *symbols: str, **settings: Any) -> Source:
    made = {"kind": "postgres", "connection": "market_db", "symbols": symbols or SMALL.symbols, **settings}
    return make_source(made, {"market_db": connection}.__getitem__)


def etl(lake: Lake, source: Source, days: Sequence[date], run: RunInfo) -> list[DayVerdict]:
    """What the DAG does with a chunk of days."""
    extract(MARKET, lake, source, days, run)
    verdicts = validate(MARKET, lake, days, run)
    build_features(MARKET, lake, [verdict.day for verdict in verdicts if verdict.accepted], run)
    return verdicts


def execute(connection: Any, statement: str, *values: Any) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, values or None)

"""One more day of the market, from the source to published signals, on a short and on a long history.

What lies before the day is put into the lake as the ETL would have left it; then the functions of the DAGs do it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812
from rich.console import Console
from rich.table import Table

from benchmarks.processes import in_a_new_process
from benchmarks.ratios import Ratio
from benchmarks.scoring import lake_at, services, timed
from include.datasets.market import MARKET
from include.datasets.market.features import SCHEMA
from include.lifecycle.ingestion import extraction, features, planning
from include.lifecycle.ingestion.feature_version import version_input
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.ingestion.verdicts import DayVerdict, TableVerdict
from include.lifecycle.modelling.intervals import Interval
from include.lifecycle.promotion import ledger
from include.lifecycle.scoring import planning as scoring_planning
from include.lifecycle.scoring import publishing, scorers, scoring
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from include.models.returns import RETURNS
from include.samples.market import MarketSettings, ensure_market

SYMBOLS = int(os.environ.get("MARKET_SYMBOLS", "1000"))
HISTORIES = (252, 2520)
MAX_RATIO = 1.3
LAST = date(2025, 12, 31)
HISTORY_LOOKED_AT = 130
RUN = RunInfo("benchmark", datetime(2026, 1, 1, tzinfo=UTC), "benchmark")
INTERVAL = Interval("volatility_21d", multiple=0.2, nominal=0.8, measured=0.8)
STEPS = ("plan", "extract", "validate", "features", "score", "publish")


def fill_lake(lake: Lake, connection: Connection, sessions: Sequence[date], scratch: Path) -> None:
    """Clean prices, features and predictions of `sessions`; rows only where the new day looks at them."""
    looked_at = set(sessions[-HISTORY_LOOKED_AT:])
    source = pl.read_database("select * from market.prices order by symbol", connection, infer_schema_length=None)
    rows = source.cast(pl.Schema(MARKET.table("prices").columns))
    empty = rows.clear()
    no_features = pl.DataFrame(schema=SCHEMA)
    verdict = scratch / "verdict.json"
    for day in sessions:
        clean = rows.filter(pl.col("date") == day) if day in looked_at else empty
        lake.publish_frame(MARKET.clean("prices"), day, clean, run=RUN, scratch=scratch)
        version = version_input(MARKET)
        lake.publish_frame(MARKET.features_prefix, day, no_features, run=RUN, scratch=scratch, inputs=version)
        verdict.write_text(accepted(day, clean.height).model_dump_json())
        lake.publish(MARKET.validation_prefix, day, [LocalFile(verdict)], run=RUN)
        lake.publish_frame(RETURNS.predictions_prefix, day, no_features, run=RUN, scratch=scratch)


def accepted(day: date, rows: int) -> DayVerdict:
    """The verdict on a day of which all rows are good."""
    table = TableVerdict(
        lines=rows,
        rows=rows,
        good=rows,
        good_lines=rows,
        quarantined=0,
        quarantined_lines=0,
        rules={},
        problems=(),
        warnings=(),
    )
    return DayVerdict(day=day, accepted=True, stale=False, tables={"prices": table})


def one_more_day(lake: Lake, connection: Connection, day: date, symbols: Sequence[str]) -> dict[str, float]:
    """Seconds of each step, from the source to the published signals of `day`; days read again are among it."""
    source = MARKET.make_source(
        {"kind": "postgres", "connection": "company", "symbols": symbols}, lambda _: connection
    )
    estimator = RETURNS.baseline(7)
    estimator.fit([[0.0]], [0.0])
    planned: list[date] = []

    def plan() -> None:
        planned.extend(planning.plan(MARKET, lake, source, None, day))

    def extract() -> None:
        extraction.extract(MARKET, lake, source, planned, RUN)

    def score() -> None:
        for scored, version in scoring_planning.plan(RETURNS, lake, connection, None).items():
            scoring.score(RETURNS, lake, scored, scorers.Scorer(estimator, version, INTERVAL), RUN)

    work: dict[str, Any] = {
        "plan": plan,
        "extract": extract,
        "validate": lambda: validate(MARKET, lake, planned, RUN),
        "features": lambda: features.build_features(
            MARKET, lake, features.features_to_build(MARKET, lake, planned, day).days, RUN
        ),
        "score": score,
        "publish": lambda: publishing.publish(RETURNS, lake, connection, day, RUN),
    }
    return {step: timed(work[step]) for step in STEPS}


def names(symbols: int) -> tuple[str, ...]:
    """So many symbols."""
    return tuple(f"S{number:04d}" for number in range(symbols))


def measure(history: int, symbols: int) -> dict[str, float]:
    """Seconds of each step after so many sessions."""
    with TemporaryDirectory() as folder, services(Path(folder)) as (endpoint, dsn):
        lake = lake_at(endpoint)
        settings = MarketSettings(symbols=names(symbols), history_days=history, halts=())
        with closing(psycopg2.connect(dsn)) as connection:
            sessions = ensure_market(connection, settings, LAST)
            fill_lake(lake, connection, sessions[:-2], Path(folder))
            ledger.record(
                connection,
                ledger.Entry("returns", "baseline", 1, None, 1, sessions[-2], "benchmark", "", {}, "benchmark"),
            )
            one_more_day(lake, connection, sessions[-2], settings.symbols)  # loads the libraries
            return one_more_day(lake, connection, sessions[-1], settings.symbols)


def main(share: float = 1.0) -> list[Ratio]:
    symbols = round(share * SYMBOLS)
    table = Table("sessions before", *STEPS, "all, s", "ratio", title=f"One more day of {symbols:,} symbols")
    first = total = 0.0
    for history in HISTORIES:
        seconds = in_a_new_process(measure, history, symbols)
        total = sum(seconds.values())
        first = first or total
        table.add_row(
            f"{history:,}", *(f"{seconds[step]:.2f}" for step in STEPS), f"{total:.2f}", f"{total / first:.2f}"
        )
    table.caption = "ratio = all steps, beside those after the shortest history"
    Console().print(table)
    return [Ratio(f"one day after {HISTORIES[-1]:,} sessions / after {HISTORIES[0]:,}", total / first, MAX_RATIO)]

"""The portfolio of a day on the lake: weights, frontier, back-test, and the page that shows them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from include.lifecycle.reporting.pages import Verdict
from include.lifecycle.storage.lake import MANIFEST, Lake, LocalFile, Manifest, RunInfo, partition
from include.portfolio import inputs as sources
from include.portfolio import page
from include.portfolio.backtest import compare, figures, walk_forward
from include.portfolio.inputs import PORTFOLIO, PRICES, RETURNS, VOLATILITY, WEIGHTS, Inputs
from include.portfolio.settings import PortfolioSettings
from include.portfolio.weights import (
    Allocation,
    Moments,
    PortfolioError,
    Vector,
    allocate_all,
    check_cap,
    forecast_moments,
    frontier,
    round_weights,
    traded_value,
    turnover,
)

log = logging.getLogger(__name__)

REPORT = "reports/portfolio/portfolio"
LATEST = f"{PORTFOLIO}/latest.json"
SETTINGS = f"{PORTFOLIO}/settings.json"
"""The newest settings that a portfolio was made with. The time of writing tells which days may have older ones."""

CSV = "weights.csv"
SUMMARY = "summary.json"
VERDICT = "verdict.json"
FRONTIER = "frontier.parquet"
BACKTEST = "backtest.parquet"
BACKTEST_WEIGHTS = "backtest_weights.parquet"

_NAMED = 10

_WEIGHTS_SCHEMA = {
    "symbol": pl.String,
    "strategy": pl.String,
    "weight": pl.Float64,
    "previous_weight": pl.Float64,
    "expected_return": pl.Float64,
    "expected_volatility": pl.Float64,
    "note": pl.String,
}


def plan(lake: Lake, requested: tuple[date, date] | None, settings: PortfolioSettings) -> list[date]:
    """The days to make a portfolio for, oldest first.

    Without a request these are the days that have prices and predictions of both models, from the first one that
    has no portfolio, or one of other inputs or settings than there are now: each portfolio starts from the one
    before, so all later ones follow. A day whose portfolio was refused (see `make_or_refuse`) is done until its
    inputs or the settings change. A requested range (both ends included) is made whatever the lake has.

    Raises
    ------
    PortfolioError
        If none of the requested days has prices and both predictions.
    """
    ready = sorted(set.intersection(*(set(lake.days(prefix)) for prefix in (PRICES, RETURNS, VOLATILITY))))
    if requested is None:
        changed = _settings_written(lake, settings)
        if changed is None:
            return ready
        written = {prefix: lake.written(prefix) for prefix in (PRICES, RETURNS, VOLATILITY, PORTFOLIO, REPORT)}
        done = (_is_done(lake, day, written, settings, changed) for day in ready)
        first = next((place for place, fine in enumerate(done) if not fine), len(ready))
        return ready[first:]
    first_day, last_day = requested
    days = [day for day in ready if first_day <= day <= last_day]
    if not days:
        raise PortfolioError(
            f"No day from {first_day} to {last_day} has prices and predictions of both returns and volatility; "
            "run market_etl and the scoring of both models for these days first."
        )
    return days


def make(lake: Lake, day: date, settings: PortfolioSettings, run: RunInfo) -> dict[str, Any]:
    """Make and publish the portfolio of a day: its files, `latest.json`, then its page.

    The same inputs give the same bytes; where they have been made by this code already, nothing is done. Where
    another run changes an input meanwhile, the portfolio is made once more. Days are made one after the other, so
    nothing guards `latest.json` against another writer. Returns what the run shows: the day, the page's headline,
    and the symbols that are left out, with the reasons.

    Raises
    ------
    PartitionNotFoundError
        If the day lacks prices, or predictions of one of the models.
    PortfolioError
        If the symbols that can be held are too few for the weight cap, or do not move.
    """
    return _make(lake, day, sources.digests(lake, day, settings), settings, run)


def _make(
    lake: Lake, day: date, inputs: Mapping[str, str], settings: PortfolioSettings, run: RunInfo
) -> dict[str, Any]:
    _note_settings(lake, settings)
    present = lake.intact(PORTFOLIO, day)
    done = present is not None and (present.inputs, present.code_version) == (inputs, run.code_version)
    done = done and _has_page(lake, day)
    while not done:
        with TemporaryDirectory() as folder:
            _publish(lake, day, inputs, settings, run, Path(folder))
        before, inputs = inputs, sources.digests(lake, day, settings)
        done = before == inputs
    return {
        "day": day.isoformat(),
        "verdict": lake.read_json(REPORT, day, VERDICT)["headline"],
        "excluded": lake.read_json(PORTFOLIO, day, SUMMARY)["excluded"],
    }


def make_or_refuse(lake: Lake, day: date, settings: PortfolioSettings, run: RunInfo) -> dict[str, Any]:
    """Do as `make`; where no portfolio can be made of the day's inputs, publish a page that says why instead.

    The page names the inputs, so that `plan` takes the day for done until one of them changes. A portfolio of the
    day that was made of earlier inputs stays. Returns what the run shows: for a refused day, the reason.
    """
    inputs = sources.digests(lake, day, settings)
    try:
        return _make(lake, day, inputs, settings, run)
    except PortfolioError as error:
        reason = str(error)
    log.warning("There is no portfolio of %s: %s", day, reason)
    verdict = page.refusal_of(reason)
    with TemporaryDirectory() as folder:
        _publish_report(lake, day, page.render_refusal(day, verdict), verdict, inputs, run, Path(folder))
    return {"day": day.isoformat(), "verdict": verdict.headline, "reason": reason}


def _note_settings(lake: Lake, settings: PortfolioSettings) -> None:
    if _settings_written(lake, settings) is None:
        lake.write_object(SETTINGS, settings.model_dump_json().encode())


def _settings_written(lake: Lake, settings: PortfolioSettings) -> datetime | None:
    """Since when portfolios are made with these settings, by the S3 server's clock; None for other ones."""
    try:
        found = lake.client.get_object(Bucket=lake.bucket, Key=SETTINGS)
    except lake.client.exceptions.NoSuchKey:
        return None
    # HTTP cuts the time to the second: whatever is written within that second may be older.
    changed: datetime = found["LastModified"] + timedelta(seconds=1)
    return changed if found["Body"].read() == settings.model_dump_json().encode() else None


def _has_page(lake: Lake, day: date) -> bool:
    """Whether the day's page shows the portfolio that the lake has now."""
    page_manifest = lake.intact(REPORT, day)
    return page_manifest is not None and page_manifest.inputs == lake.digests(PORTFOLIO, [day])


def _is_done(
    lake: Lake,
    day: date,
    written: Mapping[str, Mapping[date, datetime]],
    settings: PortfolioSettings,
    changed: datetime,
) -> bool:
    """Whether the day's page is of what there is now: its inputs, the settings since `changed`, the portfolio.

    Manifests are read only where times leave it open: the page is published last, so it is the newest of all.
    """
    if day not in written[REPORT]:
        return False
    before = max((made for made in written[PORTFOLIO] if made < day), default=None)
    times = [written[PRICES][session] for session in sources.sessions(written[PRICES], day, settings)]
    times += [written[RETURNS][day], written[VOLATILITY][day], changed]
    times += [] if before is None else [written[PORTFOLIO][before]]
    shown = written[REPORT][day]
    made = written[PORTFOLIO].get(day)
    if max(times) < shown and (made is None or max(times) < made < shown):
        return True
    inputs = sources.digests(lake, day, settings)
    page_manifest, portfolio = (lake.usable_manifest(prefix, day) for prefix in (REPORT, PORTFOLIO))
    if page_manifest is not None and page_manifest.inputs == inputs:  # the page of a refusal
        return True
    return portfolio is not None and portfolio.inputs == inputs and _has_page(lake, day)


def _publish(
    lake: Lake, day: date, inputs: Mapping[str, str], settings: PortfolioSettings, run: RunInfo, scratch: Path
) -> None:
    given = sources.read(lake, day, settings, scratch / "inputs")
    summary = _make_files(given, day, settings, scratch)
    manifest = _publish_files(lake, day, inputs, run, scratch)
    _advance_latest(lake, day, manifest)
    _publish_page(lake, day, summary, manifest, run, scratch)


def _make_files(given: Inputs, day: date, settings: PortfolioSettings, scratch: Path) -> dict[str, Any]:
    """Write all files of the portfolio to `scratch`; returns the summary."""
    _check_symbols(given, day, settings)
    window = given.returns.select("date", *given.symbols).tail(settings.window_sessions).drop_nulls()
    moments = _moments(given, window)
    chosen = _allocate(given, moments, settings)
    _write_weights(_weights(given, chosen), scratch)
    risks, expected = frontier(moments, settings)
    pl.DataFrame({"risk": risks, "expected_return": expected}).write_parquet(scratch / FRONTIER, statistics=False)
    backtest = walk_forward(given.returns, settings)
    backtest.returns.write_parquet(scratch / BACKTEST, statistics=False)
    backtest.weights.write_parquet(scratch / BACKTEST_WEIGHTS, statistics=False)
    compared = compare(backtest.returns, settings)
    summary = {
        "day": day.isoformat(),
        "symbols": given.symbols,
        "excluded": given.excluded,
        "suspected_splits": [
            {"symbol": symbol, "date": str(first), "ratio": ratio}
            for symbol, first, ratio in given.splits.sort("date", "symbol", descending=[True, False]).iter_rows()
        ],
        "window": {"first": str(window["date"][0]), "last": str(window["date"][-1]), "sessions": window.height},
        "strategies": _expectations(given, moments, chosen, settings),
        "backtest": {
            "figures": {
                name: asdict(row) for name, row in figures(backtest.returns, settings.risk_free_rate).items()
            },
            "against_equal_weight": {name: asdict(row) for name, row in compared.items()},
        },
        "settings": settings.model_dump(),
    }
    (scratch / SUMMARY).write_text(json.dumps(summary, indent=2))
    return summary


def _check_symbols(given: Inputs, day: date, settings: PortfolioSettings) -> None:
    try:
        check_cap(len(given.symbols), settings)
    except PortfolioError as error:
        named = [f"{symbol}: {reason}" for symbol, reason in given.excluded.items()]
        rest = f"; and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        raise PortfolioError(f"{error} Left out on {day}: {'; '.join(named[:_NAMED])}{rest}.") from error


def _moments(given: Inputs, window: pl.DataFrame) -> Moments:
    expected = (given.expected_returns, given.expected_volatilities)
    means, volatilities = (np.array([values[name] for name in given.symbols]) for values in expected)
    return forecast_moments(window.drop("date").to_numpy(), means, volatilities)


def _allocate(given: Inputs, moments: Moments, settings: PortfolioSettings) -> dict[str, Allocation]:
    """The weights of each strategy, rounded as they are published."""
    previous = {name: _held(given, name) for name in given.previous}
    return {
        name: Allocation(round_weights(chosen.weights, settings.max_weight), chosen.note)
        for name, chosen in allocate_all(moments, settings, previous).items()
    }


def _held(given: Inputs, strategy: str) -> Vector:
    """What a strategy holds of the symbols that can be held."""
    return np.array([given.previous[strategy].get(symbol, 0.0) for symbol in given.symbols])


def _weights(given: Inputs, chosen: Mapping[str, Allocation]) -> pl.DataFrame:
    """A row per strategy and symbol, also for symbols that were held and have to be sold."""
    rows: list[tuple[str | float | None, ...]] = []
    for strategy, allocation in chosen.items():
        held = given.previous.get(strategy)
        for symbol, weight in zip(given.symbols, allocation.weights, strict=True):
            before = None if held is None else round(held.get(symbol, 0.0), 6)
            expected = given.expected_returns[symbol], given.expected_volatilities[symbol]
            rows.append((symbol, strategy, float(weight), before, *expected, allocation.note))
        for symbol, weight in (held or {}).items():
            if symbol not in given.symbols and weight > 0:
                note = f"sold: {given.excluded.get(symbol, 'no price any more')}"
                rows.append((symbol, strategy, 0.0, round(weight, 6), None, None, note))
    return pl.DataFrame(rows, schema=_WEIGHTS_SCHEMA, orient="row")


def _expectations(
    given: Inputs, moments: Moments, chosen: Mapping[str, Allocation], settings: PortfolioSettings
) -> dict[str, dict[str, Any]]:
    """What is expected of each strategy, annual, and what changing to it takes, as shares of the portfolio."""
    expectations = {}
    for name, allocation in chosen.items():
        previous = _held(given, name) if name in given.previous else None
        traded = traded_value(allocation.weights, previous)
        expectations[name] = {
            "expected_return": moments.expected_return(allocation.weights),
            "expected_volatility": moments.volatility(allocation.weights),
            "turnover": turnover(allocation.weights, previous),
            "traded_value": traded,
            "cost": traded * settings.cost_rate,
            "note": allocation.note,
        }
    return expectations


def _write_weights(weights: pl.DataFrame, scratch: Path) -> None:
    weights.write_parquet(scratch / WEIGHTS, statistics=False)
    weights.write_csv(scratch / CSV, float_precision=6)


def _publish_files(lake: Lake, day: date, inputs: Mapping[str, str], run: RunInfo, scratch: Path) -> Manifest:
    tables = [WEIGHTS, FRONTIER, BACKTEST, BACKTEST_WEIGHTS]
    rows = {name: pl.read_parquet(scratch / name).height for name in tables}
    files = [LocalFile(scratch / name, rows[name]) for name in tables]
    files += [LocalFile(scratch / CSV, rows[WEIGHTS]), LocalFile(scratch / SUMMARY)]
    return lake.publish(PORTFOLIO, day, files, run=run, schema=_WEIGHTS_SCHEMA, inputs=inputs)


def _publish_page(
    lake: Lake, day: date, summary: Mapping[str, Any], manifest: Manifest, run: RunInfo, scratch: Path
) -> None:
    """Publish the page of the files as they are on the lake."""
    tables = {name: pl.read_parquet(scratch / name) for name in (WEIGHTS, FRONTIER, BACKTEST)}
    verdict = page.verdict_of(summary, tables[BACKTEST])
    folder = lake.uri(partition(PORTFOLIO, day))
    html = page.render_portfolio(summary, tables[WEIGHTS], tables[FRONTIER], tables[BACKTEST], folder)
    _publish_report(lake, day, html, verdict, {partition(PORTFOLIO, day): manifest.digest}, run, scratch)


def _publish_report(
    lake: Lake, day: date, html: str, verdict: Verdict, inputs: Mapping[str, str], run: RunInfo, scratch: Path
) -> None:
    (scratch / "index.html").write_text(html)
    (scratch / VERDICT).write_text(json.dumps(asdict(verdict), indent=2))
    files = [LocalFile(scratch / "index.html"), LocalFile(scratch / VERDICT)]
    lake.publish(REPORT, day, files, run=run, inputs=inputs)


def _advance_latest(lake: Lake, day: date, manifest: Manifest) -> None:
    """Let `latest.json` name the day, or the newest one where that is a later one."""
    newest, named = lake.newest(PORTFOLIO, since=day) or (day, manifest)
    content = {
        "day": newest.isoformat(),
        "manifest": f"{partition(PORTFOLIO, newest)}/{MANIFEST}",
        "files": [file.model_dump() for file in named.files],
        "rows": named.file(WEIGHTS).rows,
    }
    lake.write_object(LATEST, json.dumps(content, indent=2).encode())

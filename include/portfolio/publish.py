"""The portfolio of a day on the lake: weights, frontier, back-test, and the page that shows them."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl

from include.lifecycle.reporting.pages import Verdict
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo, partition
from include.portfolio import carried, page, planning
from include.portfolio import inputs as sources
from include.portfolio.allocation import WEIGHTS_SCHEMA, allocated
from include.portfolio.inputs import PORTFOLIO, REPORT, WEIGHTS, Inputs, Sources
from include.portfolio.settings import PortfolioSettings
from include.portfolio.summary import SUMMARY, PortfolioSummary
from include.portfolio.weights import PortfolioError

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

CSV = "weights.csv"
VERDICT = "verdict.json"
FRONTIER = "frontier.parquet"


def make(
    lake: Lake, connection: extensions.connection, day: date, settings: PortfolioSettings, run: RunInfo
) -> dict[str, Any]:
    """Make and publish the portfolio of a day: its files, `latest.json`, then its page.

    The same inputs give the same bytes; where they have been made by this code already, nothing is done. Where
    another run changes an input meanwhile, the portfolio is made once more. Returns what the run shows: the day,
    the page's headline, and the symbols that are left out, with the reasons.

    Raises
    ------
    PartitionNotFoundError
        If the day lacks prices, or predictions of one of the models.
    PortfolioError
        If the symbols that can be held are too few for the weight cap, or do not move.
    """
    return _make(lake, connection, day, sources.pin(lake, day, settings), run)


def make_or_refuse(
    lake: Lake, connection: extensions.connection, day: date, settings: PortfolioSettings, run: RunInfo
) -> dict[str, Any]:
    """Do as `make`; where no portfolio can be made of the day's inputs, publish a page that says why instead.

    The page names the inputs, so that `plan` takes the day for done until one of them changes. A portfolio of the
    day that was made of earlier inputs stays. Returns what the run shows: for a refused day, the reason.
    """
    pinned = sources.pin(lake, day, settings)
    try:
        return _make(lake, connection, day, pinned, run)
    except PortfolioError as error:
        reason = str(error)
    log.warning("There is no portfolio of %s: %s", day, reason)
    verdict = page.refusal_of(reason)
    with TemporaryDirectory() as folder:
        files = _write_report(page.render_refusal(day, verdict), verdict, Path(folder))
        lake.publish(REPORT, day, files, run=run, inputs=pinned.inputs)
    return {"day": day.isoformat(), "verdict": verdict.headline, "reason": reason}


def _make(
    lake: Lake, connection: extensions.connection, day: date, pinned: Sources, run: RunInfo
) -> dict[str, Any]:
    planning.note_settings(lake, pinned.settings)
    if _is_made(lake, day, pinned, run):
        latest.advance(lake, connection, PORTFOLIO, day, WEIGHTS)
    else:
        _publish_until_settled(lake, connection, day, pinned, run)
    return {
        "day": day.isoformat(),
        "verdict": lake.read_json(REPORT, day, VERDICT)["headline"],
        "excluded": lake.read_json(PORTFOLIO, day, SUMMARY)["excluded"],
    }


def _publish_until_settled(
    lake: Lake, connection: extensions.connection, day: date, pinned: Sources, run: RunInfo
) -> None:
    """Publish the portfolio, once more if its inputs were replaced meanwhile."""
    is_settled = False
    while not is_settled:
        with TemporaryDirectory() as folder:
            _publish(lake, connection, day, pinned, run, Path(folder))
        before, pinned = pinned, sources.pin(lake, day, pinned.settings)
        is_settled = before.inputs == pinned.inputs


def _is_made(lake: Lake, day: date, pinned: Sources, run: RunInfo) -> bool:
    """Whether the portfolio is there, made by this code of what is pinned, with the page that shows it."""
    present = lake.intact(PORTFOLIO, day)
    if present is None or (present.inputs, present.code_version) != (pinned.inputs, run.code_version):
        return False
    shown = lake.intact(REPORT, day)
    return shown is not None and shown.inputs == {partition(PORTFOLIO, day): present.digest}


def _publish(
    lake: Lake, connection: extensions.connection, day: date, pinned: Sources, run: RunInfo, scratch: Path
) -> None:
    """Publish the files, `latest.json`, and last the page: `plan` takes a day with a page for done."""
    given = sources.read(pinned, day, scratch / "inputs")
    summary, files = _write_files(given, day, pinned.settings, scratch)
    manifest = lake.publish(PORTFOLIO, day, files, run=run, schema=WEIGHTS_SCHEMA, inputs=pinned.inputs)
    latest.advance(lake, connection, PORTFOLIO, day, WEIGHTS)
    tables = {name: pl.read_parquet(scratch / name) for name in (WEIGHTS, FRONTIER, carried.BACKTEST)}
    verdict = page.verdict_of(summary, tables[carried.BACKTEST])
    folder = lake.uri(partition(PORTFOLIO, day))
    html = page.render_portfolio(summary, tables[WEIGHTS], tables[FRONTIER], tables[carried.BACKTEST], folder)
    shown = {partition(PORTFOLIO, day): manifest.digest}
    lake.publish(REPORT, day, _write_report(html, verdict, scratch), run=run, inputs=shown)


def _write_files(
    given: Inputs, day: date, settings: PortfolioSettings, scratch: Path
) -> tuple[PortfolioSummary, list[LocalFile]]:
    """Write all files of the portfolio to `scratch`."""
    made = allocated(given, day, settings)
    made.weights.write_parquet(scratch / WEIGHTS, statistics=False)
    made.weights.write_csv(scratch / CSV, float_precision=6)
    made.frontier.write_parquet(scratch / FRONTIER, statistics=False)
    (scratch / SUMMARY).write_text(made.summary.model_dump_json(indent=2))
    files = [
        LocalFile(scratch / WEIGHTS, made.weights.height),
        LocalFile(scratch / CSV, made.weights.height),
        LocalFile(scratch / FRONTIER, made.frontier.height),
        LocalFile(scratch / SUMMARY),
    ]
    return made.summary, [*files, *carried.write(given.past, settings, scratch)]


def _write_report(html: str, verdict: Verdict, scratch: Path) -> list[LocalFile]:
    (scratch / "index.html").write_text(html)
    (scratch / VERDICT).write_text(json.dumps(asdict(verdict), indent=2))
    return [LocalFile(scratch / "index.html"), LocalFile(scratch / VERDICT)]

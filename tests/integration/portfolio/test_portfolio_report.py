"""The page on a portfolio, from a real lake."""

from __future__ import annotations

import math
import re
import statistics
from pathlib import Path
from typing import Any

from include.lifecycle.storage.lake import Lake, RunInfo
from include.portfolio import publish
from include.portfolio.inputs import REPORT
from tests.integration.portfolio.markets import DAYS, SETTINGS, make_all, page_of, table_of


def test_the_page_shows_figures_that_can_be_worked_out_by_hand_from_the_published_rows(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    make_all(market, postgres, run)
    shown = figures_on(page_of(market, DAYS[-1], tmp_path))
    rows = table_of(market, DAYS[-1], tmp_path, "backtest.parquet").sort("date")

    assert set(shown) == {"equal weight", "minimum variance", "maximum Sharpe", "risk parity"}
    for strategy, figures in shown.items():
        mine = rows.filter(strategy=strategy)
        net, traded = mine["net_return"].to_list(), mine["traded_value"].to_list()
        years = len(net) / 252
        values = [1.0]
        for change in net:
            values.append(values[-1] * (1 + change))
        falls = [value / max(values[: place + 1]) - 1 for place, value in enumerate(values)]
        assert figures == {
            "return": f"{100 * (values[-1] ** (1 / years) - 1):.1f} %",
            "volatility": f"{100 * statistics.pstdev(net) * math.sqrt(252):.1f} %",
            "Sharpe": f"{statistics.fmean(net) / statistics.pstdev(net) * math.sqrt(252):.2f}",
            "maximum drawdown": f"{100 * min(falls):.1f} %",
            "turnover": f"{100 * sum(traded[1:]) / 2 / years:.1f} %",
            "costs": f"{100 * 0.001 * sum(traded[1:]) / years:.3f} %",
        }


def test_the_page_has_the_verdict_as_its_headline(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    publish.make(market, postgres, DAYS[-1], SETTINGS, run)

    verdict = market.read_json(REPORT, DAYS[-1], "verdict.json")
    assert f"<h1>{verdict['headline']}</h1>" in page_of(market, DAYS[-1], tmp_path)


def figures_on(page: str) -> dict[str, dict[str, str]]:
    """The table of the back-test as the page has it: by strategy, column to text."""
    section = page[page.index("<h2>Back-test in figures</h2>") :]
    table = section[: section.index("</table>")].replace("\xa0", " ")
    _, *names = re.findall(r"<th[^>]*>(.*?)</th>", table)
    cells = [re.findall(r"<td[^>]*><span>(.*?)</span></td>", row) for row in table.split("<tr>")[2:]]
    return {strategy: dict(zip(names, texts, strict=True)) for strategy, *texts in cells}

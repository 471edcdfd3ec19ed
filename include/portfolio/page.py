"""The portfolio as a page: does optimising pay, what to hold, and what it would have brought."""

from __future__ import annotations

from datetime import date

import polars as pl

from include.lifecycle.reporting.pages import Cell, Page, Section, Table, Verdict, percent, render
from include.portfolio import charts
from include.portfolio.backtest import BLOCK_SESSIONS, figures, growth
from include.portfolio.strategies import EQUAL_WEIGHT, MAXIMUM_SHARPE
from include.portfolio.summary import PortfolioSummary

_ALLOCATION = (
    "What each strategy holds from this close on, in percent of the portfolio; the dotted line is the weight cap."
)
_CHANGES = (
    "Against the weights held until now, as the prices have moved them, in percent of the portfolio: plus is to "
    "be bought, minus to be sold."
)
_FRONTIER = (
    "The line is the highest return that can be expected for each risk under the weight cap. A strategy below it "
    "takes risk that its expected return does not pay for, or was held back by the turnover cap. Expected returns "
    "and volatilities are the models' predictions; the correlations are those of the past."
)
_FLAT_FRONTIER = (
    "All symbols have the same expected return, so there is no trade-off and no line: less risk is all that "
    "can be chosen."
)
_FLAT_SHARPE = "as minimum variance, since all expected returns are equal"
_GROWTH = (
    "Equal steps up are equal growth rates, net of costs. Where the lines run close, what separates them is small "
    "beside their common ups and downs. Held are symbols that had enough history at the time, also those "
    "that are gone today; whom the source never had cannot be among them. If it lists only who is traded today, "
    "all lines flatter. The comparison between the lines suffers less from that."
)
_METHOD = (
    "At each rebalancing only returns until that close are used: shrunk covariance (Ledoit and Wolf), and for "
    "maximum Sharpe means shrunk towards their average (Bayes-Stein) in place of predictions, which most of these "
    "days lack. Bought at that same close, which nobody quite manages. A symbol that is not traded keeps its last "
    "value, and is sold at it if it is still not traded at the next rebalancing, which flatters where a company "
    "went under. The return is compounded, the Sharpe ratio made of the mean daily return, so that the two may "
    "differ in sign."
)
_SPLITS = (
    "The price opened near a usual fraction of its last close, or a multiple: most likely a split that the source "
    "has not adjusted for. The return of such a day is taken from open to close, for covariance, back-test "
    "and the weights held until now; if the jump was real, they miss it. Adjust the source, and redo the days "
    "before the split with market_etl."
)
_NEWEST = 20
_REFUSED = (
    "The day counts as done, and the days after it go on from the portfolio before it. It is tried again when "
    "its prices, its predictions or the settings change. A portfolio of this day that was published from earlier "
    "inputs stays as it is."
)


def verdict_of(summary: PortfolioSummary, backtest: pl.DataFrame) -> Verdict:
    """Whether any optimum beats equal weight by more than chance, in a sentence, and why."""
    compared = summary.backtest.against_equal_weight
    better, worse = (
        [name for name, row in compared.items() if row.answer == answer] for answer in ("better", "worse")
    )
    if not compared:
        needed = summary.settings.window_sessions + 1
        return Verdict(
            "neutral",
            "The history is too short for a back-test",
            f"It needs {needed} sessions of enough symbols. Nothing speaks against equal weight yet.",
        )
    reason = _reason(summary, backtest)
    if better:
        verb = "beats" if len(better) == 1 else "beat"
        return Verdict("good", f"By more than chance, {_listed(better)} {verb} equal weight", reason)
    if worse:
        return Verdict("warning", f"Equal weight beats {_listed(worse)} by more than chance", reason)
    return Verdict("neutral", "No optimum beats equal weight by more than chance", reason)


def render_portfolio(
    summary: PortfolioSummary,
    weights: pl.DataFrame,
    frontier: pl.DataFrame,
    backtest: pl.DataFrame,
    folder: str,
) -> str:
    """The page of the published files; `folder` is their address. Its back-test is recomputed from `backtest`."""
    return render(
        Page(
            title=f"Portfolio, {summary.day}",
            verdict=verdict_of(summary, backtest),
            sections=[
                *_held(summary, weights),
                *_left_out(summary),
                *_suspected_splits(summary),
                _expected(summary, is_flat=frontier.height <= 1),
                _trade_off(summary, frontier),
                *_backtest(summary, backtest),
            ],
            facts=_facts(summary, backtest, folder),
        )
    )


def refusal_of(reason: str) -> Verdict:
    """That no portfolio can be made of a day, and why."""
    return Verdict("bad", "There is no portfolio of this day", reason)


def render_refusal(day: date, verdict: Verdict) -> str:
    """The page of a day whose portfolio was refused."""
    return render(Page(title=f"Portfolio, {day}", verdict=verdict, sections=[Section("What now", _REFUSED)]))


def _reason(summary: PortfolioSummary, backtest: pl.DataFrame) -> str:
    measured = figures(backtest, summary.settings.risk_free_rate)
    ratios = ", ".join(f"{row.sharpe:.2f} {name}" for name, row in measured.items())
    answers = [row.answer for row in summary.backtest.against_equal_weight.values()]
    advice = "Without another reason, hold equal weight. " if "better" not in answers else ""
    return (
        f"Sharpe ratios after costs, {_span(backtest)}: {ratios}. {advice}"
        "A difference counts only where its whole confidence interval lies on one side of zero."
    )


def _held(summary: PortfolioSummary, weights: pl.DataFrame) -> list[Section]:
    figure = charts.draw_weights(weights, summary.settings.max_weight)
    held = Section("What to hold", _ALLOCATION, figure, _by_symbol(weights, pl.col("weight"), "z.1f"))
    if weights["previous_weight"].null_count() == weights.height:
        return [held]
    change = _by_symbol(weights, pl.col("weight") - pl.col("previous_weight").fill_null(0), "+z.1f")
    return [held, Section("What to trade", _CHANGES, table=change)]


def _by_symbol(weights: pl.DataFrame, value: pl.Expr, layout: str) -> Table:
    """A row per symbol and a column per strategy, in percent."""
    shown = weights.select("symbol", "strategy", share=100 * value)
    # A symbol that is sold has a row only with the strategies that held it.
    wide = shown.pivot("strategy", index="symbol", values="share").fill_null(0).sort("symbol")
    rows = [[symbol, *(f"{share:{layout}} %" for share in shares)] for symbol, *shares in wide.iter_rows()]
    return Table(wide.columns, rows)


def _left_out(summary: PortfolioSummary) -> list[Section]:
    if not summary.excluded:
        return []
    rows = [[symbol, reason] for symbol, reason in summary.excluded.items()]
    text = "These symbols are known and in no portfolio of this day."
    return [Section("Left out", text, table=Table(["symbol", "reason"], rows))]


def _suspected_splits(summary: PortfolioSummary) -> list[Section]:
    splits = summary.suspected_splits
    if not splits:
        return []
    rows: list[list[Cell]] = [[row.symbol, str(row.date), _ratio(row.ratio)] for row in splits[:_NEWEST]]
    caption = f"The newest {len(rows)} of {len(splits)}." if len(splits) > len(rows) else ""
    return [
        Section("Suspected splits", _SPLITS, table=Table(["symbol", "date", "new shares for old"], rows, caption))
    ]


def _expected(summary: PortfolioSummary, *, is_flat: bool) -> Section:
    rows: list[list[Cell]] = [
        [
            name,
            percent(row.expected_return, 1),
            percent(row.expected_volatility, 1),
            percent(row.turnover, 1),
            percent(row.traded_value, 1),
            percent(row.cost, 3),
            row.note or (_FLAT_SHARPE if is_flat and name == MAXIMUM_SHARPE else None),
        ]
        for name, row in summary.strategies.items()
    ]
    header = ["strategy", "return", "volatility", "turnover", "traded", "cost", "note"]
    text = (
        "Expected return and volatility per year; what changing over takes, in percent of the portfolio's value: "
        "turnover is what is sold of what was held (none at a first purchase), traded is what is bought or sold."
    )
    return Section("What to expect", text, table=Table(header, rows))


def _trade_off(summary: PortfolioSummary, frontier: pl.DataFrame) -> Section:
    text = _FRONTIER if frontier.height > 1 else _FLAT_FRONTIER
    return Section("Risk and return", text, charts.draw_frontier(frontier, summary.strategies))


def _backtest(summary: PortfolioSummary, backtest: pl.DataFrame) -> list[Section]:
    if backtest.is_empty():
        return []
    measured = figures(backtest, summary.settings.risk_free_rate)
    rows: list[list[Cell]] = [
        [
            name,
            percent(row.annual_return, 1),
            percent(row.volatility, 1),
            f"{row.sharpe:.2f}",
            percent(row.max_drawdown, 1),
            percent(row.turnover_per_year, 1),
            percent(row.costs_per_year, 3),
        ]
        for name, row in measured.items()
    ]
    header = ["strategy", "return", "volatility", "Sharpe", "maximum drawdown", "turnover", "costs"]
    caption = f"{_span(backtest)}, per year, after costs. Turnover and costs without the first purchase."
    return [
        Section("What it would have brought", _GROWTH, charts.draw_growth(growth(backtest))),
        Section("Back-test in figures", _METHOD, table=Table(header, rows, caption)),
        _against_equal_weight(summary),
    ]


def _against_equal_weight(summary: PortfolioSummary) -> Section:
    rows: list[list[Cell]] = [
        [name, f"{row.difference:+z.2f}", f"{row.low:+z.2f} to {row.high:+z.2f}", row.answer]
        for name, row in summary.backtest.against_equal_weight.items()
    ]
    text = (
        f"Sharpe ratio minus that of {EQUAL_WEIGHT}, on the same sessions. The intervals hold all the differences "
        f"together with 95 % confidence; they come of {summary.settings.bootstrap_samples:,} resamples of "
        f"blocks of {BLOCK_SESSIONS} sessions. One that holds zero is no evidence either way."
    )
    return Section(
        "By more than chance?", text, table=Table(["strategy", "difference", "interval", "answer"], rows)
    )


def _facts(summary: PortfolioSummary, backtest: pl.DataFrame, folder: str) -> dict[str, Cell]:
    settings, window = summary.settings, summary.window
    return {
        "Files": folder,
        "Symbols": ", ".join(summary.symbols),
        "Covariance from": (
            f"the {window.sessions} sessions from {window.first} to {window.last} on which all of them were traded"
        ),
        "Weight cap": percent(settings.max_weight),
        "Turnover cap": f"{percent(settings.max_turnover)} of the portfolio sold at a rebalancing",
        "Costs": f"{settings.cost_basis_points:g} basis points of the traded value",
        "Risk-free rate": percent(settings.risk_free_rate),
        "Back-test": f"{_span(backtest)}, rebalanced every {settings.rebalance_sessions} sessions",
        "Seed": str(settings.seed),
    }


def _span(backtest: pl.DataFrame) -> str:
    if backtest.is_empty():
        return "none"
    dates = backtest["date"]
    return f"{dates[0]} to {dates[-1]} ({dates.n_unique():,} sessions)"


def _ratio(ratio: float) -> str:
    return f"{ratio:g} for 1" if ratio >= 1 else f"1 for {1 / ratio:g}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

"""Charts of a portfolio: its weights, the frontier it lies on, and how it would have grown."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from include.lifecycle.reporting import charts
from include.lifecycle.reporting.pages import percent, unbreakable
from include.portfolio.strategies import EQUAL_WEIGHT, MAXIMUM_SHARPE, MINIMUM_VARIANCE, RISK_PARITY, STRATEGIES
from include.portfolio.summary import Expectation

STYLE = charts.STYLE
_COLORS = {
    EQUAL_WEIGHT: charts.INK,
    MINIMUM_VARIANCE: charts.ACCENT,
    MAXIMUM_SHARPE: charts.SECOND,
    RISK_PARITY: "#2e9e6b",
}
_LINES = dict(zip(STRATEGIES, ("-", "--", "-.", ":"), strict=True))
_MARKERS = dict(zip(STRATEGIES, ("o", "s", "^", "D"), strict=True))
_POINTS = 300
_FEW_STEPS = 3
"""Below this ratio of the ends, a logarithmic axis has hardly a round tick, and evenly spaced ones serve."""
_LEAST_HEIGHT = 0.01
"""Returns closer together than this are drawn on an axis of about this height."""


def draw_weights(weights: pl.DataFrame, max_weight: float) -> str:
    """Inline SVG: a panel per strategy with a bar per symbol, up to the weight cap."""
    symbols = weights["symbol"].unique().sort(descending=True).to_list()
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 1.6 + 0.42 * len(symbols)), layout="constrained")
        panels = figure.subplots(2, 2, sharex=True, sharey=True)
        for axes, strategy in zip(panels.flat, STRATEGIES, strict=True):
            held = dict(weights.filter(strategy=strategy).select("symbol", "weight").iter_rows())
            _draw_bars(axes, strategy, [held.get(symbol, 0.0) for symbol in symbols], max_weight)
            axes.set_yticks(range(len(symbols)), symbols)
        for axes in panels[-1]:
            axes.set_xlabel("Weight, share of the portfolio")
    return charts.to_svg(figure)


def draw_frontier(frontier: pl.DataFrame, expectations: Mapping[str, Expectation]) -> str:
    """Inline SVG: expected return against expected volatility, with the four strategies marked."""
    with rc_context(STYLE):
        figure, axes = _one_panel()
        if frontier.height > 1:
            axes.plot(frontier["risk"], frontier["expected_return"], color=charts.INK, alpha=0.5, label="frontier")
        for name, expected in expectations.items():
            place = [expected.expected_volatility], [expected.expected_return]
            axes.plot(*place, _MARKERS[name], color=_COLORS[name], markersize=8, label=name)
        axes.margins(0.12)
        returns = [expected.expected_return for expected in expectations.values()]
        if frontier.height <= 1 and max(returns) - min(returns) < _LEAST_HEIGHT:
            axes.set_ylim(min(returns) - _LEAST_HEIGHT / 2, max(returns) + _LEAST_HEIGHT / 2)
        axes.set(xlabel="Expected volatility, per year", ylabel="Expected return, per year")
        charts.show_percent(axes.xaxis, axes.yaxis)
        axes.legend()
    return charts.to_svg(figure)


def draw_growth(growth: pl.DataFrame) -> str:
    """Inline SVG of what 1 grew to by strategy, on a scale of ratios; `growth` has date, strategy, value."""
    with rc_context(STYLE):
        figure, axes = _one_panel()
        for name in STRATEGIES:
            line = growth.filter(strategy=name)
            shown = line.gather_every(max(1, line.height // _POINTS)).merge_sorted(line.tail(1), "date").unique()
            shown = shown.sort("date")
            axes.plot(shown["date"], shown["value"], color=_COLORS[name], linestyle=_LINES[name], label=name)
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        round_ratios = LogLocator(subs=(1, 1.5, 2, 3, 5, 7))
        axes.yaxis.set_major_locator(round_ratios if high / low >= _FEW_STEPS else AutoLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))  # type: ignore[no-untyped-call]
        axes.set(ylabel="Value of 1 invested at the start")
        axes.legend()
    return charts.to_svg(figure)


def _one_panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    return figure, figure.add_subplot()


def _draw_bars(axes: Axes, strategy: str, weights: list[float], max_weight: float) -> None:
    bars = axes.barh(range(len(weights)), weights, color=_COLORS[strategy], height=0.7)
    axes.bar_label(bars, [unbreakable(percent(weight, 1)) for weight in weights], padding=3, fontsize=8)
    axes.axvline(max_weight, color=charts.INK, linewidth=0.8, linestyle=":")
    axes.set_title(strategy, fontsize=10)
    axes.set_xlim(0, max(max_weight, *weights) * 1.3)
    axes.grid(visible=False, axis="y")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol="\u00a0%"))

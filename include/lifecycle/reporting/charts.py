"""The one way to draw: figures in one style, as files and as parts of a page."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

INK = "#1b2330"
ACCENT = "#2f6fdb"
SECOND = "#c7761a"
LINES = ((ACCENT, "-"), (SECOND, "--"))
"""Colour and style of the lines of a model, and of the baseline beside it."""
STYLE: Any = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "model card",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def draw(drawing: Callable[..., None], *data: Any) -> Figure:
    """A figure with a legend, on whose axes `drawing(axes, *data)` has drawn."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        drawing(axes, *data)
        axes.legend()
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure for viewers that show files; equal figures give equal files."""
    with rc_context(STYLE):
        figure.savefig(path, dpi=120, facecolor="white", metadata={"Software": None})


def to_svg(figure: Figure) -> str:
    """The figure as an SVG element that takes its colours from the page around it."""
    target = io.StringIO()
    with rc_context(STYLE):
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = target.getvalue()
    svg = svg[svg.index("<svg") :]
    return svg.replace(INK, "currentColor").replace(ACCENT, f"var(--accent, {ACCENT})")


def show_percent(*axes: Axis) -> None:
    """Show shares from 0 to 1 as per cent on these axes."""
    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1, symbol="\u00a0%"))

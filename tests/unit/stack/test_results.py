"""What the stack says of the lake when a pointer to the newest day is damaged."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from include.lifecycle.promotion.registry import VERDICT_TAG
from include.models.churn import CHURN
from include.models.returns import RETURNS
from include.models.volatility import VOLATILITY
from include.portfolio.strategies import MAXIMUM_SHARPE, MINIMUM_VARIANCE
from include.stack import results, summary
from include.stack.errors import StackError
from include.stack.settings import StackSettings

RESULTS = ("champion", "latest_predictions", "newest_report")
ALL_TITLES = (CHURN.title, VOLATILITY.title, RETURNS.title, "Signals", "Portfolio")


class OneObject:
    """A lake in which every object has the same bytes."""

    def __init__(self, body: bytes | None) -> None:
        self._body = body

    def read_object(self, key: str) -> bytes | None:
        return self._body

    def uri(self, key: str) -> str:
        return f"s3://lake/{key}"


def read(monkeypatch: pytest.MonkeyPatch, body: bytes | None) -> list[Any]:
    monkeypatch.setattr(results, "_lake", lambda _: OneObject(body))
    settings = StackSettings()
    return [results.latest_predictions(settings, "churn"), results.portfolio_day(settings)]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"day": 3}', b'{"day": "tomorrow"}', b"\xff"])
def test_a_damaged_pointer_is_a_sentence(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    with pytest.raises(StackError, match=r"predictions/churn/latest\.json does not name the newest day"):
        read(monkeypatch, body)


def test_no_pointer_is_no_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, None) == [None, None]


@pytest.mark.parametrize(("verdict", "is_baseline"), [("baseline", True), ("promoted", False)])
def test_the_summary_says_where_the_champion_is_the_naive_baseline_and_why(
    monkeypatch: pytest.MonkeyPatch, verdict: str, is_baseline: bool
) -> None:
    why = "The naive baseline is champion because version 1 was refused."
    # As a version has it that was registered before the metric had its present name.
    measured = [{"key": "holdout_skill_low", "value": 0.125}, {"key": "baseline_holdout_skill_low", "value": 0}]
    version = {
        "version": "2",
        "run_id": "r",
        "description": why,
        "tags": [{"key": VERDICT_TAG, "value": verdict}],
    }
    answers = {
        "registered-models/alias": {"model_version": version},
        "runs/get": {"run": {"data": {"metrics": measured}}},
    }
    monkeypatch.setattr(results, "_ask_mlflow", lambda _, path, **__: answers[path])
    console = Console(record=True, width=200)

    summary._show_champion(console, RETURNS, results.champion(StackSettings(), "returns"))

    shown = console.export_text()
    assert ("returns, version 2: the naive baseline" in shown) == is_baseline
    assert (why in shown) == is_baseline
    assert re.search(r"Lower end of the skill +0\.125 +0 ", shown)


@pytest.mark.parametrize(("share", "is_noted"), [(0.25, True), (0.3, False)])
def test_the_summary_says_where_two_strategies_hold_the_same(
    monkeypatch: pytest.MonkeyPatch, share: float, is_noted: bool
) -> None:
    held = pl.DataFrame({"symbol": ["AAA"], MINIMUM_VARIANCE: [0.25], MAXIMUM_SHARPE: [share]})
    monkeypatch.setattr(results, "portfolio_day", lambda _: date(2026, 3, 2))
    monkeypatch.setattr(results, "portfolio_weights", lambda _: held)
    console = Console(record=True, width=200)

    summary._show_portfolio(StackSettings(), console)

    shown = console.export_text()
    assert "25.0 %" in shown
    assert ("Maximum Sharpe holds the same as minimum variance" in shown) == is_noted


@pytest.mark.parametrize(
    ("dataset", "titles"),
    [
        ("customers", {CHURN.title}),
        ("market", {VOLATILITY.title, RETURNS.title, "Signals", "Portfolio"}),
        (None, {CHURN.title, VOLATILITY.title, RETURNS.title, "Signals", "Portfolio"}),
    ],
)
def test_the_summary_is_of_the_dataset_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, dataset: str | None, titles: set[str]
) -> None:
    monkeypatch.setattr(summary, "results", SimpleNamespace(**dict.fromkeys(RESULTS, lambda *_: None)))
    for title in ("Signals", "Portfolio"):
        show = partial(summary._heading, text=title)
        monkeypatch.setattr(summary, f"_show_{title.lower()}", lambda _, console, show=show: show(console))
    console = Console(record=True, width=200)

    summary.show(StackSettings(), console, dataset)

    lines = set(console.export_text().splitlines())
    assert {title for title in ALL_TITLES if title in lines} == titles


def test_the_summary_loads_no_solver() -> None:
    code = "import sys, include.stack.summary; print({'cvxpy', 'skfolio'} & set(sys.modules))"
    root = Path(__file__).parents[3]

    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"

"""The documented metrics are those there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.lifecycle.operations import metrics
from include.lifecycle.operations.metrics import Metric, Sample

ROOT = Path(__file__).parents[4]


def test_the_page_on_metrics_is_made_of_the_list() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == metrics.page(), (
        "run python -m include.lifecycle.operations.metrics"
    )


def test_each_metric_is_on_the_page_once() -> None:
    defined = [value for value in vars(metrics).values() if isinstance(value, Metric)]

    assert sorted(defined, key=lambda metric: metric.name) == sorted(
        metrics.every(), key=lambda metric: metric.name
    )
    assert len({metric.name for metric in defined}) == len(defined)


def test_a_sample_without_the_labels_of_its_metric_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ml_champion_version has the labels \['model'\], not \['dataset'\]"):
        Sample(metrics.CHAMPION, 1, {"dataset": "customers"})

"""The comparison of two samples with Evidently: distances per column, and its report with stable bytes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from include.lifecycle.monitoring.drift_samples import Samples
from include.lifecycle.monitoring.drift_verdict import ColumnEvidence
from include.lifecycle.specs import DriftPolicy

# Evidently sums over sets, whose order, and with it the last digits, changes from process to process.
DIGITS = 6
_RANDOM_ID = re.compile(r"metric_[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Comparison:
    """Evidence per column, and Evidently's report: None where no column has enough values."""

    columns: dict[str, ColumnEvidence]
    report: Any


def compare(
    samples: Samples, numeric: Sequence[str], categorical: Sequence[str], policy: DriftPolicy
) -> Comparison:
    """Measure how far each column of the current sample lies from the reference, by their values that are there.

    The rates of those missing are evidence of their own. `samples` are clipped, see `clip`.
    """
    methods = dict.fromkeys(numeric, (policy.numeric_method, policy.numeric_threshold))
    methods |= dict.fromkeys(categorical, (policy.categorical_method, policy.categorical_threshold))
    counts = {name: (samples.reference[name].count(), samples.current[name].count()) for name in methods}
    comparable = [name for name in methods if min(counts[name]) >= policy.min_rows]
    report = _evidently(samples, {name: methods[name] for name in comparable}) if comparable else None
    distances = dict(_distances(report)) if report is not None else {}
    columns = {}
    for name, (method, threshold) in methods.items():
        distance, exceeded = distances.get(name, (None, False))
        columns[name] = ColumnEvidence(
            method=method,
            threshold=threshold,
            distance=distance,
            exceeded=exceeded,
            null_rate_reference=null_rate(samples.reference[name]),
            null_rate_current=null_rate(samples.current[name]),
            reference_rows=counts[name][0],
            current_rows=counts[name][1],
        )
    return Comparison(columns, report)


def null_rate(column: pl.Series) -> float:
    """Share of missing values, rounded as distances are."""
    return round(column.null_count() / max(len(column), 1), DIGITS)


def _evidently(samples: Samples, methods: Mapping[str, tuple[str, float]]) -> Any:
    # Imported here because it takes seconds where the worker has not done it beforehand.
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    reference, current = samples.reference.select(*methods), samples.current.select(*methods)
    numeric = [name for name, dtype in reference.schema.items() if dtype.is_numeric()]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=[name for name in methods if name not in numeric]
    )
    metrics = [
        ValueDrift(column=name, method=method, threshold=threshold)
        for name, (method, threshold) in methods.items()
    ]
    return Report(metrics, include_tests=True).run(
        Dataset.from_pandas(current.to_pandas(), data_definition=definition),
        Dataset.from_pandas(reference.to_pandas(), data_definition=definition),
    )


def _distances(report: Any) -> Iterator[tuple[str, tuple[float, bool]]]:
    content = report.dict()
    for metric, test in zip(content["metrics"], content["tests"], strict=True):
        distance = float(metric["value"])
        # scipy takes the root of a sum that can come out just below zero where both sides are alike.
        distance = 0.0 if math.isnan(distance) else round(distance, DIGITS)
        yield metric["config"]["column"], (distance, test["status"].value == "FAIL")


def report_texts(report: Any) -> dict[str, str]:
    """By file name, Evidently's report as a page and as JSON; the same content has the same bytes."""
    html, content = report.get_html_str(as_iframe=False), json.loads(report.json())
    return {"evidently.html": numbered_ids(html), "evidently.json": json.dumps(_rounded(content))}


def numbered_ids(html: str) -> str:
    """Evidently's page with its random ids replaced by numbers, so that the same content has the same bytes."""
    numbers: dict[str, str] = {}
    return _RANDOM_ID.sub(lambda found: numbers.setdefault(found[0], f"evidently_{len(numbers)}"), html)


def _rounded(content: Any) -> Any:
    """JSON with its numbers rounded to the digits that do not change from process to process."""
    if isinstance(content, dict):
        return {name: _rounded(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_rounded(value) for value in content]
    return round(content, DIGITS) if isinstance(content, float) else content

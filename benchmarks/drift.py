"""The drift report of samples, beside Evidently's preset on all rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pandas as pd
import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.processes import in_a_new_process
from benchmarks.ratios import Ratio
from include.lifecycle.monitoring.drift_samples import Samples, clip, draw, tidy
from include.lifecycle.monitoring.evidently_comparison import compare
from include.lifecycle.specs import DriftPolicy

ROWS = 1_000_000
TIMES_FASTER = 8
POLICY = DriftPolicy()
NUMERIC = tuple(f"number_{place:02}" for place in range(12))
CATEGORICAL = tuple(f"category_{place}" for place in range(8))
DRIFTED = {"number_00": 0.15, "number_01": 0.5, "number_02": 2.0, "category_0": 0.15, "category_1": 0.3}


class Report(NamedTuple):
    """The columns that drifted, and how long it took to find and draw them."""

    drifted: set[str]
    seconds: float


def write_rows(path: Path, rows: int, seed: int, moved: dict[str, float]) -> None:
    """A file of `rows` customers; the columns in `moved` are shifted by so many standard deviations or shares."""
    rng = np.random.default_rng(seed)
    columns: dict[str, object] = {
        "key": pl.int_range(rows, eager=True).cast(pl.String),
        "dt": pl.repeat(date(2026, 11, 20), rows, eager=True),
    }
    for name in NUMERIC:
        columns[name] = rng.gamma(4, 0.5, rows) + moved.get(name, 0)
    for name in CATEGORICAL:
        yes = 0.4 + moved.get(name, 0)
        columns[name] = pl.Series(rng.choice(3, rows, p=[yes, 0.9 - yes, 0.1])).replace_strict(
            {0: "Yes", 1: "No", 2: "No internet service"}
        )
    pl.DataFrame(columns).write_parquet(path)


def sampled(reference: Path, current: Path, folder: Path) -> set[str]:
    """Our report: samples, clipped, one test per column."""
    reference_rows, current_rows = (
        draw(tidy(pl.scan_parquet(path), NUMERIC, CATEGORICAL), ["key"], POLICY.sample_rows)
        for path in (reference, current)
    )
    samples = clip(Samples(reference_rows, current_rows), NUMERIC)
    comparison = compare(samples, NUMERIC, CATEGORICAL, POLICY)
    comparison.report.save_html(str(folder / "sampled.html"))
    comparison.report.save_json(str(folder / "sampled.json"))
    return {name for name, column in comparison.columns.items() if column.exceeded}


def preset(reference: Path, current: Path, folder: Path) -> set[str]:
    """Evidently's preset on all rows, with the same methods and thresholds."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    columns = [*NUMERIC, *CATEGORICAL]
    definition = DataDefinition(numerical_columns=list(NUMERIC), categorical_columns=list(CATEGORICAL))
    datasets = [
        Dataset.from_pandas(pd.read_parquet(path, columns=columns), data_definition=definition)
        for path in (current, reference)
    ]
    metrics = DataDriftPreset(
        columns=columns,
        num_method=POLICY.numeric_method,
        num_threshold=POLICY.numeric_threshold,
        cat_method=POLICY.categorical_method,
        cat_threshold=POLICY.categorical_threshold,
    )
    report = Report([metrics], include_tests=True).run(*datasets)
    report.save_html(str(folder / "preset.html"))
    report.save_json(str(folder / "preset.json"))
    return {
        test["metric_config"]["params"]["column"]
        for test in report.dict()["tests"]
        if "column" in test["metric_config"]["params"] and test["status"].value == "FAIL"
    }


def measure(make: Callable[[Path, Path, Path], set[str]], reference: Path, current: Path) -> Report:
    """A report's drifted columns and its seconds, from the files to the page."""
    start = time.perf_counter()
    drifted = make(reference, current, reference.parent)
    return Report(drifted, time.perf_counter() - start)


def measure_warm(
    make: Callable[[Path, Path, Path], set[str]], small: Path, reference: Path, current: Path
) -> Report:
    """The same after Evidently has been imported, which neither side is charged for."""
    measure(sampled, small, small)
    return measure(make, reference, current)


def run(rows: int = ROWS) -> tuple[Report, Report]:
    """Our report and the preset's, of two files with so many rows each."""
    with TemporaryDirectory() as folder:
        small, reference, current = (Path(folder, f"{name}.parquet") for name in ("small", "reference", "current"))
        write_rows(small, 2_000, 1, {})
        write_rows(reference, rows, 1, {})
        write_rows(current, rows, 2, DRIFTED)
        files = small, reference, current
        return in_a_new_process(measure_warm, sampled, *files), in_a_new_process(measure_warm, preset, *files)


def main(share: float = 1.0) -> list[Ratio]:
    rows = round(share * ROWS)
    ours, naive = run(rows)
    ratio = naive.seconds / ours.seconds
    title = f"Drift report, {rows:,} rows x {len(NUMERIC + CATEGORICAL)} columns on each side"
    table = Table("report", "seconds", "drifted columns", title=title)
    table.add_row("Evidently's preset, all rows", f"{naive.seconds:.1f}", ", ".join(sorted(naive.drifted)))
    table.add_row("ours, from samples", f"{ours.seconds:.1f}", ", ".join(sorted(ours.drifted)))
    console = Console()
    console.print(table)
    same = "the same" if ours.drifted == naive.drifted else "NOT the same"
    console.print(f"{ratio:.1f} times faster (at least {TIMES_FASTER}), {same} verdict per column.")
    return [
        Ratio("times faster than Evidently's preset on all rows", ratio, TIMES_FASTER, at_least=True),
        Ratio("columns with another verdict", len(ours.drifted ^ naive.drifted), 0),
    ]

"""Validation with row-level quarantine, beside Great Expectations' own BOOLEAN_ONLY run on the same rows."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.processes import in_a_new_process
from benchmarks.ratios import Ratio
from include.lifecycle.ingestion.quarantine import check_rows
from include.lifecycle.ingestion.row_rules import make_rules
from include.lifecycle.specs import TableSpec

ROWS = 1_000_000
RUNS = 3
BAD_SHARES = (0.0, 0.01)
MAX_RATIO = 1.2

SETS = {
    "gender": ["Female", "Male"],
    "partner": ["Yes", "No"],
    "dependents": ["Yes", "No"],
    "internet_service": ["DSL", "Fiber optic", "No"],
    "online_security": ["Yes", "No", "No internet service"],
    "online_backup": ["Yes", "No", "No internet service"],
    "tech_support": ["Yes", "No", "No internet service"],
    "contract": ["Month-to-month", "One year", "Two year"],
    "payment_method": ["Electronic check", "Mailed check", "Bank transfer (automatic)"],
}
RANGES = {"tenure": (0, 1200), "age": (16, 110), "monthly_charges": (0, 1000), "total_charges": (0, 100_000)}
PRESENT = ("customer_id", "contract", "tenure", "monthly_charges")


@dataclass(frozen=True)
class Result:
    """Median seconds of both sides, on rows of which a share is bad."""

    bad_share: float
    great_expectations: float
    quarantine: float

    @property
    def ratio(self) -> float:
        """How much longer validation with quarantine takes."""
        return self.quarantine / self.great_expectations


def rules() -> list[Any]:
    """Twenty row rules: presence, sets, ranges, a pattern, a pair of dates, and uniqueness."""
    import great_expectations.expectations as gxe

    made = [
        *(gxe.ExpectColumnValuesToNotBeNull(column=name) for name in PRESENT),
        *(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=values) for name, values in SETS.items()),
        *(
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high)
            for name, (low, high) in RANGES.items()
        ),
        gxe.ExpectColumnValuesToMatchRegex(column="customer_id", regex=r"^C\d{7}$"),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="paid_on", column_B="issued_on", or_equal=True),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["customer_id", "dt"]),
    ]
    for number, rule in enumerate(made):
        rule.meta = {"rule_id": f"rule {number}", "why": "It is measured."}
    return made


CUSTOMERS = TableSpec(
    name="customers",
    columns={
        "customer_id": pl.String,
        **dict.fromkeys(SETS, pl.String),
        "tenure": pl.Int64,
        "age": pl.Int64,
        "monthly_charges": pl.Float64,
        "total_charges": pl.Float64,
        "issued_on": pl.Date,
        "paid_on": pl.Date,
    },
    key=("customer_id",),
    rules=rules,
)


def customers(rows: int, bad_share: float) -> pl.DataFrame:
    """Rows in their types, all of one day `dt`; a share of them is bad, each in one of five columns."""
    rng = np.random.default_rng(7)
    numbers = {name: rng.integers(low, high // 10 + low, rows) for name, (low, high) in RANGES.items()}
    frame = pl.DataFrame(
        {
            "dt": pl.Series([date(2026, 1, 1)]).new_from_index(0, rows),
            "customer_id": [f"C{number:07d}" for number in range(rows)],
            **{name: np.array(values)[rng.integers(0, len(values), rows)] for name, values in SETS.items()},
            **numbers,
            "issued_on": pl.Series(rng.integers(20_000, 20_300, rows).astype("int32")).cast(pl.Date),
            "paid_on": pl.Series(rng.integers(20_400, 20_500, rows).astype("int32")).cast(pl.Date),
        }
    ).cast({"monthly_charges": pl.Float64, "total_charges": pl.Float64})
    bad = pl.Series(np.where(rng.random(rows) < bad_share, rng.integers(0, 5, rows), -1))
    broken = {
        "gender": "X",
        "contract": "Weekly",
        "age": 500,
        "monthly_charges": None,
        "paid_on": date(2020, 1, 1),
    }
    return frame.with_columns(
        pl.when(bad == number).then(pl.lit(value)).otherwise(name).alias(name)
        for number, (name, value) in enumerate(broken.items())
    )


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows as they are read from a raw file, which is where validation starts."""
    return frame.select("dt", pl.exclude("dt").cast(pl.String)).with_columns(
        raw_row=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32),
        raw_line=pl.lit(None, pl.String),
        unreadable=pl.lit(None, pl.String),
    )


def run_great_expectations(frame: Any) -> Any:
    """Whether each rule holds on a pandas frame, and nothing else."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    asset = context.data_sources.add_pandas("frame").add_dataframe_asset("rows")
    suite = context.suites.add(gx.ExpectationSuite(name="rules", expectations=rules()))
    data = asset.add_batch_definition_whole_dataframe("all")
    validation = gx.ValidationDefinition(name="validation", data=data, suite=suite)
    return context.validation_definitions.add(validation).run(
        batch_parameters={"dataframe": frame}, result_format="BOOLEAN_ONLY"
    )


def run(rows: int) -> list[Result]:
    """Measure both sides by turns, on good rows and on some bad ones."""
    return [in_a_new_process(measure, rows, bad_share) for bad_share in BAD_SHARES]


def measure(rows: int, bad_share: float) -> Result:
    """Median seconds of both sides."""
    make_rules(rules)  # imports Great Expectations, which neither is charged for
    frame = customers(rows, bad_share)
    pandas, text = frame.to_pandas(), as_text(frame)
    theirs, ours = [], []
    for _ in range(RUNS):
        theirs.append(timed(lambda: run_great_expectations(pandas)))
        ours.append(timed(lambda: check_rows(CUSTOMERS, text, make_rules(rules))))
    return Result(bad_share, statistics.median(theirs), statistics.median(ours))


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(share: float = 1.0) -> list[Ratio]:
    rows = round(share * ROWS)
    table = Table(
        "bad rows",
        "GE BOOLEAN_ONLY, s",
        "with quarantine, s",
        "ratio",
        "limit",
        title=f"Validation of {rows:,} rows by 20 rules",
        caption="Great Expectations starts from typed pandas columns; validation starts from text, and ends with "
        "good rows and quarantined ones.",
    )
    results = run(rows)
    for result in results:
        seconds = f"{result.great_expectations:.1f}", f"{result.quarantine:.1f}"
        table.add_row(f"{result.bad_share:.0%}", *seconds, f"{result.ratio:.2f}", f"{MAX_RATIO}")
    Console().print(table)
    return [
        Ratio(f"beside Great Expectations, {result.bad_share:.0%} bad rows", result.ratio, MAX_RATIO)
        for result in results
    ]

"""Reasons for the rows that a person acts on, beside a bare prediction of them and beside asking row by row."""

from __future__ import annotations

import polars as pl
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.processes import in_a_new_process
from benchmarks.ratios import Ratio
from benchmarks.scoring import TRAINING_ROWS, customers, fitted_estimator, timed
from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.reasons import reasons_of, usual_values
from include.models.churn import CHURN

ROWS = 4_000
ROWS_ONE_BY_ONE = 40
MAX_RATIO_TO_BARE = 60
MIN_RATIO_OF_ONE_BY_ONE = 4


def measure(rows: int) -> dict[str, float]:
    """Seconds of each way, for so many rows that are acted on; row by row, as extrapolated from a few."""
    estimator, usual = fitted_estimator(), usual_values(CHURN, customers(TRAINING_ROWS, seed=1))
    frame = customers(rows, seed=2)
    scored = frame.with_columns(score=pl.Series(predict(estimator, frame, CHURN)), will_churn=pl.lit(True))
    few = scored.head(ROWS_ONE_BY_ONE)

    def row_by_row() -> None:
        for place in range(few.height):
            reasons_of(CHURN, few[place], estimator, usual)

    # As scoring does it: one thread for each batch.
    with threadpool_limits(1):
        return {
            "bare": timed(lambda: predict(estimator, scored, CHURN)),
            "reasons": timed(lambda: reasons_of(CHURN, scored, estimator, usual)),
            "one by one": timed(row_by_row) * rows / few.height,
        }


def main(share: float = 1.0) -> list[Ratio]:
    rows = max(ROWS_ONE_BY_ONE, round(share * ROWS))
    seconds = in_a_new_process(measure, rows)
    bare, reasons, one_by_one = seconds["bare"], seconds["reasons"], seconds["one by one"]
    table = Table(
        *("rows acted on", "bare s", "reasons s", "one by one s", "reasons / bare", "one by one / reasons"),
        title="Reasons: what each of 20 features does to the score of each row that is acted on",
        caption="bare = a prediction of the same rows",
    )
    figures = (f"{second:.2f}" for second in (bare, reasons, one_by_one))
    table.add_row(f"{rows:,}", *figures, f"{reasons / bare:.0f}", f"{one_by_one / reasons:.1f}")
    Console().print(table)
    return [
        Ratio("reasons / bare prediction of the rows acted on", reasons / bare, MAX_RATIO_TO_BARE),
        Ratio("row by row / reasons in slices", one_by_one / reasons, MIN_RATIO_OF_ONE_BY_ONE, at_least=True),
    ]

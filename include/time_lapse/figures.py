"""What a time-lapse is judged by: figures of each week, once all outcomes are known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring import drift_verdict, performance_verdict
from include.lifecycle.monitoring.drift_verdict import DriftVerdict
from include.lifecycle.monitoring.performance_verdict import PerformanceVerdict
from include.lifecycle.scoring.prediction_files import PARQUET
from include.lifecycle.specs import ModelSpec, Spec
from include.lifecycle.storage.lake import Lake
from include.models.churn.decisions import OFFER_DAYS, offer_worth
from include.time_lapse.weeks import Span

NEAR = 0.03
"""Within so much of the average precision before the drift, it has returned."""
COMPARED_WEEKS = 4


class WeekFigures(Spec):
    """A week's predictions, measured once their outcomes were known, and what was said of them before.

    Attributes
    ----------
    versions : that scored the week.
    leavers : share of the customers who left within the horizon.
    estimated, estimated_low, estimated_high : the average precision that the week's report expected; None without
        an estimate.
    score_distance : of the scores from those of the training; None where it was not measured.
    offers, worth : retention offers of the week, and what they brought in, in USD.
    """

    number: int
    last: date
    versions: tuple[int, ...]
    rows: int
    leavers: float
    average_precision: float
    roc_auc: float
    estimated: float | None
    estimated_low: float | None
    estimated_high: float | None
    drift: str
    score_distance: float | None
    offers: int
    worth: float


class Recovery(Spec):
    """The average precision of the four weeks before the drift could matter, and of the last four."""

    before: float
    after: float

    @property
    def has_returned(self) -> bool:
        """Whether it is back to within NEAR of what it was."""
        return self.after >= self.before - NEAR


def measure(model: ModelSpec, lake: Lake, span: Span) -> list[WeekFigures]:
    """The figures of each week, from what the stages left on the lake."""
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        outcomes = lake.pin(
            model.dataset.clean(model.label.table), lake.days(model.dataset.clean(model.label.table))
        )
        churns = outcomes.scan(scratch).collect()
        offered = pl.DataFrame(schema={"customer_id": pl.String, "offered_on": pl.Date})
        found = []
        for number in range(1, span.weeks + 1):
            days = span.days_of(number)
            rows = pl.concat(_outcomes(model, lake, day, churns, scratch) for day in days)
            offers = _new_offers(rows.filter(pl.col("dt") == days[-1]), offered)
            offered = pl.concat([offered, offers.select("customer_id", offered_on="dt")])
            found.append(_figures(model, lake, number, days[-1], rows, offers))
    return found


def recovery(figures: Sequence[WeekFigures], drift_week: int, horizon_weeks: int) -> Recovery:
    """Before: the newest weeks whose outcomes all lie before the drift. After: the last ones."""
    until = drift_week - horizon_weeks
    before = [week.average_precision for week in figures if until - COMPARED_WEEKS < week.number <= until]
    after = [week.average_precision for week in figures[-COMPARED_WEEKS:]]
    return Recovery(before=_mean(before), after=_mean(after))


def _outcomes(model: ModelSpec, lake: Lake, day: date, churns: pl.DataFrame, scratch: Path) -> pl.DataFrame:
    """The predictions of a day with what became of them: customer_id, dt, score, decision, charges, label."""
    features = lake.scan(model.dataset.features_prefix, [day], scratch).collect()
    [path] = lake.download(model.predictions_prefix, day, scratch, PARQUET)
    predictions = pl.read_parquet(path).select("customer_id", "score", "will_churn", "model_version")
    labels = model.label.make(day, features, churns.lazy())
    charges = features.select("customer_id", "monthly_charges", "dt")
    return predictions.join(labels, on="customer_id").join(charges, on="customer_id").sort("customer_id")


def _new_offers(rows: pl.DataFrame, offered: pl.DataFrame) -> pl.DataFrame:
    """Who is offered something on the last day of a week: whom the model names and who has no recent offer."""
    recently = offered.filter((pl.lit(rows["dt"][0]) - pl.col("offered_on")).dt.total_days() < OFFER_DAYS)
    return rows.filter("will_churn").join(recently, on="customer_id", how="anti")


def _figures(
    model: ModelSpec, lake: Lake, number: int, last: date, rows: pl.DataFrame, offers: pl.DataFrame
) -> WeekFigures:
    measured = task_of(model).measure(rows.with_columns(baseline_score=0.0), "score")
    drift = DriftVerdict.model_validate(
        lake.read_json(model.report_prefix(drift_verdict.KIND), last, drift_verdict.VERDICT)
    )
    report = PerformanceVerdict.model_validate(
        lake.read_json(model.report_prefix(performance_verdict.KIND), last, performance_verdict.VERDICT)
    )
    estimate = report.estimated and report.estimated.estimate
    expected = estimate.metrics.get("average_precision") if estimate else None
    return WeekFigures(
        number=number,
        last=last,
        versions=tuple(rows["model_version"].unique().sort()),
        rows=rows.height,
        leavers=_mean(rows["label"]),
        average_precision=measured["average_precision"],
        roc_auc=measured["roc_auc"],
        estimated=expected and expected.value,
        estimated_low=expected and expected.lower_bound,
        estimated_high=expected and expected.upper_bound,
        drift=drift.verdict,
        score_distance=drift.score.distance,
        offers=offers.height,
        worth=float(offers.select(offer_worth()).to_series().sum()),
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)

"""What follows from performance that is estimated before outcomes are known, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

from include.lifecycle.modelling.tasks import Estimate, task_of
from include.lifecycle.specs import ModelSpec, Spec

EstimateVerdictName = Literal["as expected", "worse", "not judged", "not enough evidence"]


class EstimateEvidence(Spec):
    """What an estimate rests on.

    Attributes
    ----------
    days : days whose predictions are estimated, as their outcomes are not known yet, oldest first.
    model_version : the version whose predictions they are.
    rows : how many predictions.
    shortage : why there is no estimate, in a sentence, or None.
    """

    days: tuple[date, ...]
    model_version: int
    rows: int
    shortage: str | None
    estimate: Estimate | None


class EstimateVerdict(EstimateEvidence):
    """The evidence, what follows from it, and why."""

    verdict: EstimateVerdictName
    reason: str


class Comparison(Spec):
    """A metric as it was estimated, and as it turned out.

    Attributes
    ----------
    baseline : what was expected of the baseline on the same rows.
    realised : None until the outcomes of all days are known; `difference` is that less the estimate.
    held : whether the interval held what was realised.
    """

    value: float
    lower_bound: float
    upper_bound: float
    baseline: float | None
    realised: float | None = None
    difference: float | None = None
    held: bool | None = None


class EstimatedWeek(Spec):
    """What one report estimated, as it was published then, beside what became of it.

    Attributes
    ----------
    reported : the day of that report.
    rows : predictions that were estimated. outcomes : those of them whose outcomes are known by now.
    """

    reported: date
    days: tuple[date, ...]
    model_version: int
    rows: int
    outcomes: int
    metrics: Mapping[str, Comparison]


def decide(evidence: EstimateEvidence, model: ModelSpec) -> EstimateVerdict:
    """The verdict on the evidence.

    Worse if even the upper end of the interval is further below the holdout's than `drift.max_estimated_loss`; not
    judged where the task takes no verdict from an estimate.
    """
    verdict, reason = _conclude(evidence, model)
    return EstimateVerdict(**evidence.model_dump(), verdict=verdict, reason=reason)


def _conclude(evidence: EstimateEvidence, model: ModelSpec) -> tuple[EstimateVerdictName, str]:
    if evidence.estimate is None:
        return "not enough evidence", evidence.shortage or "There are no predictions that wait for their outcomes."
    standing = evidence.estimate.standing
    if standing is None:
        return "not judged", "No verdict follows from this kind of estimate."
    if evidence.rows < model.drift.min_rows:
        return "not enough evidence", (
            f"{standing.words}. That is of {evidence.rows:,} predictions; a verdict needs {model.drift.min_rows}."
        )
    if standing.most < standing.least:
        return (
            "worse",
            f"Even the upper end of the estimate is lower than on the holdout. {standing.words}.",
        )
    return "as expected", f"{standing.words}."


def compare(
    reported: date, estimated: EstimateVerdict, realised: Mapping[str, float], outcomes: int
) -> EstimatedWeek | None:
    """What a report estimated beside what was `realised`, empty if that is not known; None without an estimate."""
    estimate = estimated.estimate
    if estimate is None:
        return None
    metrics = {}
    for name, found in estimate.metrics.items():
        comparison = Comparison(**found.model_dump(), baseline=estimate.baseline_metrics.get(name))
        if name in realised:
            value = realised[name]
            update = {
                "realised": value,
                "difference": value - found.value,
                "held": found.lower_bound <= value <= found.upper_bound,
            }
            comparison = comparison.model_copy(update=update)
        metrics[name] = comparison
    return EstimatedWeek(
        reported=reported,
        days=estimated.days,
        model_version=estimated.model_version,
        rows=estimated.rows,
        outcomes=outcomes,
        metrics=metrics,
    )


def is_refuted(week: Comparison, model: ModelSpec) -> bool:
    """Whether what was realised lies below the interval that was estimated, by more than the policy lets pass."""
    return week.realised is not None and week.realised < week.lower_bound - model.drift.max_estimated_loss


def newest_refuted(weeks: Sequence[EstimatedWeek], model: ModelSpec) -> EstimatedWeek | None:
    """The newest week whose outcomes are known, if they refute what was estimated of it; else None."""
    metric = task_of(model).estimate_metric
    if metric is None:
        return None
    known = [week for week in weeks if metric in week.metrics and week.metrics[metric].realised is not None]
    newest = max(known, key=lambda week: week.days[-1], default=None)
    return newest if newest is not None and is_refuted(newest.metrics[metric], model) else None


def held(weeks: Sequence[EstimatedWeek], metric: str) -> tuple[int, int]:
    """In how many weeks the interval of a metric held what was realised, and of how many that is known."""
    known = [week.metrics[metric].held for week in weeks if metric in week.metrics]
    judged = [one for one in known if one is not None]
    return sum(judged), len(judged)

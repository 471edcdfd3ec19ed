"""What follows from the outcomes of published predictions: a pure function from evidence to verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Literal

from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring.estimate_verdict import EstimatedWeek, EstimateVerdict, newest_refuted
from include.lifecycle.numbers import distinct_texts
from include.lifecycle.promotion.ab_test_policy import AbTestResult
from include.lifecycle.promotion.shadow_policy import ShadowComparison
from include.lifecycle.reporting.pages import percent
from include.lifecycle.specs import ModelSpec, Spec

KIND = "performance"
VERDICT = "verdict.json"
COVERAGE_TOLERANCE = 0.05

VerdictName = Literal["as expected", "worse", "intervals off", "not enough evidence"]


class PerformanceEvidence(Spec):
    """What a verdict rests on.

    Attributes
    ----------
    days : days with predictions whose outcomes are known, oldest first.
    shortage : what the outcomes lack to be measured, or None.
    measures, baseline_measures : of the published scores, and of the baseline's on the same rows.
    next_outcomes_on : the day whose data make further outcomes known; None where no predictions wait for theirs.
    coverage, promised : share of the outcomes that the published intervals held, and that the training promised.
    estimated : what is estimated of the last week, whose outcomes are not known; no part of this verdict.
    shadow : how the challenger did beside the champion; None where there is none. No part of this verdict.
    ab_test : what is known of an A/B test; None where there is none. No part of this verdict.
    estimated_weeks : what each report of the time looked at estimated, beside what became of it, oldest first.
    """

    days: tuple[date, ...]
    rows: int
    shortage: str | None
    measures: Mapping[str, float]
    baseline_measures: Mapping[str, float]
    coverage: float | None
    promised: float | None
    next_outcomes_on: date | None = None
    estimated: EstimateVerdict | None = None
    estimated_weeks: tuple[EstimatedWeek, ...] = ()
    shadow: ShadowComparison | None = None
    ab_test: AbTestResult | None = None


class PerformanceVerdict(PerformanceEvidence):
    """The evidence, what follows from it, and why."""

    verdict: VerdictName
    reason: str


def decide(evidence: PerformanceEvidence, model: ModelSpec) -> PerformanceVerdict:
    """The verdict on the evidence.

    Worse if the scores are worse than the baseline's. Intervals are off if they hold fewer outcomes than promised,
    or more, by over COVERAGE_TOLERANCE: too narrow they mislead, too wide they say little. The reason tells of a
    week that refutes what was estimated of it, whatever the verdict.
    """
    verdict, reason = _conclude(evidence, model)
    reason = " ".join([reason, *_refuted(evidence, model)])
    return PerformanceVerdict(**evidence.model_dump(), verdict=verdict, reason=reason)


def _conclude(evidence: PerformanceEvidence, model: ModelSpec) -> tuple[VerdictName, str]:
    if evidence.rows < model.drift.min_rows:
        day = evidence.next_outcomes_on
        waiting = f" The next outcomes are known once data until {day} have arrived." if day else ""
        needed = f"a verdict needs {model.drift.min_rows}.{waiting}"
        return "not enough evidence", f"The outcomes of {evidence.rows} predictions are known; {needed}"
    if evidence.shortage:
        return "not enough evidence", f"The outcomes have {evidence.shortage}."
    standing = task_of(model).standing(evidence.measures, evidence.baseline_measures)
    sentence = f"{standing.words} {_rows(evidence, model)}."
    if standing.most < standing.least:
        return "worse", f"The predictions are worse than the naive baseline. {sentence}"
    if evidence.coverage is not None and evidence.promised is not None:
        held = (
            f"The intervals held {percent(evidence.coverage, 1)} of the outcomes; the training promised "
            f"{percent(evidence.promised, 0)}."
        )
        gap = evidence.coverage - evidence.promised
        # Shares of rows have no digits beyond these; a gap of exactly the tolerance is within it.
        if round(abs(gap), 9) > COVERAGE_TOLERANCE:
            width = "wide" if gap > 0 else "narrow"
            return "intervals off", (
                f"{held} They are too {width}; the tolerance is {100 * COVERAGE_TOLERANCE:g} points. {sentence}"
            )
        sentence = f"{sentence} {held}"
    return "as expected", sentence


def _refuted(evidence: PerformanceEvidence, model: ModelSpec) -> Iterator[str]:
    week, task = newest_refuted(evidence.estimated_weeks, model), task_of(model)
    if week is None or task.estimate_metric is None:
        return
    found, title = week.metrics[task.estimate_metric], task.metrics[task.estimate_metric].title
    realised, low, high = distinct_texts([found.realised, found.lower_bound, found.upper_bound])
    yield (
        f"The predictions of {week.days[0]} to {week.days[-1]} did worse than their scores promised: {title} "
        f"{realised}, estimated between {low} and {high}."
    )


def _rows(evidence: PerformanceEvidence, model: ModelSpec) -> str:
    count, unit = len(evidence.days), model.dataset.calendar.unit
    return f"on {evidence.rows:,} outcomes of {count} {unit}{'' if count == 1 else 's'}"

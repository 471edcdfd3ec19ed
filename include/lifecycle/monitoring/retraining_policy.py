"""Whether a model is to be trained again, and why: a pure function from evidence to decision.

Reports give points, and so many points ask for a training. Scores count twice as much as features, which can move
while the predictions stay sound, and so does each week whose outcomes refute what was estimated of it. Outcomes
that are worse than the baseline's ask on their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Literal

from include.lifecycle.monitoring import drift_verdict, estimate_verdict, performance_verdict
from include.lifecycle.specs import RetrainingSpec, Spec
from include.lifecycle.storage.manifests import json_sha256

Action = Literal["block", "wait", "train"]

SCORE_POINTS = 2
FEATURE_POINTS = 1
PERFORMANCE_POINTS = 4
REFUTED_POINTS = 2


class DriftReport(Spec):
    """What a drift report about the champion says.

    Attributes
    ----------
    digest : of what was published.
    score_drifted : whether the scores drifted. gaps_changed : whether a feature's share of missing values did.
    """

    day: date
    digest: str
    verdict: drift_verdict.VerdictName
    score_drifted: bool
    gaps_changed: bool

    @property
    def points(self) -> int:
        """How much it asks for a training."""
        if self.verdict == "drift" and self.score_drifted:
            return SCORE_POINTS
        if self.verdict == "drift" or (self.verdict == "no drift" and self.gaps_changed):
            return FEATURE_POINTS
        return 0


class PerformanceReport(Spec):
    """What the champion's outcomes say.

    Attributes
    ----------
    digest : of the report that has them.
    new_label_days : days with predictions whose outcomes have become known since the champion was trained.
    known_weeks, refuted_weeks : of the newest weeks whose outcomes have become known since the champion was
        trained, how many there are, and how many did worse than was estimated before.
    """

    day: date
    digest: str
    verdict: performance_verdict.VerdictName
    new_label_days: int = 0
    known_weeks: int = 0
    refuted_weeks: int = 0

    @property
    def points(self) -> int:
        """How much it asks for a training."""
        return (PERFORMANCE_POINTS if self.verdict == "worse" else 0) + REFUTED_POINTS * self.refuted_weeks


class EstimateReport(Spec):
    """What is estimated of the champion before outcomes are known; `digest` is of the report that has it."""

    day: date
    digest: str
    verdict: estimate_verdict.EstimateVerdictName

    @property
    def points(self) -> int:
        """How much it asks for a training."""
        return PERFORMANCE_POINTS if self.verdict == "worse" else 0


class RetrainingEvidence(Spec):
    """All that a decision rests on.

    Attributes
    ----------
    day : of the data; all ages are counted from it.
    champion, trained_on : the version in force, and the last day that its training knew.
    last_training : the same of the newest training that the gate has judged, of whichever version.
    champion_fault : a sentence that says why the champion cannot be used; None where it can.
    drift : the newest reports on the champion, oldest first.
    estimate : of the champion's measures before outcomes are known; None where none is made.
    validated_days, rejected_days : days of the newest report's window with a verdict, and those it rejects.
    pending : the request that is not yet answered, if any.
    earlier : the requests that were made before.
    """

    model: str
    day: date
    champion: int | None
    trained_on: date | None
    champion_fault: str | None = None
    last_training: date | None
    drift: tuple[DriftReport, ...]
    performance: PerformanceReport | None
    estimate: EstimateReport | None = None
    validated_days: tuple[date, ...]
    rejected_days: tuple[date, ...]
    pending: str | None = None
    earlier: tuple[str, ...] = ()


class RetrainingDecision(Spec):
    """What follows from the evidence, and why.

    `request` identifies what asks for a training: the same reports on the same champion give the same one. It is
    None where nothing asks.
    """

    action: Action
    reasons: tuple[str, ...]
    request: str | None
    evidence: RetrainingEvidence


Source = tuple[str, date, str]
"""A report that asks for a training: its kind, its day and its digest. A fault of the champion has none."""


class _Asked(Spec):
    reasons: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


def decide(evidence: RetrainingEvidence, policy: RetrainingSpec) -> RetrainingDecision:
    """Whether to train, to wait, or to block a training.

    *block* where what a decision needs is missing, or the data of the last days was rejected; *wait* where nothing
    asks for a training, or it would come too early; else *train*. A champion that cannot be used asks on its own:
    no report can be made on it, and nothing else brings another one.
    """
    obstacles = tuple(_obstacles(evidence))
    if obstacles:
        return RetrainingDecision(action="block", reasons=obstacles, request=None, evidence=evidence)
    asked = _asked(evidence, policy)
    if not asked.sources:
        return RetrainingDecision(action="wait", reasons=asked.reasons, request=None, evidence=evidence)
    request = request_id(evidence, asked.sources)
    holding = tuple(_holding(evidence, policy, request))
    return RetrainingDecision(
        action="wait" if holding else "train",
        reasons=(*holding, *asked.reasons),
        request=request,
        evidence=evidence,
    )


def request_id(evidence: RetrainingEvidence, sources: Sequence[Source]) -> str:
    """What asks for a training, as a short text: of the model, its champion and the reports that ask."""
    reports = sorted([kind, day.isoformat(), digest] for kind, day, digest in sources)
    return json_sha256([evidence.model, evidence.champion, reports])[:16]


def _obstacles(evidence: RetrainingEvidence) -> Iterator[str]:
    if evidence.champion is None:
        yield "There is no champion yet; the scheduled training makes the first."
        return
    if not evidence.validated_days:
        yield f"No day of the week until {evidence.day} has been validated."
    if evidence.rejected_days:
        days = ", ".join(map(str, evidence.rejected_days))
        yield f"Validation rejected {days}; a model must not learn from what made it so. Correct the source first."
    if evidence.champion_fault is not None:
        return
    if not evidence.drift or evidence.drift[-1].day != evidence.day:
        yield f"There is no drift report of {evidence.day} on the champion, version {evidence.champion}."
    if evidence.performance is None:
        yield f"There is no performance report of {evidence.day}."


def _asked(evidence: RetrainingEvidence, policy: RetrainingSpec) -> _Asked:
    """What asks for a training; without sources where it is not enough."""
    if evidence.champion_fault is not None:
        reason = f"The champion, version {evidence.champion}, cannot be used: {evidence.champion_fault}"
        return _Asked(reasons=(reason,), sources=(("fault", evidence.day, ""),))
    reports = [
        *(("drift", report) for report in evidence.drift),
        ("performance", evidence.performance),
        ("estimate", evidence.estimate),
    ]
    given = [(kind, report) for kind, report in reports if report is not None and report.points]
    points = sum(report.points for _, report in given)
    total = f"That makes {_counted(points, 'point')}; a training takes {policy.points}."
    reasons, sources = [*_found(evidence), total], []
    if points >= policy.points:
        sources += [(kind, report.day, report.digest) for kind, report in given]
    if aged := _aged(evidence, policy):
        newest = evidence.drift[-1]
        sources.append(("age", newest.day, newest.digest))
        reasons.append(aged)
    return _Asked(reasons=tuple(reasons), sources=tuple(sources))


def _aged(evidence: RetrainingEvidence, policy: RetrainingSpec) -> str | None:
    """That the champion has grown old, in a sentence, or None.

    A training that the gate has refused since has answered that as well: an old champion that is still the best
    does not ask each time that a cooldown is over.
    """
    limit, trained = policy.max_age_days, evidence.trained_on
    if limit is None or trained is None:
        return None
    newest = max(trained, evidence.last_training or trained)
    if (evidence.day - newest).days <= limit:
        return None
    age = _counted((evidence.day - trained).days, "day")
    since = "" if newest == trained else f", and the newest training is as of {newest}"
    return f"The champion was trained {age} ago{since}; the limit is {limit}."


def _found(evidence: RetrainingEvidence) -> Iterator[str]:
    """What the reports say, in sentences."""
    drift = evidence.drift
    scores = sum(report.points == SCORE_POINTS for report in drift)
    features = sum(report.points == FEATURE_POINTS for report in drift)
    if scores or features:
        yield (
            f"Of the last {len(drift)} drift reports, {scores} found that the scores drifted, and {features} that "
            "features or their missing values did."
        )
    else:
        yield f"None of the last {len(drift)} drift reports found that something drifted."
    if evidence.performance is not None and evidence.performance.verdict == "worse":
        yield "The champion's predictions were worse than the naive baseline's, by their outcomes."
    if evidence.performance is not None and evidence.performance.refuted_weeks:
        weeks = evidence.performance
        yield (
            f"Of the last {_counted(weeks.known_weeks, 'week')} whose outcomes have become known since the "
            f"champion was trained, {weeks.refuted_weeks} did worse than the scores had promised."
        )
    if evidence.estimate is not None and evidence.estimate.points:
        yield "The champion's predictions of the last week are estimated to be worse than those of its holdout."


def _holding(evidence: RetrainingEvidence, policy: RetrainingSpec, request: str) -> Iterator[str]:
    """Why a training that is asked for would come too early."""
    if evidence.pending is not None:
        yield f"Request {evidence.pending} is not yet answered."
    if request in evidence.earlier:
        yield f"These reports have made request {request} before; only another report makes another one."
    if evidence.champion_fault is not None:
        return
    if evidence.last_training is not None:
        since = (evidence.day - evidence.last_training).days
        if since < policy.cooldown_days:
            yield (
                f"The newest training is as of {evidence.last_training}; the next may come "
                f"{_counted(policy.cooldown_days, 'day')} after it."
            )
    new = evidence.performance.new_label_days if evidence.performance is not None else 0
    if new < policy.min_new_label_days:
        yield (
            f"Outcomes of {_counted(new, 'day')} have become known since the champion was trained; a training "
            f"needs {policy.min_new_label_days}."
        )


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"

"""Whether the version before the champion comes back by itself: a pure function from evidence to decision."""

from __future__ import annotations

import math
from datetime import date
from typing import Literal

from include.lifecycle.numbers import distinct_texts
from include.lifecycle.specs import RollbackPolicy, Spec

NO_VERDICT = "not enough evidence"
"""The performance report's verdict from which nothing follows."""


class AutomaticRollbackEvidence(Spec):
    """How the champion and the version before it did on the same outcomes; the ledger keeps it as JSON.

    Attributes
    ----------
    day : the last day whose outcomes were looked at.
    champion, before : the present champion, and the version that it replaced; None where there is none.
    verdict : what the performance report says of the published predictions beside the naive baseline.
    metric : what people call the score, of which higher is better.
    rows : outcomes of predictions of the champion that both versions were measured on.
    champion_score, before_score : on these rows; None where one could not be measured.
    gain, gain_lower_bound : how much better than the champion the version before is, and the lower end of the 95 %
        interval of that, by pairs of rows.
    changed_on : the last day of data when the champion came into force.
    problems : sentences about evidence that is missing or cannot be trusted.
    rescore : never; a person decides whether days that people have acted on are scored again.
    """

    day: date
    champion: int | None
    before: int | None
    verdict: str
    metric: str
    rows: int = 0
    champion_score: float | None = None
    before_score: float | None = None
    gain: float | None = None
    gain_lower_bound: float | None = None
    changed_on: date | None = None
    problems: tuple[str, ...] = ()
    rescore: Literal[False] = False


class AutomaticRollbackDecision(Spec):
    """What is to happen, why, and from what it follows."""

    action: Literal["rollback", "keep"]
    reasons: tuple[str, ...]
    evidence: AutomaticRollbackEvidence


def decide(evidence: AutomaticRollbackEvidence, policy: RollbackPolicy | None) -> AutomaticRollbackDecision:
    """Roll back only on complete evidence that the version before is better by more than the margin.

    Nothing is done before the champion was in force for the cooldown, so that one bad week is followed by one
    rollback at most.
    """
    obstacles = _obstacles(evidence, policy)
    if obstacles or policy is None:
        return AutomaticRollbackDecision(action="keep", reasons=obstacles, evidence=evidence)
    reason = f"{_gain(evidence, policy)} is above the margin of {policy.margin:g}."
    return AutomaticRollbackDecision(action="rollback", reasons=(reason,), evidence=evidence)


def _obstacles(evidence: AutomaticRollbackEvidence, policy: RollbackPolicy | None) -> tuple[str, ...]:
    if policy is None:
        return ("The model has no `rollback` policy, so only a person rolls back.",)
    if evidence.champion is None or evidence.before is None:
        return ("There is no version before the champion to go back to.",)
    if evidence.verdict == NO_VERDICT:
        return (f"The verdict on the performance is {NO_VERDICT!r}.",)
    missing = evidence.problems or _missing(evidence)
    if missing:
        return missing
    return (*_too_soon(evidence, policy), *_too_few(evidence, policy), *_not_better(evidence, policy))


def _missing(evidence: AutomaticRollbackEvidence) -> tuple[str, ...]:
    scores = {
        f"{evidence.metric} of the champion, version {evidence.champion},": evidence.champion_score,
        f"{evidence.metric} of the version before it, {evidence.before},": evidence.before_score,
        f"The gain of version {evidence.before} over version {evidence.champion}": evidence.gain_lower_bound,
    }
    absent = [f"{what} could not be measured." for what, score in scores.items() if not _is_number(score)]
    if evidence.changed_on is None:
        absent.append(f"It is not known since when version {evidence.champion} has been champion.")
    return tuple(absent)


def _too_soon(evidence: AutomaticRollbackEvidence, policy: RollbackPolicy) -> tuple[str, ...]:
    days = (evidence.day - evidence.changed_on).days if evidence.changed_on else 0
    if days >= policy.cooldown_days:
        return ()
    return (
        f"Version {evidence.champion} has been champion since {evidence.changed_on}, which is less than the "
        f"cooldown of {policy.cooldown_days} days before {evidence.day}.",
    )


def _too_few(evidence: AutomaticRollbackEvidence, policy: RollbackPolicy) -> tuple[str, ...]:
    if evidence.rows >= policy.min_rows:
        return ()
    return (
        f"The outcomes of {evidence.rows:,} predictions of version {evidence.champion} are known; a rollback "
        f"needs {policy.min_rows:,}.",
    )


def _not_better(evidence: AutomaticRollbackEvidence, policy: RollbackPolicy) -> tuple[str, ...]:
    if evidence.gain_lower_bound is not None and evidence.gain_lower_bound > policy.margin:
        return ()
    return (f"{_gain(evidence, policy)} is not above the margin of {policy.margin:g}.",)


def _gain(evidence: AutomaticRollbackEvidence, policy: RollbackPolicy) -> str:
    before, champion = distinct_texts([evidence.before_score, evidence.champion_score])
    low, _ = distinct_texts([evidence.gain_lower_bound, policy.margin])
    return (
        f"{evidence.metric} on {evidence.rows:,} outcomes: version {evidence.before} has {before}, the champion, "
        f"version {evidence.champion}, {champion}; the lower end of the 95 % interval of the gain, {low},"
    )


def _is_number(score: float | None) -> bool:
    return score is not None and math.isfinite(score)

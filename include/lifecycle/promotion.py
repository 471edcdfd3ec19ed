"""Whether a candidate becomes champion: a pure function from evidence to decision."""

from __future__ import annotations

import math
from typing import Literal

from include.lifecycle.specs import Spec

GateAction = Literal["promote", "keep", "baseline"]


class GateEvidence(Spec):
    """What the gate knows: everybody's score on the same holdout rows, higher is better.

    Attributes
    ----------
    metric : name of the score.
    holdout_rows : rows that all scores were measured on.
    champion_version : None where there is no champion yet.
    min_gain : how much more than the champion's the candidate's score must be.
    problems : sentences about evidence that cannot be trusted or had.
    """

    metric: str
    holdout_rows: int
    candidate_version: int
    candidate_score: float | None
    baseline_score: float | None
    champion_version: int | None = None
    champion_score: float | None = None
    min_gain: float = 0.0
    problems: tuple[str, ...] = ()


class GateDecision(Spec):
    """What is to happen, why, and from what it follows.

    `promote` makes the candidate champion, `keep` leaves the champion, `baseline` makes the naive baseline
    champion because there is none and the candidate has not earned it.
    """

    action: GateAction
    reasons: tuple[str, ...]
    evidence: GateEvidence


def decide(evidence: GateEvidence) -> GateDecision:
    """Promote a candidate only on complete evidence that it beats the baseline and the champion."""
    obstacles = _identity(evidence) or _missing(evidence) or (*_defeats(evidence), *evidence.problems)
    if not obstacles:
        return GateDecision(action="promote", reasons=_victories(evidence), evidence=evidence)
    if evidence.champion_version is None:
        reasons = (*obstacles, "There is no champion yet, so the baseline becomes champion.")
        return GateDecision(action="baseline", reasons=reasons, evidence=evidence)
    return GateDecision(action="keep", reasons=obstacles, evidence=evidence)


def _identity(evidence: GateEvidence) -> tuple[str, ...]:
    if evidence.candidate_version != evidence.champion_version:
        return ()
    return (f"The candidate, version {evidence.candidate_version}, is the champion itself.",)


def _missing(evidence: GateEvidence) -> tuple[str, ...]:
    scores = {"candidate": evidence.candidate_score, "baseline": evidence.baseline_score}
    if evidence.champion_version is not None:
        scores["champion"] = evidence.champion_score
    absent = tuple(
        f"The {who} has no {evidence.metric} on the holdout (it is {score})."
        for who, score in scores.items()
        if score is None or not math.isfinite(score)
    )
    return (*evidence.problems, *absent) if absent else ()


def _defeats(evidence: GateEvidence) -> tuple[str, ...]:
    candidate, baseline, champion = _scores(evidence)
    defeats = []
    if not candidate > baseline:
        defeats.append(f"{_of_candidate(evidence)} is not above the baseline's {baseline:.6f}.")
    if evidence.champion_version is not None and not candidate > champion + evidence.min_gain:
        defeats.append(
            f"{_of_candidate(evidence)} is not above the {champion:.6f} of the champion, version "
            f"{evidence.champion_version}, by more than the required gain of {evidence.min_gain:g}."
        )
    return tuple(defeats)


def _victories(evidence: GateEvidence) -> tuple[str, ...]:
    _, baseline, champion = _scores(evidence)
    over_baseline = f"{_of_candidate(evidence)} is above the baseline's {baseline:.6f}."
    if evidence.champion_version is None:
        return (over_baseline, "There is no champion yet.")
    over_champion = (
        f"It is above the {champion:.6f} of the champion, version {evidence.champion_version}, "
        f"by more than the required gain of {evidence.min_gain:g}."
    )
    return over_baseline, over_champion


def _scores(evidence: GateEvidence) -> tuple[float, float, float]:
    candidate, baseline, champion = evidence.candidate_score, evidence.baseline_score, evidence.champion_score
    return _number(candidate), _number(baseline), _number(champion)


def _number(score: float | None) -> float:
    return math.nan if score is None else score


def _of_candidate(evidence: GateEvidence) -> str:
    return (
        f"The candidate's {evidence.metric} of {evidence.candidate_score:.6f} on {evidence.holdout_rows:,} "
        "holdout rows"
    )

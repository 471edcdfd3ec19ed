"""The gate: whether a candidate becomes champion, a pure function from evidence to decision."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import AliasChoices, Field

from include.lifecycle.numbers import distinct_texts
from include.lifecycle.promotion.actions import Verdict
from include.lifecycle.specs import Spec


class GateEvidence(Spec):
    """What the gate knows: everybody's score on the same holdout rows, higher is better.

    The ledger keeps it as JSON. Entries of earlier versions of the code have other names for some fields.

    Attributes
    ----------
    metric : name of the score. title : what people call it; empty in entries of earlier versions of the code.
    holdout_rows : rows that all scores were measured on.
    champion_version : None where there is no champion yet.
    champion_fault : a sentence that says why the champion cannot be used, so that it cannot be compared with.
    gain : how much better than the champion the candidate is, row by row; None where they were not compared.
    gain_lower_bound : the lower end of the gain's 95 % interval.
    champion_metrics : all metrics of the champion on these rows, by name; empty where it was not measured. The
        ledger has None for infinite ones, as JSON has no such numbers.
    min_gain : what the lower end must be above.
    problems : sentences about evidence that is missing or cannot be trusted.
    """

    metric: str
    title: str = ""
    holdout_rows: int
    candidate_version: int
    candidate_score: float | None
    baseline_score: float | None
    champion_version: int | None = None
    champion_score: float | None = None
    champion_fault: str | None = None
    gain: float | None = None
    gain_lower_bound: float | None = Field(None, validation_alias=AliasChoices("gain_lower_bound", "gain_low"))
    champion_metrics: Mapping[str, float | None] = Field(
        {}, validation_alias=AliasChoices("champion_metrics", "champion_measures")
    )
    min_gain: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def has_champion_to_beat(self) -> bool:
        """Whether there is a champion to be compared with."""
        return self.champion_version is not None and self.champion_fault is None


class GateDecision(Spec):
    """What is to happen, why, and from what it follows.

    `promote` makes the candidate champion, `keep` leaves the champion, `baseline` makes the naive baseline
    champion because there is none yet and the candidate has not earned it.
    """

    action: Verdict
    reasons: tuple[str, ...]
    evidence: GateEvidence


def evaluate_gate(evidence: GateEvidence) -> GateDecision:
    """Promote a candidate only on complete evidence that it beats the baseline and the champion.

    A champion that cannot be used is not compared with: it stops no candidate that beats the baseline. Where none
    does, it stays champion, and scoring falls back to a version before it.
    """
    obstacles = (
        _same_version(evidence)
        or _missing_evidence(evidence)
        or (*_failed_comparisons(evidence), *evidence.problems)
    )
    if not obstacles:
        return GateDecision(action="promote", reasons=_won_comparisons(evidence), evidence=evidence)
    if evidence.champion_version is None:
        reasons = (*obstacles, "There was no champion before, so the baseline becomes champion.")
        return GateDecision(action="baseline", reasons=reasons, evidence=evidence)
    fault = (evidence.champion_fault,) if evidence.champion_fault else ()
    return GateDecision(action="keep", reasons=(*obstacles, *fault), evidence=evidence)


def _same_version(evidence: GateEvidence) -> tuple[str, ...]:
    if evidence.candidate_version != evidence.champion_version:
        return ()
    return (f"The candidate, version {evidence.candidate_version}, is the champion itself.",)


def _missing_evidence(evidence: GateEvidence) -> tuple[str, ...]:
    scores = {"candidate": evidence.candidate_score, "baseline": evidence.baseline_score}
    if evidence.has_champion_to_beat:
        scores["champion"] = evidence.champion_score
    absent = [
        f"{_title(evidence)} could not be measured for the {who} on the holdout."
        for who, score in scores.items()
        if not _is_number(score)
    ]
    if evidence.has_champion_to_beat and not absent and not _is_number(evidence.gain_lower_bound):
        absent.append("The candidate's gain over the champion could not be measured.")
    return (*evidence.problems, *absent) if absent else ()


def _failed_comparisons(evidence: GateEvidence) -> tuple[str, ...]:
    candidate, baseline = _number(evidence.candidate_score), _number(evidence.baseline_score)
    failed = []
    if not candidate > baseline:
        own, other = distinct_texts([candidate, baseline])
        failed.append(f"the candidate's {own} is not above the baseline's {other}.")
    if evidence.has_champion_to_beat and not _number(evidence.gain_lower_bound) > evidence.min_gain:
        failed.append(f"{_gain(evidence)} is not above the required gain of {evidence.min_gain:g}.")
    return _measured(evidence, failed)


def _won_comparisons(evidence: GateEvidence) -> tuple[str, ...]:
    own, baseline = distinct_texts([evidence.candidate_score, evidence.baseline_score])
    over_baseline = f"the candidate's {own} is above the baseline's {baseline}."
    if not evidence.has_champion_to_beat:
        return *_measured(evidence, [over_baseline]), evidence.champion_fault or "There was no champion before."
    over_champion = f"{_gain(evidence)} is above the required gain of {evidence.min_gain:g}."
    return _measured(evidence, [over_baseline, over_champion])


def _measured(evidence: GateEvidence, findings: Sequence[str]) -> tuple[str, ...]:
    """Findings as sentences, of which the first says what was measured on how many rows."""
    if not findings:
        return ()
    first, *others = findings
    head = f"{_title(evidence)} on {evidence.holdout_rows:,} holdout rows: {first}"
    return (head, *(f"{finding[0].upper()}{finding[1:]}" for finding in others))


def _gain(evidence: GateEvidence) -> str:
    candidate, champion = distinct_texts([evidence.candidate_score, evidence.champion_score])
    low, _ = distinct_texts([evidence.gain_lower_bound, evidence.min_gain])
    return (
        f"beside the champion, version {evidence.champion_version}, it is {candidate} against {champion}, and the "
        f"lower end of the 95 % interval of the candidate's gain, {low},"
    )


def _number(score: float | None) -> float:
    return math.nan if score is None else score


def _is_number(score: float | None) -> bool:
    return score is not None and math.isfinite(score)


def _title(evidence: GateEvidence) -> str:
    return evidence.title or evidence.metric

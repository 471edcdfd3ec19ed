"""The gate: whether a candidate becomes champion, a pure function from evidence to decision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from include.lifecycle.promotion.actions import Verdict
from include.lifecycle.promotion.gate_checks import BASELINE, GAIN, REFRESH, CheckRow, check_rows, is_number
from include.lifecycle.promotion.gate_evidence import GateEvidence
from include.lifecycle.specs import GateLimits, Spec

Earned = Literal["promote", "refresh"]
"""How a candidate may become champion: it is better, or no worse than a champion that has grown old."""


class GateDecision(Spec):
    """What is to happen, why, and from what it follows.

    `promote` makes the candidate champion, `refresh` does where it is no worse than an old champion, and `propose`
    leaves that to a person. `keep` leaves the champion. `baseline` makes the naive baseline champion because there
    is none yet and the candidate has not earned it. `checks` are the rows that the reasons are taken from.
    """

    action: Verdict
    reasons: tuple[str, ...]
    evidence: GateEvidence
    checks: tuple[CheckRow, ...] = ()


def evaluate_gate(evidence: GateEvidence) -> GateDecision:
    """Promote a candidate only on complete evidence that it passes every check of the spec.

    A champion that cannot be used is not compared with: it stops no candidate that passes the others. Where none
    does, it stays champion, and scoring falls back to a version before it.
    """
    rows = check_rows(evidence)
    earned = _earned(rows)
    if earned is None:
        return _refused(evidence, rows)
    rows = (*rows, *_running_test(evidence), *_approval(evidence, earned))
    questions = tuple(row.sentence for row in rows if row.asks)
    action: Verdict = "propose" if questions else earned
    reasons = (*questions, *_merits(rows, earned))
    return GateDecision(action=action, reasons=reasons, evidence=evidence, checks=rows)


def _earned(rows: tuple[CheckRow, ...]) -> Earned | None:
    """What the checks allow: a refresh takes the place of the gain over the champion, and of nothing else."""
    refusing = [row for row in rows if row.refuses]
    if not refusing:
        return "promote"
    is_refresh = any(row.name == REFRESH and row.passed for row in rows)
    only_gain_failed = all(row.name == GAIN and row.passed is False for row in refusing)
    return "refresh" if is_refresh and only_gain_failed else None


def _merits(rows: tuple[CheckRow, ...], earned: Earned) -> Iterator[str]:
    """Sentences that say what speaks for a candidate: its scores, and how many other checks it passed."""
    told = {BASELINE, REFRESH if earned == "refresh" else GAIN}
    yield from (row.sentence for row in rows if row.name in told)
    others = sum(row.passed is True and row.name not in {BASELINE, GAIN, REFRESH} for row in rows)
    if others:
        yield f"All other checks that were asked for, {others}, passed."


def _refused(evidence: GateEvidence, rows: tuple[CheckRow, ...]) -> GateDecision:
    # The same score may be missing in several checks.
    reasons = tuple(dict.fromkeys(row.sentence for row in rows if row.refuses))
    if evidence.champion_version is None:
        reasons = (*reasons, "There was no champion before, so the baseline becomes champion.")
        return GateDecision(action="baseline", reasons=reasons, evidence=evidence, checks=rows)
    fault = (evidence.champion_fault,) if evidence.champion_fault else ()
    return GateDecision(action="keep", reasons=(*reasons, *fault), evidence=evidence, checks=rows)


def _running_test(evidence: GateEvidence) -> Iterator[CheckRow]:
    """An A/B test would end without a result; where the champion cannot be used, that does not matter."""
    if evidence.running_test is None or not evidence.has_champion_to_beat:
        return
    yield CheckRow(
        name="A/B test",
        asked="none that another champion would end",
        measured="one runs",
        passed=False,
        sentence=f"{evidence.running_test} Another champion ends it without a result, so a person is asked.",
        if_failed="ask",
    )


def _approval(evidence: GateEvidence, earned: Earned) -> tuple[CheckRow, ...]:
    limits = evidence.limits or GateLimits()
    if limits.approval == "automatic":
        return ()
    if limits.approval == "always":
        asked, measured, is_clear = "a person's agreement", "required", False
        sentence = "A person must agree before it becomes champion."
    else:
        is_clear = not _is_close(evidence, earned, limits)
        asked = "a person's answer where the gain is close to what is required"
        measured = "clear" if is_clear else "close"
        sentence = f"The gain is {measured}, so {'nobody is' if is_clear else 'a person is'} asked."
    return (
        CheckRow(
            name="Approval", asked=asked, measured=measured, passed=is_clear, sentence=sentence, if_failed="ask"
        ),
    )


def _is_close(evidence: GateEvidence, earned: Earned, limits: GateLimits) -> bool:
    """Whether the gain is within the width of its interval of what it must be above.

    Without a champion to beat there is no gain that could be close.
    """
    if not evidence.has_champion_to_beat:
        return False
    required = evidence.min_gain if earned == "promote" else -limits.refresh_margin
    gain, low, high = evidence.gain, evidence.gain_lower_bound, evidence.gain_upper_bound
    if gain is None or low is None or high is None or not all(is_number(end) for end in (gain, low, high)):
        return True
    return gain - required <= high - low

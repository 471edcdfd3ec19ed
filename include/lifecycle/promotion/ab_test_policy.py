"""What an A/B test says: a pure function of what became of the keys of both arms, asked once, at the horizon."""

from __future__ import annotations

import math
from datetime import date
from statistics import NormalDist
from typing import Literal

from include.lifecycle.numbers import distinct_texts
from include.lifecycle.promotion.ab_test import AbTest
from include.lifecycle.specs import Spec

AbTestVerdict = Literal["running", "stopped", "better", "worse", "no difference", "not enough evidence"]
FINAL: frozenset[AbTestVerdict] = frozenset({"better", "worse", "no difference", "not enough evidence"})


class Arm(Spec):
    """The keys of a version: how many, and the mean and the standard deviation of their outcomes.

    `shortage` is what their outcomes lack to be compared, or None.
    """

    keys: int
    mean: float
    deviation: float
    shortage: str | None = None


class AbTestEvidence(Spec):
    """What is known of a test.

    Attributes
    ----------
    days : split days whose outcomes are known, oldest first, no more than the horizon.
    has_ended : whether days are split no longer.
    looked_at : the first day that the report looks at; None in reports of earlier versions of the code.
    champion_arm, challenger_arm : on these days; None before the horizon, where nobody looks at them.
    min_keys : an arm with fewer is not compared.
    """

    test: AbTest
    champion: int
    challenger: int
    days: tuple[date, ...] = ()
    has_ended: bool = False
    looked_at: date | None = None
    champion_arm: Arm | None = None
    challenger_arm: Arm | None = None
    min_keys: int = 500

    @property
    def is_too_late(self) -> bool:
        """Whether the report does not look back to the first of the days that were stated."""
        return self.looked_at is not None and self.test.first_day < self.looked_at


class AbTestResult(AbTestEvidence):
    """The evidence, what follows from it, and why.

    `difference` is the challenger's mean outcome minus the champion's, with the ends of its interval.
    """

    verdict: AbTestVerdict
    reason: str
    difference: float | None = None
    lower_bound: float | None = None
    upper_bound: float | None = None

    @property
    def is_final(self) -> bool:
        """Whether the horizon was reached: the verdict stands, whatever comes."""
        return self.verdict in FINAL


def decide(evidence: AbTestEvidence) -> AbTestResult:
    """The verdict on a test: none before its horizon, however clear it may look, and none if it ended before."""
    champion, challenger, known = evidence.champion_arm, evidence.challenger_arm, evidence.model_dump()
    if champion is None or challenger is None:
        verdict: AbTestVerdict = "stopped" if evidence.has_ended or evidence.is_too_late else "running"
        return AbTestResult(**known, verdict=verdict, reason=_waiting(evidence))
    if lacking := _lacking(evidence, champion, challenger):
        return AbTestResult(**known, verdict="not enough evidence", reason=lacking)
    difference = challenger.mean - champion.mean
    low, high = _interval(champion, challenger, evidence.test.level)
    found = AbTestResult(
        **known, verdict="no difference", reason="", difference=difference, lower_bound=low, upper_bound=high
    )
    if high < 0 or low > 0:
        verdict = "better" if (high < 0) == (evidence.test.aim == "lower") else "worse"
    else:
        verdict = "no difference"
    return found.model_copy(update={"verdict": verdict, "reason": _reason(found, champion, challenger)})


def _interval(champion: Arm, challenger: Arm, level: float) -> tuple[float, float]:
    """The interval of the difference of two independent means, by the normal approximation (Welch 1938)."""
    error = math.sqrt(sum(arm.deviation**2 / arm.keys for arm in (champion, challenger)))
    reach = NormalDist().inv_cdf(1 - level / 2) * error
    difference = challenger.mean - champion.mean
    return difference - reach, difference + reach


def _waiting(evidence: AbTestEvidence) -> str:
    so_far = f"{len(evidence.days)} of {evidence.test.days} days"
    if evidence.has_ended:
        return (
            "The test was ended before a report had compared both sides, so it has no verdict; by now the "
            f"outcomes of {so_far} are known."
        )
    if evidence.is_too_late:
        return (
            f"The first day of the test is {evidence.test.first_day}, but the report looks back to "
            f"{evidence.looked_at} alone, so the test gets no verdict from it. Begin another one, or report on an "
            "earlier day."
        )
    return f"The outcomes of {so_far} are known; they are compared once, when all are."


def _lacking(evidence: AbTestEvidence, champion: Arm, challenger: Arm) -> str | None:
    for name, arm in (("champion", champion), ("challenger", challenger)):
        if arm.keys < evidence.min_keys:
            return f"The {name} has {arm.keys:,} keys; a verdict needs {evidence.min_keys:,} on each side."
        if arm.shortage:
            return f"The outcomes of the {name}'s keys have {arm.shortage}."
    return None


def _reason(found: AbTestResult, champion: Arm, challenger: Arm) -> str:
    own, other = distinct_texts([challenger.mean, champion.mean])
    ends = [found.difference, found.lower_bound, found.upper_bound]
    difference, low, high = (f"{end:.3g}" for end in ends if end is not None)
    return (
        f"The mean outcome is {own} for the {challenger.keys:,} keys of the challenger, version "
        f"{found.challenger}, and {other} for the {champion.keys:,} of the champion, version {found.champion}: a "
        f"difference of {difference}, {100 * (1 - found.test.level):g} % interval {low} to {high}. "
        f"{found.test.aim.capitalize()} is better."
    )

"""Whether a version scores in shadow, no longer does, or leaves it as champion: pure functions of evidence.

A person asks for each of these; evidence decides whether it may be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Literal

from include.lifecycle.numbers import distinct_texts
from include.lifecycle.promotion.ab_test import AbTest
from include.lifecycle.promotion.ab_test_policy import AbTestResult
from include.lifecycle.promotion.actions import SHORTEST_REASON
from include.lifecycle.specs import Spec

Asked = Literal["shadow", "withdraw", "promote"]


class ShadowComparison(Spec):
    """How the challenger did beside the champion on the same outcomes.

    Attributes
    ----------
    title : what people call the score that the gate decides by, of which higher is better.
    days : days whose predictions of both were compared, oldest first.
    rows : predictions of the champion that the challenger has scored, too, and whose outcomes are known.
    shortage : what the outcomes lack to be measured, or None.
    champion_measures, challenger_measures : on these rows; empty where they could not be measured. JSON has None
        for infinite ones.
    gain : how much better than the champion the challenger is, and the ends of the 95 % interval of that, by pairs
        of rows; None where it could not be measured.
    """

    champion: int
    challenger: int
    title: str
    days: tuple[date, ...] = ()
    rows: int = 0
    shortage: str | None = None
    champion_measures: Mapping[str, float | None] = {}
    challenger_measures: Mapping[str, float | None] = {}
    gain: float | None = None
    gain_lower_bound: float | None = None
    gain_upper_bound: float | None = None


class ShadowEvidence(Spec):
    """What is asked for, and what speaks for or against it; the ledger keeps it as JSON.

    Attributes
    ----------
    version : the version that it is about; None where there is none.
    champion, challenger : the present ones, or None.
    is_judged : whether the ledger has a verdict on the version.
    is_proposed : whether a person is still asked if the version is to be champion.
    refusals : what the gate has refused the version for, besides its gain over the champion of then.
    fault : a sentence that says why the version cannot be used.
    comparison : of the newest performance report, or None where that has none.
    min_rows : outcomes that a promotion needs.
    share : of the keys that is asked for, 0 for none.
    ab_test : the test that would begin, or, of another request, the newest one of champion and challenger; None
        where there is none.
    known_after_days, look_back_days : so long after its first day the outcomes of the last are known, and so far
        back each weekly performance report looks.
    result : what the newest performance report says of an A/B test.
    last_split_day : the last day of the test that the request ends, or None.
    newest_day : of the data, when it was asked for; None where there is none.
    """

    asked: Asked
    version: int | None
    champion: int | None
    challenger: int | None = None
    is_judged: bool = False
    is_proposed: bool = False
    refusals: tuple[str, ...] = ()
    fault: str | None = None
    reason: str = ""
    comparison: ShadowComparison | None = None
    min_rows: int = 500
    share: float = 0.0
    ab_test: AbTest | None = None
    known_after_days: int = 0
    look_back_days: int = 0
    result: AbTestResult | None = None
    last_split_day: date | None = None
    newest_day: date | None = None


class ShadowDecision(Spec):
    """What is to happen, why, and from what it follows."""

    action: Literal["shadow", "withdraw", "promote", "refuse"]
    reasons: tuple[str, ...]
    evidence: ShadowEvidence


def decide(evidence: ShadowEvidence) -> ShadowDecision:
    """Do what is asked for if nothing speaks against it and the person says why; refuse with all that is wrong."""
    obstacles = (*_OBSTACLES[evidence.asked](evidence), *_lack_of_reason(evidence))
    if obstacles:
        return ShadowDecision(action="refuse", reasons=obstacles, evidence=evidence)
    return ShadowDecision(action=evidence.asked, reasons=(_change(evidence),), evidence=evidence)


def _change(evidence: ShadowEvidence) -> str:
    version, champion, challenger = evidence.version, evidence.champion, evidence.challenger
    if evidence.asked == "withdraw":
        return f"Version {version} is challenger no longer; there is none from now on."
    if evidence.asked == "promote":
        shown = evidence.result.reason if evidence.result else f"{_gain(evidence)} is above 0."
        return f"Version {version} becomes champion in place of version {champion}. {shown}"
    instead = f" in place of version {challenger}" if challenger else ""
    begun = f"Version {version} becomes challenger{instead} and scores in shadow beside the champion, {champion}."
    test = evidence.ab_test
    return f"{begun} {_statement(test)}" if test else begun


def _statement(test: AbTest) -> str:
    """What is stated of a test that begins."""
    return (
        f"From {test.first_day} on it decides about {100 * test.share:g} % of the keys. Once {test.days} of these "
        f"days have known outcomes, the means of both sides are compared: it is to be {test.aim}."
    )


def _against_shadow(evidence: ShadowEvidence) -> tuple[str, ...]:
    version = evidence.version
    if evidence.champion is None:
        return ("There is no champion yet that a challenger could be set beside; run the training first.",)
    if version is None:
        return ("Name the version that is to score in shadow.",)
    if version == evidence.champion:
        return (f"Version {version} is the champion, so its scores are published already; choose another one.",)
    if version == evidence.challenger:
        return (f"Version {version} is the challenger already; withdraw it first, if another test is to begin.",)
    return _unusable(evidence) or _against_test(evidence)


def _against_test(evidence: ShadowEvidence) -> tuple[str, ...]:
    if not evidence.share:
        return ()
    if evidence.ab_test is None:
        return (
            "The model does not say which outcome people act for (`label.aim`), so an A/B test has nothing to "
            "compare; leave the share at 0, and the challenger is compared on the same rows as the champion.",
        )
    if evidence.known_after_days > evidence.look_back_days:
        return (
            f"The outcomes of {evidence.ab_test.days} days are known {evidence.known_after_days} days after the "
            f"first one, but a weekly report may look back no more than {evidence.look_back_days}; choose fewer.",
        )
    return ()


def _against_promotion(evidence: ShadowEvidence) -> tuple[str, ...]:
    """What speaks against making the challenger champion; a gain on live days replaces the gate's gain alone."""
    if found := _not_challenger(evidence) or _unusable(evidence):
        return found
    refusals = tuple(f"The gate has refused version {evidence.version}: {why}" for why in evidence.refusals)
    if evidence.ab_test:
        return (*refusals, *_against_result(evidence.ab_test, evidence.result))
    return (*refusals, *_incomparable(evidence)) or _not_better(evidence)


def _against_result(test: AbTest, result: AbTestResult | None) -> tuple[str, ...]:
    """What speaks against a promotion where there was a test: it alone decides, as was stated."""
    if result is None or result.test != test:
        return (
            f"The newest performance report says nothing of the A/B test from {test.first_day} on, which decides; "
            "wait for its verdict, or begin another test.",
        )
    if result.verdict == "better":
        return ()
    what = f"The verdict of the A/B test is {result.verdict!r}." if result.is_final else "The A/B test decides."
    return (f"{what} {result.reason}",)


def _not_challenger(evidence: ShadowEvidence) -> tuple[str, ...]:
    if evidence.challenger is None:
        return ("There is no challenger; make a version challenger first.",)
    if evidence.version != evidence.challenger:
        return (
            f"Version {evidence.version} is not the challenger, that is version {evidence.challenger}; name that "
            "one, or none.",
        )
    return ()


def _unusable(evidence: ShadowEvidence) -> tuple[str, ...]:
    version = evidence.version
    if not evidence.is_judged:
        return (f"The ledger has no verdict on version {version}; choose a version that the gate has judged.",)
    if evidence.is_proposed:
        return (f"A person is asked whether version {version} is to be champion; answer that first.",)
    return (f"Version {version} cannot be used. {evidence.fault}",) if evidence.fault else ()


def _incomparable(evidence: ShadowEvidence) -> tuple[str, ...]:
    """Why the comparison of the newest performance report says nothing about champion and challenger."""
    found = evidence.comparison
    if found is None:
        return ("The newest performance report compares no challenger with the champion; wait for the next one.",)
    if (found.champion, found.challenger) != (evidence.champion, evidence.challenger):
        return (
            f"The newest performance report compares version {found.challenger} with version {found.champion}, "
            f"not the challenger, {evidence.challenger}, with the champion, {evidence.champion}; wait for the "
            "next one.",
        )
    if found.shortage:
        return (f"The outcomes of version {found.challenger} beside version {found.champion}: {found.shortage}.",)
    if found.rows < evidence.min_rows:
        return (
            f"The outcomes of {found.rows:,} predictions of both versions are known; a promotion needs "
            f"{evidence.min_rows:,}.",
        )
    return ()


def _not_better(evidence: ShadowEvidence) -> tuple[str, ...]:
    low = evidence.comparison.gain_lower_bound if evidence.comparison else None
    if low is None or not math.isfinite(low):
        return (f"The gain of version {evidence.challenger} over version {evidence.champion} was not measured.",)
    return () if low > 0 else (f"{_gain(evidence)} is not above 0.",)


def _gain(evidence: ShadowEvidence) -> str:
    found = evidence.comparison
    gain, low = distinct_texts([found.gain, found.gain_lower_bound] if found else [None, None])
    rows, title = (found.rows, found.title) if found else (0, "")
    return f"{title} on {rows:,} outcomes: the gain is {gain}; the lower end of its 95 % interval, {low},"


def _lack_of_reason(evidence: ShadowEvidence) -> tuple[str, ...]:
    if len(evidence.reason.strip()) >= SHORTEST_REASON:
        return ()
    return (f"The change needs a reason of at least {SHORTEST_REASON} characters; it is {evidence.reason!r}.",)


_OBSTACLES = {"shadow": _against_shadow, "withdraw": _not_challenger, "promote": _against_promotion}

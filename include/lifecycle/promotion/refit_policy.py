"""Whether a refitted version takes the place of the one that the gate judged: a pure function from evidence.

No row is left on which the refitted one could be judged, so it is only asked to be the same model: its scores lie
near its parent's on the same rows, it behaves, and its scores promise no less well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date

from include.lifecycle.promotion.actions import Refit
from include.lifecycle.promotion.gate_checks import CheckRow, is_number
from include.lifecycle.promotion.gate_evidence import BehaviourEvidence
from include.lifecycle.specs import RefitSpec, Spec


class RefitEvidence(Spec):
    """What is known of a refitted version and its judged parent, on the rows of the parent's holdout.

    Attributes
    ----------
    parent, version : the version that the gate judged, and the refitted one.
    parent_learnt_until, learnt_until : the newest day that each learnt from.
    limits : what the spec asks.
    rows : of the holdout.
    mean_difference, high_difference : of the absolute differences of the two versions' scores, in their unit: the
        mean, and what 99 % of the rows do not exceed; None where they could not be measured.
    calibration_title : what people call the calibration error; None where scores promise nothing.
    calibration_error, parent_calibration_error : None where they could not be measured.
    behaviour : of the refitted version, each test that the spec asks for.
    problems : sentences about evidence that is missing or cannot be trusted.
    """

    parent: int
    version: int
    parent_learnt_until: date
    learnt_until: date
    limits: RefitSpec
    rows: int
    mean_difference: float | None = None
    high_difference: float | None = None
    calibration_title: str | None = None
    calibration_error: float | None = None
    parent_calibration_error: float | None = None
    behaviour: tuple[BehaviourEvidence, ...] = ()
    problems: tuple[str, ...] = ()


class RefitDecision(Spec):
    """What is to happen, why, and from what it follows."""

    action: Refit
    reasons: tuple[str, ...]
    evidence: RefitEvidence
    checks: tuple[CheckRow, ...]


def decide(evidence: RefitEvidence) -> RefitDecision:
    """Put a refitted version in its parent's place only where every check passes; missing evidence refuses."""
    checks = tuple(_checks(evidence))
    failed = tuple(row.sentence for row in checks if not row.passed)
    if failed:
        reasons = (*failed, f"Version {evidence.parent}, which the gate judged, stays champion.")
        return RefitDecision(action="refuse_refit", reasons=reasons, evidence=evidence, checks=checks)
    learnt = (
        f"Version {evidence.version} is version {evidence.parent} fitted on the holdout as well: it has learnt "
        f"until {evidence.learnt_until} instead of {evidence.parent_learnt_until}."
    )
    reasons = (learnt, f"All {len(checks)} checks passed.")
    return RefitDecision(action="refit", reasons=reasons, evidence=evidence, checks=checks)


def _checks(evidence: RefitEvidence) -> Iterator[CheckRow]:
    for problem in evidence.problems:
        yield CheckRow(name="Evidence", asked="complete", measured="a problem", passed=None, sentence=problem)
    limits = evidence.limits
    yield _difference("Mean difference of scores", evidence.mean_difference, limits.max_mean_difference)
    yield _difference(
        "Difference that 99 % of rows keep within", evidence.high_difference, limits.max_high_difference
    )
    if evidence.calibration_title is not None:
        yield _calibration(evidence, evidence.calibration_title)
    for test in evidence.behaviour:
        outcome = {True: "passed", False: "failed", None: "was not run"}[test.passed]
        yield CheckRow(
            name=f"Behaviour: {test.name}",
            asked=test.asked or "run, and passed",
            measured=test.measured or "missing",
            passed=test.passed,
            sentence=f"The behaviour test {test.name!r} {outcome}{f': {test.measured}' if test.measured else '.'}",
        )


def _difference(name: str, found: float | None, limit: float) -> CheckRow:
    asked = f"not above {limit:g}"
    if found is None or not is_number(found):
        return CheckRow(
            name=name, asked=asked, measured="missing", passed=None, sentence=f"{name}: it could not be measured."
        )
    passed = found <= limit
    sentence = f"{name}: {found:.4g} is {'within' if passed else 'above'} the limit of {limit:g}."
    return CheckRow(name=name, asked=asked, measured=f"{found:.4g}", passed=passed, sentence=sentence)


def _calibration(evidence: RefitEvidence, title: str) -> CheckRow:
    own, parents = evidence.calibration_error, evidence.parent_calibration_error
    increase = evidence.limits.max_calibration_increase
    name, asked = "Calibration", f"at most {increase:g} above the parent's"
    if own is None or parents is None or not (math.isfinite(own) and math.isfinite(parents)):
        what = f"{title}: it could not be measured for both versions."
        return CheckRow(name=name, asked=asked, measured="missing", passed=None, sentence=what)
    passed = own - parents <= increase
    above = f"{'no more' if passed else 'more'} than {increase:g} above the parent's {parents:.4g}"
    return CheckRow(
        name=name,
        asked=asked,
        measured=f"{own:.4g}, the parent's {parents:.4g}",
        passed=passed,
        sentence=f"{title}: {own:.4g} is {above}.",
    )

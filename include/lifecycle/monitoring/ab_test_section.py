"""The part of the performance page about an A/B test: what was stated, how far it is, and what came of it."""

from __future__ import annotations

from include.lifecycle.promotion.ab_test_policy import AbTestResult
from include.lifecycle.reporting.pages import Cell, Section, Table, percent
from include.lifecycle.specs import ModelSpec

_TITLE = "A/B test"
_WITHDRAW = "withdraw the challenger by {model}_shadow; until then it keeps its share of the keys."
_ADVICE = {
    "better": "The A/B test is over, and the challenger is better: {model}_shadow can promote it.",
    "worse": f"The A/B test is over, and the challenger is worse: {_WITHDRAW}",
    "no difference": f"The A/B test is over and has found no difference: {_WITHDRAW}",
    "not enough evidence": f"The A/B test is over without enough evidence: {_WITHDRAW}",
}
_VERDICT = {
    "better": "The challenger is better beyond chance.",
    "worse": "The challenger is worse beyond chance.",
    "no difference": "No difference beyond chance was found.",
    "not enough evidence": "There is not enough evidence for a verdict.",
}


def advice(model: ModelSpec, found: AbTestResult | None) -> str:
    """What to do about a test whose verdict nobody has acted on; empty where that is nothing."""
    if found is None or found.has_ended or not found.is_final:
        return ""
    return _ADVICE[found.verdict].format(model=model.name)


def render_ab_test(model: ModelSpec, found: AbTestResult | None) -> list[Section]:
    """The section on the test; none where there is none."""
    if found is None:
        return []
    statement = _statement(model, found)
    if not found.is_final:
        return [Section(_TITLE, f"{found.reason} {statement}")]
    rows: list[list[Cell]] = [
        [f"{name}, version {version}", arm.keys, arm.mean]
        for name, version, arm in (
            ("champion", found.champion, found.champion_arm),
            ("challenger", found.challenger, found.challenger_arm),
        )
        if arm is not None
    ]
    table = Table(["decided by", "keys", "mean outcome"], rows, caption=statement)
    return [Section(_TITLE, f"{_VERDICT[found.verdict]} {found.reason}", table=table)]


def _statement(model: ModelSpec, found: AbTestResult) -> str:
    """What was stated before the test began."""
    test, unit = found.test, model.dataset.calendar.unit
    runs = "decided" if found.has_ended else "decides"
    return (
        f"Stated at the start: from {test.first_day} on, the challenger, version {found.challenger}, {runs} about "
        f"{percent(test.share)} of the keys, and the champion, version {found.champion}, about the others. On the "
        f"first {test.days} {unit}s with known outcomes each key counts with its mean label. The challenger is "
        f"better if the mean of its keys is {test.aim} beyond chance ({percent(1 - test.level)} interval)."
    )

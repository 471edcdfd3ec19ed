"""The question that a person is asked before a version becomes champion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.gate import GateDecision, evaluate_gate
from include.lifecycle.promotion.gate_checks import CheckRow
from include.lifecycle.promotion.gate_evidence import GateEvidence
from include.lifecycle.specs import ModelSpec

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~])")


@dataclass(frozen=True)
class Question:
    """What Airflow shows: the subject in one line, and the body in Markdown."""

    subject: str
    body: str


def ask_about(model: ModelSpec, proposal: ledger.Entry, links: Mapping[str, str]) -> Question:
    """The question about a version that the gate proposes.

    Parameters
    ----------
    links : texts to addresses of what helps to answer, the model card first.
    """
    decision = evaluate_gate(GateEvidence.model_validate(proposal.evidence))
    return Question(_subject(model, proposal), _body(model, proposal, decision, links))


def _subject(model: ModelSpec, proposal: ledger.Entry) -> str:
    if proposal.from_version is None:
        return f"{model.title}: may version {proposal.candidate} be the first champion?"
    return f"{model.title}: may version {proposal.candidate} replace version {proposal.from_version}?"


def _body(model: ModelSpec, proposal: ledger.Entry, decision: GateDecision, links: Mapping[str, str]) -> str:
    asks = " ".join(row.sentence for row in decision.checks if row.asks)
    stays = "there is no champion" if proposal.from_version is None else f"version {proposal.from_version} stays"
    return "\n\n".join(
        [
            f"**Why you are asked:** {_escaped(asks)}",
            "\n".join(_table(decision.checks)),
            " · ".join(f"[{_escaped(text)}]({address})" for text, address in links.items()),
            f"**Approve** makes version {proposal.candidate} the champion: it scores from then on. **Reject**, or "
            f"no answer within {model.gate.approval_hours:g} hours, refuses it for good: {stays}.",
        ]
    )


def _table(rows: Iterable[CheckRow]) -> list[str]:
    lines = [[row.name, row.asked, row.measured, row.outcome] for row in rows]
    cells = [["check", "asked", "measured", "outcome"], ["---"] * 4]
    cells += [[_escaped(cell) for cell in line] for line in lines]
    return [f"| {' | '.join(line)} |" for line in cells]


def _escaped(text: str) -> str:
    """A text without a meaning in Markdown."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))

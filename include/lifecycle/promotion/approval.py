"""Approval: what an answer to a proposal leads to, a pure function from evidence to decision."""

from __future__ import annotations

from include.lifecycle.promotion.actions import Answer
from include.lifecycle.specs import Spec

TIMEOUT = "timeout"
"""The actor of a rejection because nobody answered in time."""
SETTLEMENT = "settlement"
"""The actor of a rejection that no person decided: there is no answer, or it came too late to be followed."""


class Response(Spec):
    """What a person answered, or what is taken for it where the time was over.

    Attributes
    ----------
    approves : whether the candidate is to become champion.
    user : who answered; None where nobody did in time.
    comment : what they wrote, of any characters.
    """

    approves: bool
    user: str | None = None
    comment: str = ""


class ApprovalEvidence(Spec):
    """What is known when a proposal is settled.

    Attributes
    ----------
    hours : how long people had to answer.
    champion_compared : the champion that the candidate was compared with; None where there was none.
    champion : the champion now.
    candidate_fault : a sentence that says why the candidate cannot be used by now; None where it can, and where
        nobody approved it.
    response : None where the question was ended without an answer.
    """

    candidate: int
    hours: float
    champion_compared: int | None
    champion: int | None
    candidate_fault: str | None = None
    response: Response | None = None


class ApprovalDecision(Spec):
    """What becomes of a proposal, who decided that, why, and from what it follows."""

    action: Answer
    actor: str
    reasons: tuple[str, ...]
    evidence: ApprovalEvidence


def evaluate_response(evidence: ApprovalEvidence) -> ApprovalDecision:
    """Approve a candidate only where a person said so, and what they were told still holds.

    Whoever answers approves what the gate measured. Where another version has become champion since, that says
    nothing of the two, and the candidate is rejected.
    """
    response = evidence.response
    if response is None:
        why = f"The question was ended without an answer. {_what_stays(evidence)}"
        return ApprovalDecision(action="reject", actor=SETTLEMENT, reasons=(why,), evidence=evidence)
    if response.user is None:
        why = f"Nobody answered within {evidence.hours:g} hours. {_what_stays(evidence)}"
        return ApprovalDecision(action="reject", actor=TIMEOUT, reasons=(why,), evidence=evidence)
    said, obstacles = _said(response.user, response), _obstacles(evidence)
    if not response.approves:
        reasons: tuple[str, ...] = (said, _what_stays(evidence))
        return ApprovalDecision(action="reject", actor=response.user, reasons=reasons, evidence=evidence)
    if obstacles:
        reasons = (*obstacles, said)
        return ApprovalDecision(action="reject", actor=SETTLEMENT, reasons=reasons, evidence=evidence)
    return ApprovalDecision(action="approve", actor=response.user, reasons=(said,), evidence=evidence)


def _said(user: str, response: Response) -> str:
    what = "approved" if response.approves else "rejected"
    comment = " ".join(response.comment.split())
    return f'{user} {what} it and wrote: "{comment}"' if comment else f"{user} {what} it without a comment."


def _what_stays(evidence: ApprovalEvidence) -> str:
    if evidence.champion is None:
        return "There is still no champion."
    return f"Version {evidence.champion} stays champion."


def _obstacles(evidence: ApprovalEvidence) -> tuple[str, ...]:
    """Sentences that say why an approval cannot be followed."""
    found = []
    if evidence.champion != evidence.champion_compared:
        compared = _named(evidence.champion_compared)
        found.append(
            f"The approval came too late: version {evidence.candidate} was compared with {compared}, and "
            f"meanwhile {_named(evidence.champion)} is champion; train again."
        )
    if evidence.candidate_fault is not None:
        found.append(f"Version {evidence.candidate} cannot be used any more: {evidence.candidate_fault}")
    return tuple(found)


def _named(version: int | None) -> str:
    return "no champion" if version is None else f"version {version}"

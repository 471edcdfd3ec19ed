"""Settlement of a proposal: the answer is recorded in the ledger, then shown in the registry.

A task that is killed anywhere is completed by its next try: an answer that was recorded stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.approval import SETTLEMENT, ApprovalEvidence, Response, evaluate_response
from include.lifecycle.promotion.promotion import REASON_SEPARATOR, show_in_registry
from include.lifecycle.promotion.repair import repair
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import RunInfo

if TYPE_CHECKING:
    from psycopg2 import extensions


def settle(
    tracking_uri: str,
    connection: extensions.connection,
    model: ModelSpec,
    version: int,
    response: Response | None,
    run: RunInfo,
) -> ledger.Entry:
    """Make a proposed version champion, or reject it; returns the answer's entry in the ledger.

    A proposal is settled once: the first answer stands, whatever is answered to the same question later.

    Parameters
    ----------
    response : None where the question was ended without an answer.

    Raises
    ------
    LedgerConflictError
        If another champion was made at the same moment; a retry rejects the version for that.
    """
    repair(tracking_uri, connection, model.name, run, SETTLEMENT)
    history = ledger.entries(connection, model.name)
    answer = ledger.find_answer(history, version)
    if answer is None:
        proposal = ledger.first_verdict(history, version)
        evidence = _gather(tracking_uri, model, proposal, history, response)
        answer = ledger.record(connection, _entry(proposal, evidence))
    show_in_registry(tracking_uri, connection, model.name, version)
    return answer


def settle_lapsed(
    tracking_uri: str, connection: extensions.connection, model: ModelSpec, run: RunInfo
) -> list[ledger.Entry]:
    """Reject what other trainings proposed that ended before there was an answer; returns the answers' entries.

    One training of a model runs at a time, so nobody can be waiting for an answer to another one's question.
    """
    waiting = ledger.unanswered(ledger.entries(connection, model.name))
    lapsed = [entry.candidate for entry in waiting if entry.run_id != run.run_id]
    return [settle(tracking_uri, connection, model, version, None, run) for version in lapsed]


def _gather(
    tracking_uri: str,
    model: ModelSpec,
    proposal: ledger.Entry,
    history: list[ledger.Entry],
    response: Response | None,
) -> ApprovalEvidence:
    fault = None
    if response is not None and response.approves:
        digest = ledger.digest_of(history, proposal.candidate)
        fault = registry.fault(tracking_uri, model, proposal.candidate, digest)
    return ApprovalEvidence(
        candidate=proposal.candidate,
        hours=model.gate.approval_hours,
        champion_compared=proposal.from_version,
        champion=ledger.replay(history).champion,
        candidate_fault=fault,
        response=response,
    )


def _entry(proposal: ledger.Entry, evidence: ApprovalEvidence) -> ledger.Entry:
    decision = evaluate_response(evidence)
    return ledger.Entry(
        model=proposal.model,
        action=decision.action,
        candidate=proposal.candidate,
        from_version=evidence.champion,
        to_version=proposal.candidate if decision.action == "approve" else evidence.champion,
        effective_from=proposal.effective_from,
        actor=decision.actor,
        reason=REASON_SEPARATOR.join(decision.reasons),
        evidence=evidence.model_dump(mode="json"),
        run_id=proposal.run_id,
    )

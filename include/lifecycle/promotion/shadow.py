"""Challengers: a version scores in shadow, no longer does, or leaves it as champion.

The ledger comes first, MLflow follows. A task that is killed anywhere is completed by its next try: what the run
recorded stands, and the aliases are set again from the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.gate_checks import GAIN, check_rows
from include.lifecycle.promotion.gate_evidence import GateEvidence
from include.lifecycle.promotion.promotion import show_in_registry
from include.lifecycle.promotion.shadow_policy import Asked, ShadowComparison, ShadowDecision, ShadowEvidence
from include.lifecycle.specs import ModelSpec

if TYPE_CHECKING:
    from psycopg2 import extensions


@dataclass(frozen=True)
class Request:
    """What a person asks for; `version` may be None where it is about the present challenger."""

    asked: Asked
    version: int | None
    reason: str


def gather(
    tracking_uri: str,
    model: ModelSpec,
    history: Sequence[ledger.Entry],
    request: Request,
    comparison: ShadowComparison | None,
) -> ShadowEvidence:
    """What is decided from.

    Parameters
    ----------
    history : the model's entries in the ledger, oldest first.
    comparison : of the newest performance report, which a promotion needs.
    """
    present = ledger.replay(history)
    version = request.version
    if version is None and request.asked != "shadow":
        version = present.challenger
    # Whatever has become of a challenger, it can be withdrawn.
    is_withdrawal = request.asked == "withdraw"
    known = {} if version is None or is_withdrawal else _known_of(tracking_uri, model, history, version)
    return ShadowEvidence(
        asked=request.asked,
        version=version,
        champion=present.champion,
        challenger=present.challenger,
        reason=request.reason,
        comparison=comparison,
        min_rows=model.drift.min_rows,
        **known,
    )


def _known_of(
    tracking_uri: str, model: ModelSpec, history: Sequence[ledger.Entry], version: int
) -> dict[str, Any]:
    """Fields of the evidence about a version; of one without a verdict there is nothing to load."""
    verdict = ledger.find_verdict(history, version)
    if verdict is None:
        return {}
    return {
        "is_judged": True,
        "is_proposed": verdict.action == "propose" and ledger.find_answer(history, version) is None,
        "refusals": _refusals(verdict),
        "fault": registry.fault(tracking_uri, model, version, ledger.digest_of(history, version)),
    }


def _refusals(verdict: ledger.Entry) -> tuple[str, ...]:
    """What the gate refused a version for, besides its gain over the champion of then."""
    rows = check_rows(GateEvidence.model_validate(verdict.evidence))
    return tuple(row.sentence for row in rows if row.refuses and row.name != GAIN)


def entry_of(
    history: Sequence[ledger.Entry], decision: ShadowDecision, version: int, actor: str, run_id: str
) -> ledger.Entry:
    """What the ledger is to say of a change that was decided on.

    The version may score the days from the one on that its first verdict says: it has seen the future of all days
    before.
    """
    champion = ledger.replay(history).champion
    return ledger.Entry(
        model=history[0].model,
        action=decision.evidence.asked,
        candidate=version,
        from_version=champion,
        to_version=version if decision.action == "promote" else champion,
        effective_from=ledger.first_verdict(history, version).effective_from,
        actor=actor,
        reason=decision.evidence.reason.strip(),
        # By way of JSON, which has no infinite numbers.
        evidence=json.loads(decision.evidence.model_dump_json()),
        run_id=run_id,
    )


def change(tracking_uri: str, connection: extensions.connection, entry: ledger.Entry) -> ledger.Entry:
    """Record a change and show it in the registry; returns the entry that the ledger holds.

    Raises
    ------
    LedgerConflictError
        If the challenger was to become champion, and another champion was made meanwhile.
    """
    entry = ledger.record(connection, entry)
    show_in_registry(tracking_uri, connection, entry.model, entry.candidate)
    return entry

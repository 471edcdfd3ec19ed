"""Challengers: a version scores in shadow, no longer does, or leaves it as champion.

The ledger comes first, MLflow follows. A task that is killed anywhere is completed by its next try: what the run
recorded stands, and the aliases are set again from the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.lifecycle.promotion import ab_test, ledger, registry
from include.lifecycle.promotion.ab_test_policy import AbTestResult
from include.lifecycle.promotion.gate_checks import GAIN, check_rows
from include.lifecycle.promotion.gate_evidence import GateEvidence
from include.lifecycle.promotion.promotion import show_in_registry
from include.lifecycle.promotion.shadow_policy import Asked, ShadowComparison, ShadowDecision, ShadowEvidence
from include.lifecycle.specs import ModelSpec

if TYPE_CHECKING:
    from psycopg2 import extensions


_BETWEEN_REPORTS = 7
"""Days: the report that sees all outcomes of a test may come so much later than they are known."""


@dataclass(frozen=True)
class Request:
    """What a person asks for.

    Attributes
    ----------
    version : None where it is about the present challenger.
    share, days : of an A/B test that is to begin: the challenger's share of the keys, 0 for none, and the horizon.
    """

    asked: Asked
    version: int | None
    reason: str
    share: float = 0.0
    days: int = 28


@dataclass(frozen=True)
class Seen:
    """What the lake has: the newest performance report on both versions, the newest day that can be scored."""

    comparison: ShadowComparison | None = None
    result: AbTestResult | None = None
    newest_day: date | None = None


def gather(
    tracking_uri: str,
    model: ModelSpec,
    history: Sequence[ledger.Entry],
    request: Request,
    seen: Seen,
) -> ShadowEvidence:
    """What is decided from.

    Parameters
    ----------
    history : the model's entries in the ledger, oldest first.
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
        comparison=seen.comparison,
        newest_day=seen.newest_day,
        min_rows=model.drift.min_rows,
        **known,
        **_test_of(model, history, request, seen),
    )


def _test_of(model: ModelSpec, history: Sequence[ledger.Entry], request: Request, seen: Seen) -> dict[str, Any]:
    """Fields of the evidence about the A/B test that begins, or the one that decides.

    Days that have features may be scored at this moment, so a test begins after them, and ends with them.
    """
    running = ab_test.running(history)
    ends = {"last_split_day": seen.newest_day or running.test.first_day - timedelta(1)} if running else {}
    if request.asked != "shadow":
        decides = ab_test.newest_of(history, ledger.replay(history))
        return {**ends, "ab_test": decides and decides.test, "result": seen.result}
    verdict = ledger.find_verdict(history, request.version) if request.version else None
    if verdict is None:
        return {}
    first, later = verdict.effective_from, model.dataset.calendar.later
    if seen.newest_day is not None:
        first = max(first, later(seen.newest_day, 1))
    test = ab_test.stated(model, verdict.candidate, request.share, request.days, first)
    if test is None:
        return {**ends, "share": request.share}
    known = model.matures_on(later(first, request.days - 1)) - first
    return {
        **ends,
        "share": request.share,
        "ab_test": test,
        "known_after_days": known.days,
        "look_back_days": model.drift.outcome_days - _BETWEEN_REPORTS,
    }


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
    ValueError
        If a run of another DAG had the same id, and has recorded something else of the version.
    """
    recorded = ledger.record(connection, entry)
    if recorded.action != entry.action:
        raise ValueError(
            f"The ledger has {recorded.action!r} of version {entry.candidate} by a run {entry.run_id!r}, so that "
            f"another run of that name records no {entry.action!r}; trigger one with another run id."
        )
    show_in_registry(tracking_uri, connection, recorded.model, recorded.candidate)
    return recorded

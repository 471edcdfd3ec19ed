"""Promotion: what the gate decides about a version is recorded in the ledger, then shown in the registry.

A task that is killed anywhere is completed by its next try: what it recorded stands, and the aliases and tags are
set again from the ledger.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.actions import CHAMPION_CHANGES, Action, Verdict
from include.lifecycle.promotion.evidence import gather_evidence
from include.lifecycle.promotion.gate import GateDecision, evaluate_gate
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.repair import follow_ledger, repair
from include.lifecycle.promotion.staged_training import PinnedTraining, StagedTraining
from include.lifecycle.storage.lake import Lake, RunInfo

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

REASON_SEPARATOR = "\n"
_STANDINGS: dict[Action, str] = {
    **dict.fromkeys(CHAMPION_CHANGES, "promoted"),
    "keep": "refused",
    "baseline": "refused",
    "propose": "proposed",
    "reject": "rejected",
    "refuse_refit": "refused",
}


def run_gate(
    tracking_uri: str,
    lake: Lake,
    connection: extensions.connection,
    staged: StagedTraining,
    version: int,
    run: RunInfo,
) -> GateDecision:
    """Decide about the version that a staged training was pushed as, and act on it.

    A version is evaluated once, because the champion may change or die afterwards: a retry takes the recorded
    decision and sets the aliases again, and so does another run, to which it is a `keep`. Whoever wants a refused
    version evaluated again trains another one, with another seed or as of another day.

    Raises
    ------
    ValueError
        If another training has replaced the staged one.
    LedgerConflictError
        If another champion was made meanwhile; a retry compares with that one.
    """
    repair(tracking_uri, connection, staged.model.name, run, "gate")
    history = ledger.entries(connection, staged.model.name)
    entry = ledger.find_verdict(history, version)
    if entry is None:
        training = staged.pin(lake)
        decision = evaluate_gate(gather_evidence(tracking_uri, training, version, history))
        baseline = None
        if decision.action == "baseline":
            baseline = push_model(tracking_uri, lake, staged, run, "baseline").version
        entry = ledger.record(connection, _entry(training, decision, baseline, run))
    show_in_registry(tracking_uri, connection, staged.model.name, version)
    return _decision(entry, run)


def show_in_registry(tracking_uri: str, connection: extensions.connection, model: str, version: int) -> None:
    """Set a model's aliases from its ledger, and tag a version with what became of it."""
    follow_ledger(tracking_uri, connection, model)
    found = standing(ledger.entries(connection, model), version)
    if found is None:
        return
    verdict, reason = found
    try:
        registry.tag_version(tracking_uri, model, version, {registry.VERDICT_TAG: verdict, "gate_reason": reason})
    except UnusableModelError as error:
        log.error("The verdict on it is in the ledger alone. %s", error)


def standing(history: Iterable[ledger.Entry], version: int) -> tuple[str, str] | None:
    """What became of a version last, and why, or None where nothing was decided about it.

    It is `promoted`, `refused`, `proposed`, `rejected` or `rolled back`.
    """
    last = ledger.last_word(history, version)
    if last is None:
        return None
    return "rolled back" if last.candidate != version else _STANDINGS[last.action], last.reason


def _entry(training: PinnedTraining, decision: GateDecision, baseline: int | None, run: RunInfo) -> ledger.Entry:
    """What the ledger is to say of a decision; `baseline` is the version of the pushed baseline, if any."""
    evidence = decision.evidence
    candidate, champion = evidence.candidate_version, evidence.champion_version
    digests = {str(candidate): training.model_digest("candidate")}
    if baseline is not None:
        digests[str(baseline)] = training.model_digest("baseline")
    after: dict[Verdict, int | None] = {
        "promote": candidate,
        "refresh": candidate,
        "keep": champion,
        "propose": champion,
        "baseline": baseline,
    }
    return ledger.Entry(
        model=training.model.name,
        action=decision.action,
        candidate=candidate,
        from_version=champion,
        to_version=after[decision.action],
        effective_from=training.model.in_force_from(training.as_of),
        actor="gate",
        reason=REASON_SEPARATOR.join(decision.reasons),
        evidence=json.loads(evidence.model_dump_json()),
        run_id=run.run_id,
        digests=digests,
    )


def _decision(entry: ledger.Entry, run: RunInfo) -> GateDecision:
    """What an entry says to a run: nothing changes by a run that finds the verdict of another."""
    action, reasons = entry.action, entry.reason.split(REASON_SEPARATOR)
    if entry.run_id != run.run_id:
        first = f"Version {entry.candidate} was evaluated in run {entry.run_id!r}, which stands: {entry.action}."
        action, reasons = "keep", [first, *reasons]
    return GateDecision.model_validate({"action": action, "reasons": reasons, "evidence": entry.evidence})

"""Promotion: what the gate decides about a version is recorded in the ledger, then shown in the registry.

A task that is killed anywhere is completed by its next try: what it recorded stands, and the aliases and tags are
set again from the ledger.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.evidence import gather_evidence
from include.lifecycle.promotion.gate import GateDecision, evaluate_gate
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.staged_training import PinnedTraining, StagedTraining
from include.lifecycle.storage.lake import Lake, RunInfo

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

_REASON_SEPARATOR = "\n"


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
    decision and repairs the aliases, and so does another run, to which it is a `keep`. Whoever wants a refused
    version evaluated again trains another one, with another seed or as of another day.

    Raises
    ------
    ValueError
        If another training has replaced the staged one.
    LedgerConflictError
        If another champion was made meanwhile; a retry compares with that one.
    """
    history = ledger.entries(connection, staged.model.name)
    entry = ledger.find_verdict(history, version)
    if entry is None:
        training = staged.pin(lake)
        decision = evaluate_gate(gather_evidence(tracking_uri, training, version, history))
        baseline = None
        if decision.action == "baseline":
            baseline = push_model(tracking_uri, lake, staged, run, "baseline").version
        entry = ledger.record(connection, _entry(training, decision, baseline, run))
    show_in_registry(tracking_uri, entry, ledger.replay(ledger.entries(connection, staged.model.name)))
    return _decision(entry, run)


def show_in_registry(tracking_uri: str, entry: ledger.Entry, aliases: ledger.Aliases) -> None:
    """Set a model's aliases, and tag the version that an entry of its ledger is about with the verdict."""
    registry.set_aliases(tracking_uri, entry.model, aliases)
    if entry.candidate == entry.from_version:
        return
    verdict = "promoted" if entry.candidate == entry.to_version else "refused"
    tags = {registry.VERDICT_TAG: verdict, "gate_reason": entry.reason}
    try:
        registry.tag_version(tracking_uri, entry.model, entry.candidate, tags)
    except UnusableModelError as error:
        log.error("The verdict on it is in the ledger alone. %s", error)


def _entry(training: PinnedTraining, decision: GateDecision, baseline: int | None, run: RunInfo) -> ledger.Entry:
    """What the ledger is to say of a decision; `baseline` is the version of the pushed baseline, if any."""
    evidence = decision.evidence
    candidate, champion = evidence.candidate_version, evidence.champion_version
    digests = {str(candidate): training.model_digest("candidate")}
    if baseline is not None:
        digests[str(baseline)] = training.model_digest("baseline")
    return ledger.Entry(
        model=training.model.name,
        action=decision.action,
        candidate=candidate,
        from_version=champion,
        to_version={"promote": candidate, "keep": champion, "baseline": baseline}[decision.action],
        effective_from=training.model.in_force_from(training.as_of),
        actor="gate",
        reason=_REASON_SEPARATOR.join(decision.reasons),
        evidence=json.loads(evidence.model_dump_json()),
        run_id=run.run_id,
        digests=digests,
    )


def _decision(entry: ledger.Entry, run: RunInfo) -> GateDecision:
    """What an entry says to a run: nothing changes by a run that finds the verdict of another."""
    action, reasons = entry.action, entry.reason.split(_REASON_SEPARATOR)
    if entry.run_id != run.run_id:
        first = f"Version {entry.candidate} was evaluated in run {entry.run_id!r}, which stands: {entry.action}."
        action, reasons = "keep", [first, *reasons]
    return GateDecision.model_validate({"action": action, "reasons": reasons, "evidence": entry.evidence})

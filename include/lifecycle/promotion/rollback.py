"""Rollback: a former champion comes back, by the ledger first and then in the registry.

A task that is killed anywhere is completed by its next try: what the run recorded stands, and aliases and tags are
set again from the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.actions import CHAMPION_CHANGES
from include.lifecycle.promotion.promotion import show_in_registry
from include.lifecycle.promotion.rollback_policy import RollbackEvidence
from include.lifecycle.specs import ModelSpec, Spec

if TYPE_CHECKING:
    from psycopg2 import extensions


@dataclass(frozen=True)
class Request:
    """What a person asks for.

    Attributes
    ----------
    version : None for the version that the present champion replaced.
    rescore : whether the days that the present champion has scored are to be scored again.
    """

    version: int | None
    reason: str
    rescore: bool
    dry_run: bool = False


def gather(
    tracking_uri: str, model: ModelSpec, history: Sequence[ledger.Entry], request: Request, day: date | None
) -> RollbackEvidence:
    """What a rollback is decided from.

    Parameters
    ----------
    history : the model's entries in the ledger, oldest first.
    day : the newest one with predictions.
    """
    champion, former = ledger.replay(history).champion, ledger.former_champions(history)
    version = version_before(history) if request.version is None else request.version
    fault = None
    if version is not None and version in former:
        fault = registry.fault(tracking_uri, model, version, ledger.digest_of(history, version))
    return RollbackEvidence(
        day=day,
        version=version,
        champion=champion,
        former=former,
        fault=fault,
        reason=request.reason,
        rescore=request.rescore,
        dry_run=request.dry_run,
    )


def version_before(history: Sequence[ledger.Entry]) -> int | None:
    """The version that the present champion replaced, passing over those that were rolled back, or None.

    What a refitted champion replaced is what its parent did: the two are one training.
    """
    champion, *others = ledger.choices_as_of(history, date.max) or (None,)
    parent = None if champion is None else ledger.parents(history).get(champion)
    return next((version for version in others if version != parent), None)


def changed_on(history: Sequence[ledger.Entry]) -> date | None:
    """The last day of data when the present champion came into force, as far as the ledger says; None without one.

    The clock has no say: in a backfill, months of data pass within minutes.
    """
    changes = (entry for entry in history if entry.action in CHAMPION_CHANGES)
    return max((day for entry in changes for day in _days_known(entry)), default=None)


def _days_known(entry: ledger.Entry) -> list[date]:
    """Days of data that there were when an entry was recorded."""
    compared = (entry.evidence.get("comparison") or {}).get("days", ())
    said = [entry.evidence.get("day"), entry.evidence.get("newest_day"), *compared[-1:]]
    return [entry.effective_from, *(date.fromisoformat(day) for day in said if day)]


def entry_of(
    history: Sequence[ledger.Entry], version: int, evidence: Spec, reason: str, actor: str, run_id: str
) -> ledger.Entry:
    """What the ledger is to say of a rollback to a former champion that was decided on.

    The version is in force for the days that it was for when it first became champion: it has seen the future of
    all days before.

    Raises
    ------
    ValueError
        If the version was never champion.
    """
    effective_from = ledger.in_force_from(history, version)
    if effective_from is None:
        raise ValueError(f"Version {version} was never champion, so nobody can go back to it.")
    return ledger.Entry(
        model=history[0].model,
        action="rollback",
        candidate=version,
        from_version=ledger.replay(history).champion,
        to_version=version,
        effective_from=effective_from,
        actor=actor,
        reason=reason,
        evidence=evidence.model_dump(mode="json"),
        run_id=run_id,
    )


def roll_back(tracking_uri: str, connection: extensions.connection, entry: ledger.Entry) -> ledger.Entry:
    """Record a rollback and show it in the registry; returns the entry that the ledger holds.

    Raises
    ------
    LedgerConflictError
        If another champion was made meanwhile.
    """
    entry = ledger.record(connection, entry)
    for version in (entry.candidate, entry.from_version):
        if version is not None:
            show_in_registry(tracking_uri, connection, entry.model, version)
    return entry

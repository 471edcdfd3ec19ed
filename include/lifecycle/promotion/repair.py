"""Aliases of the registry that are not what the ledger says are set again, and the ledger keeps what was found.

The ledger is written first and the aliases follow, so a process that dies in between leaves aliases that are
behind. Somebody may have moved one by hand, too, or a database may have been restored.
"""

from __future__ import annotations

import logging
from dataclasses import astuple
from typing import TYPE_CHECKING

from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.ledger import Aliases
from include.lifecycle.specs import Spec
from include.lifecycle.storage.lake import RunInfo

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)


class RepairEvidence(Spec):
    """What the ledger keeps of a repair: the aliases that were found, and those that were set."""

    found: Aliases
    restored: Aliases


def repair(
    tracking_uri: str, connection: extensions.connection, model: str, run: RunInfo, actor: str
) -> ledger.Entry | None:
    """Set a model's aliases where they differ from the ledger, and record that; None where they agree.

    The record comes before the aliases, so that no repair is done without one. An alias of a version that MLflow
    no longer has cannot be set, so that is no difference.
    """
    with ledger.setting_aliases(connection, model) as history:
        found, due = registry.aliases(tracking_uri, model), ledger.replay(history)
        restored = due if found == due else registry.settable(tracking_uri, model, due)
    if found == restored:
        return None
    entry = ledger.record(connection, _entry(model, RepairEvidence(found=found, restored=restored), run, actor))
    log.warning("%s", entry.reason)
    follow_ledger(tracking_uri, connection, model)
    return entry


def follow_ledger(tracking_uri: str, connection: extensions.connection, model: str) -> None:
    """Set a model's aliases to what its ledger says by now."""
    with ledger.setting_aliases(connection, model) as history:
        registry.set_aliases(tracking_uri, model, ledger.replay(history))


def _entry(model: str, evidence: RepairEvidence, run: RunInfo, actor: str) -> ledger.Entry:
    named = (*astuple(evidence.restored), *astuple(evidence.found))
    return ledger.Entry(
        model=model,
        action="repair",
        candidate=next(version for version in named if version is not None),
        from_version=None,
        to_version=None,
        effective_from=run.started_at.date(),
        actor=actor,
        reason=(
            f"The aliases in MLflow were {_in_words(evidence.found)}; the ledger says "
            f"{_in_words(evidence.restored)}, which they are set to."
        ),
        evidence=evidence.model_dump(mode="json"),
        run_id=run.run_id,
    )


def _in_words(aliases: Aliases) -> str:
    champion, challenger = (
        "none" if version is None else f"version {version}" for version in (aliases.champion, aliases.challenger)
    )
    return f"champion {champion}, challenger {challenger}"

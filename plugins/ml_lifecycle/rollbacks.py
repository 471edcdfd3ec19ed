"""What the tasks of a rollback's run hand to the engine, and what they show of its answers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from include.lifecycle.monitoring import version_before
from include.lifecycle.promotion import automatic_rollback, ledger, rollback, rollback_policy
from include.lifecycle.reporting.notifications import Notification
from include.lifecycle.scoring.rescoring import days_to_rescore
from include.lifecycle.storage import latest
from ml_lifecycle import hooks, trainings
from ml_lifecycle.form_values import refuse_unknown_fields, text, whole_number
from ml_lifecycle.run_notes import PLAN_KEY
from ml_lifecycle.runs import run_links

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from psycopg2 import extensions

    from include.lifecycle.promotion.ledger import Entry
    from include.lifecycle.specs import ModelSpec

log = logging.getLogger(__name__)


def plan(model: ModelSpec) -> dict[str, Any]:
    """Decide on what the form asks for, and say in the log and in the run's note what would change.

    Returns
    -------
    dict
        `version` and `champion`, the version after and before; `effective_from`, the first day that the version
        is for; `rescored`, the days that would be scored again; `summary`, all of that in sentences.

    Raises
    ------
    AirflowFailException
        If it is refused, with all reasons.
    """
    with hooks.WarehouseHook().connection() as connection:
        history = ledger.entries(connection, model.name)
        entry = _entry(model, history)
        days = days_to_rescore(model, hooks.lake(), connection, [*history, entry])
    is_dry_run = get_current_context()["params"]["dry_run"]
    summary = _summary(entry, days, is_dry_run=is_dry_run)
    log.info("%s", summary)
    log.info("Days that would be scored again: %s.", ", ".join(map(str, days)) or "none")
    get_current_context()["ti"].xcom_push(PLAN_KEY, summary)
    return {
        "version": entry.to_version,
        "champion": entry.from_version,
        "effective_from": entry.effective_from.isoformat(),
        "rescored": [day.isoformat() for day in days],
        "summary": summary,
    }


def roll_back(model: ModelSpec, planned: dict[str, Any]) -> dict[str, Any]:
    """Do what was planned, and notify people; returns what the asset event of the champion says.

    Raises
    ------
    AirflowFailException
        If another version has become champion since, so that the plan is about the wrong one.
    """
    with hooks.WarehouseHook().connection() as connection:
        entry = _entry(model, ledger.entries(connection, model.name))
        _refuse_other_champion(entry, planned["champion"])
        entry = _record(connection, entry)
    return _announced(model, entry)


def roll_back_if_worse(model: ModelSpec, day: date) -> dict[str, Any] | None:
    """Roll back where the version before the champion did better on the outcomes of the report of a day.

    Returns what the asset event of the champion says, or None where the champion stays; the log says why.
    """
    url, run_id = hooks.MlflowHook().tracking_uri, get_current_context()["dag_run"].run_id
    with hooks.WarehouseHook().connection() as connection:
        history = ledger.entries(connection, model.name)
        entry = ledger.recorded(history, "rollback", run_id)
        if entry is None:
            evidence = version_before.compare(url, model, hooks.lake(), history, day)
            decision = automatic_rollback.decide(evidence, model.rollback)
            reason = " ".join(decision.reasons)
            log.info("%s: %s", decision.action, reason)
            if decision.action == "keep" or evidence.before is None:
                return None
            entry = rollback.entry_of(history, evidence.before, evidence, reason, "monitoring", run_id)
        entry = rollback.roll_back(url, connection, entry)
    return _announced(model, entry)


def _announced(model: ModelSpec, entry: Entry) -> dict[str, Any]:
    """Show a rollback on both cards, and notify people; returns what the asset event of the champion says."""
    for version in (entry.from_version, entry.to_version):
        if version is not None:
            trainings.renew_card(model, version)
    title = f"{model.title}: version {entry.from_version} is rolled back to version {entry.to_version}"
    hooks.notify(Notification(title, f"{entry.actor}: {entry.reason}", run_links()))
    return {
        "day": entry.effective_from.isoformat(),
        "version": entry.to_version,
        "verdict": entry.action,
        "reasons": [entry.reason],
    }


def _entry(model: ModelSpec, history: Sequence[Entry]) -> Entry:
    """The rollback that the run has recorded, or else the one that its form asks for."""
    context = get_current_context()
    run = context["dag_run"]
    done = ledger.recorded(history, "rollback", run.run_id)
    if done is not None:
        return done
    refuse_unknown_fields(context)
    params = context["params"]
    request = rollback.Request(
        whole_number(params, "version"), text(params, "reason"), params["rescore"], dry_run=params["dry_run"]
    )
    newest = latest.usable(hooks.lake(), model.predictions_prefix)
    day = newest.day if newest else None
    evidence = rollback.gather(hooks.MlflowHook().tracking_uri, model, history, request, day)
    decision = rollback_policy.decide(evidence)
    if decision.action == "refuse" or evidence.version is None:
        raise AirflowFailException(f"Nothing is rolled back. {' '.join(decision.reasons)}")
    actor = run.triggering_user_name or "unknown"
    return rollback.entry_of(history, evidence.version, evidence, evidence.reason.strip(), actor, run.run_id)


def _refuse_other_champion(entry: Entry, champion: int | None) -> None:
    if entry.from_version != champion:
        raise AirflowFailException(
            f"Nothing is rolled back: this run planned to replace version {champion}, but meanwhile version "
            f"{entry.from_version} became champion. Trigger a rollback of that one, if it is wrong, too."
        )


def _record(connection: extensions.connection, entry: Entry) -> Entry:
    try:
        return rollback.roll_back(hooks.MlflowHook().tracking_uri, connection, entry)
    except ledger.LedgerConflictError as error:
        raise AirflowFailException(
            f"Nothing is rolled back: another version than {entry.from_version} became champion meanwhile. "
            "Trigger a rollback of that one, if it is wrong, too."
        ) from error


def _summary(entry: Entry, days: Sequence[date], *, is_dry_run: bool) -> str:
    beginning = "Dry run, nothing is changed: version" if is_dry_run else "Version"
    verb = "would replace" if is_dry_run else "replaces"
    span = f", {days[0]} to {days[-1]}" if len(days) > 1 else "".join(f", {day}" for day in days)
    again = f"{len(days)} day{'' if len(days) == 1 else 's'}{span}"
    return (
        f"{beginning} {entry.to_version} {verb} version {entry.from_version} as champion, for the days from "
        f"{entry.effective_from} on. Days to score again: {again if days else 'none'}."
    )

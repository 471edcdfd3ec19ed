"""What the tasks of a shadow's run hand to the engine, and what they show of its answers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.monitoring import shadow_comparison
from include.lifecycle.promotion import ledger, shadow, shadow_policy
from include.lifecycle.reporting.notifications import Notification
from include.lifecycle.scoring import shadow_scoring
from include.lifecycle.scoring.scorers import load_scorer
from ml_lifecycle import hooks, trainings
from ml_lifecycle.days import requested_range
from ml_lifecycle.form_values import refuse_unknown_fields, text, whole_number
from ml_lifecycle.run_notes import PLAN_KEY
from ml_lifecycle.runs import run_info, run_links

if TYPE_CHECKING:
    from collections.abc import Sequence

    from include.lifecycle.promotion.ledger import Entry
    from include.lifecycle.promotion.shadow import Request
    from include.lifecycle.specs import ModelSpec

log = logging.getLogger(__name__)


def change(model: ModelSpec) -> dict[str, Any]:
    """Do what the form asks for, and notify people; returns what the asset event of a new champion says.

    Raises
    ------
    AirflowFailException
        If it is refused, with all reasons, or if another version became champion meanwhile.
    """
    context = get_current_context()
    run, form = context["dag_run"], context["params"]
    refuse_unknown_fields(context)
    request = shadow.Request(
        form["action"],
        whole_number(form, "version"),
        text(form, "reason"),
        form["share"],
        int(form["test_days"]),
    )
    url = hooks.MlflowHook().tracking_uri
    with hooks.WarehouseHook().connection() as connection:
        history = ledger.entries(connection, model.name)
        entry = ledger.recorded(history, request.asked, run.run_id) or _entry(url, model, history, request)
        try:
            entry = shadow.change(url, connection, entry)
        except ledger.LedgerConflictError as error:
            raise AirflowFailException(
                f"Nothing is changed: another version than {entry.from_version} became champion meanwhile. Wait "
                "until a performance report compares the challenger with that one."
            ) from error
    return _announced(model, entry)


def score(model: ModelSpec) -> dict[str, Any]:
    """Score what the challenger has not scored yet, or what the form asks for.

    Returns
    -------
    dict
        `version`, the challenger; `days`, those that it has scored, newest first.

    Raises
    ------
    AirflowSkipException
        If there is no challenger, or nothing to score.
    AirflowFailException
        If the challenger cannot be used, or a day could not be scored, after all others.
    """
    requested = requested_range(get_current_context(), model.dataset)
    url, lake = hooks.MlflowHook().tracking_uri, hooks.lake()
    with hooks.WarehouseHook().connection() as connection:
        history = ledger.entries(connection, model.name)
    version = ledger.replay(history).challenger
    if version is None:
        raise AirflowSkipException(f"{model.title} has no challenger.")
    days = shadow_scoring.plan(model, lake, history, requested)
    if not days:
        raise AirflowSkipException(f"The challenger, version {version}, has no day left to score.")
    try:
        scorer = load_scorer(url, lake, model, version, ledger.digest_of(history, version))
    except UnusableModelError as error:
        raise AirflowFailException(
            f"The challenger cannot score. {error} Withdraw it by the form; the champion's predictions are not "
            "affected."
        ) from error
    errors = shadow_scoring.score_days(model, lake, days, scorer, run_info())
    if errors:
        sentences = " ".join(f"{day}: {error}" for day, error in errors.items())
        raise AirflowFailException(
            f"The challenger, version {version}, has not scored {len(errors)} of {len(days)} days; the champion's "
            f"predictions are not affected. {sentences}"
        )
    return {"version": version, "days": [day.isoformat() for day in days]}


def _entry(url: str, model: ModelSpec, history: Sequence[Entry], request: Request) -> Entry:
    """What the form asks for, as the ledger is to have it."""
    run = get_current_context()["dag_run"]
    evidence = shadow.gather(url, model, history, request, shadow_comparison.see(model, hooks.lake(), request))
    decision = shadow_policy.decide(evidence)
    if decision.action == "refuse" or evidence.version is None:
        raise AirflowFailException(f"Nothing is changed. {' '.join(decision.reasons)}")
    summary = " ".join(decision.reasons)
    log.info("%s", summary)
    get_current_context()["ti"].xcom_push(PLAN_KEY, summary)
    return shadow.entry_of(history, decision, evidence.version, run.triggering_user_name or "unknown", run.run_id)


def _announced(model: ModelSpec, entry: Entry) -> dict[str, Any]:
    """Notify people of a change, and show a promotion on its card; returns what is handed to the next task."""
    if entry.action == "promote":
        trainings.renew_card(model, entry.candidate)
    what = {
        "shadow": f"version {entry.candidate} scores in shadow",
        "withdraw": f"version {entry.candidate} scores in shadow no longer",
        "promote": f"version {entry.candidate} leaves the shadow and replaces version {entry.from_version}",
    }[entry.action]
    hooks.notify(Notification(f"{model.title}: {what}", f"{entry.actor}: {entry.reason}", run_links()))
    return {
        "day": entry.effective_from.isoformat(),
        "version": entry.candidate,
        "verdict": entry.action,
        "reasons": [entry.reason],
    }

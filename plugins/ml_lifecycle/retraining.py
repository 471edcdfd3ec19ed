"""Retraining as the DAGs do it: the monitoring decides and asks, the training takes the request and answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from include.lifecycle.monitoring import retraining_policy, retraining_requests
from include.lifecycle.monitoring.retraining_evidence import gather
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.actions import ANSWERS, VERDICTS
from include.lifecycle.reporting.notifications import Notification
from ml_lifecycle import hooks
from ml_lifecycle.days import run_day
from ml_lifecycle.form_values import text
from ml_lifecycle.forms import LONGEST_TEXT
from ml_lifecycle.run_notes import REASON_KEY
from ml_lifecycle.runs import run_links

if TYPE_CHECKING:
    from include.lifecycle.specs import ModelSpec


def decide(model: ModelSpec) -> dict[str, Any]:
    """Decide about retraining, and record the request if one is made; returns the decision and what is unanswered.

    What a run has taken counts, too: it may have died. A training that is woken while that run goes on waits for
    its end, and is skipped where it has answered.
    """
    day = run_day(get_current_context(), model.dataset)

    def fault(version: int, digest: str | None) -> str | None:
        return registry.fault(hooks.MlflowHook().tracking_uri, model, version, digest)

    with hooks.WarehouseHook().connection() as connection:
        evidence = gather(model, hooks.lake(), connection, day, fault)
        decision = retraining_policy.decide(evidence, model.retraining)
        is_new = decision.action == "train" and retraining_requests.make(connection, decision)
        pending = retraining_requests.pending(connection, model.name)
    if is_new:
        title = f"{model.title}, {day}: a training is requested"
        hooks.notify(Notification(title, " ".join(decision.reasons), run_links()))
    return {
        "day": day.isoformat(),
        "action": decision.action,
        "reasons": list(decision.reasons),
        "open_request": pending.id if pending is not None and decision.action != "block" else None,
    }


def take(model: ModelSpec) -> dict[str, Any]:
    """What the training of this run is asked for: its day, its reason, and the request that it answers, if any.

    Raises
    ------
    AirflowSkipException
        If an event woke the run and no request is open: the event came twice, or another run was faster.
    """
    context = get_current_context()
    run, day = context["dag_run"], run_day(context, model.dataset)
    with hooks.WarehouseHook().connection() as connection:
        request = retraining_requests.take(connection, model.name, run.run_id, day)
    if run.run_type == "asset_triggered":
        if request is None:
            raise AirflowSkipException(f"No training of {model.title.lower()} is requested.")
        # The training sees what asked for it and nothing later, however late the event arrives.
        day = request.asked_on
    reasons = [text(context["params"], "reason"), None if request is None else request.reason]
    # No longer than the form takes it, by which the maintenance repeats a training.
    reason = "; ".join(filter(None, reasons))[:LONGEST_TEXT]
    if reason:
        context["ti"].xcom_push(REASON_KEY, reason)
    return {
        "as_of": day.isoformat(),
        "reason": reason or f"{run.run_type.value.replace('_', ' ')} run",
        "request": request and request.id,
    }


def close(model: ModelSpec, request: str, verdict: dict[str, Any] | None) -> str:
    """Write into a request what came of its training, or open it again where that failed; returns its state.

    Parameters
    ----------
    verdict : what the gate decided, as `trainings.evaluate_gate` returns it; None where the run did not get there.
    """
    run_id = get_current_context()["dag_run"].run_id
    with hooks.WarehouseHook().connection() as connection:
        if verdict is None:
            cause = f"The run {run_id} failed; its note says why."
            return retraining_requests.give_back(connection, request, cause, model.retraining.max_attempts)
        history = ledger.entries(connection, model.name)
        recorded = [entry for entry in history if entry.run_id == run_id and entry.action in VERDICTS | ANSWERS]
        outcome = f"{recorded[-1].action}: {recorded[-1].reason}" if recorded else _in_words(verdict)
        retraining_requests.finish(connection, request, outcome)
    return "done"


def _in_words(verdict: dict[str, Any]) -> str:
    return f"{verdict['verdict']}: {' '.join(verdict['reasons'])}"

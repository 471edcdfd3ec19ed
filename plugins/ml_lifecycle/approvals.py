"""What the tasks about an approval hand to the engine: the question to people, and their answer."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import get_current_context

from include.lifecycle.promotion import ledger, settlement
from include.lifecycle.promotion.approval import Response
from include.lifecycle.promotion.approval_question import Question, ask_about
from include.lifecycle.promotion.promotion import REASON_SEPARATOR
from include.lifecycle.reporting.notifications import Notification
from ml_lifecycle import hooks, trainings
from ml_lifecycle.forms import COMMENT
from ml_lifecycle.links import show_report
from ml_lifecycle.runs import run_info, run_url, web_url

if TYPE_CHECKING:
    from include.lifecycle.specs import ModelSpec


def ask(model: ModelSpec, as_of: date, version: int) -> Question | None:
    """The question about a proposed version, of which people are notified; None where it has been answered."""
    with hooks.WarehouseHook().connection() as connection:
        history = ledger.entries(connection, model.name)
    if ledger.find_answer(history, version) is not None:
        return None
    links = {
        f"Model card of version {version}": web_url(show_report(model.card_prefix(version), as_of)),
        f"Version {version} in MLflow": hooks.MlflowHook().version_url(model.name, version),
    }
    question = ask_about(model, ledger.first_verdict(history, version), links)
    reason = f"The gate proposes it. Without an answer within {model.gate.approval_hours:g} hours it is rejected."
    hooks.notify(Notification(question.subject, reason, {"Answer": _answer_url(), **links}))
    return question


def settle(
    model: ModelSpec, as_of: date, pushed: dict[str, Any], verdict: dict[str, Any], answer: dict[str, Any] | None
) -> dict[str, Any]:
    """Record the answer to a proposal and act on it; returns the verdict that stands then.

    A verdict that is no proposal stands as it is.
    """
    if verdict["verdict"] != "propose":
        return verdict
    url = hooks.MlflowHook().tracking_uri
    with hooks.WarehouseHook().connection() as connection:
        entry = settlement.settle(url, connection, model, pushed["version"], response(answer), run_info())
        champion = ledger.champion(connection, model.name)
    trainings.publish_card(model, as_of, pushed["version"])
    return {
        **verdict,
        "version": champion,
        "verdict": entry.action,
        "reasons": entry.reason.split(REASON_SEPARATOR),
    }


def response(answer: dict[str, Any] | None) -> Response | None:
    """What the approval's task returned; None where it was ended from outside."""
    if answer is None:
        return None
    user = answer["responded_by_user"]
    return Response(
        approves=answer["chosen_options"] == [ApprovalOperator.APPROVE],
        user=user and user["name"],
        comment=(answer["params_input"] or {}).get(COMMENT) or "",
    )


def _answer_url() -> str:
    context = get_current_context()
    run, task = context["dag_run"], context["ti"].task_id
    return f"{run_url(run.dag_id, run.run_id)}/tasks/{task}/required_actions"

"""What the tasks of a training's run hand to the engine, and what they show of its answers."""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.promotion import ledger, model_card, settlement
from include.lifecycle.promotion.actions import CHAMPION_CHANGES
from include.lifecycle.promotion.promotion import REASON_SEPARATOR, run_gate
from include.lifecycle.promotion.refit import run_refit
from include.lifecycle.promotion.staged_training import StagedTraining
from include.lifecycle.storage.lake import LakeError
from include.lifecycle.training.record import TrainingRequest
from ml_lifecycle import hooks
from ml_lifecycle.links import show_report
from ml_lifecycle.runs import run_info, run_url

if TYPE_CHECKING:
    from include.lifecycle.specs import ModelSpec

log = logging.getLogger(__name__)


def training_request(as_of: date, reason: str = "") -> TrainingRequest:
    """What the run's form asks for."""
    params = get_current_context()["params"]
    return TrainingRequest(as_of, int(params["trials"]), int(params["seed"]), run_info(), reason)


def evaluate_gate(model: ModelSpec, as_of: date, pushed: dict[str, Any]) -> dict[str, Any]:
    """Let the gate decide on a pushed version; returns the verdict and the version that is champion now.

    What a training before this one proposed, and nobody answered before it ended, is rejected first.
    """
    if get_current_context()["params"]["ask_first"]:
        model = model.model_copy(update={"gate": model.gate.model_copy(update={"approval": "always"})})
    mlflow, staged = hooks.MlflowHook(), StagedTraining(model, as_of, pushed["staged_digest"])
    with hooks.WarehouseHook().connection() as connection:
        lapsed = settlement.settle_lapsed(mlflow.tracking_uri, connection, model, run_info())
        decision = run_gate(mlflow.tracking_uri, hooks.lake(), connection, staged, pushed["version"], run_info())
        champion = ledger.champion(connection, model.name)
    for answer in lapsed:
        renew_card(model, answer.candidate)
    show_report(model.card_prefix(pushed["version"]), as_of)
    return {
        "day": as_of.isoformat(),
        "version": champion,
        "verdict": decision.action,
        "reasons": list(decision.reasons),
    }


def publish_card(model: ModelSpec, as_of: date, version: int) -> str:
    """Publish the card of a version with the verdict that stands, and show that in MLflow; returns its prefix."""
    mlflow, lake = hooks.MlflowHook(), hooks.lake()
    with hooks.WarehouseHook().connection() as connection:
        decided = model_card.Decided.of(ledger.entries(connection, model.name), version)
    entry = decided.verdict
    links = {
        f"Version {version} in MLflow": mlflow.version_url(model.name, version),
        "The training's run in Airflow": run_url(f"{model.name}_training", entry.run_id),
    }
    model_card.publish(model, lake, as_of, decided, links, run_info())
    model_card.show_in_mlflow(mlflow.tracking_uri, model, lake, as_of, entry)
    show_report(model.card_prefix(version), as_of)
    return model.card_prefix(version)


def renew_card(model: ModelSpec, version: int) -> None:
    """Publish the card of a version again, where it has one, with what became of the version since.

    What stands in the way is logged: what was decided and recorded does not fail because of a page.
    """
    published = hooks.lake().newest(model.card_prefix(version))
    if published is None:
        return
    try:
        publish_card(model, published[0], version)
    except (LakeError, UnusableModelError) as error:
        log.warning("The card of version %d is as it was: %s", version, error)


def refit(model: ModelSpec, as_of: date, pushed: dict[str, Any], verdict: dict[str, Any]) -> dict[str, Any]:
    """Fit a new champion on the holdout as well, and publish its card again; returns the verdict that stands then.

    Where the candidate did not become champion, the verdict stands as it is.
    """
    mlflow, staged = hooks.MlflowHook(), StagedTraining(model, as_of, pushed["staged_digest"])
    run = run_info()
    with hooks.WarehouseHook().connection() as connection:
        entry = run_refit(mlflow.tracking_uri, hooks.lake(), connection, staged, pushed["version"], run)
        champion = ledger.champion(connection, model.name)
    if entry is None:
        return verdict
    publish_card(model, as_of, pushed["version"])
    if entry.run_id != run.run_id:
        return verdict
    reasons = [*entry.reason.split(REASON_SEPARATOR), *verdict["reasons"]]
    is_new = entry.action == "refit" and verdict["verdict"] not in CHAMPION_CHANGES
    return {
        **verdict,
        "version": champion,
        "verdict": "refit" if is_new else verdict["verdict"],
        "reasons": reasons,
    }

"""A training whose model asks for it refits a new champion before anybody is told who scores."""

from __future__ import annotations

import runpy
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from include.lifecycle.promotion import ledger
from include.lifecycle.specs import RefitSpec
from include.models.churn import CHURN
from ml_lifecycle import trainings
from tests.dags.dag_ids import ROOT
from tests.specs import changed

DAY = date(2026, 3, 1)
WIDE = RefitSpec(max_mean_difference=0.5, max_high_difference=0.9, max_calibration_increase=0.5)
PUSHED = {"name": "churn", "version": 2, "run_id": "abc", "staged_digest": "digest"}
PROMOTED = {"day": str(DAY), "version": 2, "verdict": "promote", "reasons": ["It is better."]}
REFITTED = ledger.Entry("churn", "refit", 3, 2, 3, DAY, "refit", "It learnt more.", {"parent": 2}, "weekly")
REFUSED = replace(REFITTED, action="refuse_refit", to_version=2, reason="It is another model.")


@pytest.fixture
def refit_with(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the task with what the engine says; returns the verdict, and how often the card was published."""

    def refit_with(entry: ledger.Entry | None, verdict: dict[str, Any]) -> tuple[dict[str, Any], int]:
        cards: list[Any] = []
        monkeypatch.setattr("ml_lifecycle.hooks.WarehouseHook.connection", lambda _: nullcontext())
        monkeypatch.setattr("ml_lifecycle.hooks.MlflowHook.tracking_uri", "http://mlflow")
        monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: None)
        monkeypatch.setattr(trainings, "run_info", lambda: SimpleNamespace(run_id="weekly"))
        monkeypatch.setattr(trainings, "publish_card", lambda *asked: cards.append(asked))
        monkeypatch.setattr(trainings, "run_refit", lambda *_: entry)
        monkeypatch.setattr(ledger, "champion", lambda *_: entry.to_version if entry else verdict["version"])
        return trainings.refit(CHURN, DAY, PUSHED, verdict), len(cards)

    return refit_with


@pytest.mark.parametrize("model", [CHURN, changed(CHURN, refit=WIDE)])
def test_a_refit_follows_the_answer_and_comes_before_the_announcement_where_the_model_asks_for_it(
    dags: dict[str, Any], model: Any
) -> None:
    dag = runpy.run_path(str(ROOT / "dags" / "training.py"))["training"](model)

    announcer = dag.get_task("announce_champion")

    assert dag.has_task("refit") == (model.refit is not None)
    if model.refit is not None:
        assert announcer.upstream_task_ids == {"refit"}
        assert "settle" in dag.get_task("refit").upstream_task_ids
    assert "settle" in dag.get_task("close_request").upstream_task_ids


def test_the_refitted_version_is_announced_as_the_champion_that_was_promoted(refit_with: Any) -> None:
    verdict, cards = refit_with(REFITTED, PROMOTED)

    assert verdict == PROMOTED | {"version": 3, "reasons": ["It learnt more.", "It is better."]}
    assert cards == 1


def test_after_a_refused_refit_the_judged_version_is_announced_and_the_reason_told(refit_with: Any) -> None:
    verdict, cards = refit_with(REFUSED, PROMOTED)

    assert verdict == PROMOTED | {"reasons": ["It is another model.", "It is better."]}
    assert cards == 1


def test_where_nothing_was_refitted_or_another_run_did_it_the_verdict_stands(refit_with: Any) -> None:
    kept = PROMOTED | {"verdict": "keep"}

    assert refit_with(None, kept) == (kept, 0)
    assert refit_with(replace(REFITTED, run_id="another"), kept) == (kept, 1)


def test_a_run_that_only_completes_the_refit_of_another_says_that_there_is_another_champion(
    refit_with: Any,
) -> None:
    verdict, _ = refit_with(REFITTED, PROMOTED | {"verdict": "keep"})

    assert (verdict["verdict"], verdict["version"]) == ("refit", 3)

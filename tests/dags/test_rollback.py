"""A rollback as Airflow runs it: the form as it opens, a dry run, a refusal, and one that is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError
from airflow.sdk.execution_time.context import set_current_context

from include.catalog import MODELS
from include.lifecycle.monitoring import version_before
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.automatic_rollback import AutomaticRollbackEvidence
from include.lifecycle.promotion.ledger import Entry
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import MANIFEST, Lake, partition
from include.lifecycle.storage.latest import Latest
from include.models.churn import CHURN
from ml_lifecycle import rollbacks, trainings
from ml_lifecycle.run_notes import on_dag_run_success

FIRST = Entry("churn", "promote", 1, None, 1, date(2026, 1, 1), "gate", "It is better.", {}, "first")
SECOND = replace(
    FIRST, candidate=2, from_version=1, to_version=2, effective_from=date(2026, 2, 1), run_id="second"
)
REASON = "It raises false alarms."
OPENS = {"version": None, "reason": None, "rescore": False, "dry_run": True}
"""The form as a browser opens it, and sends it with what is changed."""
Trigger = Callable[..., Any]


@pytest.fixture
def shown(notified: list[Any]) -> dict[str, Any]:
    """What the registry and people were told."""
    return {"aliases": [], "tags": {}, "cards": [], "notified": notified}


@pytest.fixture
def trigger(trigger_of: Any, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Trigger:
    """Triggers `churn_rollback`, as its form opens but for what is given; returns the run."""
    monkeypatch.setattr(registry, "set_aliases", lambda _, name, aliases: shown["aliases"].append((name, aliases)))
    monkeypatch.setattr(
        registry, "tag_version", lambda _, name, version, tags: shown["tags"].update({version: tags})
    )
    monkeypatch.setattr(trainings, "renew_card", lambda _, version: shown["cards"].append(version))
    trigger: Trigger = trigger_of("churn_rollback", (FIRST, SECOND))
    return trigger


def note_of(run: Any) -> str | None:
    """What the scheduler writes into the note of a run that succeeded."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalars(
            select(DagRun).where(DagRun.run_id == run.run_id, DagRun.dag_id == run.dag_id)
        ).one()
        on_dag_run_success(found, "success")
        note: str | None = found.note
        return note


def test_as_the_form_opens_a_dry_run_says_what_would_change_and_changes_nothing(
    trigger: Trigger, postgres: Any, shown: dict[str, Any]
) -> None:
    run = trigger()

    assert run.state == "success"
    assert ledger.entries(postgres, "churn") == [FIRST, SECOND]
    assert shown == {"aliases": [], "tags": {}, "cards": [], "notified": []}
    assert note_of(run) == (
        "Plan: Dry run, nothing is changed: version 1 would replace version 2 as champion, for the days from "
        "2026-01-01 on. Days to score again: none."
    )


def test_a_rollback_is_recorded_with_who_asked_for_it_and_why_and_shown(
    trigger: Trigger, postgres: Any, lake: Lake, shown: dict[str, Any]
) -> None:
    newest = partition(CHURN.predictions_prefix, date(2026, 5, 1))
    named = Latest(day=date(2026, 5, 1), manifest=f"{newest}/{MANIFEST}", files=(), rows=0)
    lake.write_object(latest.key(CHURN.predictions_prefix), named.model_dump_json().encode())

    run = trigger(dry_run=False, reason=REASON, version=1, rescore=True)

    *_, entry = ledger.entries(postgres, "churn")
    assert run.state == "success"
    assert (entry.action, entry.candidate, entry.from_version, entry.to_version) == ("rollback", 1, 2, 1)
    assert (entry.actor, entry.reason, entry.run_id) == ("dag_test", REASON, run.run_id)
    assert entry.effective_from == FIRST.effective_from
    assert (entry.evidence["day"], entry.evidence["rescore"]) == ("2026-05-01", True)
    assert shown["aliases"][-1] == ("churn", ledger.Aliases(1))
    assert shown["cards"] == [2, 1]
    assert {version: tags["gate_verdict"] for version, tags in shown["tags"].items()} == {
        1: "promoted",
        2: "rolled back",
    }
    [notification] = shown["notified"]
    assert notification.title == "Customer churn: version 2 is rolled back to version 1"
    assert notification.reason == f"dag_test: {REASON}"
    assert str(note_of(run)).startswith(
        "Plan: Version 1 replaces version 2 as champion, for the days from 2026-01-01 on."
    )


@pytest.mark.parametrize(
    "form", [{"dry_run": False}, {"version": 2}, {"version": 7}], ids=["no reason", "champion", "unknown"]
)
def test_a_request_that_cannot_be_met_fails_without_a_retry_and_changes_nothing(
    trigger: Trigger, postgres: Any, shown: dict[str, Any], form: dict[str, Any]
) -> None:
    run = trigger(**form)

    assert run.state == "failed"
    assert ledger.entries(postgres, "churn") == [FIRST, SECOND]
    assert shown["aliases"] == []
    assert [notification.title for notification in shown["notified"]] == ["churn_rollback.plan failed"]
    assert shown["notified"][0].reason.startswith("Nothing is rolled back. ")


def test_a_champion_that_changes_meanwhile_is_not_rolled_back(
    trigger: Trigger, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = replace(SECOND, candidate=3, from_version=2, to_version=3, run_id="third")
    plan = rollbacks.plan

    def planned_before_a_promotion(model: Any) -> dict[str, Any]:
        planned = plan(model)
        ledger.record(postgres, third)
        return planned

    monkeypatch.setattr(rollbacks, "plan", planned_before_a_promotion)

    run = trigger(dry_run=False, reason=REASON, version=1)

    assert run.state == "failed"
    assert ledger.entries(postgres, "churn") == [FIRST, SECOND, third]


def test_a_task_that_is_cleared_after_its_rollback_does_not_roll_back_again(
    trigger: Trigger, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    roll_back = rollbacks.roll_back

    def twice(*asked: Any) -> dict[str, Any]:
        roll_back(*asked)
        return roll_back(*asked)

    monkeypatch.setattr(rollbacks, "roll_back", twice)

    trigger(dry_run=False, reason=REASON)

    assert [entry.action for entry in ledger.entries(postgres, "churn")] == ["promote", "promote", "rollback"]


@pytest.mark.parametrize(("lower_bound", "is_rolled_back"), [(0.05, True), (0.01, False)])
def test_monitoring_rolls_back_by_the_policy_once_and_says_why(
    trigger: Trigger,
    postgres: Any,
    shown: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    lower_bound: float,
    is_rolled_back: bool,
) -> None:
    asked: list[Any] = []
    evidence = AutomaticRollbackEvidence(
        day=date(2026, 6, 30),
        champion=2,
        before=1,
        verdict="worse",
        metric="Average precision",
        rows=5000,
        champion_score=0.3,
        before_score=0.4,
        gain=0.1,
        gain_lower_bound=lower_bound,
        changed_on=date(2026, 2, 1),
    )
    monkeypatch.setattr(version_before, "compare", lambda *given: asked.append(given) or evidence)
    run = SimpleNamespace(dag_id="churn_monitoring", run_id="weekly")

    with set_current_context({"dag_run": run}):
        answers = [rollbacks.roll_back_if_worse(CHURN, date(2026, 6, 30)) for _ in range(2)]

    _, _, *new = ledger.entries(postgres, "churn")
    if not is_rolled_back:
        assert (answers, new, shown["aliases"]) == ([None, None], [], [])
        return
    [entry] = new
    assert (entry.action, entry.from_version, entry.to_version, entry.actor) == ("rollback", 2, 1, "monitoring")
    assert entry.reason.endswith(
        "the lower end of the 95 % interval of the gain, 0.05, is above the margin of 0.02."
    )
    assert entry.evidence["rescore"] is False
    assert shown["aliases"][-1] == ("churn", ledger.Aliases(1))
    assert [answer and answer["version"] for answer in answers] == [1, 1]


def test_only_a_model_with_a_policy_is_rolled_back_by_its_monitoring(dags: dict[str, Any]) -> None:
    rolled_back = {name for name in MODELS if dags[f"{name}_monitoring"].has_task("roll_back_if_worse")}

    assert rolled_back == {name for name, model in MODELS.items() if model.rollback is not None} == {"churn"}


def test_the_form_opens_as_a_dry_run_and_takes_no_version_below_1_and_no_reason_of_a_word(
    dags: dict[str, Any],
) -> None:
    params = dags[f"{CHURN.name}_rollback"].params
    assert {name: params.get_param(name).value for name in params} == OPENS
    for field, refused in (("version", 0), ("reason", "bad"), ("reason", "x" * 501), ("dry_run", None)):
        with pytest.raises(ParamValidationError):
            params.get_param(field).resolve(refused)

"""A challenger as Airflow runs it: it is made one, withdrawn, refused, and what each leaves in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError

from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.ledger import Aliases, Entry
from include.lifecycle.storage.lake import Lake
from ml_lifecycle import shadows
from tests.gate_evidence import gate_evidence

KNOWN = gate_evidence(candidate_version=1).model_dump(mode="json")
FIRST = Entry("churn", "promote", 1, None, 1, date(2026, 1, 1), "gate", "It is better.", KNOWN, "first")
SECOND = replace(
    FIRST, action="keep", candidate=2, from_version=1, effective_from=date(2026, 2, 1), run_id="second"
)
REASON = "It may be better on live data."
Trigger = Callable[..., Any]


@pytest.fixture
def shown() -> dict[str, Any]:
    """What the registry and people were told."""
    return {"aliases": [], "notified": []}


@pytest.fixture
def trigger(
    dags: dict[str, Any], postgres: Any, lake: Lake, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Trigger:
    """Triggers `churn_shadow`, as its form opens but for what is given; returns the run."""

    @contextmanager
    def connection(_: Any) -> Iterator[Any]:
        yield postgres

    monkeypatch.setattr("ml_lifecycle.hooks.WarehouseHook.connection", connection)
    monkeypatch.setattr("ml_lifecycle.hooks.MlflowHook.tracking_uri", "http://mlflow")
    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: lake)
    monkeypatch.setattr("ml_lifecycle.hooks.notification_services", lambda: None)
    monkeypatch.setattr("ml_lifecycle.hooks.notify", shown["notified"].append)
    monkeypatch.setattr(registry, "fault", lambda *_: None)
    monkeypatch.setattr(registry, "set_aliases", lambda _, name, aliases: shown["aliases"].append(aliases))
    monkeypatch.setattr(registry, "tag_version", lambda *_: None)
    for entry in (FIRST, SECOND):
        ledger.record(postgres, entry)
    dag = dags["churn_shadow"]
    for name in dag.params:
        # In one process, what a form is given stays in the DAG; the test's end takes it back.
        monkeypatch.setattr(dag.params.get_param(name), "value", dag.params.get_param(name).value)
    opens = {name: dag.params.get_param(name).value for name in dag.params}
    return lambda **form: dag.test(run_conf=opens | form)


def actions(postgres: Any) -> list[str]:
    return [entry.action for entry in ledger.entries(postgres, "churn")]


def test_a_version_that_the_gate_refused_becomes_challenger_and_the_ledger_says_who_asked_and_why(
    trigger: Trigger, postgres: Any, shown: dict[str, Any]
) -> None:
    run = trigger(action="shadow", version=2, reason=REASON)

    *_, entry = ledger.entries(postgres, "churn")
    assert run.state == "success"
    assert (entry.action, entry.candidate, entry.from_version, entry.to_version) == ("shadow", 2, 1, 1)
    assert (entry.actor, entry.reason, entry.run_id) == ("dag_test", REASON, run.run_id)
    assert entry.effective_from == SECOND.effective_from
    assert shown["aliases"][-1] == Aliases(1, 2)
    [notification] = shown["notified"]
    assert notification.title == "Customer churn: version 2 scores in shadow"
    assert notification.reason == f"dag_test: {REASON}"


def test_the_challenger_is_withdrawn_without_being_named(
    trigger: Trigger, postgres: Any, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger(action="shadow", version=2, reason=REASON)
    monkeypatch.delattr(registry, "fault")

    run = trigger(action="withdraw", version=None, reason="It is no better.")

    assert run.state == "success"
    assert actions(postgres) == ["promote", "keep", "shadow", "withdraw"]
    assert shown["aliases"][-1] == Aliases(1, None)


@pytest.mark.parametrize(
    "form",
    [
        {"action": "shadow", "version": 2, "reason": None},
        {"action": "shadow", "version": None},
        {"action": "shadow", "version": 1},
        {"action": "shadow", "version": 7},
        {"action": "withdraw", "version": None},
    ],
    ids=["no reason", "no version", "champion", "unknown", "no challenger"],
)
def test_a_request_that_cannot_be_met_fails_without_a_retry_and_changes_nothing(
    trigger: Trigger, postgres: Any, shown: dict[str, Any], form: dict[str, Any]
) -> None:
    run = trigger(**{"reason": REASON, **form})

    assert run.state == "failed"
    assert ledger.entries(postgres, "churn") == [FIRST, SECOND]
    assert shown["aliases"] == []
    assert [notification.title for notification in shown["notified"]] == ["churn_shadow.change failed"]
    assert shown["notified"][0].reason.startswith("Nothing is changed. ")


def test_a_version_whose_file_cannot_be_used_becomes_no_challenger(
    trigger: Trigger, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "fault", lambda *_: "Its file is empty.")

    assert trigger(action="shadow", version=2, reason=REASON).state == "failed"
    assert actions(postgres) == ["promote", "keep"]


def test_a_task_that_is_cleared_after_its_change_changes_nothing_again(
    trigger: Trigger, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = shadows.change

    def twice(*asked: Any) -> dict[str, Any]:
        change(*asked)
        return change(*asked)

    monkeypatch.setattr(shadows, "change", twice)

    assert trigger(action="shadow", version=2, reason=REASON).state == "success"
    assert actions(postgres) == ["promote", "keep", "shadow"]


def test_the_form_takes_no_other_action_no_version_below_1_and_no_reason_of_a_word(dags: dict[str, Any]) -> None:
    params = dags["churn_shadow"].params
    for field, refused in (("action", "delete"), ("version", 0), ("reason", "bad"), ("reason", "x" * 501)):
        with pytest.raises(ParamValidationError):
            params.get_param(field).resolve(refused)

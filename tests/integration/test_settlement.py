"""Proposals and their answers, on a real ledger and a real registry."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from include.lifecycle.promotion import ledger, registry, settlement
from include.lifecycle.promotion.approval import SETTLEMENT, TIMEOUT, Response
from include.lifecycle.promotion.ledger import Aliases, LedgerConflictError
from include.lifecycle.promotion.promotion import run_gate
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.settlement import settle, settle_lapsed
from include.lifecycle.promotion.staged_training import StagedTraining
from include.lifecycle.specs import GateSpec, ModelSpec
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.integration.interrupted import aliases, killed
from tests.integration.staged_training import AS_OF, small_model, stage

APPROVED = Response(approves=True, user="ana", comment="Sales agrees.")
REJECTED = Response(approves=False, user="ben", comment="Not now.")
NO_ANSWER = Response(approves=False)
Propose = Callable[..., int]


@pytest.fixture
def model() -> ModelSpec:
    """Each new champion of it needs a person's answer."""
    return small_model(f"returns_{uuid.uuid4().hex[:8]}", gate=GateSpec(metric="roc_auc", approval="always"))


@pytest.fixture
def propose(model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str, postgres: Any) -> Propose:
    """Trains a version that the gate proposes; returns its number."""

    def train(**training: Any) -> int:
        own_run = replace(run, run_id=f"run {uuid.uuid4().hex}")
        staged = StagedTraining(model, AS_OF, stage(model, lake, own_run, tmp_path, **training).digest)
        version = push_model(mlflow_url, lake, staged, own_run).version
        decision = run_gate(mlflow_url, lake, postgres, staged, version, own_run)
        assert decision.action == "propose", decision.reasons
        return version

    return train


@pytest.fixture
def answer(model: ModelSpec, run: RunInfo, mlflow_url: str, postgres: Any) -> Callable[..., ledger.Entry]:
    def answer(version: int, response: Response | None) -> ledger.Entry:
        return settle(mlflow_url, postgres, model, version, response, run)

    return answer


def test_a_proposed_version_is_champion_once_it_is_approved_and_not_before(
    propose: Propose, answer: Any, model: ModelSpec, mlflow_url: str, postgres: Any
) -> None:
    version = propose()
    assert aliases(mlflow_url, model.name) == Aliases()
    assert ledger.champion(postgres, model.name) is None
    assert registry.version_tags(mlflow_url, model.name, version)["gate_verdict"] == "proposed"

    entry = answer(version, APPROVED)

    assert (entry.action, entry.actor, entry.from_version, entry.to_version) == ("approve", "ana", None, version)
    assert entry.reason == 'ana approved it and wrote: "Sales agrees."'
    assert aliases(mlflow_url, model.name) == Aliases(champion=version)
    history = ledger.entries(postgres, model.name)
    assert [found.action for found in history] == ["propose", "approve"]
    assert ledger.replay(history) == Aliases(champion=version)
    assert ledger.champion_as_of(history, AS_OF) == version
    assert registry.version_tags(mlflow_url, model.name, version)["gate_verdict"] == "promoted"


@pytest.mark.parametrize(("response", "actor"), [(REJECTED, "ben"), (NO_ANSWER, TIMEOUT), (None, SETTLEMENT)])
def test_the_champion_stays_where_a_person_rejects_and_where_nobody_answers(
    propose: Propose,
    answer: Any,
    model: ModelSpec,
    mlflow_url: str,
    postgres: Any,
    response: Response | None,
    actor: str,
) -> None:
    champion = propose(noise=0.98)
    answer(champion, APPROVED)
    better = propose()

    entry = answer(better, response)

    assert (entry.action, entry.actor, entry.to_version) == ("reject", actor, champion)
    assert aliases(mlflow_url, model.name) == Aliases(champion=champion)
    assert ledger.replay(ledger.entries(postgres, model.name)) == Aliases(champion=champion)
    assert registry.version_tags(mlflow_url, model.name, better)["gate_verdict"] == "rejected"


def test_what_a_run_proposed_that_ended_without_an_answer_is_rejected_by_the_next_run(
    propose: Propose, answer: Any, model: ModelSpec, run: RunInfo, mlflow_url: str, postgres: Any
) -> None:
    champion = propose(noise=0.98)
    answer(champion, APPROVED)
    version = propose()
    own = ledger.first_verdict(ledger.entries(postgres, model.name), version).run_id
    assert settle_lapsed(mlflow_url, postgres, model, replace(run, run_id=own)) == []

    [entry] = settle_lapsed(mlflow_url, postgres, model, run)

    assert (entry.action, entry.actor, entry.candidate, entry.to_version) == (
        "reject",
        SETTLEMENT,
        version,
        champion,
    )
    assert entry.reason == f"The question was ended without an answer. Version {champion} stays champion."
    assert registry.version_tags(mlflow_url, model.name, version)["gate_verdict"] == "rejected"
    assert aliases(mlflow_url, model.name) == Aliases(champion=champion)
    assert settle_lapsed(mlflow_url, postgres, model, run) == []
    assert answer(version, APPROVED) == entry


def test_the_first_answer_to_a_proposal_stands(
    propose: Propose, answer: Any, model: ModelSpec, mlflow_url: str, postgres: Any
) -> None:
    version = propose()
    answer(version, REJECTED)

    entry = answer(version, APPROVED)

    assert (entry.action, entry.actor) == ("reject", "ben")
    assert aliases(mlflow_url, model.name) == Aliases()
    assert len(ledger.entries(postgres, model.name)) == 2


def test_an_approval_of_a_version_that_was_compared_with_a_former_champion_is_void(
    propose: Propose, answer: Any, model: ModelSpec, mlflow_url: str
) -> None:
    late, early = propose(noise=0.98), propose()
    answer(early, APPROVED)

    entry = answer(late, APPROVED)

    assert (entry.action, entry.actor, entry.to_version) == ("reject", SETTLEMENT, early)
    assert f"compared with no champion, and meanwhile version {early} is champion" in entry.reason
    assert entry.reason.endswith('ana approved it and wrote: "Sales agrees."')
    assert aliases(mlflow_url, model.name) == Aliases(champion=early)


def test_an_approval_at_the_moment_in_which_another_champion_is_made_is_void_in_the_next_try(
    propose: Propose,
    answer: Any,
    model: ModelSpec,
    mlflow_url: str,
    postgres: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late, early = propose(noise=0.98), propose()
    before = ledger.entries(postgres, model.name)
    answer(early, APPROVED)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "entries", lambda *_: before)
        with pytest.raises(LedgerConflictError):
            answer(late, APPROVED)

    entry = answer(late, APPROVED)

    assert (entry.action, entry.to_version) == ("reject", early)
    assert aliases(mlflow_url, model.name) == Aliases(champion=early)


def test_an_approved_version_that_is_gone_does_not_become_champion(
    propose: Propose, answer: Any, model: ModelSpec, mlflow_url: str
) -> None:
    version = propose()
    MlflowClient(mlflow_url, mlflow_url).delete_model_version(model.name, str(version))

    entry = answer(version, APPROVED)

    assert (entry.action, entry.actor) == ("reject", SETTLEMENT)
    assert "is not in MLflow any more" in entry.reason


def test_an_alias_that_was_moved_while_the_version_waited_is_repaired_and_recorded(
    propose: Propose, answer: Any, model: ModelSpec, mlflow_url: str, postgres: Any
) -> None:
    version = propose()
    MlflowClient(mlflow_url, mlflow_url).set_registered_model_alias(model.name, "champion", str(version))

    answer(version, REJECTED)

    assert [found.action for found in ledger.entries(postgres, model.name)] == ["propose", "repair", "reject"]
    assert aliases(mlflow_url, model.name) == Aliases()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("module", "step"),
    [
        (registry, "fault"),
        (ledger, "record"),
        (settlement, "show_in_registry"),
        (registry, "set_aliases"),
        (registry, "tag_version"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_task_killed_at_any_step_leaves_a_state_that_the_next_try_completes(
    propose: Propose,
    answer: Any,
    model: ModelSpec,
    mlflow_url: str,
    postgres: Any,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    step: str,
    moment: str,
) -> None:
    version = propose()
    with monkeypatch.context() as patch:
        patch.setattr(module, step, killed(getattr(module, step), moment))
        with pytest.raises(KeyboardInterrupt):
            answer(version, APPROVED)
    due = ledger.replay(ledger.entries(postgres, model.name))
    assert aliases(mlflow_url, model.name) in (Aliases(), due)
    was_behind = aliases(mlflow_url, model.name) != due

    entry = answer(version, APPROVED)

    actions = [found.action for found in ledger.entries(postgres, model.name)]
    assert actions == ["propose", "approve", *["repair"] * was_behind]
    assert entry.to_version == version
    assert aliases(mlflow_url, model.name) == Aliases(champion=version)
    assert registry.version_tags(mlflow_url, model.name, version)["gate_verdict"] == "promoted"

"""A training whose gate proposes asks a person, and what follows reads the answer; other trainings do not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import set_current_context

from include.lifecycle.promotion import ledger, settlement
from include.lifecycle.promotion.approval import Response
from include.models.churn import CHURN
from include.stack.airflow_api import AirflowApi
from ml_lifecycle import approvals, trainings
from ml_lifecycle.operators import PushModelOperator
from tests.dags.dag_ids import ROOT
from tests.gate_evidence import gate_evidence

DAY = date(2026, 3, 1)
PROPOSAL = ledger.Entry("churn", "propose", 7, 5, 5, DAY, "gate", "It is better.", {}, "weekly")


@dataclass
class Training:
    """A training DAG of which only the tasks around the approval are real; what they did."""

    dag: Any
    history: list[ledger.Entry]
    notified: list[Any] = field(default_factory=list)
    responses: list[Response | None] = field(default_factory=list)
    cards: int = 0

    def run(self, verdict: str, answer: Callable[[str], None] | None = None) -> tuple[str, dict[str, str]]:
        """Run it with a verdict of the gate, and answer the question once it waits; its state and its tasks'."""
        said = {"day": str(DAY), "version": 5, "verdict": verdict, "reasons": ["Why."]}
        self.dag.get_task("evaluate_gate").python_callable = lambda *_, **__: said
        if answer is not None:
            threading.Thread(target=_once_it_waits, args=(answer,), daemon=True).start()
        run = self.dag.test(logical_date=None, run_after=datetime.now(UTC))
        return str(run.state), {task.task_id: str(task.state) for task in run.get_task_instances()}

    def publish_card(self, *_: Any) -> str:
        self.cards += 1
        return "reports/churn/model_card/version=7"

    def settle(self, *given: Any) -> ledger.Entry:
        response = given[-2]
        self.responses.append(response)
        action: Any = "approve" if response and response.approves else "reject"
        return ledger.Entry("churn", action, 7, 5, 5, DAY, "somebody", "So it was said.", {}, "weekly")


@pytest.fixture
def training(dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Training:
    evidence = gate_evidence(candidate_version=7, champion_version=5).model_dump(mode="json")
    dag = DagBag(str(ROOT / "dags" / "training.py")).dags["churn_training"]
    made = Training(dag, [ledger.Entry(**{**vars(PROPOSAL), "evidence": evidence})])
    asked = {"as_of": str(DAY), "reason": "weekly", "request": None}
    for task_id, returned in (("take_request", asked), ("build_labels", str(DAY)), ("train", "digest")):
        monkeypatch.setattr(dag.get_task(task_id), "python_callable", lambda *_, returned=returned, **__: returned)
    pushed = {"name": "churn", "version": 7, "run_id": "abc", "staged_digest": "digest"}
    monkeypatch.setattr(PushModelOperator, "execute", lambda *_, **__: pushed)
    monkeypatch.setattr("ml_lifecycle.hooks.WarehouseHook.connection", lambda _: nullcontext())
    monkeypatch.setattr("ml_lifecycle.hooks.MlflowHook.tracking_uri", "http://mlflow")
    monkeypatch.setattr(
        "ml_lifecycle.hooks.MlflowHook.version_url", lambda _, name, number: f"http://mlflow/{number}"
    )
    monkeypatch.setattr("ml_lifecycle.hooks.notify", made.notified.append)
    monkeypatch.setattr("ml_lifecycle.trainings.publish_card", made.publish_card)
    monkeypatch.setattr(ledger, "entries", lambda *_: made.history)
    monkeypatch.setattr(ledger, "champion", lambda *_: 5)
    monkeypatch.setattr(settlement, "settle", made.settle)
    return made


def _once_it_waits(answer: Callable[[str], None]) -> None:
    """Answer the run of which a task awaits input, as soon as there is one."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState

    waiting = (TaskInstance.dag_id == "churn_training", TaskInstance.state == TaskInstanceState.AWAITING_INPUT)
    while True:
        with create_session() as session:
            run_id = session.query(TaskInstance.run_id).filter(*waiting).scalar()
        if run_id is not None:
            answer(run_id)
            return
        time.sleep(0.1)


def _answer(api: AirflowApi, option: str, comment: str | None = None) -> Callable[[str], None]:
    def answer(run_id: str) -> None:
        body = {"chosen_options": [option], "params_input": {"comment": comment}}
        api.patch(f"/dags/churn_training/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails", body)

    return answer


@pytest.mark.parametrize(("verdict", "announced"), [("promote", "success"), ("keep", "skipped")])
def test_a_training_whose_gate_has_decided_asks_nobody_and_does_not_wait(
    training: Training, verdict: str, announced: str
) -> None:
    state, tasks = training.run(verdict)

    assert state == "success"
    assert (tasks["approve"], tasks["settle"], tasks["announce_champion"]) == ("skipped", "success", announced)
    assert (training.notified, training.responses, training.cards) == ([], [], 1)


def test_a_run_that_was_woken_for_nothing_settles_nothing(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def skip() -> None:
        raise AirflowSkipException("No training is requested.")

    monkeypatch.setattr(training.dag.get_task("take_request"), "python_callable", skip)

    state, tasks = training.run("propose")

    assert state == "success"
    assert {tasks[name] for name in ("evaluate_gate", "approve", "settle", "announce_champion")} == {"skipped"}


@pytest.mark.parametrize(
    ("option", "approves", "announced"), [("Approve", True, "success"), ("Reject", False, "skipped")]
)
def test_the_answer_of_a_person_is_settled_with_their_name_and_comment(
    training: Training, api: AirflowApi, option: str, approves: bool, announced: str
) -> None:
    cards: list[int] = []

    def answer(run_id: str) -> None:
        cards.append(training.cards)
        _answer(api, option, "Sales agrees.")(run_id)

    state, tasks = training.run("propose", answer)

    assert state == "success"
    assert (tasks["approve"], tasks["settle"], tasks["announce_champion"]) == ("success", "success", announced)
    assert training.responses == [Response(approves=approves, user="admin", comment="Sales agrees.")]
    # The card is there before the question, and again with the answer.
    assert (cards, training.cards) == ([1], 2)


def test_the_question_has_the_checks_and_leads_to_the_card_and_people_are_notified(
    training: Training, api: AirflowApi
) -> None:
    asked: dict[str, Any] = {}

    def answer(run_id: str) -> None:
        asked.update(api.get(f"/dags/churn_training/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"))
        _answer(api, "Reject")(run_id)

    training.run("propose", answer)

    assert asked["subject"] == "Customer churn: may version 7 replace version 5?"
    assert "| Average precision" in asked["body"] or "| Gain over the champion |" in asked["body"]
    assert "/ml/reports/churn/model_card/version=7/2026-03-01/)" in asked["body"]
    assert (asked["options"], asked["defaults"]) == (["Approve", "Reject"], ["Reject"])
    assert asked["params"]["comment"]["schema"]["maxLength"] == 500
    [notified] = training.notified
    assert notified.title == asked["subject"]
    assert notified.links["Answer"].endswith("/tasks/approve/required_actions")
    assert training.responses == [Response(approves=False, user="admin")]


def test_a_question_that_nobody_answers_in_time_is_answered_with_a_rejection_by_nobody(training: Training) -> None:
    state, tasks = training.run("propose", _let_time_pass)

    assert state == "success"
    assert (tasks["approve"], tasks["settle"], tasks["announce_champion"]) == ("success", "success", "skipped")
    assert training.responses == [Response(approves=False)]


def _let_time_pass(run_id: str) -> None:
    """The time of the question is over, and the scheduler looks after such questions."""
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        [task] = session.query(TaskInstance).filter_by(run_id=run_id, task_id="approve")
        assert task.trigger_timeout is not None
        assert task.trigger_timeout - datetime.now(UTC) > timedelta(hours=CHURN.gate.approval_hours - 1)
        task.trigger_timeout = datetime.now(UTC) - timedelta(seconds=1)
    SchedulerJobRunner(Job()).check_awaiting_input_timeouts()


def test_a_question_that_is_ended_without_an_answer_is_settled_as_such(
    training: Training, api: AirflowApi
) -> None:
    def end(run_id: str) -> None:
        api.patch(f"/dags/churn_training/dagRuns/{run_id}/taskInstances/approve", {"new_state": "success"})

    state, tasks = training.run("propose", end)

    assert state == "success"
    assert (tasks["settle"], tasks["announce_champion"]) == ("success", "skipped")
    assert training.responses == [None]


def test_a_proposal_that_has_its_answer_is_not_asked_about_again(training: Training) -> None:
    training.history.append(replace(PROPOSAL, action="reject", actor="ana"))

    _, tasks = training.run("propose")

    assert tasks["approve"] == "skipped"
    assert tasks["settle"] == "success"
    assert training.notified == []


@pytest.mark.parametrize(("ask_first", "approval"), [(False, "automatic"), (True, "always")])
def test_the_form_can_ask_for_a_question(
    training: Training, monkeypatch: pytest.MonkeyPatch, ask_first: bool, approval: str
) -> None:
    asked: list[str] = []

    def run_gate(*given: Any) -> Any:
        asked.append(given[3].model.gate.approval)
        return SimpleNamespace(action="keep", reasons=())

    evaluate_gate(monkeypatch, run_gate, run_id="weekly", ask_first=ask_first)

    assert asked == [approval]
    assert training.responses == []


def evaluate_gate(
    monkeypatch: pytest.MonkeyPatch, run_gate: Callable[..., Any], run_id: str, *, ask_first: bool = False
) -> None:
    """Evaluate version 7 in a run as its task does, with this gate."""
    context: Any = {"params": {"ask_first": ask_first}, "ti": SimpleNamespace(xcom_push=lambda *_: None)}
    monkeypatch.setattr(trainings, "run_gate", run_gate)
    monkeypatch.setattr(trainings, "run_info", lambda: SimpleNamespace(run_id=run_id))
    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: None)
    with set_current_context(context):
        trainings.evaluate_gate(CHURN, DAY, {"version": 8, "staged_digest": "digest"})


def test_a_training_first_rejects_what_one_before_it_proposed_and_nobody_answered_before_it_ended(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed: list[int] = []
    answered: list[int] = []

    def run_gate(*_: Any) -> Any:
        answered.append(len(training.responses))
        return SimpleNamespace(action="keep", reasons=())

    monkeypatch.setattr(trainings, "renew_card", lambda _, version: renewed.append(version))

    evaluate_gate(monkeypatch, run_gate, run_id="a week later")

    assert training.responses == [None]
    assert answered == [1]
    assert renewed == [7]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            {"params_input": {}, "responded_by_user": {"id": "1", "name": "ana"}, "chosen_options": ["Approve"]},
            True,
        ),
        ({"params_input": None, "responded_by_user": {"id": "1", "name": "ana"}, "chosen_options": []}, False),
    ],
)
def test_only_the_option_approve_approves_and_a_comment_may_be_missing(
    answer: dict[str, Any], expected: bool
) -> None:
    assert approvals.response(answer) == Response(approves=expected, user="ana")

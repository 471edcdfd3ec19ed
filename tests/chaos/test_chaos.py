"""Each stage is disturbed while it works; afterwards everything is as if it had not been.

The undisturbed run comes first: what it made is kept in mind, deleted, and must come back to the byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from include.datasets.customers import CUSTOMERS
from include.models.churn import CHURN
from tests.chaos.promises import (
    Reader,
    content,
    damages,
    lost_rows,
    registry_differences,
    versions,
    warehouse_differences,
)
from tests.chaos.stack import Stack, chaos_stack, wait_until
from tests.chaos.work import (
    BUILD_PORTFOLIO,
    EXTRACT,
    FEATURES,
    PUBLISH,
    REPORT_DRIFT,
    SCORE,
    TRAIN,
    VALIDATE,
    Work,
    new_training,
)
from tests.e2e.server import output

BEGIN_SECONDS = 240
END_SECONDS = 600
# What Docker takes to end a container, at most.
BREAKING = timedelta(seconds=1)
# Longer than the DAG processor may take for a file.
PARSING_SECONDS = 60

# The first test waits for the stack and its ground.
pytestmark = pytest.mark.timeout(3600)


Instance = dict[str, Any]
Strike = Callable[[Stack], AbstractContextManager[Callable[[Instance], object]]]


@dataclass(frozen=True)
class Disturbance:
    """What is done to the stack while a task works.

    `strike` gets everything ready, and gives what breaks the stack and returns when that is undone. `repeats` says
    that the task loses its try.
    """

    work: Work
    strike: Strike
    repeats: bool = False


def _on(service: str, act: Callable[[Stack, str], object]) -> Strike:
    """A strike on a service's container, which is looked up beforehand: that takes longer than some tasks."""

    @contextmanager
    def strike(stack: Stack) -> Iterator[Callable[[Instance], object]]:
        container = stack.container(service)
        yield lambda _: act(stack, container)

    return strike


@contextmanager
def kill_worker(stack: Stack) -> Iterator[Callable[[Instance], object]]:
    with stack.triggers("worker") as kill:
        yield lambda instance: kill(instance["hostname"])


@contextmanager
def kill_scheduler(stack: Stack) -> Iterator[Callable[[Instance], object]]:
    with stack.triggers("scheduler") as kill:
        yield lambda _: kill("")


def killed(service: str, seconds: float) -> Strike:
    """SIGKILL to a service, which is started again after some seconds."""

    def act(_: Stack, container: str) -> None:
        output("docker", "kill", "--signal", "KILL", container)
        time.sleep(seconds)
        output("docker", "start", container)

    return _on(service, act)


def frozen(service: str, seconds: float) -> Strike:
    """A service that accepts requests and does not answer, for some seconds."""

    def act(_: Stack, container: str) -> None:
        output("docker", "pause", container)
        time.sleep(seconds)
        output("docker", "unpause", container)

    return _on(service, act)


def cut_off(service: str, seconds: float) -> Strike:
    """A service that no other reaches, and that reaches no other, for some seconds."""

    def act(stack: Stack, container: str) -> None:
        stack.disconnect(container)
        time.sleep(seconds)
        stack.connect(container, service)

    return _on(service, act)


@contextmanager
def cut_off_worker(stack: Stack) -> Iterator[Callable[[Instance], object]]:
    def act(instance: Instance) -> None:
        # For longer than it takes until the task is given to another worker.
        container = stack.worker(instance["hostname"])
        stack.disconnect(container)
        time.sleep(200)
        stack.connect(container, "worker")

    yield act


@contextmanager
def fill_disk(stack: Stack) -> Iterator[Callable[[Instance], object]]:
    def act(_: Instance) -> None:
        stack.fill_disk()
        time.sleep(30)
        stack.free_disk()

    yield act


_seeds = count(101)

DISTURBANCES = {
    "worker-killed-in-publish": Disturbance(PUBLISH, kill_worker, repeats=True),
    "worker-killed-in-push": Disturbance(new_training("push", next(_seeds), after=1), kill_worker, repeats=True),
    "worker-killed-in-gate": Disturbance(
        new_training("evaluate_gate", next(_seeds), after=1), kill_worker, repeats=True
    ),
    "worker-killed-in-train": Disturbance(TRAIN, kill_worker, repeats=True),
    "s3-killed-for-a-minute": Disturbance(PUBLISH, killed("s3", 60)),
    "postgres-restarted": Disturbance(
        PUBLISH, _on("postgres", lambda _, container: output("docker", "restart", container))
    ),
    "redis-killed": Disturbance(SCORE, killed("redis", 5)),
    "scheduler-killed": Disturbance(SCORE, kill_scheduler),
    "mlflow-killed-in-push": Disturbance(new_training("push", next(_seeds)), killed("mlflow", 20)),
    "disk-full": Disturbance(SCORE, fill_disk),
    "s3-cut-off-for-a-minute": Disturbance(SCORE, cut_off("s3", 60)),
    "worker-killed-in-extract": Disturbance(EXTRACT, kill_worker, repeats=True),
    "worker-killed-in-validate": Disturbance(VALIDATE, kill_worker, repeats=True),
    "worker-killed-in-features": Disturbance(FEATURES, kill_worker, repeats=True),
    "worker-killed-in-score": Disturbance(SCORE, kill_worker, repeats=True),
    "worker-killed-in-portfolio": Disturbance(BUILD_PORTFOLIO, kill_worker, repeats=True),
    "worker-killed-in-drift": Disturbance(REPORT_DRIFT, kill_worker, repeats=True),
    "s3-frozen-for-a-minute": Disturbance(SCORE, frozen("s3", 60)),
    "worker-cut-off": Disturbance(SCORE, cut_off_worker, repeats=True),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with chaos_stack(tmp_path_factory.mktemp("chaos")) as started, pytest.MonkeyPatch.context() as patch:
        name, password = started.services.mlflow_login
        patch.setenv("MLFLOW_TRACKING_USERNAME", name)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        started.wait_until_quiet(END_SECONDS)
        for work in _undisturbed():
            run_id = work.start(started, work.days(started))
            assert started.wait_for_end(work.dag_id, run_id, END_SECONDS) == "success", work
            started.wait_until_quiet(END_SECONDS)
        yield started


def _undisturbed() -> list[Work]:
    """What the main job does of the newest day only."""
    market = [
        Work(f"{model}_scoring", "", (), BUILD_PORTFOLIO.of, BUILD_PORTFOLIO.count)
        for model in ("returns", "volatility")
    ]
    return [TRAIN, SCORE, REPORT_DRIFT, *market, BUILD_PORTFOLIO]


@pytest.mark.parametrize("name", DISTURBANCES)
def test_everything_is_as_if_undisturbed_after(name: str, stack: Stack) -> None:
    disturbance = DISTURBANCES[name]
    work = disturbance.work

    # given
    stack.wait_until_healthy(END_SECONDS)
    stack.wait_until_quiet(END_SECONDS)
    days = work.days(stack)
    before, versions_before = content(stack, work.makes, days), versions(stack, CHURN.name)
    work.undo(stack, days)
    reader = Reader(stack.lake, [CHURN.predictions_prefix, *work.makes[-1:]], days)

    # when
    with disturbance.strike(stack) as strike, reader.reading():
        run_id = work.start(stack, days)
        struck = _task_at_work(stack, work, run_id, days)
        begun_at, begun = datetime.now(UTC), time.monotonic()
        strike(struck)
        undone = time.monotonic()
        state = stack.wait_for_end(work.dag_id, run_id, END_SECONDS)
        ended = time.monotonic()
    print(f"{name}: broken for {undone - begun:.0f} s, {state} {ended - undone:.0f} s later, {reader.reads} reads")

    # then
    assert state == "success", stack.api.get(f"/dags/{work.dag_id}/dagRuns/{run_id}")["note"]
    assert reader.reads
    assert reader.faults == []
    now = _present(stack, work, run_id, struck)
    assert datetime.fromisoformat(now["end_date"]) > begun_at + BREAKING, (
        "The work was done before anything broke."
    )
    assert not disturbance.repeats or now["try_number"] > struck["try_number"]
    stack.wait_until_quiet(END_SECONDS)
    after = content(stack, work.makes, days)
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == set()
    assert damages(stack, days) == ()
    if work.dag_id == "customers_etl":
        assert lost_rows(stack, days) == []
    if CHURN.predictions_prefix in work.makes:
        assert warehouse_differences(stack, days) == []
    assert registry_differences(stack) == []
    made = 0 if work.makes else int(work.dag_id == "churn_training")
    versions_after = versions(stack, CHURN.name)
    assert len(versions_after.registered) == len(versions_before.registered) + made
    assert len(versions_after.judged) == len(versions_before.judged) + made
    assert len(set(versions_after.judged)) == len(versions_after.judged)


def test_a_run_whose_last_try_was_killed_says_so_and_ends_well_once_it_is_cleared(stack: Stack) -> None:
    # given
    work = BUILD_PORTFOLIO
    stack.wait_until_healthy(END_SECONDS)
    stack.wait_until_quiet(END_SECONDS)
    days = work.days(stack)
    before = content(stack, work.makes, days)
    work.undo(stack, days)

    # when
    with kill_worker(stack) as strike:
        run_id = work.start(stack, days)
        struck = _task_at_work(stack, work, run_id, days)
        stack.allow_no_retry(struck)
        strike(struck)
        state = stack.wait_for_end(work.dag_id, run_id, END_SECONDS)
    note = stack.api.get(f"/dags/{work.dag_id}/dagRuns/{run_id}")["note"]
    time.sleep(PARSING_SECONDS)
    is_stale = stack.api.get(f"/dags/{work.dag_id}")["is_stale"]
    form = {"dag_run_id": run_id, "only_failed": True, "dry_run": False}
    stack.api.post(f"/dags/{work.dag_id}/clearTaskInstances", form)

    # then
    assert state == "failed"
    assert note.startswith("Failed: build: the process ended without giving a reason")
    assert not is_stale
    assert stack.wait_for_end(work.dag_id, run_id, END_SECONDS) == "success"
    assert content(stack, work.makes, days) == before


def test_no_byte_of_the_lake_is_damaged_in_the_end(stack: Stack) -> None:
    stack.wait_until_quiet(END_SECONDS)

    assert damages(stack) == ()
    assert lost_rows(stack, stack.lake.days(CUSTOMERS.validation_prefix)) == []


def _task_at_work(stack: Stack, work: Work, run_id: str, days: list[date]) -> Instance:
    """The task instance to disturb, as soon as it is in the midst of its work."""

    def at_work() -> Instance | None:
        running = [
            instance
            for instance in stack.instances(work.dag_id, run_id, work.task_id)
            if instance["state"] == "running" and instance["hostname"]
        ]
        return running[-1] if running and work.has_begun(stack, days) else None

    found: Instance = wait_until(at_work, BEGIN_SECONDS, f"The work of {work.task_id}", pause=0.02)
    time.sleep(work.after)
    return found


def _present(stack: Stack, work: Work, run_id: str, struck: Instance) -> Instance:
    """The disturbed task instance as it is now."""
    [now] = [
        instance
        for instance in stack.instances(work.dag_id, run_id, work.task_id)
        if instance["map_index"] == struck["map_index"]
    ]
    return now

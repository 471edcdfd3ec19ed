"""What the company's ledger says of its champions, and their files, which a test may spoil."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from mlflow import MlflowClient

from include.stack.errors import StackError
from tests.e2e.conftest import START, Finished, World, wait_until

BUCKET = "mlflow"


class Row(NamedTuple):
    """A row of the ledger."""

    action: str
    actor: str
    candidate: int
    before: int | None
    after: int | None
    reason: str
    evidence: dict[str, Any]


def ledger(world: World) -> list[Row]:
    columns = "action, actor, candidate, from_version, to_version, reason, evidence"
    found = world.query("warehouse", f"select {columns} from ml.ledger where model = 'churn' order by id")
    return [Row(*row) for row in found]


def champion(world: World) -> int:
    """The present champion, which the alias must name too."""
    version = ledger(world)[-1].after
    assert version is not None
    assert mlflow(world).get_registered_model("churn").aliases["champion"] == str(version)
    return version


def mlflow(world: World) -> MlflowClient:
    return MlflowClient(world.settings.mlflow_url, world.settings.mlflow_url)


def model_key(world: World, version: int) -> str:
    """The object of a version's model file in the artifact store."""
    model_id = str(mlflow(world).get_model_version("churn", str(version)).source).removeprefix("models:/")
    pages = world.lake.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
    [key] = [key for key in keys if model_id in key and key.endswith("/model.skops")]
    return str(key)


def read(world: World, version: int) -> bytes:
    return bytes(world.lake.client.get_object(Bucket=BUCKET, Key=model_key(world, version))["Body"].read())


def write(world: World, version: int, body: bytes) -> None:
    world.lake.client.put_object(Bucket=BUCKET, Key=model_key(world, version), Body=body)


def score_again(world: World) -> Finished:
    """Scheduled scoring finds a day that nobody has scored, as far as anything says."""
    for table, is_of_model in (("loads", "table_name = 'churn_predictions'"), ("churn_predictions", "true")):
        world.query("warehouse", f"delete from ml.{table} where dt = %s and {is_of_model}", START)
    world.lake.client.delete_object(Bucket=world.lake.bucket, Key=f"predictions/churn/dt={START}/manifest.json")
    world.wait_until_quiet("churn_scoring")
    return world.run("churn_scoring")


def scored_by(world: World) -> int:
    """The version whose predictions of START are published, which `latest.json` names too."""
    latest = json.loads(world.lake.read_object("predictions/churn/latest.json") or b"{}")
    used = int(world.lake.manifest("predictions/churn", START).inputs["models:/churn"])
    if latest["day"] == START.isoformat():
        assert latest["model_version"] == used
    return used


@contextmanager
def damaged_champion(world: World) -> Iterator[int]:
    """The champion, whose file is cut off: the gate compares with none, and a candidate need not be better."""
    version = champion(world)
    whole = read(world, version)
    write(world, version, whole[: len(whole) // 2])
    try:
        yield version
    finally:
        write(world, version, whole)


def propose(world: World, seed: int) -> str:
    """A training that waits for the answer of a person; returns its run's id."""
    world.api.unpause("churn_training")
    form = {"trials": 2, "seed": seed, "day": START.isoformat(), "ask_first": True, "reason": "asked by a test"}
    run_id = world.api.trigger("churn_training", form)
    wait_until(lambda: state_of(world, run_id, "approve") == "awaiting_input", f"{run_id} asks nobody")
    return run_id


def answer(world: World, run_id: str, option: str, comment: str) -> None:
    """Answer until the run goes on: Airflow loses an answer that comes before its scheduler is ready."""
    question = f"/dags/churn_training/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
    body = {"chosen_options": [option], "params_input": {"comment": comment}}

    def was_taken() -> bool:
        if state_of(world, run_id, "approve") == "awaiting_input":
            with suppress(StackError):  # somebody has answered already: the state is behind
                world.api.patch(question, body)
        return state_of(world, run_id, "approve") == "success"

    wait_until(was_taken, f"{run_id} does not take the answer")


def state_of(world: World, run_id: str, task_id: str) -> str | None:
    found = {task["task_id"]: task["state"] for task in world.api.task_instances("churn_training", run_id)}
    return found.get(task_id)

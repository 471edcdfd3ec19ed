"""A stack that is lost comes back from its backup on an empty one, and the next run goes on from there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from rich.console import Console

from include.lifecycle import ledger, registry
from include.stack import __main__ as stack
from include.stack.airflow_api import AirflowApi
from include.stack.control import running
from include.stack.errors import StackError
from include.stack.settings import Ports, StackSettings
from tests.conftest import free_port
from tests.e2e.conftest import START, World, pass_days

NEXT = START + timedelta(days=1)
KEPT = ("predictions", "features", "clean", "quarantine", "reports", "references", "labels")
LOGIN = "of-a-connection-made-in-the-pages"


def history(world: World) -> list[ledger.Entry]:
    with closing(psycopg2.connect(world.settings.postgres_dsn("warehouse"))) as connection:
        return ledger.entries(connection, "churn")


def champion(world: World) -> int | None:
    found = registry.champion(world.settings.mlflow_url, "churn")
    return found and found.version


def scored(world: World) -> list[tuple[Any, ...]]:
    return world.query("warehouse", "SELECT * FROM ml.churn_predictions ORDER BY 1, 2")


@pytest.fixture(scope="module")
def empty(company: World, tmp_path_factory: pytest.TempPathFactory) -> StackSettings:
    """A stack that never ran, with the secrets file of the one that is lost."""
    folder = tmp_path_factory.mktemp("restored")
    old = company.settings.secrets
    secrets = {"backup_access_key": old.s3_access_key, "backup_secret_key": old.s3_secret_key}
    (folder / "secrets.json").write_text(json.dumps({**vars(old), **secrets}))
    return StackSettings(state_dir=folder, ports=Ports(*(free_port() for _ in range(4))))


@pytest.fixture(scope="module")
def lost(company: World) -> World:
    """The company with a backup, which from now on is the source and the server of backups alone."""
    connection = {"connection_id": "by_hand", "conn_type": "generic", "login": LOGIN, "password": "of-a-team"}
    company.api.post("/connections", connection)
    company.wait_until_quiet("churn_scoring")
    made = company.run("maintenance")
    assert (made.state, made.tasks["back_up"]) == ("success", "success")
    return company


@pytest.fixture(scope="module")
def restored(lost: World, empty: StackSettings) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ML_BACKUP_ENDPOINT", lost.settings.s3_endpoint)
        stack.bring_back(empty, Console(quiet=True))
        with running(empty), AirflowApi(empty) as api:
            yield World(empty, api)


def test_registry_ledger_predictions_and_connections_are_back(lost: World, restored: World) -> None:
    assert history(restored) == history(lost)
    assert champion(restored) == ledger.replay(history(restored)).champion == champion(lost)
    assert scored(restored) == scored(lost)
    assert restored.published(*KEPT) == {
        key: etag for key, etag in lost.published(*KEPT).items() if "/lake/maintenance" not in key
    } | {key: etag for key, etag in restored.published(*KEPT).items() if "/lake/maintenance" in key}
    assert restored.api.get("/connections/by_hand")["login"] == LOGIN


def test_the_next_run_scores_the_new_day_with_the_same_champion_and_changes_no_older_one(
    lost: World, restored: World
) -> None:
    # given: the source goes on
    before = restored.published("predictions/churn/dt=")
    pass_days(lost, NEXT)
    source = restored.api.get("/connections/company_db") | {
        "port": lost.settings.ports.postgres,
        "password": lost.settings.secrets.postgres_password,
    }
    restored.api.patch("/connections/company_db", source)

    # when
    assert restored.run("customers_etl").state == "success"
    restored.wait_for_predictions("churn", NEXT)

    # then
    after = restored.published("predictions/churn/dt=")
    assert {key: after.get(key) for key in before} == before
    assert {key.split("/")[2] for key in after.keys() - before.keys()} == {f"dt={NEXT}"}
    [(version, rows)] = restored.query(
        "warehouse",
        "SELECT model_version, count(*) FROM ml.churn_predictions WHERE dt = %s GROUP BY 1",
        NEXT,
    )
    assert version == champion(lost)
    assert rows == restored.lake.manifest("predictions/churn", NEXT).rows


def test_a_stack_that_has_data_or_runs_is_refused(restored: World) -> None:
    with pytest.raises(StackError, match="The stack is running: end it with `make stop` first"):
        stack.bring_back(restored.settings, Console(quiet=True))

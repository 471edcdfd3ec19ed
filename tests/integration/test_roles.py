"""Who may do what on a server: its routes, asked by a user of each role, and by two who have none."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

import httpx
import psycopg2
import pytest
import yaml
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from fastapi.routing import APIRoute

from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from include.stack.roles import ROLES, VIEWER
from ml_lifecycle import overview, predictions, reports
from ml_lifecycle.plugin import MlLifecyclePlugin
from tests.conftest import _wait, free_port, lake_connection_extra

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
EVERYBODY = ["anonymous", "nobody", "viewer", "operator", "approver", "admin"]
READERS = ["viewer", "operator", "approver", "admin"]
OPERATORS = ["operator", "admin"]
APPROVERS = ["approver", "admin"]
ADMINS = ["admin"]

RUNS = "/api/v2/dags/decision/dagRuns"
TASK = f"{RUNS}/{{user}}/taskInstances/approve"
CLEAR = {"dag_run_id": "{user}", "dry_run": False, "only_failed": False, "reset_dag_runs": False}
CONNECTION = {"connection_id": "of_{user}", "conn_type": "http"}
LAKE = {"connection_id": "lake", "conn_type": "aws", "description": "{user}"}

# Method and path, body, those who may. `{user}` is the name of who asks, so that each asks for a thing of its own.
ROUTES: list[tuple[str, Any, list[str]]] = [
    ("GET /api/v2/dags", None, READERS),
    ("GET /api/v2/dags/decision", None, READERS),
    (f"GET {RUNS}/{{user}}", None, READERS),
    (f"GET {TASK}", None, READERS),
    ("GET /api/v2/dags/~/dagRuns/~/hitlDetails", None, READERS),
    (f"PATCH {TASK}/-1/hitlDetails", {"chosen_options": ["Approve"]}, APPROVERS),
    (f"POST {RUNS}", {"dag_run_id": "by_{user}", "logical_date": None}, OPERATORS),
    ("POST /api/v2/dags/churn_rollback/dagRuns", {"dag_run_id": "by_{user}", "logical_date": None}, OPERATORS),
    ("POST /api/v2/dags/decision/clearTaskInstances", CLEAR, OPERATORS),
    (f"PATCH {TASK}", {"new_state": "failed"}, OPERATORS),
    (f"PATCH {RUNS}/{{user}}", {"state": "failed"}, OPERATORS),
    ("PATCH /api/v2/dags/decision", {"is_paused": False}, OPERATORS),
    (f"DELETE {RUNS}/{{user}}", None, ADMINS),
    ("GET /api/v2/variables", None, ADMINS),
    ("GET /api/v2/variables/limit", None, ADMINS),
    ("POST /api/v2/variables", {"key": "of_{user}", "value": "1"}, ADMINS),
    ("PATCH /api/v2/variables/limit", {"key": "limit", "value": "{user}"}, ADMINS),
    ("GET /api/v2/connections", None, ADMINS),
    ("GET /api/v2/connections/lake", None, ADMINS),
    ("POST /api/v2/connections", CONNECTION, ADMINS),
    ("PATCH /api/v2/connections/lake", LAKE, ADMINS),
    ("POST /api/v2/pools", {"name": "of_{user}", "slots": 1}, ADMINS),
    ("GET /api/v2/eventLogs", None, ADMINS),
    ("GET /ml/overview/", None, READERS),
    ("GET /ml/reports/churn/drift/", None, READERS),
    ("GET /ml/reports/churn/drift/2026-03-01/", None, READERS),
    ("GET /ml/reports/churn/drift/latest/", None, READERS),
    ("GET /ml/reports/churn/drift/2026-03-01/verdict.json", None, READERS),
    ("GET /ml/reports/churn/model_card/version=1/2026-03-01/", None, READERS),
    ("GET /ml/reports/churn/model_card/version=1/2026-03-01/verdict.json", None, READERS),
    ("GET /ml/predictions/churn/2026-03-01/predictions.csv", None, READERS),
    ("GET /auth/fab/v1/users", None, ADMINS),
    ("POST /auth/fab/v1/roles", {"name": "of_{user}", "actions": []}, ADMINS),
]

DAY = date(2026, 3, 1)


@pytest.fixture(scope="module")
def lake(main_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The lake of the server: a report, one of a version, and predictions of churn."""
    folder = tmp_path_factory.mktemp("published")
    names = ("index.html", "verdict.json", "predictions.csv")
    for name in names:
        (folder / name).write_text(json.dumps(name))
    page, verdict, predictions = (LocalFile(folder / name) for name in names)
    run = RunInfo("test_run", datetime(2026, 3, 2, tzinfo=UTC), "test")
    main_lake.publish("reports/churn/drift", DAY, [page, verdict], run=run)
    main_lake.publish("reports/churn/model_card/version=1", DAY, [page, verdict], run=run)
    main_lake.publish("predictions/churn", DAY, [predictions], run=run)
    return main_lake


@pytest.fixture(scope="module")
def server(postgres_server: Any, lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a web server with the roles of docker-compose.yaml, and a user of each."""
    home, port = tmp_path_factory.mktemp("airflow"), free_port()
    (home / "dags").mkdir()
    environment = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__AUTH_MANAGER": COMPOSE["x-airflow"]["environment"]["AIRFLOW__CORE__AUTH_MANAGER"],
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _new_database(postgres_server),
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of sixty-four characters, which is what the algorithm wants",
        "AIRFLOW_CONN_LAKE": _connection(lake),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
    }
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("airflow_with_roles.py"), str(port), home / "dags"],
        env={**os.environ, **environment},
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(lambda: _is_up(process, address))
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _new_database(server: Any) -> str:
    connection = psycopg2.connect(server.get_uri())
    connection.autocommit = True
    connection.cursor().execute("create database airflow_with_roles")
    connection.close()
    return str(server.get_uri(database="airflow_with_roles")).replace("postgresql://", "postgresql+psycopg2://")


def _connection(lake: Lake) -> str:
    keys = {"login": "accesskey", "password": "secretkey123"}
    return json.dumps({"conn_type": "aws", **keys, "extra": lake_connection_extra(lake)})


def _is_up(process: subprocess.Popen[bytes], address: str) -> None:
    if process.poll() is not None:
        pytest.fail(f"Airflow's web server ended with {process.returncode}: see above.")
    httpx.get(f"{address}/api/v2/version").raise_for_status()


@pytest.fixture(scope="module")
def clients(server: str) -> Iterator[dict[str, httpx.Client]]:
    """Each user, logged in."""
    with ExitStack() as stack:
        clients = {name: stack.enter_context(httpx.Client(base_url=server, timeout=60)) for name in EVERYBODY}
        for name in EVERYBODY[1:]:
            answer = clients[name].post("/auth/token", json={"username": name, "password": name})
            clients[name].headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield clients


def ask(client: httpx.Client, user: str, route: str, body: Any) -> httpx.Response:
    method, path = route.replace("{user}", user).split(" ", 1)
    content = None if body is None else json.dumps(body).replace("{user}", user)
    return client.request(method, path, content=content, headers={"Content-Type": "application/json"})


def is_refused(user: str, answer: httpx.Response) -> bool:
    to_login = answer.status_code == 307 and "/auth/login/" in answer.headers["location"]
    return (answer.status_code == 401 or to_login) if user == "anonymous" else answer.status_code == 403


@pytest.mark.parametrize("user", EVERYBODY)
@pytest.mark.parametrize(("route", "body", "permitted"), ROUTES, ids=[route[0] for route in ROUTES])
def test_each_role_may_do_what_it_should_and_nothing_more(
    clients: dict[str, httpx.Client], user: str, route: str, body: Any, permitted: list[str]
) -> None:
    answer = ask(clients[user], user, route, body)

    if user in permitted:
        assert answer.status_code < 400, answer.text
        assert not is_refused(user, answer)
    else:
        assert is_refused(user, answer), (answer.status_code, answer.text)


APPS = {"/ml/overview": overview.app, "/ml/reports": reports.app, "/ml/predictions": predictions.app}


def test_every_route_of_the_project_has_a_row_in_the_table() -> None:
    asked = [route.split(" ", 1) for route, _, _ in ROUTES]

    without_row = [
        (method, prefix + route.path)
        for prefix, app in APPS.items()
        for route in cast(list[APIRoute], app.routes)
        for method in route.methods
        if not any(
            method == rows_method
            and path.startswith(prefix)
            and re.fullmatch(route.path_regex, path.removeprefix(prefix))
            for rows_method, path in asked
        )
    ]

    assert {app["url_prefix"] for app in MlLifecyclePlugin.fastapi_apps} == set(APPS)
    assert without_row == []


def test_roles_are_written_in_the_names_of_the_auth_manager() -> None:
    known = FabAirflowSecurityManagerOverride.ROLE_CONFIGS
    [admin] = [set(config["perms"]) for config in known if config["role"] == "Admin"]

    assert set(FabAirflowSecurityManagerOverride.VIEWER_PERMISSIONS) == VIEWER
    assert {name: allowed - admin for name, allowed in ROLES.items()} == {name: set() for name in ROLES}


def test_behind_a_proxy_that_speaks_https_logins_stay_there(server: str) -> None:
    # given: what the proxy and a browser say; a client without a proxy would keep such cookies back
    told = {"X-Forwarded-Proto": "https", "Host": "airflow.example.com"}
    page = httpx.get(f"{server}/auth/login/", headers=told, timeout=60)
    [csrf] = set(re.findall(r'name="csrf_token" type="hidden" value="([^"]+)"', page.text))
    told["Cookie"] = "; ".join(cookie.split(";")[0] for cookie in page.headers.get_list("Set-Cookie"))
    told["Referer"] = "https://airflow.example.com/auth/login/"

    # when
    form = {"username": "viewer", "password": "viewer", "csrf_token": csrf}
    answer = httpx.post(f"{server}/auth/login/", headers=told, data=form, timeout=60)

    # then
    assert answer.status_code == 302, answer.text
    assert not answer.headers["Location"].startswith("http://")
    [token] = [cookie for cookie in answer.headers.get_list("Set-Cookie") if cookie.startswith("_token=")]
    assert "secure" in token.lower().split("; ")

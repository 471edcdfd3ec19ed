"""The local stack and docker-compose.yaml run Airflow with the same options, apart from those named here."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.stack.server import Server, ServerSecrets, airflow_secrets, write_secrets
from include.stack.services import Buckets
from include.stack.settings import PROJECT_DIR, StackSettings, shared_options

COMPOSE = yaml.safe_load((PROJECT_DIR / "docker-compose.yaml").read_text())
AIRFLOW = ("storage", "api-server", "scheduler", "dag-processor", "triggerer", "worker")
STEPS = ("storage", "settings", "main-job", "restore")
IMAGE_OPTIONS = dict(re.findall(r"(AIRFLOW_\w+|PYTHONPATH)=(\S+)", (PROJECT_DIR / "Dockerfile").read_text()))

OTHER_VALUE = {
    "AIRFLOW_HOME": "a folder of the image",
    "PYTHONPATH": "a folder of the image",
    "AIRFLOW__CORE__DAGS_FOLDER": "a folder of the image",
    "AIRFLOW__CORE__PLUGINS_FOLDER": "a folder of the image",
    "AIRFLOW__CORE__EXECUTOR": "tasks run in workers",
    "AIRFLOW__CORE__PARALLELISM": "how many at once is for the workers to say",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "the name of the service",
    "AIRFLOW__API__HOST": "inside the container's own network",
    "AIRFLOW__API__PORT": "the published one is chosen in docker-compose.yaml",
    "AIRFLOW__API__BASE_URL": "the published address",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "the name of the service, and a password of its own",
    "AIRFLOW__CORE__FERNET_KEY": "generated for each stack",
    "AIRFLOW__API__SECRET_KEY": "generated for each stack",
    "AIRFLOW__API_AUTH__JWT_SECRET": "generated for each stack",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "half the processor time at rest",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "DAG files change with the image only",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "DAG files change with the image only",
}
ONLY_LOCAL = {
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "one person",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "one person",
}
ONLY_SERVER = {
    "AIRFLOW__LOGGING__JSON_LOGS": "for what collects the logs",
    "AIRFLOW__CORE__AUTH_MANAGER": "a team, with roles",
    "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "for the container's health check",
    "OPENBLAS_CORETYPE": "the shell's, which the local stack inherits",
    "OPENBLAS_L2_SIZE": "the shell's, which the local stack inherits",
}


def server_environment(server: Server, service: str = "scheduler") -> dict[str, str]:
    return {
        **IMAGE_OPTIONS,
        **shared_options(),
        **COMPOSE["services"][service]["environment"],
        **airflow_secrets(server),
    }


@pytest.fixture
def server(tmp_path: Path) -> Server:
    write_secrets(tmp_path / "server")
    return Server(tmp_path / "server" / "secrets.json")


def test_local_stack_and_server_differ_only_where_it_is_named(settings: StackSettings, server: Server) -> None:
    here, there = settings.airflow_environment(), server_environment(server)

    assert {name for name in here.keys() & there.keys() if here[name] != there[name]} == set(OTHER_VALUE)
    assert here.keys() - there.keys() == set(ONLY_LOCAL)
    only_there = {name for name in there.keys() - here.keys() if not name.startswith("AIRFLOW__CELERY")}
    assert only_there == set(ONLY_SERVER)


def test_all_airflow_services_have_the_same_options() -> None:
    for service in AIRFLOW:
        definition = COMPOSE["services"][service]
        expected = COMPOSE["x-airflow"]["environment"]
        assert {name: definition["environment"].get(name) for name in expected} == expected
        assert definition["env_file"] == "airflow.env"


def test_only_web_pages_are_published_and_on_loopback_unless_with_https() -> None:
    published = {name: service.get("ports", []) for name, service in COMPOSE["services"].items()}

    proxy = published.pop("proxy")
    assert COMPOSE["services"]["proxy"]["profiles"] == ["https"]
    assert [port.rpartition(":")[2] for port in proxy] == ["8443", "8080"]  # of which the second only redirects
    assert {name for name, ports in published.items() if ports} == {"api-server", "mlflow", "grafana"}
    assert all(port.startswith("${ML_BIND:-127.0.0.1}:") for ports in published.values() for port in ports)


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_each_service_is_limited_watched_and_its_log_rotated(name: str) -> None:
    service: dict[str, Any] = COMPOSE["services"][name]

    assert service["mem_limit"]
    assert service["logging"]["options"]["max-size"]
    assert service["restart"] == ("no" if name in STEPS else "unless-stopped")
    assert ("healthcheck" in service) == (name not in STEPS)


def test_another_s3_server_and_its_buckets_reach_all_that_use_them(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    bucket_names = {f"ML_{each.name.upper()}_BUCKET": f"acme-{each.name}" for each in fields(Buckets)}
    chosen = {"ML_S3_ENDPOINT": "https://s3.example.com", "ML_S3_REGION": "eu-central-1", **bucket_names}
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)

    # when
    there = server.placeholders()

    # then
    assert (there["S3_ENDPOINT"], there["S3_REGION"]) == ("https://s3.example.com", "eu-central-1")
    assert there["LAKE_BUCKET"] == "acme-lake"
    assert server.buckets.names() == tuple(bucket_names.values())
    for step in STEPS:
        passed_on = COMPOSE["services"][step]["environment"]
        assert {name: passed_on.get(name) for name in chosen} == {name: f"${{{name}:-}}" for name in chosen}


def test_the_programs_that_dump_databases_are_of_the_databases_own_version() -> None:
    [image] = re.findall(r"ARG POSTGRES_IMAGE=(\S+)", (PROJECT_DIR / "Dockerfile").read_text())

    assert image == COMPOSE["services"]["postgres"]["image"]


def test_no_secret_has_a_default_or_stands_in_the_compose_file(server: Server) -> None:
    values = json.loads((server._secrets_file).read_text()).values()
    text = (PROJECT_DIR / "docker-compose.yaml").read_text() + (PROJECT_DIR / "Dockerfile").read_text()

    assert not [value for value in values if value in text]
    assert not re.findall(r"\$\{\w*(?:PASSWORD|SECRET|KEY)\w*", text)


def test_a_secret_that_a_new_release_needs_is_added_and_kept(tmp_path: Path) -> None:
    # given
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"postgres_password": "old", "of_a_newer_release": "kept"}))

    # when
    first, second = ServerSecrets.load_or_create(file), ServerSecrets.load_or_create(file)

    # then
    assert first == second
    assert first.postgres_password == "old"
    assert json.loads(file.read_text())["of_a_newer_release"] == "kept"


def test_secrets_are_generated_once_and_out_of_others_reach(tmp_path: Path) -> None:
    # given
    folder = tmp_path / "server"
    folder.mkdir(mode=0o755)  # as whoever puts a secrets file back may make it
    write_secrets(folder)
    before = {file.name: (file.read_bytes(), file.stat().st_ino) for file in (folder / "shares").iterdir()}

    # when
    write_secrets(folder)

    # then: containers have mounted these very files
    after = {file.name: (file.read_bytes(), file.stat().st_ino) for file in (folder / "shares").iterdir()}
    assert after == before
    assert set(after) == set(COMPOSE["secrets"])
    assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "shares")] == [0o700] * 2

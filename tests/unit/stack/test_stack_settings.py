import json
from dataclasses import replace
from pathlib import Path

import pytest

from include.stack.errors import StackError
from include.stack.services import Secrets
from include.stack.settings import Ports, StackSettings


def test_port_comes_from_the_environment_then_from_the_last_start_then_from_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    remembered = tmp_path / "ports.json"
    remembered.write_text(json.dumps({"postgres": 6000, "s3": 6001}))
    monkeypatch.setenv("ML_POSTGRES_PORT", "7000")

    # when
    ports = Ports.from_environment(remembered)

    # then
    assert ports == Ports(postgres=7000, s3=6001, mlflow=5000, airflow=8080)


@pytest.mark.parametrize("value", ["http", "80", "65536", "-1"])
def test_unusable_port_is_refused_with_its_variable_and_value(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_AIRFLOW_PORT", value)

    with pytest.raises(StackError, match=f"ML_AIRFLOW_PORT is '{value}'"):
        Ports.from_environment(tmp_path / "ports.json")


def test_two_services_on_one_port_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_AIRFLOW_PORT", "5000")

    with pytest.raises(StackError, match="share a port"):
        Ports.from_environment(tmp_path / "ports.json")


def test_state_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_STATE_DIR", str(tmp_path / "elsewhere"))

    assert StackSettings.from_environment().state_dir == tmp_path / "elsewhere"


def test_secrets_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    # given
    path = tmp_path / "secrets.json"

    # when
    first, second = Secrets.load_or_create(path), Secrets.load_or_create(path)

    # then
    assert first == second
    assert path.stat().st_mode & 0o777 == 0o600
    assert first != Secrets.load_or_create(tmp_path / "other.json")


def test_every_airflow_address_follows_the_chosen_ports(settings: StackSettings) -> None:
    # given
    moved = replace(settings, ports=Ports(postgres=6000, s3=6001, mlflow=6002, airflow=6003))

    # when
    environment = moved.airflow_environment()

    # then
    assert environment["AIRFLOW__API__PORT"] == "6003"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:6003/execution/"
    assert "@127.0.0.1:6000/airflow" in environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert moved.mlflow_url == "http://127.0.0.1:6002"
    assert moved.s3_endpoint == "http://127.0.0.1:6001"


def test_idle_threads_of_heavy_tasks_soon_leave_the_cores_to_others(settings: StackSettings) -> None:
    assert int(settings.airflow_environment()["GOMP_SPINCOUNT"]) < 1000


def test_long_lines_of_a_log_wrap(settings: StackSettings) -> None:
    assert settings.airflow_environment()["AIRFLOW__API__DEFAULT_WRAP"] == "True"

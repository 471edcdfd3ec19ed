"""What `make up` makes of Docker's answers and of its variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.stack.compose import BROKEN, READY, STARTING, Deployment, _state
from include.stack.errors import StackError

RUNNING, ENDED = {"Status": "running"}, {"Status": "exited"}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({**RUNNING, "Health": {"Status": "healthy"}}, READY),
        ({**RUNNING, "Health": {"Status": "starting"}}, STARTING),
        ({**RUNNING, "Health": {"Status": "unhealthy"}}, STARTING),
        (RUNNING, STARTING),
        ({"Status": "created"}, STARTING),
        ({"Status": "restarting", "Health": {"Status": "healthy"}}, STARTING),
        ({**ENDED, "ExitCode": 0}, READY),
        ({**ENDED, "ExitCode": 1}, BROKEN),
    ],
)
def test_a_server_is_ready_when_healthy_and_a_step_when_it_has_ended_well(
    state: dict[str, Any], expected: str
) -> None:
    assert _state(state) == expected


def test_addresses_follow_the_ports_unless_a_proxy_has_its_own() -> None:
    chosen = {"ML_AIRFLOW_PORT": "8081", "ML_MLFLOW_URL": "https://mlflow.example.com"}

    deployment = Deployment(chosen)

    assert deployment.address("AIRFLOW", 8080) == "http://localhost:8081"
    assert deployment.address("MLFLOW", 5000) == "https://mlflow.example.com"
    assert deployment.variables["ML_AIRFLOW_URL"] == "http://localhost:8081"


def test_the_secrets_are_in_the_state_folder(tmp_path: Path) -> None:
    assert Deployment({"ML_STATE_DIR": str(tmp_path)}).secrets_dir == tmp_path / "server"


def test_a_machine_without_docker_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StackError, match="Docker does not answer"):
        _ = Deployment({}).command

"""The stack of docker-compose.yaml as a test has it: a project of its own, on free ports, with its own volumes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from include.stack import compose
from include.stack.airflow_api import AirflowApi
from include.stack.compose import PROJECT_DIR, Deployment
from include.stack.server import SECRETS_FILE, Server, ServerSecrets
from tests.conftest import free_port
from tests.e2e.conftest import COMPANY

MARKET = {"history_days": 1260, "seed": 7}


def output(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def missing() -> str | None:
    """Why the stack cannot be built here, if so."""
    if not (shutil.which("docker") and _succeeds("info")):
        return "no Docker engine answers here"
    services = yaml.safe_load((PROJECT_DIR / "docker-compose.yaml").read_text())["services"].values()
    images = {
        service["image"]
        for service in services
        if not service["image"].startswith("${") and "profiles" not in service
    }
    for image in sorted({*images, os.environ.get("ML_PYTHON_IMAGE", "python:3.11-slim-bookworm")}):
        if not (_succeeds("image", "inspect", image) or _succeeds("pull", image)):
            return f"the image {image} is not here and cannot be pulled"
    return None


class Published(Server):
    """The server as its host reaches it."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment.secrets_dir / SECRETS_FILE)
        self._address = deployment.address("AIRFLOW")

    @property
    def airflow_url(self) -> str:
        return self._address


@dataclass(frozen=True)
class Running:
    """The running stack, as a person on its host sees it."""

    deployment: Deployment

    @cached_property
    def server(self) -> Server:
        return Published(self.deployment)

    @property
    def secrets(self) -> ServerSecrets:
        return self.server.secrets

    def containers(self, *services: str) -> list[str]:
        every = self.deployment.ask("ps", "--quiet", *services).split()
        states = output("docker", "inspect", "--format", "{{.State.Running}}", *every).split()
        return [container for container, runs in zip(every, states, strict=True) if runs == "true"]

    def inspect(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(output("docker", "inspect", *self.containers()))
        return found


@contextmanager
def running_stack(folder: Path, more: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Build and start a stack with two workers, its secrets in `folder`; skips the test where that cannot be.

    `more` are variables of docker-compose.yaml.
    """
    if reason := missing():
        pytest.skip(reason)
    variables = {
        "COMPOSE_PROJECT_NAME": f"ml-test-{uuid.uuid4().hex[:8]}",
        "ML_STATE_DIR": str(folder),
        "ML_AIRFLOW_PORT": str(free_port()),
        "ML_MLFLOW_PORT": str(free_port()),
        "ML_WORKERS": "2",
        "ML_IMAGE": "ml-lifecycle:test",
        **(more or {}),
    }
    # Packages come through the host's network where the containers' own has no way out.
    deployment = Deployment({"ML_BUILD_NETWORK": "host", **os.environ, **variables})
    try:
        compose.up(deployment, Console(quiet=True))
        yield Running(deployment)
    finally:
        deployment.run("down", "--volumes", "--remove-orphans", "--timeout", "30")


def make_it_small(api: AirflowApi) -> None:
    """Give the stack the small sample company and market before they are made."""
    company = COMPANY.model_dump(mode="json", exclude_defaults=True)
    for name, value in (("sample_world", company), ("sample_market", MARKET)):
        api.patch(f"/variables/{name}", {"key": name, "value": json.dumps(value)})


def _succeeds(*arguments: str) -> bool:
    return subprocess.run(["docker", *arguments], capture_output=True, check=False).returncode == 0

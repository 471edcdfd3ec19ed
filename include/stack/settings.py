"""Where the local stack keeps its state, which ports it uses, and the environment of its programs."""

import json
import os
import sys
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Self

from include.stack.errors import StackError
from include.stack.services import ADMIN_NAME, Secrets, Services

PROJECT_DIR = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
DATABASES = ("airflow", "mlflow", "company", "warehouse")
PARALLEL_TASKS = 4
SHARED_OPTIONS = PROJECT_DIR / "airflow.env"


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1, one per service that people and programs talk to."""

    postgres: int = 5432
    s3: int = 9000
    mlflow: int = 5000
    airflow: int = 8080

    @classmethod
    def from_environment(cls, remembered: Path) -> Self:
        """Read ``ML_<SERVICE>_PORT``, else the port of the last start (``remembered``, JSON), else the default.

        Raises
        ------
        StackError
            If a port is not a number from 1024 to 65535, or two services have the same one.
        """
        last = json.loads(remembered.read_text()) if remembered.exists() else {}
        chosen = {
            each.name: _port(f"ML_{each.name.upper()}_PORT", str(last.get(each.name, each.default)))
            for each in fields(cls)
        }
        if len(set(chosen.values())) < len(chosen):
            raise StackError(f"Two services would share a port: {chosen}. Give each its own ML_<SERVICE>_PORT.")
        return cls(**chosen)


@dataclass(frozen=True)
class StackSettings(Services):
    """One stack: a state folder, four ports, and the project whose DAGs it runs."""

    state_dir: Path = PROJECT_DIR / ".state"
    ports: Ports = Ports()
    project_dir: Path = PROJECT_DIR
    dags_dir: Path = PROJECT_DIR / "dags"
    plugins_dir: Path = PROJECT_DIR / "plugins"
    airflow_settings_file: Path = PROJECT_DIR / "airflow_settings.yaml"

    @classmethod
    def from_environment(cls) -> Self:
        """Read ``ML_STATE_DIR`` and each ``ML_<SERVICE>_PORT``; what is not set keeps its last or default value.

        Raises
        ------
        StackError
            If a port is unusable.
        """
        state_dir = Path(os.environ.get("ML_STATE_DIR") or PROJECT_DIR / ".state").resolve()
        return cls(state_dir=state_dir, ports=Ports.from_environment(state_dir / "ports.json"))

    @cached_property
    def secrets(self) -> Secrets:
        """Passwords and keys of this stack."""
        return Secrets.load_or_create(self.secrets_file)

    @property
    def secrets_file(self) -> Path:
        """JSON file with the generated passwords and keys, mode 0600."""
        return self.state_dir / "secrets.json"

    @property
    def ports_file(self) -> Path:
        """JSON file with the ports of the last start."""
        return self.state_dir / "ports.json"

    @property
    def postgres_dir(self) -> Path:
        """PostgreSQL's data folder."""
        return self.state_dir / "postgres"

    @property
    def s3_dir(self) -> Path:
        """Folder that the S3 server serves: one sub-folder per bucket."""
        return self.state_dir / "s3"

    @property
    def airflow_dir(self) -> Path:
        """Airflow's home: its task logs and its password file."""
        return self.state_dir / "airflow"

    @property
    def airflow_password_file(self) -> Path:
        """Airflow's login file, JSON ``{name: password}``, mode 0600."""
        return self.airflow_dir / "login.json"

    @property
    def log_dir(self) -> Path:
        """Folder with one rotated log per program."""
        return self.state_dir / "log"

    @property
    def run_dir(self) -> Path:
        """Folder for what exists only while the stack runs: the supervisor's configuration and pid, locks."""
        return self.state_dir / "run"

    @property
    def lake_dir(self) -> Path:
        """Folder that holds the lake's files under their keys."""
        return self.s3_dir / self.buckets.lake

    @property
    def postgres_address(self) -> tuple[str, int]:
        """Host and port of PostgreSQL."""
        return HOST, self.ports.postgres

    @property
    def s3_endpoint(self) -> str:
        """Address of the S3 server."""
        return f"http://{HOST}:{self.ports.s3}"

    @property
    def mlflow_url(self) -> str:
        """Address of the MLflow server and its web pages."""
        return f"http://{HOST}:{self.ports.mlflow}"

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's web pages and REST API."""
        return f"http://{HOST}:{self.ports.airflow}"

    def airflow_environment(self) -> dict[str, str]:
        """Return the environment in which every Airflow process and command of this stack runs."""
        return {
            **shared_options(),
            "AIRFLOW_HOME": str(self.airflow_dir),
            "PYTHONPATH": str(self.project_dir),
            **{f"AIRFLOW__{name}": value for name, value in self._airflow_options().items()},
        }

    def _airflow_options(self) -> dict[str, str]:
        return {
            "CORE__DAGS_FOLDER": str(self.dags_dir),
            "CORE__PLUGINS_FOLDER": str(self.plugins_dir),
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": str(PARALLEL_TASKS),
            "CORE__FERNET_KEY": self.secrets.airflow_fernet_key,
            "CORE__EXECUTION_API_SERVER_URL": f"{self.airflow_url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN_NAME}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.airflow_password_file),
            "DATABASE__SQL_ALCHEMY_CONN": self.sqlalchemy_url("airflow"),
            "API__HOST": HOST,
            "API__PORT": str(self.ports.airflow),
            "API__BASE_URL": self.airflow_url,
            "API__SECRET_KEY": self.secrets.airflow_api_secret,
            "API_AUTH__JWT_SECRET": self.secrets.airflow_jwt_secret,
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            # A changed DAG file is read within ten seconds; a changed module that it imports, within two minutes.
            "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",
        }


@cache
def shared_options() -> dict[str, str]:
    """Return the variables of ``airflow.env``, which every stack has in common."""
    lines = [line.strip() for line in SHARED_OPTIONS.read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def quiet_environment() -> dict[str, str]:
    """Return those of them that are not Airflow's own: they keep libraries from calling home and threads short."""
    return {name: value for name, value in shared_options().items() if not name.startswith("AIRFLOW__")}


def executable(name: str) -> str:
    """Return the path of a command that the virtual environment brings."""
    return str(Path(sys.executable).parent / name)


def _port(variable: str, default: str) -> int:
    text = os.environ.get(variable) or default
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise StackError(f"{variable} is {text!r}: give a port number from 1024 to 65535.")
    return int(text)

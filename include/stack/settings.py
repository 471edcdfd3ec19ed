"""Where the stack keeps its state, which ports it uses, and the secrets it made for itself."""

import base64
import json
import os
import secrets
import sys
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import quote

from include.stack.errors import StackError

PROJECT_DIR = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
DATABASES = ("airflow", "mlflow", "company", "warehouse")
BUCKETS = ("ml-lake", "mlflow")
DATABASE_ROLE = "ml"
ADMIN_NAME = "admin"
PARALLEL_TASKS = 4
HEAVY_TASKS = 2
LONGEST_HISTORY_DAYS = 20_000


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

        Raises:
            StackError: a port is not a number from 1024 to 65535, or two services have the same one.
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
class Secrets:
    """Passwords and keys, generated at the first start and kept in one file that only its owner can read."""

    postgres_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    s3_access_key: str = field(default_factory=lambda: secrets.token_hex(10).upper())
    s3_secret_key: str = field(default_factory=lambda: secrets.token_hex(20))
    airflow_password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    airflow_jwt_secret: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    airflow_api_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    airflow_fernet_key: str = field(
        default_factory=lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    )

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read the secrets in ``path``; generate and store them (mode 0600) where there are none yet."""
        if path.exists():
            return cls(**json.loads(path.read_text()))
        created = cls()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, json.dumps(asdict(created), indent=2))
        return created


@dataclass(frozen=True)
class StackSettings:
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

        Raises:
            StackError: a port is unusable.
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
    def s3_endpoint(self) -> str:
        """Address of the S3 server."""
        return f"http://{HOST}:{self.ports.s3}"

    @property
    def s3_access_key(self) -> str:
        """Access key id of the S3 server."""
        return self.secrets.s3_access_key

    @property
    def s3_secret_key(self) -> str:
        """Secret access key of the S3 server."""
        return self.secrets.s3_secret_key

    @property
    def mlflow_url(self) -> str:
        """Address of the MLflow server and its web pages."""
        return f"http://{HOST}:{self.ports.mlflow}"

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's web pages and REST API."""
        return f"http://{HOST}:{self.ports.airflow}"

    def postgres_dsn(self, database: str) -> str:
        """Return the libpq address of one database, with the password."""
        password = quote(self.secrets.postgres_password, safe="")
        return f"postgresql://{DATABASE_ROLE}:{password}@{HOST}:{self.ports.postgres}/{database}"

    def sqlalchemy_url(self, database: str) -> str:
        """Return the SQLAlchemy address of one database: plain ``postgresql://`` would ask for psycopg 3."""
        return self.postgres_dsn(database).replace("postgresql://", "postgresql+psycopg2://", 1)

    def placeholders(self) -> dict[str, str]:
        """Return the values that ``${NAME}`` stands for in ``airflow_settings.yaml``."""
        return {
            "HOST": HOST,
            "POSTGRES_PORT": str(self.ports.postgres),
            "POSTGRES_LOGIN": DATABASE_ROLE,
            "POSTGRES_PASSWORD": self.secrets.postgres_password,
            "S3_ENDPOINT": self.s3_endpoint,
            "S3_ACCESS_KEY": self.s3_access_key,
            "S3_SECRET_KEY": self.s3_secret_key,
            "MLFLOW_PORT": str(self.ports.mlflow),
            "HEAVY_TASKS": str(HEAVY_TASKS),
        }

    def airflow_environment(self) -> dict[str, str]:
        """Return the environment in which every Airflow process and command of this stack runs."""
        return {
            **quiet_environment(),
            **thread_patience(),
            "AIRFLOW_HOME": str(self.airflow_dir),
            "PYTHONPATH": str(self.project_dir),
            **{f"AIRFLOW__{name}": value for name, value in self._airflow_options().items()},
        }

    def _airflow_options(self) -> dict[str, str]:
        return {
            "CORE__DAGS_FOLDER": str(self.dags_dir),
            "CORE__PLUGINS_FOLDER": str(self.plugins_dir),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": str(PARALLEL_TASKS),
            "CORE__MAX_MAP_LENGTH": str(LONGEST_HISTORY_DAYS),
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "CORE__FERNET_KEY": self.secrets.airflow_fernet_key,
            "CORE__EXECUTION_API_SERVER_URL": f"{self.airflow_url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN_NAME}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.airflow_password_file),
            "DATABASE__SQL_ALCHEMY_CONN": self.sqlalchemy_url("airflow"),
            "API__HOST": HOST,
            "API__PORT": str(self.ports.airflow),
            "API__WORKERS": "1",
            "API__BASE_URL": self.airflow_url,
            "API__DEFAULT_WRAP": "True",
            "API__SECRET_KEY": self.secrets.airflow_api_secret,
            "API_AUTH__JWT_SECRET": self.secrets.airflow_jwt_secret,
            "API_AUTH__JWT_ISSUER": "ml-stack",
            "WORKERS__EXECUTION_API_TIMEOUT": "30",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }


def quiet_environment() -> dict[str, str]:
    """Return the variables that keep every library from calling home and from chatting in task logs."""
    return {
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "GX_ANALYTICS_ENABLED": "false",
    }


def thread_patience() -> dict[str, str]:
    """Return how long idle threads spin before they sleep, so that tasks side by side may each use all cores.

    OpenMP's default is so long that two gradient boostings on the same cores take four times as long as one after
    the other; with this, one alone is as fast as by default, and two lose a fifth. BLAS gains nothing from threads
    on our narrow matrices.
    """
    return {"GOMP_SPINCOUNT": "300", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def executable(name: str) -> str:
    """Return the path of a command that the virtual environment brings."""
    return str(Path(sys.executable).parent / name)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step, so that a killed start leaves no half of it."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)


def _port(variable: str, default: str) -> int:
    text = os.environ.get(variable) or default
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise StackError(f"{variable} is {text!r}: give a port number from 1024 to 65535.")
    return int(text)

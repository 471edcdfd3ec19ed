"""The stack of docker-compose.yaml: where its servers answer in its network, and the secrets each is given.

All secrets come from one generated file. Each container sees only its own share of them, as a mounted file:
nothing secret is in the image, in `docker inspect` or on a command line.
"""

import os
import secrets as random
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from include.stack.services import ADMIN_NAME, Buckets, Secrets, Services, write_private

DATABASES = ("airflow", "mlflow", "mlflow_users", "company", "warehouse")
SECRETS_FILE = "secrets.json"
SHARES_DIR = "shares"
MOUNTED_SECRETS = Path("/run/secrets") / SECRETS_FILE


@dataclass(frozen=True)
class ServerSecrets(Secrets):
    """What the servers of a team need besides: passwords of Redis, MLflow and Grafana."""

    redis_password: str = field(default_factory=lambda: random.token_urlsafe(24))
    mlflow_password: str = field(default_factory=lambda: random.token_urlsafe(16))
    grafana_password: str = field(default_factory=lambda: random.token_urlsafe(16))
    mlflow_session_key: str = field(default_factory=lambda: random.token_urlsafe(32))


class Server(Services):
    """The servers as the containers of docker-compose.yaml reach them, by the names of their services."""

    def __init__(self, secrets_file: Path = MOUNTED_SECRETS) -> None:
        self._secrets_file = secrets_file

    @cached_property
    def secrets(self) -> ServerSecrets:
        """Passwords and keys of this stack."""
        return ServerSecrets.load_or_create(self._secrets_file)

    @property
    def postgres_address(self) -> tuple[str, int]:
        """Host and port of PostgreSQL."""
        return "postgres", 5432

    @property
    def s3_endpoint(self) -> str:
        """Address of the S3 server: the stack's own, or the one that ML_S3_ENDPOINT names."""
        return os.environ.get("ML_S3_ENDPOINT") or "http://s3:9000"

    @property
    def s3_region(self) -> str:
        """Region of the S3 server that ML_S3_ENDPOINT names."""
        return os.environ.get("ML_S3_REGION") or super().s3_region

    @property
    def buckets(self) -> Buckets:
        """Names of the buckets, as ML_LAKE_BUCKET and the like choose them."""
        return Buckets.from_environment()

    @property
    def mlflow_url(self) -> str:
        """Address of the MLflow server."""
        return "http://mlflow:5000"

    @property
    def mlflow_login(self) -> tuple[str, str]:
        """Name and password that MLflow wants."""
        return ADMIN_NAME, self.secrets.mlflow_password

    @property
    def backed_up_databases(self) -> tuple[str, ...]:
        """The databases that a backup has."""
        return (*super().backed_up_databases, "mlflow_users")

    @property
    def mlflow_pages(self) -> str:
        """Address of MLflow's pages, as a browser reaches them."""
        return os.environ.get("ML_MLFLOW_URL") or "http://localhost:5000"

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's REST API."""
        return "http://api-server:8080"

    @property
    def airflow_pages(self) -> str:
        """Address of Airflow's pages, as a browser reaches them."""
        return os.environ.get("ML_AIRFLOW_URL") or "http://localhost:8080"


def write_secrets(folder: Path) -> None:
    """Generate the secrets (mode 0600) where there are none yet, and write each container's share of them.

    A container's user is not ours and must read its share, so the files of the shares are readable; the folder
    that holds them is not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    server = Server(folder / SECRETS_FILE)
    unfinished, shares = folder / f"{SHARES_DIR}.{os.getpid()}", folder / SHARES_DIR
    unfinished.mkdir(mode=0o700)
    for name, text in _shares(server).items():
        write_private(unfinished / name, text)
        (unfinished / name).chmod(0o444)
    shutil.copyfile(folder / SECRETS_FILE, unfinished / SECRETS_FILE)
    (unfinished / SECRETS_FILE).chmod(0o444)
    shares.mkdir(mode=0o700, exist_ok=True)
    for file in unfinished.iterdir():
        _replace_if_changed(file, shares / file.name)
    shutil.rmtree(unfinished)


def airflow_secrets(server: Server) -> dict[str, str]:
    """Return Airflow's options that are secret or contain a password."""
    secrets = server.secrets
    return {
        "AIRFLOW__CORE__FERNET_KEY": secrets.airflow_fernet_key,
        "AIRFLOW__API__SECRET_KEY": secrets.airflow_api_secret,
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.airflow_jwt_secret,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": server.sqlalchemy_url("airflow"),
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{server.sqlalchemy_url('airflow')}",
        "AIRFLOW__CELERY__BROKER_URL": f"redis://:{quote(secrets.redis_password, safe='')}@redis:6379/0",
    }


def _shares(server: Server) -> dict[str, str]:
    secrets = server.secrets
    return {
        "airflow.env": _as_shell(airflow_secrets(server)),
        "mlflow.env": _as_shell(_mlflow_secrets(server)),
        "mlflow.ini": _mlflow_users(server),
        "s3.env": _as_shell({"RCLONE_AUTH_KEY": f'"{secrets.s3_access_key},{secrets.s3_secret_key}"'}),
        "postgres.txt": secrets.postgres_password,
        "grafana.txt": secrets.grafana_password,
        "redis.conf": "bind * -::*\nprotected-mode yes\nappendonly yes\nmaxmemory-policy noeviction\ndir /data\n"
        f"requirepass {secrets.redis_password}\n",
    }


def _mlflow_secrets(server: Server) -> dict[str, str]:
    return {
        "MLFLOW_BACKEND_STORE_URI": server.sqlalchemy_url("mlflow"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": server.secrets.mlflow_password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": server.secrets.mlflow_session_key,
        "AWS_ACCESS_KEY_ID": server.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": server.s3_secret_key,
    }


def _mlflow_users(server: Server) -> str:
    # Checking a password costs a tenth of a second, and the push of a model asks MLflow a hundred times.
    return (
        f"[mlflow]\ndefault_permission = READ\nadmin_username = {ADMIN_NAME}\nauth_cache_ttl_seconds = 300\n"
        f"database_uri = {server.sqlalchemy_url('mlflow_users').replace('%', '%%')}\n"
    )


def _as_shell(variables: Mapping[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())


def _replace_if_changed(new: Path, file: Path) -> None:
    """Keep a file that says the same: a running container has mounted that very one."""
    if not file.exists() or file.read_bytes() != new.read_bytes():
        new.replace(file)

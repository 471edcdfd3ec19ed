"""What every stack has: servers at some addresses, and the passwords for them."""

import base64
import json
import os
import secrets as random
from abc import ABC, abstractmethod
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from typing import Self
from urllib.parse import quote

DATABASE_ROLE = "ml"
ADMIN_NAME = "admin"
HEAVY_TASKS = 2


@dataclass(frozen=True)
class Secrets:
    """Passwords and keys, generated at the first start and kept in one file that only its owner can read."""

    postgres_password: str = field(default_factory=lambda: random.token_urlsafe(24))
    s3_access_key: str = field(default_factory=lambda: random.token_hex(10).upper())
    s3_secret_key: str = field(default_factory=lambda: random.token_hex(20))
    backup_access_key: str = field(default_factory=lambda: random.token_hex(10).upper())
    backup_secret_key: str = field(default_factory=lambda: random.token_hex(20))
    airflow_password: str = field(default_factory=lambda: random.token_urlsafe(12))
    airflow_jwt_secret: str = field(default_factory=lambda: random.token_urlsafe(48))
    airflow_api_secret: str = field(default_factory=lambda: random.token_urlsafe(32))
    airflow_fernet_key: str = field(
        default_factory=lambda: base64.urlsafe_b64encode(random.token_bytes(32)).decode()
    )

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read the secrets in ``path``; generate and store (mode 0600) those that are not there yet."""
        stored = json.loads(path.read_text()) if path.exists() else {}
        known = {each.name for each in fields(cls)}  # the others are a newer release's, to which one may return
        secrets = cls(**{name: value for name, value in stored.items() if name in known})
        if asdict(secrets).keys() - stored.keys():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, json.dumps(stored | asdict(secrets), indent=2))
        return secrets


@dataclass(frozen=True)
class Buckets:
    """The buckets on the S3 server: the lake's, and that of MLflow's model files."""

    lake: str = "ml-lake"
    mlflow: str = "mlflow"

    @classmethod
    def from_environment(cls) -> Self:
        """Read ``ML_<NAME>_BUCKET``, else the default; on many S3 servers no two customers may share a name."""
        chosen = {each.name: os.environ.get(f"ML_{each.name.upper()}_BUCKET") for each in fields(cls)}
        return cls(**{name: bucket for name, bucket in chosen.items() if bucket})

    def names(self) -> tuple[str, ...]:
        """Return the names of all."""
        return astuple(self)


class Services(ABC):
    """The servers of a stack, as programs and people reach them."""

    @property
    @abstractmethod
    def secrets(self) -> Secrets:
        """Passwords and keys of this stack."""

    @property
    @abstractmethod
    def postgres_address(self) -> tuple[str, int]:
        """Host and port of PostgreSQL."""

    @property
    @abstractmethod
    def s3_endpoint(self) -> str:
        """Address of the S3 server."""

    @property
    def s3_region(self) -> str:
        """Region that requests to the S3 server are signed for."""
        return "us-east-1"

    @property
    def buckets(self) -> Buckets:
        """Names of the buckets on the S3 server."""
        return Buckets()

    @property
    @abstractmethod
    def mlflow_url(self) -> str:
        """Address of the MLflow server."""

    @property
    @abstractmethod
    def airflow_url(self) -> str:
        """Address of Airflow's REST API."""

    @property
    def mlflow_login(self) -> tuple[str, str] | None:
        """Name and password that MLflow wants; None where it wants none."""
        return None

    @property
    def airflow_pages(self) -> str:
        """Address of Airflow's pages, as a browser reaches them."""
        return self.airflow_url

    @property
    def mlflow_pages(self) -> str:
        """Address of MLflow's pages, as a browser reaches them."""
        return self.mlflow_url

    @property
    def lake_dir(self) -> Path | None:
        """Folder that holds the lake's files under their keys; None where it is out of reach."""
        return None

    @property
    def s3_access_key(self) -> str:
        """Access key id of the S3 server."""
        return self.secrets.s3_access_key

    @property
    def s3_secret_key(self) -> str:
        """Secret access key of the S3 server."""
        return self.secrets.s3_secret_key

    @property
    def backup_endpoint(self) -> str:
        """Address of the S3 server for backups: the one that ML_BACKUP_ENDPOINT names, or the stack's own."""
        return os.environ.get("ML_BACKUP_ENDPOINT") or self.s3_endpoint

    @property
    def backup_region(self) -> str:
        """Region that requests to that server are signed for."""
        return os.environ.get("ML_BACKUP_REGION") or self.s3_region

    @property
    def backup_bucket(self) -> str:
        """Name of the bucket for backups."""
        return os.environ.get("ML_BACKUP_BUCKET") or "ml-backup"

    @property
    def backup_keys(self) -> tuple[str, str]:
        """Access key id and secret access key of that server."""
        if os.environ.get("ML_BACKUP_ENDPOINT"):
            return self.secrets.backup_access_key, self.secrets.backup_secret_key
        return self.s3_access_key, self.s3_secret_key

    @property
    def backed_up_databases(self) -> tuple[str, ...]:
        """The databases that a backup has: not the company's, which is the source's."""
        return ("airflow", "warehouse", "mlflow")

    def postgres_dsn(self, database: str) -> str:
        """Return the libpq address of one database, with the password."""
        password = quote(self.secrets.postgres_password, safe="")
        host, port = self.postgres_address
        return f"postgresql://{DATABASE_ROLE}:{password}@{host}:{port}/{database}"

    def sqlalchemy_url(self, database: str) -> str:
        """Return the SQLAlchemy address of one database: plain ``postgresql://`` would ask for psycopg 3."""
        return self.postgres_dsn(database).replace("postgresql://", "postgresql+psycopg2://", 1)

    def placeholders(self) -> dict[str, str]:
        """Return the values that ``${NAME}`` stands for in ``airflow_settings.yaml``."""
        host, port = self.postgres_address
        name, password = self.mlflow_login or ("", "")
        backup_access_key, backup_secret_key = self.backup_keys
        return {
            "POSTGRES_HOST": host,
            "POSTGRES_PORT": str(port),
            "POSTGRES_LOGIN": DATABASE_ROLE,
            "POSTGRES_PASSWORD": self.secrets.postgres_password,
            "S3_ENDPOINT": self.s3_endpoint,
            "S3_REGION": self.s3_region,
            "LAKE_BUCKET": self.buckets.lake,
            "MLFLOW_BUCKET": self.buckets.mlflow,
            "S3_ACCESS_KEY": self.s3_access_key,
            "S3_SECRET_KEY": self.s3_secret_key,
            "BACKUP_ENDPOINT": self.backup_endpoint,
            "BACKUP_ACCESS_KEY": backup_access_key,
            "BACKUP_SECRET_KEY": backup_secret_key,
            "BACKUP_REGION": self.backup_region,
            "BACKUP_BUCKET": self.backup_bucket,
            "BACKUP_DATABASES": " ".join(self.backed_up_databases),
            "MLFLOW_URL": self.mlflow_url,
            "MLFLOW_PAGES": self.mlflow_pages,
            "MLFLOW_LOGIN": name,
            "MLFLOW_PASSWORD": password,
            "HEAVY_TASKS": str(HEAVY_TASKS),
        }


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step, so that a killed start leaves no half of it."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)

"""The programs of the stack: what is started, with which arguments and environment, in which order."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from include.lifecycle.operations.dumps import PROGRAMS_FOLDER
from include.stack import postgres
from include.stack.processes import PROGRAM
from include.stack.settings import HOST, StackSettings, executable, quiet_environment

SERVICES = ("postgres", "s3", "mlflow", "airflow")


@dataclass(frozen=True)
class Program:
    """One supervised process group.

    Attributes
    ----------
    name : its name for the supervisor, and of its log file.
    service : the service it belongs to, one of ``SERVICES``.
    command : the program and its arguments.
    environment : variables on top of the supervisor's own.
    stop_signal : the signal that asks it to end.
    stop_seconds : how long it may take to end before its process group is killed.
    """

    name: str
    service: str
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_seconds: int = 15


def programs(settings: StackSettings) -> list[Program]:
    """Return every program of the stack, those that others need first."""
    return [_postgres(settings), _s3(settings), _mlflow(settings), *_airflow(settings)]


def _postgres(settings: StackSettings) -> Program:
    # INT is PostgreSQL's fast shutdown; TERM would wait for every client to leave.
    return Program("postgres", "postgres", postgres.server_command(settings), stop_signal="INT", stop_seconds=30)


def _s3(settings: StackSettings) -> Program:
    # Listings are cached for one second only, so that a file changed by hand is seen at once.
    arguments = ["--addr", f"{HOST}:{settings.ports.s3}", "--dir-cache-time", "1s", "--config", "/dev/null"]
    return Program("s3", "s3", [executable("rclone"), "serve", "s3", *arguments, str(settings.s3_dir)])


def _mlflow(settings: StackSettings) -> Program:
    arguments = ["--workers", "1", "--host", HOST, "--port", str(settings.ports.mlflow)]
    return Program(
        "mlflow",
        "mlflow",
        [executable("mlflow"), "server", *arguments],
        {
            **quiet_environment(),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_BACKEND_STORE_URI": settings.sqlalchemy_url("mlflow"),
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{settings.buckets.mlflow}",
            "MLFLOW_S3_ENDPOINT_URL": settings.s3_endpoint,
            "AWS_ACCESS_KEY_ID": settings.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": settings.s3_secret_key,
            "AWS_DEFAULT_REGION": settings.s3_region,
        },
    )


def _airflow(settings: StackSettings) -> list[Program]:
    # The API server reads task logs from the shared folder, so nothing else needs a log-serving port.
    commands = {
        "api-server": ["api-server"],
        "scheduler": ["scheduler", "--skip-serve-logs"],
        "dag-processor": ["dag-processor"],
        "triggerer": ["triggerer", "--skip-serve-logs"],
    }
    # Tasks dump databases with the programs of the server's own version.
    environment = settings.airflow_environment() | {PROGRAMS_FOLDER: str(postgres.binary("pg_dump").parent)}
    return [
        Program(
            name,
            "airflow",
            [sys.executable, "-m", "include.stack.successor", sys.executable, "-m", "airflow", *command],
            environment | {PROGRAM: name},
            stop_seconds=30 if name == "scheduler" else 15,  # the scheduler waits for its running tasks
        )
        for name, command in commands.items()
    ]

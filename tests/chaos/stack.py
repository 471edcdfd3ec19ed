"""The running stack of docker-compose.yaml, as the tests break it and look at it from its host."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import psycopg2
from botocore.config import Config

from include.lifecycle.storage.lake import Lake, partition
from include.stack.airflow_api import AirflowApi
from include.stack.errors import StackError
from tests.conftest import free_port
from tests.e2e.server import Published, Running, make_it_small, output, running_stack

FILES = "docker-compose.yaml:tests/chaos/docker-compose.yaml"
API_SECONDS = 240
UNFINISHED = ("queued", "running")
BALLAST = "/data/ballast"


class Opened(Published):
    """All its servers, as their host reaches them."""

    def __init__(self, running: Running) -> None:
        super().__init__(running.deployment)
        self._deployment = running.deployment

    @property
    def postgres_address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self._deployment.environment["CHAOS_POSTGRES_PORT"])

    @property
    def s3_endpoint(self) -> str:
        return f"http://127.0.0.1:{self._deployment.environment['CHAOS_S3_PORT']}"

    @property
    def mlflow_url(self) -> str:
        return self._deployment.address("MLFLOW")


class PatientApi(AirflowApi):
    """Airflow's API while its database or its server may be away."""

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        end = time.monotonic() + API_SECONDS
        while True:
            try:
                return super().get(path, **query)
            except StackError:
                if time.monotonic() > end:
                    raise
                time.sleep(1)


def wait_until(condition: Callable[[], Any], seconds: float, what: str, pause: float = 0.05) -> Any:
    """What the condition returns as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds:.0f} s."
        time.sleep(pause)
    return found


@dataclass(frozen=True)
class Stack:
    """A stack that is broken on purpose."""

    running: Running
    services: Opened
    api: PatientApi

    @cached_property
    def lake(self) -> Lake:
        """The lake, by a client that gives up soon: the S3 server may be away."""
        config = Config(
            retries={"total_max_attempts": 1},
            proxies={},
            connect_timeout=5,
            read_timeout=20,
            max_pool_connections=50,
        )
        client = boto3.client(
            "s3",
            endpoint_url=self.services.s3_endpoint,
            aws_access_key_id=self.services.s3_access_key,
            aws_secret_access_key=self.services.s3_secret_key,
            region_name="us-east-1",
            config=config,
        )
        return Lake(client, self.services.buckets.lake)

    @contextmanager
    def database(self, name: str) -> Iterator[psycopg2.extensions.connection]:
        with closing(psycopg2.connect(self.services.postgres_dsn(name))) as connection:
            yield connection

    # What runs

    def instances(self, dag_id: str, run_id: str, task_id: str) -> list[dict[str, Any]]:
        found = self.api.task_instances(dag_id, run_id)
        return [instance for instance in found if instance["task_id"] == task_id]

    def wait_for_end(self, dag_id: str, run_id: str, seconds: float) -> str:
        """The state in which a run ends."""

        def ended() -> str | None:
            state = self.api.run_state(dag_id, run_id)
            return None if state in UNFINISHED else state

        return str(wait_until(ended, seconds, f"The end of {dag_id} {run_id}", pause=0.5))

    def wait_until_quiet(self, seconds: float) -> None:
        """Wait until nothing runs or is about to."""

        def quiet() -> bool:
            query = {"state": list(UNFINISHED), "limit": 1}
            return not self.api.get("/dags/~/dagRuns", **query)["total_entries"]

        wait_until(quiet, seconds, "The end of all runs", pause=1)
        time.sleep(2)  # an asset's event wakes its consumers in the scheduler's next round
        wait_until(quiet, seconds, "The end of all runs", pause=1)

    def allow_no_retry(self, instance: dict[str, Any]) -> None:
        """Make a task instance's present try its last."""
        with self.database("airflow") as connection, connection, connection.cursor() as cursor:
            cursor.execute("update task_instance set max_tries = 0 where id = %s", [instance["id"]])

    # What is there

    def forget(self, prefix: str, days: list[date]) -> None:
        """Delete a prefix's partitions of some days and its `latest.json`, as if they had never been made."""
        if self.lake.read_object(f"{prefix}/latest.json"):
            self._delete(f"{prefix}/latest.json")
        keys = [key for day in days for key in self.lake.keys(f"{partition(prefix, day)}/")]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._delete, keys))

    def _delete(self, key: str) -> None:
        self.lake.client.delete_object(Bucket=self.lake.bucket, Key=key)

    # What breaks

    def container(self, service: str) -> str:
        [found] = self.running.deployment.ask("ps", "--all", "--quiet", service).split()
        return found

    def worker(self, hostname: str) -> str:
        """The container of the worker that calls itself so."""
        found = self.running.deployment.ask("ps", "--all", "--quiet", "worker").split()
        [worker] = [each for each in found if each.startswith(hostname)]
        return worker

    @contextmanager
    def triggers(self, service: str) -> Iterator[Callable[[str], None]]:
        """What kills, at once, all processes of the service's container whose name begins so, by SIGKILL.

        As with a real crash, Docker starts the container again.
        """
        shells = {each: _shell(each) for each in self.running.deployment.ask("ps", "--quiet", service).split()}

        def kill(name: str) -> None:
            [shell] = [shell for container, shell in shells.items() if container.startswith(name)]
            # The shell is spared by its own signal, and dies with the container.
            shell.communicate(b"kill -9 -1\n", timeout=60)

        try:
            yield kill
        finally:
            for shell in shells.values():
                shell.kill()
                shell.wait()

    @property
    def network(self) -> str:
        return f"{self.running.deployment.environment['COMPOSE_PROJECT_NAME']}_default"

    def disconnect(self, container: str) -> None:
        output("docker", "network", "disconnect", self.network, container)

    def connect(self, container: str, alias: str) -> None:
        output("docker", "network", "connect", "--alias", alias, self.network, container)

    def fill_disk(self) -> None:
        """Leave no byte on the S3 server's disk."""
        fill = f"cat /dev/zero > {BALLAST} 2> /dev/null; true"
        output("docker", "exec", self.container("disk"), "sh", "-c", fill)

    def free_disk(self) -> None:
        output("docker", "exec", self.container("disk"), "rm", "-f", BALLAST)

    def wait_until_healthy(self, seconds: float) -> None:
        """Wait until every service is as `make up` leaves it."""

        def healthy() -> bool:
            return set(self.running.deployment.states().values()) == {"ready"}

        wait_until(healthy, seconds, "The health of all services", pause=1)


def _shell(container: str) -> subprocess.Popen[bytes]:
    """A shell inside a container, which waits for a command: to start one takes seconds on a busy machine."""
    pipe = subprocess.PIPE
    shell = subprocess.Popen(["docker", "exec", "--interactive", container, "sh"], stdin=pipe, stdout=pipe)
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(b"echo ready\n")
    shell.stdin.flush()
    shell.stdout.readline()
    return shell


@contextmanager
def chaos_stack(folder: Path) -> Iterator[Stack]:
    """A stack that has done its main job, on the small sample company and market."""
    ports = {f"CHAOS_{name}_PORT": str(free_port()) for name in ("POSTGRES", "S3")}
    with running_stack(folder, {"COMPOSE_FILE": FILES, **ports}) as running:
        services = Opened(running)
        with PatientApi(services) as api:
            make_it_small(api)
            running.deployment.run("run", "--rm", "-T", "main-job")
            yield Stack(running, services, api)

"""Waiting for the services: what healthy means for each, and what to say when one does not get there."""

import time
from collections.abc import Callable, Collection, Sequence
from functools import cache

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from include.stack import postgres, supervision
from include.stack.configuration import log_file
from include.stack.display import Display
from include.stack.errors import StackError
from include.stack.programs import Program
from include.stack.s3 import s3_client
from include.stack.settings import StackSettings

TIMEOUT_SECONDS = 600
POLL_SECONDS = 0.5
ANSWER_SECONDS = 120
AIRFLOW_COMPONENTS = {
    "scheduler": "scheduler",
    "dag-processor": "dag_processor",
    "triggerer": "triggerer",
}


def wait_until_healthy(
    settings: StackSettings,
    programs: Sequence[Program],
    started: Collection[str],
    display: Display,
    seconds: float = TIMEOUT_SECONDS,
) -> None:
    """Wait until each of the programs does its work; those but ``started`` were running before.

    Raises
    ------
    StackError
        If one gave up or did not get ready in time; with its last log lines.
    """
    waiting = {program.name for program in programs}
    for name in sorted(waiting & set(started)):
        display.show(name, "starting", 0, 1)
    deadline = time.monotonic() + seconds
    while waiting:
        ready = {name for name in waiting if is_healthy(settings, name)}
        for name in sorted(ready):
            display.show(name, "ready" if name in started else "already running", 1, 1)
        waiting -= ready
        refuse_given_up(settings)
        if waiting and time.monotonic() > deadline:
            raise _lost(settings, min(waiting), f"was not ready after {seconds:.0f} seconds")
        time.sleep(POLL_SECONDS if waiting else 0)


def is_healthy(settings: StackSettings, program: str) -> bool:
    """Say whether a program of the stack is doing its work at this moment."""
    try:
        return _probe(program)(settings)
    except (httpx.HTTPError, BotoCoreError, ClientError):
        return False


def _probe(program: str) -> Callable[[StackSettings], bool]:
    if program in AIRFLOW_COMPONENTS:
        return lambda settings: _airflow_component_is_healthy(settings, AIRFLOW_COMPONENTS[program])
    return {
        "postgres": postgres.is_ready,
        "s3": _s3_has_buckets,
        "mlflow": _mlflow_answers,
        "api-server": _airflow_api_answers,
    }[program]


@cache
def _http() -> httpx.Client:
    # One for all: a client takes as long to make as a hundred requests.
    return httpx.Client(trust_env=False, timeout=ANSWER_SECONDS)


def _s3_has_buckets(settings: StackSettings) -> bool:
    listed = {bucket["Name"] for bucket in s3_client(settings).list_buckets()["Buckets"]}
    return listed >= set(settings.buckets.names())


def _mlflow_answers(settings: StackSettings) -> bool:
    return _http().get(f"{settings.mlflow_url}/health").text == "OK"


def _airflow_api_answers(settings: StackSettings) -> bool:
    # The first request to the tasks' API builds it, which takes seconds in which nothing else is answered:
    # better now than in the first task.
    return _http().get(f"{settings.airflow_url}/execution/health").is_success


def _airflow_component_is_healthy(settings: StackSettings, component: str) -> bool:
    answer = _http().get(f"{settings.airflow_url}/api/v2/monitor/health")
    return answer.is_success and answer.json()[component]["status"] == "healthy"


def refuse_given_up(settings: StackSettings) -> None:
    """Raise StackError, with its last log lines, if a program crashed so often that the supervisor gave it up."""
    for state in supervision.states(settings):
        if state["statename"] == "FATAL":
            raise _lost(settings, state["name"], "ended by itself again and again")


def _lost(settings: StackSettings, program: str, reason: str) -> StackError:
    return StackError(
        f"{program} {reason}. Its log ({log_file(settings, program)}) ends with:\n\n"
        f"{supervision.log_tail(settings, program)}\n\n"
        "Fix what it names and run `make run` again; `make logs` shows every log."
    )

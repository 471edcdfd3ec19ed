"""Two lives of the same company, with the loop and without, each on services of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psycopg2

from include.lifecycle.specs import Spec
from include.lifecycle.storage.lake import Lake
from include.models.churn import CHURN
from include.samples.company import Company
from include.samples.database import write_days
from include.samples.settings import CompanySettings, Drift
from include.stack import airflow_settings, control
from include.stack.display import Display
from include.stack.errors import StackError
from include.stack.s3 import s3_client
from include.stack.settings import HOST, PROJECT_DIR, Ports, StackSettings
from include.time_lapse.figures import WeekFigures, measure
from include.time_lapse.job import Job
from include.time_lapse.weeks import Span, Week

SERVICES = ("postgres", "s3", "mlflow")
POLL_SECONDS = 1.0
LOG_LINES = 20


class Life(Spec):
    """A company's weeks: what was decided in each, and the figures of its predictions."""

    weeks: tuple[Week, ...]
    figures: tuple[WeekFigures, ...]


class Story(Spec):
    """The same weeks, with the loop and without."""

    span: Span
    company: CompanySettings
    loop: Life
    alone: Life


@dataclass
class _Running:
    """A life that is going on in a process of its own."""

    label: str
    settings: StackSettings
    job: Job
    process: subprocess.Popen[bytes]
    weeks: list[Week] = field(default_factory=list)
    at: int = 0
    text: str = "starting"
    _read: int = 0

    def look(self) -> bool:
        """Read what it has reported since; whether it goes on."""
        goes_on = self.process.poll() is None
        lines = Path(self.job.log).read_text().splitlines() if Path(self.job.log).exists() else []
        for line in lines[self._read :]:
            content = json.loads(line)
            if "week" in content:
                self.weeks.append(Week.model_validate(content["week"]))
            else:
                self.at, self.text = content["at"], content["text"]
        self._read = len(lines)
        return goes_on


def company_of(customers: int, seed: int, span: Span) -> CompanySettings:
    """The company, to whose customers a competitor makes an offer in the week that the span names."""
    drift = Drift(kind="competitor_offer", start=span.drift_starts) if span.drift_starts else None
    return CompanySettings(customers=customers, seed=seed, drift=drift)


def live_twice(company: CompanySettings, span: Span, folder: Path, display: Display) -> Story:
    """Live the same weeks with the loop and without, at the same time, in the state folder `folder`.

    Raises
    ------
    StackError
        If a life ends with an error; the sentence names its log.
    """
    lives = {"with the loop": True, "without": False}
    with ExitStack() as stack:
        running = [
            stack.enter_context(_life(label, with_loop, company, span, folder, display))
            for label, with_loop in lives.items()
        ]
        _wait(running, span, display)
        loop, alone = (
            Life(weeks=tuple(one.weeks), figures=tuple(measure(CHURN, _lake(one.settings), span)))
            for one in running
        )
    return Story(span=span, company=company, loop=loop, alone=alone)


@contextmanager
def _life(
    label: str, with_loop: bool, company: CompanySettings, span: Span, folder: Path, display: Display
) -> Iterator[_Running]:
    """A life on its own services, whose company has all of its days; ended at the end."""
    settings = StackSettings(state_dir=folder / label.replace(" ", "-"), ports=_free_ports())
    display.show(label, "starting its services", 0, span.weeks)
    with control.running(settings, SERVICES):
        display.show(label, "the company's days", 0, span.weeks)
        days = [span.first + timedelta(number) for number in range((span.last - span.first).days + 1)]
        with closing(psycopg2.connect(settings.postgres_dsn("company"))) as connection:
            write_days(connection, Company(company, span.first), days)
        job = Job(span=span, with_loop=with_loop, log=str(settings.run_dir / "weeks.jsonl"))
        process = _start(settings, job)
        try:
            yield _Running(label, settings, job, process)
        finally:
            process.kill()  # Airflow lets no SIGTERM end a task that runs in its own process
            process.wait()


def _free_ports() -> Ports:
    """Ports that nothing listens on, held until all are known so that they differ."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(4)]
        for probe in probes:
            probe.bind((HOST, 0))
        return Ports(*(probe.getsockname()[1] for probe in probes))


def _start(settings: StackSettings, job: Job) -> subprocess.Popen[bytes]:
    path = settings.run_dir / "job.json"
    path.write_text(job.model_dump_json())
    with _log(settings).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ml_lifecycle.time_lapse", str(path)],
            cwd=PROJECT_DIR,
            env={**os.environ, **_airflow_of(settings)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _airflow_of(settings: StackSettings) -> dict[str, str]:
    """The environment of an Airflow that knows the stack's connections and variables without a server."""
    wanted = airflow_settings.read(settings.airflow_settings_file, settings.placeholders())
    connections = {
        f"AIRFLOW_CONN_{one['connection_id'].upper()}": json.dumps(_fields(one)) for one in wanted["connections"]
    }
    variables = {f"AIRFLOW_VAR_{one['key'].upper()}": _text(one["value"]) for one in wanted["variables"]}
    path = os.pathsep.join([str(settings.project_dir), str(settings.plugins_dir)])
    return {**settings.airflow_environment(), **connections, **variables, "PYTHONPATH": path}


def _fields(connection: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in connection.items() if value is not None and name != "connection_id"}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _wait(running: Sequence[_Running], span: Span, display: Display) -> None:
    """Show how far the lives are until both have ended."""
    going_on = True
    while going_on:
        going_on = False
        for one in running:
            goes_on = one.look()
            display.show(one.label, _progress(one) if goes_on else "done", one.at, span.weeks)
            if not goes_on and one.process.returncode:
                raise StackError(f"The life {one.label} ended with an error:\n\n{_tail(_log(one.settings))}")
            going_on = going_on or goes_on
        time.sleep(POLL_SECONDS if going_on else 0)


def _progress(one: _Running) -> str:
    return f"week {one.at}, {one.text}" if one.at else one.text


def _lake(settings: StackSettings) -> Lake:
    return Lake(s3_client(settings), settings.buckets.lake)


def _log(settings: StackSettings) -> Path:
    return settings.log_dir / "time-lapse.log"


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_LINES:])

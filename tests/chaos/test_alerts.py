"""Every alert is made to fire by doing the thing it warns of, on a running stack, and clears once that is undone.

The stack, the exporter, the rules and Prometheus are those that people run. Only the patience of the rules is
shortened, and the pauses between the exporter's looks.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import psutil
import psycopg2
import pytest

from include.samples.database import ensure_history
from include.samples.poison import poison, restore
from include.samples.settings import CompanySettings
from include.stack import processes, supervision
from tests import prometheus
from tests.conftest import free_port
from tests.e2e.champions import champion, read, write
from tests.e2e.conftest import YESTERDAY, World, new_world

COMPANY = CompanySettings(customers=2000, history_days=135, seed=11)
LAST_DAY = YESTERDAY - timedelta(days=4)
TRAINING_DAY = LAST_DAY - timedelta(days=38)
EXPORTER = (
    "from ml_lifecycle import exporter;"
    "exporter.EVERY_SECONDS = 2;"
    "exporter.SLOW_EVERY_SECONDS = exporter.IN_TROUBLE_EVERY_SECONDS = 15;"
    "exporter.main()"
)
# Of the rules: how long a thing must last before it counts.
SHORTER = {**prometheus.AT_ONCE, "> 120": "> 20", "> 1800": "> 10", "> 600": "> 20"}
DISK_BYTES = 8 * 2**20

pytestmark = [pytest.mark.timeout(3600), prometheus.needed]


@dataclass
class Watched:
    """A running stack with its exporter, and the address of a Prometheus; which alerts fired, and then cleared."""

    world: World
    folder: Path
    exporter_port: int
    address: str
    exporter: subprocess.Popen[bytes] | None = None
    fired: set[str] = field(default_factory=set)
    cleared: set[str] = field(default_factory=set)

    @property
    def disk(self) -> Path:
        return self.folder / "disk"

    def start_exporter(self) -> None:
        settings = self.world.settings
        paths = f"{settings.project_dir}:{settings.project_dir / 'plugins'}"
        self.exporter = subprocess.Popen(
            [sys.executable, "-c", EXPORTER, "--port", str(self.exporter_port), "--disk", f"data={self.disk}"],
            env=processes.environment(settings) | settings.airflow_environment() | {"PYTHONPATH": paths},
            cwd=settings.project_dir,
            stderr=(self.folder / "exporter.log").open("ab"),
            start_new_session=True,
        )

    def stop_exporter(self) -> None:
        assert self.exporter is not None
        for child in psutil.Process(self.exporter.pid).children(recursive=True):
            child.kill()
        self.exporter.kill()
        self.exporter.wait()

    def firing(self, alert: str, **labels: str) -> bool:
        named = {"alertname": alert, "alertstate": "firing", **labels}
        wanted = ",".join(f'{label}="{value}"' for label, value in named.items())
        return bool(prometheus.ask(self.address, f"ALERTS{{{wanted}}}"))

    def fires(self, alert: str, seconds: float = 120, **labels: str) -> None:
        _eventually(lambda: self.firing(alert, **labels), f"{alert} {labels} does not fire", seconds)
        self.fired.add(alert)

    def clears(self, alert: str, seconds: float = 120, **labels: str) -> None:
        _eventually(lambda: not self.firing(alert, **labels), f"{alert} {labels} does not clear", seconds)
        self.cleared.add(alert)

    def program(self, name: str) -> psutil.Process:
        """The process of a program that the supervisor has started."""
        [found] = [each["pid"] for each in supervision.states(self.world.settings) if each["name"] == name]
        return psutil.Process(found)


def _eventually(holds: Callable[[], bool], complaint: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{complaint} within {seconds} seconds."
        time.sleep(1)


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """A small disk of its own."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder, port = tmp_path_factory.mktemp("watched"), free_port()
    with (
        new_world(folder / "world") as world,
        _disk(folder / "disk"),
        prometheus.running(folder, port, SHORTER) as address,
    ):
        stack = Watched(world, folder, port, address)
        stack.start_exporter()
        yield stack
        stack.stop_exporter()


def _pass_days(watched: Watched, until: date) -> None:
    with closing(psycopg2.connect(watched.world.settings.postgres_dsn("company"))) as connection:
        ensure_history(connection, COMPANY, until)


def _may_be_late(watched: Watched, days: int) -> None:
    source = {"kind": "postgres", "connection": "company_db", "max_lag_days": days}
    watched.world.set_variable("customers_source", source)


def test_a_disk_that_fills(watched: Watched) -> None:
    if not watched.disk.is_mount():
        pytest.skip("a small disk cannot be mounted here: run it as root")
    ballast = watched.disk / "ballast"

    ballast.write_bytes(bytes(DISK_BYTES - 2**16))
    watched.fires("DiskFilling", disk="data")

    ballast.unlink()
    watched.clears("DiskFilling", disk="data")


def test_a_model_without_champion(watched: Watched) -> None:
    world = watched.world
    world.set_variable("sample_world", COMPANY.model_dump(mode="json", exclude_defaults=True))
    _may_be_late(watched, 10)
    _pass_days(watched, LAST_DAY)
    world.api.unpause("churn_scoring")
    assert world.run("customers_etl").state == "success"
    watched.fires("NoChampion", model="churn")

    assert world.run("churn_training", trials=4, day=TRAINING_DAY.isoformat()).state == "success"
    watched.clears("NoChampion", model="churn")
    world.wait_for_predictions("churn", LAST_DAY)


def test_a_silent_source_and_overdue_predictions(watched: Watched) -> None:
    _may_be_late(watched, 3)
    watched.fires("SourceSilent", dataset="customers")
    watched.fires("PredictionsOverdue", model="churn")

    _pass_days(watched, YESTERDAY)
    assert watched.world.run("customers_etl").state == "success"
    watched.world.wait_for_predictions("churn", YESTERDAY)
    watched.clears("SourceSilent", dataset="customers")
    watched.clears("PredictionsOverdue", model="churn")


def test_missing_predictions(watched: Watched) -> None:
    lake = watched.world.lake
    lake.client.delete_object(Bucket=lake.bucket, Key=f"predictions/churn/dt={LAST_DAY}/manifest.json")
    watched.fires("PredictionsMissing", model="churn")

    assert watched.world.run("churn_scoring").state == "success"
    watched.clears("PredictionsMissing", model="churn")


def test_a_warehouse_that_is_behind_the_lake(watched: Watched) -> None:
    """As after a restore of an older backup: a day's rows are gone, and the note that they were loaded."""
    watched.world.query("warehouse", "DELETE FROM ml.churn_predictions WHERE dt = %s", LAST_DAY)
    watched.world.query(
        "warehouse", "DELETE FROM ml.loads WHERE table_name = 'churn_predictions' AND dt = %s", LAST_DAY
    )
    watched.fires("WarehouseBehind", model="churn")

    assert watched.world.run("churn_scoring").state == "success"
    watched.clears("WarehouseBehind", model="churn")


def test_a_rejected_day_and_its_quarantine(watched: Watched) -> None:
    with closing(psycopg2.connect(watched.world.settings.postgres_dsn("company"))) as connection:
        poison(connection, YESTERDAY, "half_broken")
        assert watched.world.run("customers_etl", day=YESTERDAY.isoformat()).state == "failed"
        watched.fires("DayRejected", dataset="customers")
        watched.fires("QuarantineShare", dataset="customers", table="usage_daily")

        restore(connection)
    assert watched.world.run("customers_etl", day=YESTERDAY.isoformat()).state == "success"
    watched.clears("DayRejected", dataset="customers")
    watched.clears("QuarantineShare", dataset="customers")


@contextmanager
def _changed(watched: Watched, table: str, change: str) -> Iterator[None]:
    """The company's table while a statement's change is at work; the rows come back."""
    world = watched.world
    world.query("company", f"CREATE TABLE sample_world.kept AS SELECT * FROM telecom.{table}")
    world.query("company", change)
    try:
        yield
    finally:
        world.query(
            "company",
            f"TRUNCATE telecom.{table}; INSERT INTO telecom.{table} SELECT * FROM sample_world.kept;"
            "DROP TABLE sample_world.kept",
        )


def _renew(watched: Watched, days: int) -> None:
    """Redo the last days, their predictions and the reports."""
    world = watched.world
    first = YESTERDAY - timedelta(days=days - 1)
    form = {"day": first.isoformat(), "last_day": YESTERDAY.isoformat()}
    assert world.run("customers_etl", **form).state == "success"
    assert world.run("churn_scoring").state == "success"
    world.wait_until_quiet("churn_scoring")
    assert world.run("churn_monitoring", day=YESTERDAY.isoformat()).state == "success"


def test_drift(watched: Watched) -> None:
    change = "UPDATE telecom.customers SET monthly_charges = 2 * monthly_charges + 40, contract = 'Month-to-month'"
    with _changed(watched, "customers", change):
        _renew(watched, 7)
        watched.fires("Drift", model="churn")

    _renew(watched, 7)
    watched.clears("Drift", model="churn")


def test_performance_that_is_worse_than_promised(watched: Watched) -> None:
    """Others leave than those who did: the customers with the lowest scores."""
    safest = watched.world.query(
        "warehouse", "SELECT customer_id FROM ml.churn_predictions WHERE dt = %s ORDER BY score", TRAINING_DAY
    )
    names = ",".join(f"('{name}', {place})" for place, (name,) in enumerate(safest[:1000], 1))
    change = (
        f"WITH safest (customer_id, place) AS (VALUES {names}),"
        "leavers AS (SELECT ctid, row_number() OVER (ORDER BY churned_on, customer_id) AS place"
        f" FROM telecom.churns WHERE recorded_on >= '{TRAINING_DAY}')"
        "UPDATE telecom.churns SET customer_id = safest.customer_id"
        " FROM safest JOIN leavers USING (place) WHERE churns.ctid = leavers.ctid"
    )
    with _changed(watched, "churns", change):
        _renew(watched, 43)
        watched.fires("PerformanceWorse", model="churn")

    _renew(watched, 43)
    watched.clears("PerformanceWorse", model="churn")


def test_a_champion_that_cannot_be_used(watched: Watched) -> None:
    version = champion(watched.world)
    body = read(watched.world, version)

    write(watched.world, version, body[: len(body) // 2])
    watched.fires("ChampionUnusable", model="churn")

    write(watched.world, version, body)
    watched.clears("ChampionUnusable", model="churn")


def test_a_stack_without_backup(watched: Watched) -> None:
    watched.fires("NoBackup")

    assert watched.world.run("maintenance").state == "success"
    watched.clears("NoBackup")


def test_a_lake_that_maintenance_cannot_heal(watched: Watched) -> None:
    """The reference of a version of which no training is on record: nothing could make its files again."""
    lake = watched.world.lake
    manifest = lake.read_object(f"{_reference(1)}/manifest.json")
    assert manifest is not None
    lake.write_object(f"{_reference(9)}/manifest.json", manifest)
    assert watched.world.run("maintenance").state == "failed"
    watched.fires("LakeDamaged")

    lake.client.delete_object(Bucket=lake.bucket, Key=f"{_reference(9)}/manifest.json")
    assert watched.world.run("maintenance").state == "success"
    watched.clears("LakeDamaged")


def _reference(version: int) -> str:
    return f"references/churn/version={version}/dt={TRAINING_DAY}"


def test_a_service_that_does_not_answer(watched: Watched) -> None:
    server = watched.program("s3")

    server.suspend()
    try:
        watched.fires("ServiceDown", seconds=400, service="lake")
    finally:
        server.resume()
    watched.clears("ServiceDown", seconds=400, service="lake")


def test_a_scheduler_that_stalls(watched: Watched) -> None:
    scheduler = watched.program("scheduler")

    scheduler.suspend()
    try:
        watched.fires("SchedulerStalled", component="scheduler")
    finally:
        scheduler.resume()
    watched.clears("SchedulerStalled", component="scheduler")


def test_tasks_that_no_worker_takes(watched: Watched) -> None:
    workers = watched.program("scheduler").children()

    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    try:
        run_id = watched.world.api.trigger("customers_etl", {})
        watched.fires("TasksStuck")
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
    assert watched.world.wait("customers_etl", run_id).state == "success"
    watched.clears("TasksStuck")


def test_an_exporter_that_is_gone(watched: Watched) -> None:
    watched.stop_exporter()
    watched.fires("ExporterBlind")

    watched.start_exporter()
    watched.clears("ExporterBlind")


def test_every_alert_has_fired_and_cleared(request: pytest.FixtureRequest) -> None:
    selected = {item.name for item in request.session.items if item.path == Path(__file__)}
    left_out = {name for name in globals() if name.startswith("test_")} - selected
    if left_out:
        pytest.skip(f"only a part of this file was selected, without {', '.join(sorted(left_out))}")
    watched: Watched = request.getfixturevalue("watched")

    alerts = {rule["alert"] for rule in prometheus.rules()}
    assert alerts - (watched.fired & watched.cleared) == set()

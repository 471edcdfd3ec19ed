"""A live Prometheus scrapes the exporter: each query of the dashboard has data, each alert fires and clears."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from include.lifecycle.operations import metrics
from include.lifecycle.operations.metrics import Metric, Sample
from ml_lifecycle.exporter import Page
from tests import prometheus
from tests.conftest import free_port

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards" / "lifecycle.json"
LABELS = {"state": "queued", "service": "warehouse", "component": "scheduler"}
BROKEN: dict[Metric, float] = {
    metrics.PREDICTIONS_OVERDUE: 3600,
    metrics.DAYS_WITHOUT_PREDICTIONS: 3,
    metrics.DAYS_NOT_LOADED: 2,
    metrics.SOURCE_LAG: 9,
    metrics.DAY_ACCEPTED: 0,
    metrics.QUARANTINE_SHARE: 0.5,
    metrics.CHAMPION: 0,
    metrics.CHAMPION_USABLE: 0,
    metrics.HEARTBEAT_AGE: 900,
    metrics.OLDEST_QUEUED: 7200,
    metrics.DISK_FREE: 5,
    metrics.DAMAGED: 2,
    metrics.BACKUP_AGE: 1e6,
    metrics.SERVICE_UP: 0,
}
WELL: dict[Metric, float] = {
    **dict.fromkeys(BROKEN, 0),
    metrics.DAY_ACCEPTED: 1,
    metrics.CHAMPION: 1,
    metrics.CHAMPION_USABLE: 1,
    metrics.DISK_FREE: 50,
    metrics.SERVICE_UP: 1,
    metrics.DISK_SIZE: 100,
    metrics.SOURCE_LAG_LIMIT: 4,
    metrics.SOURCE_ENDED: 0,
    metrics.QUARANTINE_LIMIT: 0.1,
    metrics.QUARANTINE_UNUSUAL: 0,
}

pytestmark = prometheus.needed


def samples(values: dict[Metric, float], verdicts: tuple[str, str]) -> list[Sample]:
    """A sample of each metric; `verdicts` are those of the drift and the performance report."""
    drift, performance = verdicts
    labels = {"verdict": ""}
    found = []
    for metric in metrics.every():
        labels["verdict"] = drift if metric is metrics.DRIFT_VERDICT else performance
        named = {label: labels.get(label, LABELS.get(label, "any")) for label in metric.labels}
        value = time.time() if metric is metrics.COLLECTED else values.get(metric, 1)
        found.append(Sample(metric, value, named))
    return found


@dataclass(frozen=True)
class Live:
    """A Prometheus that scrapes a page, and the page."""

    page: Page
    address: str
    stop_exporter: Callable[[], None]

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        found = prometheus.ask(self.address, 'ALERTS{alertstate="firing"}')
        return {alert["metric"]["alertname"] for alert in found}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    page, exposed = Page(), CollectorRegistry()
    exposed.register(page)
    exporter, thread = start_http_server(0, "127.0.0.1", exposed)

    def stop_exporter() -> None:
        exporter.shutdown()
        exporter.server_close()
        thread.join()

    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus.running(folder, exporter.server_port, prometheus.AT_ONCE) as address:
        yield Live(page, address, stop_exporter)


def eventually(holds: Callable[[], bool], what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.5)
    raise AssertionError(f"Not within {seconds} s; it is {what()}.")


def test_every_alert_fires_when_its_thing_is_broken_and_every_query_of_the_dashboard_has_data(live: Live) -> None:
    every = {rule["alert"] for rule in prometheus.rules()} - {"ExporterBlind"}
    live.page.samples = samples(WELL | BROKEN, ("drift", "worse"))

    eventually(lambda: live.firing() == every, lambda: every ^ live.firing())

    board = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    assert len(queries) > 30
    assert [query for query in queries if not prometheus.ask(live.address, query)] == []


def test_every_alert_clears_when_its_thing_is_well_again(live: Live) -> None:
    live.page.samples = samples(WELL, ("no drift", "as expected"))
    eventually(lambda: not live.firing(), live.firing)


def test_an_exporter_that_is_gone_is_an_alert(live: Live) -> None:
    live.stop_exporter()

    eventually(lambda: "ExporterBlind" in live.firing(), live.firing)


def test_a_prometheus_that_is_gone_is_an_error_and_not_an_alert_that_clears(tmp_path: Path) -> None:
    with prometheus.running(tmp_path, free_port(), prometheus.AT_ONCE) as address:
        assert prometheus.ask(address, "vector(1)")

    with pytest.raises(urllib.error.URLError):
        prometheus.ask(address, "vector(1)")

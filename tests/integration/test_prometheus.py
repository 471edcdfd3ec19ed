"""A live Prometheus scrapes the exporter: each query of the dashboard has data, each alert fires and clears."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, start_http_server

from include.lifecycle import metrics
from include.lifecycle.metrics import Metric, Sample
from ml_lifecycle.exporter import Page
from tests.conftest import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
PROGRAM = shutil.which("prometheus")
LABELS = {"state": "queued", "service": "warehouse", "component": "scheduler"}
BROKEN: dict[Metric, float] = {
    metrics.PREDICTIONS_OVERDUE: 3600,
    metrics.DAYS_WITHOUT_PREDICTIONS: 3,
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

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="Prometheus is not installed (Debian: apt-get install prometheus)"
)


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


class Live:
    """A Prometheus that scrapes a page every second, with the alert rules as they are but for their patience."""

    def __init__(self, folder: Path) -> None:
        self.page, exposed = Page(), CollectorRegistry()
        exposed.register(self.page)
        self.exporter, self.thread = start_http_server(0, "127.0.0.1", exposed)
        rules = re.sub(r"for: \w+", "for: 0s", (DEPLOY / "prometheus" / "alerts.yml").read_text())
        (folder / "alerts.yml").write_text(rules)
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{self.exporter.server_port}"]
        del config["alerting"]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.program = subprocess.Popen(
            [
                str(PROGRAM),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            stderr=subprocess.DEVNULL,
        )

    def ask(self, query: str) -> list[Any]:
        """The series that a query gives now."""
        address = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(address, timeout=5) as answer:
            return list(json.load(answer)["data"]["result"])

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {alert["metric"]["alertname"] for alert in self.ask('ALERTS{alertstate="firing"}')}

    def stop_exporter(self) -> None:
        """Make the page unreachable."""
        self.exporter.shutdown()
        self.exporter.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    started = Live(tmp_path_factory.mktemp("prometheus"))
    yield started
    started.program.terminate()
    started.program.wait()


def eventually(holds: Callable[[], bool], what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if holds():
                return
        except OSError:
            pass  # it is still starting
        time.sleep(0.5)
    raise AssertionError(f"Not within {seconds} s; it is {what()}.")


def test_every_alert_fires_when_its_thing_is_broken_and_every_query_of_the_dashboard_has_data(live: Live) -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    every = {rule["alert"] for rule in rules} - {"ExporterBlind"}
    live.page.samples = samples(WELL | BROKEN, ("drift", "worse"))

    eventually(lambda: live.firing() == every, lambda: every ^ live.firing())

    board = json.loads((DEPLOY / "grafana" / "dashboards" / "lifecycle.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    assert len(queries) > 30
    assert [query for query in queries if not live.ask(query)] == []


def test_every_alert_clears_when_its_thing_is_well_again(live: Live) -> None:
    live.page.samples = samples(WELL, ("no drift", "as expected"))
    eventually(lambda: not live.firing(), live.firing)


def test_an_exporter_that_is_gone_is_an_alert(live: Live) -> None:
    live.stop_exporter()

    eventually(lambda: "ExporterBlind" in live.firing(), live.firing)

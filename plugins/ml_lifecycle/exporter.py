"""The exporter: the metrics that Prometheus scrapes, at http://<host>:<port>/metrics.

    python -m ml_lifecycle.exporter --port 9105 --disk data=/var/lib/data

It runs beside Airflow's own processes, with the same environment. Every minute it collects from the lake, the
ledger, Airflow's database and the disks. Every hour, or every five minutes while something is wrong there, it also
loads each champion as scoring would, in a process of its own that gives its memory back. What is out of reach is
`ml_service_up 0`; its metrics are absent, all others are shown.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

import psycopg2
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError
from botocore.exceptions import BotoCoreError, ClientError
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg2 import extensions
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from include.catalog import DATASETS, MODELS
from include.lifecycle.operations import metrics, state_metrics
from include.lifecycle.operations.metrics import Sample
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.storage.lake import LakeError
from ml_lifecycle import airflow_metrics, hooks

log = logging.getLogger(__name__)

EVERY_SECONDS = 60
SLOW_EVERY_SECONDS = 3600
IN_TROUBLE_EVERY_SECONDS = 300
_OUTAGES = (
    BotoCoreError,
    ClientError,
    psycopg2.Error,
    SQLAlchemyError,
    OSError,
    AirflowNotFoundException,
    AirflowRuntimeError,
)
# A connection that lacks something, or says too much, is refused with a ValueError before it is opened.
_NOT_OPENED = (*_OUTAGES, ValueError)


@dataclass(eq=False)
class Page(Collector):
    """What is shown: the newest samples, and the newest of `collect_slow`."""

    samples: list[Sample] = field(default_factory=list)
    slow: list[Sample] = field(default_factory=list)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The samples by metric, as Prometheus' client wants them."""
        by_name = sorted([*self.samples, *self.slow], key=lambda sample: sample.metric.name)
        for metric, samples in groupby(by_name, key=lambda sample: sample.metric):
            family = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
            for sample in samples:
                family.add_metric([sample.labels[label] for label in metric.labels], sample.value)
            yield family


def collect(now: datetime, disks: Mapping[str, str]) -> list[Sample]:
    """All samples but those of `collect_slow`. `disks` are folders by the name of their disk."""
    started = time.monotonic()
    samples = [*_of_lake(now), *_of_backups(now), *_of_warehouse(now), *_of_airflow(now), *_of_disks(disks)]
    return [
        *samples,
        Sample(metrics.COLLECTED, now.timestamp()),
        Sample(metrics.COLLECT_SECONDS, time.monotonic() - started),
    ]


def collect_slow() -> list[Sample]:
    """Whether each champion can be used, and how late each source may be."""
    return [*_of_champions(), *_of_sources()]


def _of_lake(now: datetime) -> Iterator[Sample]:
    """Figures of the lake alone."""

    def parts() -> Iterator[Callable[[], Iterable[Sample]]]:
        lake = hooks.lake()
        yield from (partial(state_metrics.of_data, lake, dataset, now) for dataset in DATASETS.values())
        yield from (partial(state_metrics.of_monitoring, lake, model, now) for model in MODELS.values())
        yield partial(state_metrics.of_lake, lake, now)

    return _of_service("lake", parts())


def _of_backups(now: datetime) -> Iterator[Sample]:
    """The age of the newest backup; that none is set up is no outage, and its age says it."""
    try:
        store = None if hooks.backup_settings() is None else hooks.backup_store()
    except _NOT_OPENED as error:
        yield _down("backup bucket", error)
        return
    age = partial(state_metrics.of_backups, store, now)
    yield from age() if store is None else _of_service("backup bucket", [age])


def _of_warehouse(now: datetime) -> Iterator[Sample]:
    """Figures of the ledger, and of the predictions beside it."""

    def parts() -> Iterator[Callable[[], Iterable[Sample]]]:
        lake = hooks.lake()
        with hooks.WarehouseHook().connection() as connection:
            for model in MODELS.values():
                yield partial(state_metrics.of_champion, connection, model, now)
                yield partial(state_metrics.of_predictions, lake, connection, model, now)

    return _of_service("warehouse", parts())


def _of_airflow(now: datetime) -> Iterator[Sample]:
    return _of_service("airflow", [partial(airflow_metrics.of_airflow, [*MODELS], now)])


def _of_disks(disks: Mapping[str, str]) -> Iterator[Sample]:
    def space(name: str, folder: str) -> Iterator[Sample]:
        usage = shutil.disk_usage(folder)
        yield Sample(metrics.DISK_FREE, usage.free, {"disk": name})
        yield Sample(metrics.DISK_SIZE, usage.total, {"disk": name})

    for name, folder in disks.items():
        yield from _of_service(f"disk {name}", [partial(space, name, folder)])


def _of_champions() -> Iterator[Sample]:
    from mlflow.exceptions import MlflowException

    def usable(tracking_uri: str, connection: extensions.connection, name: str) -> Iterator[Sample]:
        history = ledger.entries(connection, name)
        version = ledger.champion(connection, name)
        if version is None:
            return
        digest = ledger.digest_of(history, version)
        try:
            fault = registry.fault(tracking_uri, MODELS[name], version, digest)
        except MlflowException as error:
            raise ConnectionError(str(error)) from error
        if fault:
            log.error("%s", fault)
        yield Sample(metrics.CHAMPION_USABLE, not fault, {"model": name})

    def parts() -> Iterator[Callable[[], Iterable[Sample]]]:
        tracking_uri = hooks.MlflowHook().tracking_uri
        for name in MODELS:
            with hooks.WarehouseHook().connection() as connection:
                yield partial(usable, tracking_uri, connection, name)

    return _of_service("mlflow", parts())


def _of_sources() -> Iterator[Sample]:
    for name, dataset in DATASETS.items():
        try:
            with hooks.source(dataset) as source:
                limit = source.max_lag_days
        except (*_NOT_OPENED, KeyError) as error:
            yield _down(f"source of {name}", error)
            continue
        yield Sample(metrics.SERVICE_UP, 1, {"service": f"source of {name}"})
        yield Sample(metrics.SOURCE_ENDED, limit is None, {"dataset": name})
        if limit is not None:
            yield Sample(metrics.SOURCE_LAG_LIMIT, limit, {"dataset": name})


def _of_service(service: str, parts: Iterable[Callable[[], Iterable[Sample]]]) -> Iterator[Sample]:
    """The samples of each part, and whether the service was reached.

    A ValueError is an outage where `parts` opens a connection; of a part it costs that part's samples alone, as
    damage does.
    """
    try:
        for part in parts:
            try:
                yield from list(part())
            except _OUTAGES:
                raise
            except (LakeError, ValidationError) as error:
                log.warning("Some metrics are absent: %s", error)
            except ValueError:
                log.exception("Some metrics are absent.")
    except _NOT_OPENED as error:
        yield _down(service, error)
    else:
        yield Sample(metrics.SERVICE_UP, 1, {"service": service})


def _down(service: str, error: Exception) -> Sample:
    log.error("%s is out of reach: %s", service, error)
    return Sample(metrics.SERVICE_UP, 0, {"service": service})


def _in_a_process_of_its_own() -> list[Sample]:
    """`collect_slow`, whose libraries would double the memory of the exporter."""
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(collect_slow).result()
    except Exception as error:  # whatever it is, all other samples are to be shown
        return [_down("champions and sources", error)]


def serve(port: int, host: str, disks: Mapping[str, str]) -> None:
    """Serve the samples, and collect again every minute."""
    page, exposed = Page(), CollectorRegistry()
    exposed.register(page)
    start_http_server(port, host, exposed)
    # An MLflow that does not answer takes minutes, in which all other samples would grow old.
    Thread(target=_keep_trying_champions, args=[page], daemon=True).start()
    while True:
        page.samples = _collect_or_report_none(disks)
        time.sleep(EVERY_SECONDS)


def _collect_or_report_none(disks: Mapping[str, str]) -> list[Sample]:
    """The samples; where something keeps the exporter from collecting, that it has not."""
    try:
        return collect(datetime.now(UTC), disks)
    except Exception:  # a process that ends and starts again is up each time, and the alert would not last
        log.exception("The exporter could not collect.")
        return [Sample(metrics.COLLECTED, 0)]


def _keep_trying_champions(page: Page) -> None:
    while True:
        page.slow = _in_a_process_of_its_own()
        time.sleep(IN_TROUBLE_EVERY_SECONDS if _is_in_trouble(page.slow) else SLOW_EVERY_SECONDS)


def _is_in_trouble(samples: Iterable[Sample]) -> bool:
    states = (metrics.SERVICE_UP, metrics.CHAMPION_USABLE)
    return any(sample.metric in states and not sample.value for sample in samples)


def _disk(text: str) -> tuple[str, str]:
    name, separator, folder = text.partition("=")
    if not (name and separator and Path(folder).is_dir()):
        raise argparse.ArgumentTypeError(f"{text!r} is no disk; write name=/an/existing/folder")
    return name, folder


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="Show Prometheus the metrics of the lifecycle.")
    parser.add_argument("--port", type=int, default=9105)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--disk", type=_disk, action="append", default=[], metavar="NAME=FOLDER")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    # So that Airflow reads connections from its own database, as its servers do.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    # The next collection is the retry: seven of MLflow's client take four minutes, and those of S3's, for lake,
    # backups and predictions one after another, nine.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")
    serve(chosen.port, chosen.host, dict(chosen.disk))


if __name__ == "__main__":
    main()

"""The summaries that the pages read, kept up to date by the tasks that change what they summarise."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import date

import psycopg2
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError
from botocore.exceptions import BotoCoreError, ClientError

from include.catalog import DATASETS, MODELS
from include.lifecycle.overview import state, summaries
from include.lifecycle.overview.summaries import Kept
from include.lifecycle.specs import DatasetSpec, ModelSpec
from ml_lifecycle import hooks

log = logging.getLogger(__name__)

_OUT_OF_REACH = (
    psycopg2.Error,
    BotoCoreError,
    ClientError,
    OSError,
    AirflowNotFoundException,
    AirflowRuntimeError,
)


def refresh_dataset(dataset: DatasetSpec, days: Iterable[date]) -> None:
    """Look at a dataset from the first of some days on."""
    _refresh(state.kept_of_dataset(dataset), min(days, default=None))


def refresh_model(model: ModelSpec, days: Iterable[date]) -> None:
    """Look at a model's predictions and reports from the first of some days on."""
    _refresh(state.kept_of_model(model), min(days, default=None))


def refresh_all() -> None:
    """Look at everything."""
    _refresh([*kept_of_catalog(), *state.KEPT_OF_LAKE], date.min)


def kept_of_catalog() -> Iterator[Kept]:
    """What is kept of all datasets and models."""
    for dataset in DATASETS.values():
        yield from state.kept_of_dataset(dataset)
    for model in MODELS.values():
        yield from state.kept_of_model(model)


def _refresh(kept: Iterable[Kept], since: date | None) -> None:
    """Look at prefixes from a day on; a service that is out of reach costs the task nothing but this.

    Its own work is done by then. The pages say of when they are, and the next task or maintenance makes up for it.
    """
    if since is None:
        return
    try:
        lake = hooks.lake()
        with hooks.WarehouseHook().connection() as connection:
            for each in kept:
                summaries.refresh(lake, connection, each, since)
    except _OUT_OF_REACH as error:
        log.warning("The overview still shows what was before this task: %s", error)

"""`python -m include.checks orders`: what `make check-data` calls."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg2
import yaml
from rich.console import Console

from include.catalog import DATASETS, MODELS
from include.checks.scratch_lake import scratch_lake
from include.checks.walkthrough import walk
from include.lifecycle.failures import one_line
from include.lifecycle.specs import DatasetSpec, Source
from include.stack import airflow_settings
from include.stack.errors import StackError
from include.stack.settings import StackSettings

_READS_ONLY = "-c default_transaction_read_only=on -c statement_timeout=600000"
"""A check changes nothing in a database, and waits ten minutes for an answer at most."""


def main(arguments: list[str] | None = None) -> int:
    """Check the dataset that the arguments name; 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(prog="make check-data", description=__doc__)
    parser.add_argument("dataset", choices=sorted(DATASETS), metavar=f"DATASET={{{','.join(sorted(DATASETS))}}}")
    dataset = DATASETS[parser.parse_args(arguments).dataset]
    logging.disable(logging.WARNING)
    console, began = Console(), time.monotonic()
    try:
        source = _source(dataset)
    except (psycopg2.Error, StackError, yaml.YAMLError, ValueError, TypeError, LookupError, OSError) as error:
        console.print(f"source: {_sentence(error)}", style="red", markup=False)
        return 1
    is_good = True
    with scratch_lake() as lake, TemporaryDirectory() as scratch:
        models = [model for model in MODELS.values() if model.dataset.name == dataset.name]
        for finding in walk(dataset, models, source, lake, Path(scratch)):
            mark, style = ("ok    ", "") if finding.is_good else ("FAILED", "red")
            console.print(f"{mark}  {finding.step}: {finding.text}", style=style, markup=False, highlight=False)
            is_good &= finding.is_good
    verdict = (
        f"All is well: make run DATASET={dataset.name}" if is_good else "Change what FAILED says, then check again"
    )
    console.print(f"{verdict}. ({time.monotonic() - began:.0f} s)", highlight=False)
    return 0 if is_good else 1


def _sentence(error: Exception) -> str:
    if isinstance(error, psycopg2.Error):
        return f"{one_line(error)}. Is the stack running? make start"
    if isinstance(error, TypeError | LookupError | yaml.YAMLError):
        return (
            f"airflow_settings.yaml does not have what is looked for ({type(error).__name__}: {one_line(error)})."
        )
    return f"{one_line(error)}."


def _source(dataset: DatasetSpec) -> Source:
    """The source as `airflow_settings.yaml` sets it."""
    settings = StackSettings.from_environment()
    read = airflow_settings.read(settings.airflow_settings_file, settings.placeholders())
    name = f"{dataset.name}_source"
    values = {variable["key"]: variable["value"] for variable in read["variables"]}
    if name not in values:
        raise ValueError(
            f"{settings.airflow_settings_file.name} has no variable {name!r}; say there where the data are"
        )
    value = json.loads(values[name]) if isinstance(values[name], str) else values[name]
    connections = {connection["connection_id"]: connection for connection in read["connections"]}
    return dataset.make_source(value, lambda connection: _connect(connections, connection))


def _connect(connections: Mapping[str, Mapping[str, Any]], name: str) -> Any:
    if name not in connections:
        raise ValueError(
            f"There is no connection {name!r} in the settings; the connections are {sorted(connections)}"
        )
    given = connections[name]
    return psycopg2.connect(
        host=given["host"],
        port=given["port"],
        user=given["login"],
        password=given["password"],
        dbname=given["schema"],
        options=_READS_ONLY,
    )


if __name__ == "__main__":
    sys.exit(main())

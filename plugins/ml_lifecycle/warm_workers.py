"""Imports the heavy libraries once in the process that forks the tasks, which then start at once.

Libraries only, none of the project's own modules: those are read afresh by each task.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk.configuration import conf

log = logging.getLogger(__name__)

LIBRARIES = (
    "airflow.providers.amazon.aws.hooks.s3",
    "evidently",
    "exchange_calendars",
    "great_expectations",
    "matplotlib.pyplot",
    "mlflow.sklearn",
    "optuna",
    "pandas",
    "polars",
    "psycopg2",
    "pyarrow.parquet",
    "skfolio.optimization",
    "skops.io",
    "sklearn.calibration",
    "sklearn.ensemble",
    "sklearn.linear_model",
)


@hookimpl
def on_starting(component: Any) -> None:
    """Import the libraries in a scheduler that runs tasks itself; tasks report their start here too."""
    if sys.argv[1:2] != ["scheduler"] or type(component).__name__ != "Job":
        return
    if conf.get("core", "executor") == "LocalExecutor":
        import_libraries()


def import_libraries() -> None:
    """Import the libraries; what is missing costs a warning only."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    for library in LIBRARIES:
        try:
            import_module(library)
        except ImportError as error:
            log.warning("Tasks import %s themselves, which takes longer: %s", library, error)

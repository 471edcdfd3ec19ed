"""What importing a DAG file costs beyond what the DAG processor has loaded before it parses files."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.ratios import Ratio

ROOT = Path(__file__).parents[1]
RUNS = 5
LIMIT_SECONDS = 0.3

# The processor forks per file from a process that runs as a job, which loads the plugins, and that has imported
# the modules of Airflow that the file names.
MEASURE = """
import importlib.util, sys, time
import structlog
import airflow.dag_processing.manager, airflow.jobs.job
from airflow.dag_processing.processor import _pre_import_airflow_modules
from airflow.listeners.listener import get_listener_manager
get_listener_manager()
_pre_import_airflow_modules(sys.argv[1], structlog.get_logger())
start = time.perf_counter()
spec = importlib.util.spec_from_file_location("dag_file", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(time.perf_counter() - start)
"""


def import_seconds(path: Path) -> float:
    """Median seconds to import a DAG file, each time in a new process that is as far as the DAG processor."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}",
        "AIRFLOW_HOME": os.devnull + "-airflow",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    }
    runs = [
        subprocess.run(
            [sys.executable, "-c", MEASURE, str(path)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        for _ in range(RUNS)
    ]
    return statistics.median(float(run.stdout.splitlines()[-1]) for run in runs)


def main(share: float = 1.0) -> list[Ratio]:
    title = "Importing DAG files, beyond what the DAG processor has loaded anyway"
    table = Table("DAG file", "seconds", "limit", title=title)
    seconds = {path.name: import_seconds(path) for path in sorted((ROOT / "dags").glob("*.py"))}
    for name, taken in seconds.items():
        table.add_row(name, f"{taken:.2f}", f"{LIMIT_SECONDS:.2f}")
    Console().print(table)
    slowest = max(seconds, key=lambda name: seconds[name])
    return [Ratio(f"importing {slowest}, the slowest, s", seconds[slowest], LIMIT_SECONDS)]

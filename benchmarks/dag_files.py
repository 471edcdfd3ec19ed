"""What importing a DAG file costs beyond `import airflow.sdk`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
RUNS = 5
LIMIT_SECONDS = 0.3

MEASURE = """
import importlib.util, sys, time
import airflow.sdk
start = time.perf_counter()
spec = importlib.util.spec_from_file_location("dag_file", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(time.perf_counter() - start)
"""


def import_seconds(path: Path) -> float:
    """Median seconds to import a DAG file, each time in a new process that has imported `airflow.sdk`."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}",
        "AIRFLOW_HOME": os.devnull + "-airflow",
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


def main() -> None:
    table = Table("DAG file", "seconds", "limit", title="Importing DAG files, beyond airflow.sdk")
    for path in sorted((ROOT / "dags").glob("*.py")):
        table.add_row(path.name, f"{import_seconds(path):.2f}", f"{LIMIT_SECONDS:.2f}")
    Console().print(table)

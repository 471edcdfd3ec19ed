"""What Airflow loads from the plugins folder, and at what cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_lifecycle import warm_workers

ROOT = Path(__file__).parents[3]
HEAVY = {"pandas", "sklearn", "mlflow", "great_expectations", "evidently", "matplotlib", "boto3", "fastapi"}

LOAD = """
import json, sys
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
print(json.dumps({
    "plugins": [plugin.name for plugin in plugins],
    "errors": errors,
    "run": [name for name, module in sys.modules.items() if "." not in name
            and str(getattr(module, "__file__", "")).startswith(plugins_manager.settings.PLUGINS_FOLDER)],
    "modules": sorted({name.split(".")[0] for name in sys.modules}),
}))
"""


def test_airflow_loads_the_plugin_alone_and_nothing_heavy_with_it(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.run(
        [sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=True
    )

    loaded = json.loads(process.stdout.splitlines()[-1])

    assert (loaded["plugins"], loaded["errors"]) == (["ml_lifecycle"], {})
    assert sorted(loaded["run"]) == ["ml_lifecycle", "plugin"]
    assert not HEAVY & set(loaded["modules"])


class Job:
    """As Airflow calls what a scheduler runs."""


class TaskRunnerMarker:
    """As Airflow calls what a task runs in; it is forked from the scheduler and has its arguments."""


@pytest.mark.parametrize(
    ("arguments", "component", "imported"),
    [
        (["airflow", "scheduler"], Job(), True),
        (["airflow", "scheduler"], TaskRunnerMarker(), False),
        (["airflow", "dag-processor"], Job(), False),
        (["airflow"], Job(), False),
    ],
)
def test_libraries_are_warmed_in_the_scheduler_alone(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], component: Any, imported: bool
) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(warm_workers, "LIBRARIES", ("a_library_that_does_not_exist", "this"))
    monkeypatch.delitem(sys.modules, "this", raising=False)

    warm_workers.on_starting(component)

    assert ("this" in sys.modules) is imported


def test_the_libraries_to_warm_are_installed() -> None:
    from importlib.util import find_spec

    assert [name for name in warm_workers.LIBRARIES if find_spec(name.split(".")[0]) is None] == []

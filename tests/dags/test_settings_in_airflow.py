"""What a start brings into Airflow, and what it leaves alone there; with Airflow's own API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.stack.airflow_api import AirflowApi
from include.stack.airflow_settings import load


@pytest.fixture
def start(api: AirflowApi, tmp_path: Path) -> Any:
    """Starts the stack with these variables in the file, and a pool; returns the sentences that a person reads."""

    def start_with(**variables: Any) -> list[str]:
        file = tmp_path / "airflow_settings.yaml"
        entries = [{"variable_name": key, "variable_value": value} for key, value in variables.items()]
        pools = [{"pool_name": "heavy", "pool_slot": 1}]
        file.write_text(yaml.safe_dump({"airflow": {"pools": pools, "variables": entries}}))
        return load(api, file, {})

    return start_with


def change(api: AirflowApi, key: str, value: Any) -> None:
    """Change a variable as Airflow's page does."""
    [description] = [one["description"] for one in api.variables() if one["key"] == key]
    api.patch(f"/variables/{key}", {"key": key, "value": value, "description": description})


def stored(api: AirflowApi) -> dict[str, Any]:
    return {one["key"]: json.loads(one["value"]) for one in api.variables()}


def test_a_start_brings_the_files_variables_and_a_new_value_in_the_file_is_taken(
    api: AirflowApi, start: Any
) -> None:
    assert start(source={"kind": "csv", "days": [1, 2]}, limit="3") == []
    assert stored(api) == {"source": {"kind": "csv", "days": [1, 2]}, "limit": 3}

    assert start(source={"kind": "http"}, limit="3") == []

    assert stored(api) == {"source": {"kind": "http"}, "limit": 3}


def test_a_variable_that_was_changed_in_airflow_stays_and_the_start_says_so(api: AirflowApi, start: Any) -> None:
    start(source={"kind": "csv"}, limit=3)
    change(api, "source", {"kind": "postgres"})

    for said_by_file in ({"kind": "csv"}, {"kind": "http"}):
        [sentence] = start(source=said_by_file, limit=4)

        assert stored(api) == {"source": {"kind": "postgres"}, "limit": 4}
        assert sentence == (
            "The variable source is not what airflow_settings.yaml says: it was changed in Airflow, and stays. To "
            "have the file's value, delete the variable in Airflow (Admin, Variables) and start again."
        )


def test_a_variable_that_somebody_made_before_is_left_alone_unless_it_is_what_the_file_says(
    api: AirflowApi, start: Any
) -> None:
    for key, value in {"source": {"kind": "postgres"}, "limit": 3}.items():
        api.post("/variables", {"key": key, "value": value})

    assert len(start(source={"kind": "csv"}, limit=3)) == 1
    assert len(start(source={"kind": "csv"}, limit=4)) == 1

    assert stored(api) == {"source": {"kind": "postgres"}, "limit": 4}


def test_a_variable_that_was_set_back_or_deleted_follows_the_file_again(api: AirflowApi, start: Any) -> None:
    start(source={"kind": "csv"}, limit=3)
    change(api, "source", {"kind": "postgres"})
    change(api, "source", {"kind": "csv"})

    assert start(source={"kind": "http"}, limit=3) == []

    assert stored(api)["source"] == {"kind": "http"}

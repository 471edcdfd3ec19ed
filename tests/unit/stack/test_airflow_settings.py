import json
from pathlib import Path

import pytest

from include.catalog import DATASETS
from include.stack.airflow_settings import _is_changed_by_hand, read
from include.stack.errors import StackError
from include.stack.services import HEAVY_TASKS
from include.stack.settings import StackSettings


def test_the_projects_own_file_names_what_the_dags_use(settings: StackSettings) -> None:
    # when
    found = read(settings.airflow_settings_file, settings.placeholders())

    # then
    connections = {entry["connection_id"]: entry for entry in found["connections"]}
    assert set(connections) == {"company_db", "warehouse", "lake", "backup", "mlflow"}
    assert connections["company_db"]["port"] == settings.ports.postgres
    assert connections["company_db"]["schema"] == "company"
    assert json.loads(connections["lake"]["extra"])["endpoint_url"] == settings.s3_endpoint
    assert found["pools"][0]["name"] == "heavy"
    assert found["pools"][0]["slots"] == HEAVY_TASKS
    variables = {entry["key"]: entry["value"] for entry in found["variables"]}
    assert variables["customers_source"] == {"kind": "postgres", "connection": "company_db"}
    assert variables["sample_world"] == {"customers": 20000, "history_days": 120, "seed": 7}
    assert {f"{name}_source" for name in DATASETS} | {"sample_world", "sample_market", "backup"} == set(variables)


def test_value_cannot_change_the_structure_of_the_file(tmp_path: Path) -> None:
    # given
    file = tmp_path / "airflow_settings.yaml"
    file.write_text("airflow: {variables: [{variable_name: a, variable_value: '${PASSWORD} costs $$5'}]}")

    # when
    found = read(file, {"PASSWORD": '"}], pools: [{'})

    # then
    assert found["variables"] == [{"key": "a", "value": '"}], pools: [{ costs $5'}]
    assert found["pools"] == []


@pytest.mark.parametrize("text", ["${POSTGRES_PASWORD}", "5 $ only"])
def test_unknown_placeholder_is_refused_with_the_known_names(text: str, tmp_path: Path) -> None:
    file = tmp_path / "airflow_settings.yaml"
    file.write_text(f"airflow: {{variables: [{{variable_name: a, variable_value: '{text}'}}]}}")

    with pytest.raises(StackError, match="POSTGRES_PASSWORD, S3_ENDPOINT"):
        read(file, {"POSTGRES_PASSWORD": "", "S3_ENDPOINT": ""})


def test_misspelt_connection_field_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "airflow_settings.yaml"
    file.write_text("airflow: {connections: [{conn_id: lake, conn_type: aws, conn_user: me}]}")

    with pytest.raises(StackError, match=r"unknown fields in connection lake: \['conn_user'\]"):
        read(file, {})


@pytest.mark.parametrize(
    ("present", "is_changed"),
    [
        (None, False),
        ({"value": '{"token": "***"}', "description": "mine"}, False),
        ({"value": '{"token": "b"}', "description": "mine"}, True),
        ({"value": '{"token": "a"}', "description": "mine"}, False),
    ],
)
def test_a_value_that_airflow_masks_is_the_files(present: dict[str, str] | None, is_changed: bool) -> None:
    assert _is_changed_by_hand(present, {"token": "a"}) == is_changed

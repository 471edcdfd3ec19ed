"""What every DAG owes to the person who opens it in the web UI."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError

from include.catalog import DATASETS, MODELS
from include.lifecycle.reporting.published_pages import Report
from ml_lifecycle.links import PredictionFileLink, prediction_file
from tests.dags.dag_ids import EXPECTED, ROOT


def test_there_is_one_dag_per_stage_of_each_dataset_and_model(dags: dict[str, Any]) -> None:
    assert set(dags) == EXPECTED


def test_a_page_that_is_missing_names_the_dag_that_makes_it() -> None:
    """Also for a page of an address that nobody makes, and which therefore names none."""
    kinds = {name: ["validation"] for name in DATASETS}
    kinds |= {name: ["model_card", "drift", "performance"] for name in MODELS}
    kinds |= {"lake": ["maintenance", "maintenance_on_demand"], "portfolio": ["portfolio"]}
    reports = [Report(area, kind) for area in kinds for kind in kinds[area]]

    without = {"sample_world"} | {
        f"{name}_{stage}" for name in MODELS for stage in ("scoring", "rollback", "shadow")
    }
    assert {report.maker for report in reports} == EXPECTED - without
    assert Report("churn", "weekly").maker is None


def test_a_dag_says_what_it_is(dag: Any) -> None:
    assert dag.dag_display_name != dag.dag_id
    assert dag.description
    assert dag.tags


@pytest.mark.parametrize("heading", ["**In:**", "**Out:**", "**When it fails:**"])
def test_a_dag_documents_inputs_outputs_and_failure(dag: Any, heading: str) -> None:
    assert heading in dag.doc_md


def test_a_dags_docs_name_only_its_own_tasks(dag: Any, dags: dict[str, Any]) -> None:
    names = {task.task_id.split(".")[-1] for other in dags.values() for task in other.tasks}
    own = {task.task_id.split(".")[-1] for task in dag.tasks}

    named = set(re.findall(r"`(\w+)`", dag.doc_md))

    assert named & names <= own


def test_a_dags_docs_say_when_it_runs(dag: Any) -> None:
    assert "**When it runs:**" in dag.doc_md


def test_each_task_says_what_it_does(dag: Any) -> None:
    for task in dag.tasks:
        assert task.doc_md or task.is_mapped or type(task).__doc__, task.task_id


def test_each_mapped_task_has_a_label(dag: Any) -> None:
    for task in dag.tasks:
        if task.is_mapped or task.get_closest_mapped_task_group():
            template = task.partial_kwargs.get("map_index_template") if task.is_mapped else task.map_index_template
            assert template, task.task_id


def test_each_field_of_a_form_is_explained(dag: Any) -> None:
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.schema.get("title"), name
        assert param.description, name


def test_a_form_can_be_sent_as_it_opens(dag: Any) -> None:
    for name in dag.params:
        param = dag.params.get_param(name)
        param.resolve()
        # Airflow's form requires a text field whose types lack null, and takes an empty text for none.
        is_empty = param.value is None or param.value == ""
        assert not is_empty or "null" in param.schema["type"], f"{dag.dag_id}: {name}"


def test_the_form_says_which_days_it_takes(dag: Any) -> None:
    for name in {"day", "last_day"} & set(dag.params):
        assert re.search(r"From \d{4}-\d\d-\d\d to yesterday", dag.params.get_param(name).description)


def test_numbers_and_texts_of_a_training_have_bounds(dags: dict[str, Any]) -> None:
    for name in MODELS:
        params = dags[f"{name}_training"].params
        for refused in ({"seed": -1}, {"seed": 2**32}, {"trials": 1}, {"trials": 501}, {"reason": "x" * 501}):
            [(field, value)] = refused.items()
            with pytest.raises(ParamValidationError):
                params.get_param(field).resolve(value)


def test_segments_are_fitted_in_mapped_tasks(dags: dict[str, Any]) -> None:
    for name, model in MODELS.items():
        training = dags[f"{name}_training"]
        assert training.has_task("fit_segments") == bool(model.segments.per_task)
        if model.segments.per_task:
            fit = training.get_task("fit_segments")
            assert fit.is_mapped
            assert fit.partial_kwargs["map_index_template"]


@pytest.mark.parametrize("path", sorted((ROOT / "dags").glob("*.py")), ids=lambda path: path.name)
def test_a_dag_file_gives_the_same_dag_at_every_parse(path: Path) -> None:
    from airflow.utils.dag_version_inflation_checker import check_dag_file_stability

    assert not check_dag_file_stability(str(path)).warnings


@pytest.mark.parametrize("name", DATASETS)
def test_all_days_of_a_run_are_validated_by_one_task_because_each_is_compared_with_those_before_it(
    dags: dict[str, Any], name: str
) -> None:
    assert not dags[f"{name}_etl"].get_task("validate").is_mapped


def test_a_task_that_publishes_predictions_has_a_button_to_the_newest_file(dags: dict[str, Any]) -> None:
    for model in MODELS:
        task = dags[f"{model}_scoring"].get_task("chunk.publish")
        assert [link.name for link in task.operator_extra_links] == ["Prediction file"]
        assert task.operator_extra_links[0].xcom_key == PredictionFileLink.xcom_key
    assert prediction_file("churn", "2026-03-01") == "/ml/predictions/churn/2026-03-01/predictions.csv"

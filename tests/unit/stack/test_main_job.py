import io
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from include.catalog import DATASETS
from include.datasets.customers import CUSTOMERS
from include.lifecycle.specs import DatasetSpec
from include.stack import main_job, results
from include.stack.airflow_api import AirflowApi, readable
from include.stack.display import Display
from include.stack.errors import StackError
from include.stack.main_job import MainJob, Request
from include.stack.settings import StackSettings
from include.stack.situations import (
    SAMPLE,
    ModelSituation,
    NoSourceError,
    Situation,
    find_situation,
    steps,
)

TODAY = date(2026, 11, 20)
YESTERDAY = date(2026, 11, 19)
ETL, TRAINING, SCORING, MONITORING = "customers_etl", "churn_training", "churn_scoring", "churn_monitoring"
CHURN = ModelSituation("churn", has_champion=True, predictions_day=TODAY, has_report=True)
NOTHING = ModelSituation("churn", has_champion=False, predictions_day=None, has_report=False)
ALL_DONE = Situation(
    dataset="customers",
    source_day=TODAY,
    source_is_sample=True,
    gets_new_days=True,
    features_day=TODAY,
    models=(CHURN,),
)
OWN = replace(ALL_DONE, source_is_sample=False)
FILE = replace(OWN, gets_new_days=False, models=(NOTHING,))


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(ALL_DONE, [], id="all is done"),
        pytest.param(
            replace(ALL_DONE, features_day=None, models=(NOTHING,)),
            [SAMPLE, ETL, TRAINING, SCORING, MONITORING],
            id="first start",
        ),
        pytest.param(
            replace(ALL_DONE, features_day=YESTERDAY, models=(replace(CHURN, predictions_day=YESTERDAY),)),
            [SAMPLE, ETL, SCORING, MONITORING],
            id="a new day",
        ),
        pytest.param(
            replace(OWN, features_day=YESTERDAY),
            [ETL, SCORING, MONITORING],
            id="a new day of one's own data",
        ),
        pytest.param(
            replace(FILE, features_day=None),
            [ETL],
            id="a file of one answered day",
        ),
        pytest.param(
            FILE,
            [],
            id="that file once it is there",
        ),
        pytest.param(
            replace(ALL_DONE, models=(NOTHING,)),
            [TRAINING, SCORING, MONITORING],
            id="training failed",
        ),
        pytest.param(
            replace(ALL_DONE, models=(replace(CHURN, predictions_day=YESTERDAY),)),
            [SCORING, MONITORING],
            id="scoring failed",
        ),
        pytest.param(
            replace(ALL_DONE, models=(replace(CHURN, has_report=False),)), [MONITORING], id="monitoring failed"
        ),
    ],
)
def test_only_what_is_left_to_do_is_done(situation: Situation, expected: list[str]) -> None:
    assert steps([situation], portfolio_is_old=False) == expected


def test_one_sample_company_serves_all_datasets_and_each_model_has_its_steps() -> None:
    market = replace(
        ALL_DONE,
        dataset="market",
        features_day=YESTERDAY,
        models=(replace(CHURN, name="volatility"), replace(NOTHING, name="returns")),
    )

    assert steps([replace(ALL_DONE, features_day=YESTERDAY), market], portfolio_is_old=True) == [
        SAMPLE,
        ETL,
        SCORING,
        MONITORING,
        "market_etl",
        "volatility_scoring",
        "volatility_monitoring",
        "returns_training",
        "returns_scoring",
        "returns_monitoring",
        "portfolio",
    ]


class Variables:
    """An Airflow of which only the variables are asked."""

    def __init__(self, **values: object) -> None:
        self._values = values

    def get(self, path: str, **_: object) -> dict[str, Any]:
        assert path == "/variables"
        texts = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in self._values.items()
        }
        return {"variables": [{"key": name, "value": text} for name, text in texts.items()]}


def airflow_with(**values: object) -> AirflowApi:
    return cast(AirflowApi, Variables(**values))


def customers(settings: StackSettings, monkeypatch: pytest.MonkeyPatch, **variables: object) -> Situation:
    """The situation of the customers, of which there is nothing yet."""
    for name in ("newest_features_day", "latest_predictions", "champion", "newest_report"):
        monkeypatch.setattr(results, name, lambda *_: None)
    return find_situation(settings, airflow_with(**variables), CUSTOMERS)


def test_a_source_says_itself_whether_it_gets_new_days(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = {"kind": "csv", "path": str(tmp_path), "day": "2026-10-01"}
    database = {"kind": "postgres", "connection": "company_db"}

    of_file = customers(settings, monkeypatch, customers_source=file)
    of_database = customers(settings, monkeypatch, customers_source=database)
    of_sample = customers(settings, monkeypatch, customers_source=database, sample_world={})

    assert (of_file.gets_new_days, of_file.source_is_sample) == (False, False)
    assert (of_database.gets_new_days, of_database.source_is_sample) == (True, False)
    assert (of_sample.gets_new_days, of_sample.source_is_sample) == (True, True)


def test_features_of_other_code_are_renewed_before_anything_is_made_of_them(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"kind": "postgres", "connection": "company_db"}
    for name in ("latest_predictions", "champion", "newest_report"):
        monkeypatch.setattr(results, name, lambda *_: None)
    monkeypatch.setattr(results, "newest_features_day", lambda *_: date.max)
    found = {}
    for is_old in (True, False):
        monkeypatch.setattr(results, "is_of_other_code", lambda *_, is_old=is_old: is_old)
        found[is_old] = find_situation(settings, airflow_with(customers_source=source), CUSTOMERS)

    assert (found[True].data_is_old, found[False].data_is_old) == (True, False)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "Customers has no source: Airflow has no variable 'customers_source'"),
        ({"customers_source": "postgres"}, "is 'postgres', which is no JSON object; correct it"),
        ({"customers_source": {"kind": "excel"}}, "'customers_source' describes no source: .*excel"),
        ({"customers_source": {"kind": "csv_folder", "path": "/nowhere"}}, "/nowhere does not exist"),
    ],
)
def test_a_dataset_without_a_source_is_told_what_it_lacks(
    variables: dict[str, object], sentence: str, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoSourceError, match=sentence):
        customers(settings, monkeypatch, **variables)


def test_a_dataset_without_a_source_is_left_out_and_breaks_no_other(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(_: object, __: object, dataset: DatasetSpec) -> Situation:
        if dataset is CUSTOMERS:
            raise NoSourceError("Customers has no source.")
        return replace(ALL_DONE, dataset=dataset.name)

    monkeypatch.setattr(main_job, "find_situation", found)
    console = Console(record=True, quiet=False, file=io.StringIO())

    situations = main_job.known_situations(settings, FailedRun(), console)  # type: ignore[arg-type]

    assert "customers" not in [now.dataset for now in situations]
    assert len(situations) == len(DATASETS) - 1
    assert "Left out: Customers has no source." in console.export_text()


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, Request()),
        ({"DATASET": "", "AS_OF": ""}, Request()),
        ({"DATASET": "market"}, Request("market")),
        ({"DATASET": "market", "AS_OF": "2026-09-30"}, Request("market", date(2026, 9, 30))),
    ],
)
def test_a_person_asks_for_everything_or_for_one_dataset(environment: dict[str, str], asked: Request) -> None:
    assert Request.from_environment(environment) == asked


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"DATASET": "orders"}, "DATASET=orders is no dataset; they are customers, market"),
        ({"DATASET": "market", "AS_OF": "yesterday"}, "AS_OF=yesterday is no day"),
        ({"AS_OF": "2026-09-30"}, "AS_OF=2026-09-30 needs a dataset: make run DATASET="),
    ],
)
def test_what_cannot_be_asked_for_is_named(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(StackError, match=sentence):
        Request.from_environment(environment)


class OneRunEach:
    """An Airflow whose runs all end well, with what was asked of it, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def trigger(self, dag_id: str, form: dict[str, Any] | None = None) -> str:
        self.asked.append((dag_id, form or {}))
        return "manual__1"

    def unpause(self, dag_id: str) -> None:
        """Nothing is paused here."""

    def due_run(self, dag_id: str) -> None:
        """None is due."""

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        return []

    def run_state(self, dag_id: str, run_id: str) -> str:
        return "success"

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return []


def test_one_dataset_goes_from_etl_to_monitoring_as_of_its_newest_day_until_the_one_asked_for(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, until = OneRunEach(), list[date | None]()
    monkeypatch.setattr(main_job, "find_situation", lambda *_: OWN)
    monkeypatch.setattr(MainJob, "wait_for_dags", lambda *_: None)
    monkeypatch.setattr(results, "newest_features_day", lambda _, __, day: until.append(day) or YESTERDAY)

    main_job.run_dataset(settings, api, Console(quiet=True), lambda: None, Request("customers", TODAY))  # type: ignore[arg-type]

    assert until == [TODAY]
    form = {"day": "2026-11-19"}
    assert api.asked == [(ETL, {}), (TRAINING, form), (SCORING, {**form, "rescore": True}), (MONITORING, form)]


class FailedRun:
    """An Airflow whose one run has failed in a mapped task."""

    def run_state(self, dag_id: str, run_id: str) -> str:
        return "failed"

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        late = {"task_id": "clean", "map_index": -1, "state": "failed", "end_date": "2026-11-21T02:00:05Z"}
        first = {"task_id": "validate", "map_index": 3, "state": "failed", "end_date": "2026-11-21T02:00:01Z"}
        return [late, first, {"task_id": "features", "map_index": -1, "state": "upstream_failed"}]

    def log_lines(self, instance: dict[str, Any]) -> list[str]:
        return [f"log of {instance['task_id']}", "The day has no rows."]


def test_failed_run_is_told_with_the_first_failed_task_its_log_and_its_address(settings: StackSettings) -> None:
    job = MainJob(settings, FailedRun(), Display(Console(quiet=True)))  # type: ignore[arg-type]

    with pytest.raises(StackError) as failed:
        job.follow(ETL, "manual__1")

    sentence = str(failed.value)
    assert "customers_etl failed in its task validate" in sentence
    assert "log of validate\nThe day has no rows." in sentence
    assert f"{settings.airflow_url}/dags/customers_etl/runs/manual__1/tasks/validate/mapped/3" in sentence


class AskingRun:
    """An Airflow whose one run waits for an answer once, and ends well then."""

    def __init__(self) -> None:
        self.states = ["running", "success"]

    def run_state(self, dag_id: str, run_id: str) -> str:
        return self.states.pop(0)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return [{"task_id": "push", "state": "success"}, {"task_id": "approve", "state": "awaiting_input"}]


def test_who_follows_a_run_that_waits_for_an_answer_is_told_where_to_give_it(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main_job, "POLL_SECONDS", 0)
    console = Console(file=io.StringIO(), width=200)
    job = MainJob(settings, AskingRun(), Display(console))  # type: ignore[arg-type]

    job.follow(TRAINING, "manual__1")

    address = f"{settings.airflow_url}/dags/churn_training/runs/manual__1/tasks/approve/required_actions"
    assert f"churn_training 1/2: waiting for your answer at {address}\n" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("features_day", "runs"), [(TODAY, ["due"]), (YESTERDAY, ["due", "triggered"]), (None, ["due"])]
)
def test_where_the_etl_that_was_due_is_of_the_day_before_another_one_follows(
    features_day: date | None, runs: list[str], settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    job = MainJob(settings, FailedRun(), Display(Console(quiet=True)))  # type: ignore[arg-type]
    monkeypatch.setattr(job, "run", lambda _: done.append("due"))
    monkeypatch.setattr(job, "follow", lambda _, run_id: done.append(run_id))
    monkeypatch.setattr(FailedRun, "trigger", lambda *_: "triggered", raising=False)
    monkeypatch.setattr(results, "newest_features_day", lambda *_: features_day)

    job.run_etl(ALL_DONE)

    assert done == runs


def test_log_shows_the_exception_and_its_place_and_no_folding_marks() -> None:
    # given
    frames = [{"filename": "task_runner.py", "lineno": 1579}, {"filename": "etl.py", "lineno": 11}]
    error = {"exc_type": "ValueError", "exc_value": "3 rows are broken", "frames": frames}
    log: list[dict[str, Any]] = [
        {"event": "::group::Pre Execute"},
        {"event": "Task failed with exception", "error_detail": [error]},
    ]

    # when
    lines = [line for entry in log for line in readable(entry)]

    # then
    assert lines == ["Task failed with exception", "ValueError: 3 rows are broken (etl.py, line 11)"]

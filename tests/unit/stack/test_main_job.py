from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from rich.console import Console

from include.stack import results
from include.stack.airflow_api import readable
from include.stack.display import Display
from include.stack.errors import StackError
from include.stack.main_job import SAMPLE, MainJob, ModelSituation, Situation, steps
from include.stack.settings import StackSettings

TODAY = date(2026, 11, 20)
YESTERDAY = date(2026, 11, 19)
ETL, TRAINING, SCORING, MONITORING = "customers_etl", "churn_training", "churn_scoring", "churn_monitoring"
CHURN = ModelSituation("churn", has_champion=True, predictions_day=TODAY, has_report=True)
NOTHING = ModelSituation("churn", has_champion=False, predictions_day=None, has_report=False)
ALL_DONE = Situation(
    dataset="customers",
    source_day=TODAY,
    source_is_sample=True,
    source_is_snapshot=False,
    features_day=TODAY,
    models=(CHURN,),
)
OWN = replace(ALL_DONE, source_is_sample=False)
FILE = replace(OWN, source_is_snapshot=True, models=(NOTHING,))


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
    log = [
        {"event": "::group::Pre Execute"},
        {"event": "Task failed with exception", "error_detail": [error]},
    ]

    # when
    lines = [line for entry in log for line in readable(entry)]

    # then
    assert lines == ["Task failed with exception", "ValueError: 3 rows are broken (etl.py, line 11)"]

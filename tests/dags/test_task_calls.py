"""What tasks of the DAGs hand to the functions they call, and what they make of the answers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.context import set_current_context
from airflow.utils.types import DagRunType

from include.catalog import DATASETS, MODELS
from include.lifecycle.ingestion.records import ExtractedDays, ValidatedDays
from include.lifecycle.ingestion.verdicts import DayVerdict, TableVerdict
from include.lifecycle.monitoring import retraining_requests
from include.lifecycle.operations import backup
from include.lifecycle.promotion import ledger, model_card, registry, repair
from include.lifecycle.scoring import planning, scorers, scoring
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo, partition
from include.lifecycle.training import training
from include.lifecycle.training.record import TrainingRequest
from ml_lifecycle import runs

Call = Callable[..., Any]
STARTED = datetime(2026, 3, 12, 3, 0, tzinfo=UTC)
DAYS = [date(2026, 3, 1) + timedelta(number) for number in range(4)]
DIGEST = "0123456789abcdef" * 4


class TaskContext(dict[str, Any]):
    """The context of a task in a manual run; `pushed` is what the task left."""

    def __init__(self, params: dict[str, Any], started: datetime) -> None:
        self.pushed: dict[str, Any] = {}
        run = SimpleNamespace(
            dag_id="churn_training",
            run_id="manual 1",
            run_type=DagRunType.MANUAL,
            run_after=started,
            start_date=started,
            conf=None,
        )
        instance = SimpleNamespace(xcom_push=self.pushed.__setitem__)
        dag = SimpleNamespace(dag_id=run.dag_id, params=params)
        super().__init__(params=params, dag_run=run, ti=instance, dag=dag)


@pytest.fixture
def call(dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls the function of a task as Airflow does, in a run with this form, where no service is at hand."""
    monkeypatch.setattr("ml_lifecycle.hooks.WarehouseHook.connection", lambda _: nullcontext())
    monkeypatch.setattr("ml_lifecycle.hooks.MlflowHook.tracking_uri", "http://mlflow")
    monkeypatch.setattr("ml_lifecycle.hooks.MlflowHook.version_url", lambda _, name, number: f"{name}/{number}")
    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: None)
    monkeypatch.setattr("ml_lifecycle.hooks.source", lambda _: nullcontext())
    monkeypatch.setattr("ml_lifecycle.summaries._refresh", lambda *_: None)
    monkeypatch.setattr(Variable, "get", lambda *_, **__: {})

    def call(
        dag_id: str, task_id: str, *args: Any, form: dict[str, Any] | None = None, started: datetime = STARTED
    ) -> Any:
        dag = dags[dag_id]
        params = {name: dag.params.get_param(name).value for name in dag.params} | (form or {})
        with set_current_context(TaskContext(params, started)):  # type: ignore[arg-type]
            return dag.get_task(task_id).python_callable(*args)

    return call


FIRST_TASKS = {
    "customers_etl": "find_days",
    "market_etl": "find_days",
    "churn_training": "take_request",
    "returns_training": "take_request",
    "volatility_training": "take_request",
    "churn_scoring": "find_days",
    "returns_scoring": "find_days",
    "volatility_scoring": "find_days",
    "churn_shadow": "score",
    "returns_shadow": "score",
    "volatility_shadow": "score",
    "churn_monitoring": "report",
    "returns_monitoring": "performance",
    "volatility_monitoring": "report",
    "portfolio": "find_days",
    "maintenance": "check",
    "sample_world": "add_days",
}


def test_each_form_with_a_day_is_among_those_that_are_tried(dags: dict[str, Any]) -> None:
    assert set(FIRST_TASKS) == {name for name, dag in dags.items() if "day" in dag.params}


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
@pytest.mark.parametrize("dag_id", FIRST_TASKS)
def test_no_dag_takes_a_day_outside_its_data(call: Call, dag_id: str, day: str) -> None:
    with pytest.raises(ValueError, match=r"choose a day from \d{4}-\d\d-\d\d to 2026-03-1[01]\."):
        call(dag_id, FIRST_TASKS[dag_id], form={"day": day})


def test_scoring_loads_a_version_by_the_digest_of_the_ledger(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ledger.Entry("churn", "promote", 3, None, 3, DAYS[0], "gate", "", {}, "weekly", {"3": DIGEST})
    loaded: list[tuple[Any, ...]] = []
    monkeypatch.setattr(ledger, "entries", lambda *_: [entry])
    monkeypatch.setattr(scorers, "load_scorer", lambda *asked: loaded.append(asked) or scorers.Scorer(None, 3))
    monkeypatch.setattr(scoring, "score_days", lambda *_: [])

    call("churn_scoring", "chunk.score", {"version": 3, "days": [str(day) for day in DAYS]})

    # One version is loaded once, however many days it scores.
    [(*_, version, digest)] = loaded
    assert (version, digest) == (3, DIGEST)


def test_a_champion_that_cannot_be_used_is_notified_and_recorded_and_the_former_one_scores(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ledger.Entry("churn", "promote", 1, None, 1, DAYS[0], "gate", "", {}, "one", {"1": DIGEST})
    second = replace(first, candidate=2, from_version=1, to_version=2, run_id="two", digests={"2": DIGEST})
    asked: list[tuple[int, str | None]] = []
    notified: list[str] = []
    set_again: list[tuple[str, str]] = []
    recorded: list[ledger.Entry] = []

    def fault(_url: str, _model: Any, version: int, digest: str | None) -> str | None:
        asked.append((version, digest))
        return "Its file is empty." if version == 2 else None

    monkeypatch.setattr(latest, "restore", lambda *_: None)
    monkeypatch.setattr(planning, "plan", lambda *_, **__: {DAYS[1]: 2})
    monkeypatch.setattr(ledger, "entries", lambda *_: [first, second])
    monkeypatch.setattr(ledger, "record", lambda _, entry: recorded.append(entry))
    monkeypatch.setattr(registry, "fault", fault)
    monkeypatch.setattr(
        repair, "repair", lambda _url, _connection, model, _run, actor: set_again.append((model, actor))
    )
    monkeypatch.setattr("ml_lifecycle.hooks.notify", lambda notification: notified.append(notification.reason))

    jobs = call("churn_scoring", "find_days")

    assert jobs == [{"version": 1, "days": [str(DAYS[1])]}]
    assert asked == [(2, DIGEST), (1, DIGEST)]
    [entry] = recorded
    assert (entry.action, entry.candidate) == ("fallback", 2)
    assert notified == [entry.reason]
    assert entry.reason.endswith("Its file is empty.")
    assert set_again == [("churn", "scoring")]


def test_maintenance_sets_the_aliases_of_each_model_again_but_not_in_a_dry_run(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    found = ledger.Entry("churn", "repair", 2, 2, 2, DAYS[0], "maintenance", "It was moved.", {}, "nightly")

    def note(_url: str, _connection: Any, model: str, _run: Any, actor: str) -> ledger.Entry | None:
        asked.append((model, actor))
        return found if model == "churn" else None

    monkeypatch.setattr(repair, "repair", note)

    with pytest.raises(AirflowSkipException):
        call("maintenance", "repair_aliases", form={"dry_run": True})
    assert asked == []
    assert call("maintenance", "repair_aliases") == ["churn: It was moved."]
    assert asked == [(model, "maintenance") for model in MODELS]


def test_a_model_card_links_the_version_and_the_run(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ledger.Entry("churn", "keep", 2, 1, 1, DAYS[0], "gate", "", {}, "manual 7")
    published: list[dict[str, str]] = []
    monkeypatch.setattr(ledger, "entries", lambda *_: [entry])
    monkeypatch.setattr(model_card, "publish", lambda *given: published.append(given[4]))
    monkeypatch.setattr(model_card, "show_in_mlflow", lambda *_: None)

    call("churn_training", "publish_card", str(DAYS[0]), {"version": 2}, {})

    [links] = published
    assert links.pop("Version 2 in MLflow") == "churn/2"
    [run] = links.values()
    assert run.endswith("/dags/churn_training/runs/manual%207")


@pytest.mark.parametrize(
    ("reason", "kept"), [(None, "manual run"), ("", "manual run"), ("New prices.", "New prices.")]
)
def test_the_reason_of_a_training_is_prose(
    call: Call, monkeypatch: pytest.MonkeyPatch, reason: str | None, kept: str
) -> None:
    trained: list[str] = []

    def train(_model: Any, _lake: Any, request: TrainingRequest) -> Any:
        trained.append(request.reason)
        return SimpleNamespace(digest=DIGEST)

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(retraining_requests, "take", lambda *_: None)

    asked = call("churn_training", "take_request", form={"reason": reason})
    call("churn_training", "train", asked["as_of"], asked["reason"])

    assert trained == [kept]


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    call: Call, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lake has a damaged partition and an unreferenced file that is old enough to be swept."""
    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: lake)
    lake.write_object("features/customers/dt=2026-03-01/manifest.json", b"{")
    lake.write_object("staging/churn/dt=2026-03-01/model-0123456789abcdef.skops", b"old")
    before = set(lake.keys(""))
    later = {"started": datetime.now(UTC) + timedelta(days=20)}
    dry, real = {"form": {"dry_run": True}}, {"form": {"dry_run": False}}

    wakes = call("maintenance", "check", **dry, **later)
    headline = call("maintenance", "conclude", **dry, **later)

    assert wakes == []
    assert "damaged or missing" in headline
    assert {key for key in lake.keys("") if not key.startswith("reports/lake/")} == before

    assert [wake["trigger_dag_id"] for wake in call("maintenance", "check", **real, **later)] == ["customers_etl"]
    with pytest.raises(AirflowFailException, match="features/customers/dt=2026-03-01"):
        call("maintenance", "conclude", **real, **later)
    assert lake.keys("staging/") == []


def verdict(day: date, *problems: str) -> DayVerdict:
    facts = dict.fromkeys(("lines", "rows", "good", "good_lines", "quarantined", "quarantined_lines"), 0)
    table = TableVerdict(**facts, rules={}, problems=problems, warnings=())
    return DayVerdict(day=day, accepted=not problems, tables={"customers": table})


@pytest.mark.parametrize(("rejected", "shown"), [([], DAYS[3]), ([2], DAYS[2]), ([1, 2], DAYS[1])])
def test_a_task_of_many_days_opens_the_first_rejected_one_or_else_the_newest(
    rejected: list[int], shown: date
) -> None:
    verdicts = [
        verdict(day, *(["customers is empty."] if number in rejected else [])) for number, day in enumerate(DAYS)
    ]
    context = TaskContext({}, STARTED)

    with set_current_context(context):  # type: ignore[arg-type]
        judged = runs.show_verdicts(DATASETS["customers"], verdicts)

    assert context.pushed == {"validation_url": f"/ml/reports/customers/validation/{shown}/"}
    assert [*judged.rejected] == [DAYS[number] for number in rejected]
    assert len(judged.accepted) == len(DAYS) - len(rejected)


def test_a_run_with_a_rejected_day_is_red_and_names_it_and_the_others_are_not() -> None:
    judged = ValidatedDays(accepted=(DAYS[0],), rejected={DAYS[1]: ("customers is empty.",)})
    context = TaskContext({}, STARTED)

    with (
        set_current_context(context),  # type: ignore[arg-type]
        pytest.raises(AirflowFailException, match="2026-03-02 was rejected: customers is empty"),
    ):
        runs.fail_on_shortfall(DATASETS["customers"], DAYS[:2], [ExtractedDays(days=(*DAYS[:2],))], judged)

    assert context.pushed == {"validation_url": "/ml/reports/customers/validation/2026-03-02/"}
    whole = ValidatedDays(accepted=(*DAYS,))
    with set_current_context(context):  # type: ignore[arg-type]
        runs.fail_on_shortfall(DATASETS["customers"], DAYS, [ExtractedDays(days=(*DAYS,))], whole)


@pytest.mark.parametrize("is_of_this_raw", [True, False])
def test_a_validation_that_failed_names_the_days_that_it_had_rejected_and_those_it_had_not_come_to(
    call: Call, monkeypatch: pytest.MonkeyPatch, lake: Lake, tmp_path: Path, is_of_this_raw: bool
) -> None:
    file, raw = tmp_path / "verdict.json", tmp_path / "table.csv"
    file.write_text(verdict(DAYS[0], "customers is empty.").model_dump_json())
    raw.write_text("customer_id\n")
    run, dataset = RunInfo("another", STARTED, "test"), DATASETS["customers"]
    digest = lake.publish(dataset.raw("customers"), DAYS[0], [LocalFile(raw)], run=run).digest
    inputs = {partition(dataset.raw("customers"), DAYS[0]): digest if is_of_this_raw else "another"}
    lake.publish(dataset.validation_prefix, DAYS[0], [LocalFile(file)], run=run, inputs=inputs)
    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: lake)
    days = [str(day) for day in DAYS[:2]]

    with pytest.raises(AirflowFailException) as raised:
        call("customers_etl", "report_rejections", [days], [{"days": days}], None)

    message = str(raised.value)
    assert (f"{days[0]} was rejected: customers is empty." in message) == is_of_this_raw
    open_days = days[1:] if is_of_this_raw else days
    assert f"Without a verdict, because a task failed: {', '.join(open_days)}." in message


def test_a_run_on_the_whole_lake_makes_a_backup_and_deletes_expired_ones(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, pruned = SimpleNamespace(name="2026-03-12T030500Z"), []
    monkeypatch.setattr("ml_lifecycle.hooks.backup_store", lambda: "store")
    monkeypatch.setattr("ml_lifecycle.hooks.backup_origin", lambda settings, version: "origin")
    monkeypatch.setattr(Variable, "get", lambda *_, **__: {"databases": "a b", "artifacts": "m", "keep_days": 9})
    monkeypatch.setattr(backup, "back_up", lambda origin, store, settings, now: made)
    monkeypatch.setattr(backup, "prune", lambda store, now, keep_days: pruned.append((store, keep_days)))

    assert call("maintenance", "back_up") == made.name
    assert pruned == [("store", 9)]


@pytest.mark.parametrize("form", [{"prefix": "raw"}, {"day": "2026-03-01"}, {"dry_run": True}])
def test_a_run_on_part_of_the_lake_and_a_dry_run_make_no_backup(form: dict[str, Any], call: Call) -> None:
    with pytest.raises(AirflowSkipException, match="Only a run on the whole lake makes a backup"):
        call("maintenance", "back_up", form=form)


def test_without_the_variable_no_backup_is_made(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Variable, "get", lambda *_, default, **__: default)

    with pytest.raises(AirflowSkipException, match="There is no Airflow variable `backup`"):
        call("maintenance", "back_up")


def test_what_a_run_writes_has_the_address_of_its_page() -> None:
    with set_current_context(TaskContext({}, STARTED)):  # type: ignore[arg-type]
        assert runs.run_info().url.endswith("/dags/churn_training/runs/manual%201")

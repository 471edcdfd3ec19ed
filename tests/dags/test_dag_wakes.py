"""What wakes a DAG, and when."""

from __future__ import annotations

from datetime import date
from typing import Any

import pendulum
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
from airflow.timetables.base import TimeRestriction

from include.catalog import MODELS
from tests.dags.dag_ids import ROOT


def test_a_run_never_overtakes_another(dag: Any) -> None:
    assert dag.max_active_runs == 1
    assert dag.catchup is False


def test_changed_code_of_features_renews_them_also_where_there_is_no_day_to_work_on(
    dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.lifecycle.ingestion import features as engine

    dag = DagBag(str(ROOT / "dags" / "etl.py")).dags["customers_etl"]
    old, built = (date(2026, 3, 1), date(2026, 3, 2)), []
    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: None)
    monkeypatch.setattr(
        engine,
        "features_to_build",
        lambda dataset, lake, days, until: engine.FeaturesToBuild(validated=days, renewed=old, version="abc"),
    )
    monkeypatch.setattr(engine, "build_features", lambda dataset, lake, days, run: built.extend(days))
    monkeypatch.setattr(dag.get_task("find_days"), "python_callable", lambda: [])

    run = dag.test()

    labels = [task.rendered_map_index for task in run.get_task_instances() if task.task_id == "build_features"]
    assert run.state == "success"
    assert tuple(built) == old
    assert labels == ["2026-03-01 to 2026-03-02, renewed by code version abc"]


@pytest.mark.parametrize(("stage", "interval"), [("training", {"months": 1}), ("monitoring", {"days": 7})])
@pytest.mark.parametrize("day", range(1, 8))
def test_a_dag_that_is_unpaused_waits_for_its_next_time_whatever_day_it_is(
    dags: dict[str, Any], stage: str, interval: dict[str, int], day: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = pendulum.datetime(2026, 12, day, 12, tz="UTC")
    monkeypatch.setattr("airflow.timetables.trigger.utcnow", lambda: now)

    timetable = decode_timetable(encode_timetable(dags[f"churn_{stage}"].timetable))
    info = timetable.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(None, None, catchup=False)
    )

    assert info is not None
    assert now < info.run_after < now.add(**interval)


def test_what_wakes_the_portfolio_is_what_the_scorings_announce(dags: dict[str, Any]) -> None:
    announced = [
        asset
        for model in ("returns", "volatility")
        for asset in dags[f"{model}_scoring"].get_task("chunk.publish").outlets
    ]
    awaited = dags["portfolio"].timetable.asset_condition.objects

    assert {(a.name, a.uri) for a in awaited} == {(a.name, a.uri) for a in announced}


def test_what_wakes_the_shadow_is_what_the_scoring_announces_so_that_it_keeps_nobody_waiting(
    dags: dict[str, Any],
) -> None:
    for name in MODELS:
        [announced] = dags[f"{name}_scoring"].get_task("chunk.publish").outlets
        awaited = dags[f"{name}_shadow"].timetable.asset_condition

        assert (awaited.name, awaited.uri) == (announced.name, announced.uri)


def test_what_wakes_scoring_is_what_etl_and_training_announce(dags: dict[str, Any]) -> None:
    features = dags["customers_etl"].get_task("build_features").partial_kwargs["outlets"]
    champion = dags["churn_training"].get_task("announce_champion").outlets
    awaited = dags["churn_scoring"].timetable.asset_condition.objects

    assert {(a.name, a.uri) for a in awaited} == {(a.name, a.uri) for a in [*features, *champion]}


@pytest.mark.parametrize(("verdict", "announced"), [("promote", True), ("baseline", True), ("keep", False)])
def test_only_another_champion_is_announced_and_the_event_says_which(
    dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch, verdict: str, announced: bool
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException
    from airflow.sdk.execution_time.context import OutletEventAccessors

    training = dags["churn_training"]
    announce = training.get_task("announce_champion")
    events = OutletEventAccessors()
    context = {"outlet_events": events}
    monkeypatch.setitem(announce.python_callable.__globals__, "get_current_context", lambda: context)
    said = {"day": "2026-03-01", "version": 3, "verdict": verdict, "reasons": ["It is better."]}

    if announced:
        announce.python_callable(said)
        assert events[announce.outlets[0]].extra == said
    else:
        with pytest.raises(AirflowSkipException, match="Version 3 stays champion"):
            announce.python_callable(said)
    assert [task.task_id for task in training.tasks if task.outlets] == ["announce_champion"]


def test_what_wakes_training_is_what_monitoring_announces(dags: dict[str, Any]) -> None:
    for name in MODELS:
        announced = dags[f"{name}_monitoring"].get_task("wake_training").outlets
        awaited = dags[f"{name}_training"].timetable.asset_condition.objects

        assert {(a.name, a.uri) for a in awaited} == {(a.name, a.uri) for a in announced}


def test_the_scheduler_knows_that_a_request_wakes_the_training_and_its_schedule_too(dags: dict[str, Any]) -> None:
    """As Airflow stores the DAG: what waits for the asset, and the next run by the clock."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import sync_bag_to_db
    from airflow.models.asset import AssetModel, DagScheduleAssetReference
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(DagBag(str(ROOT / "dags" / "training.py")), "dags-folder", None)
    with create_session() as session:
        waiting = session.scalars(
            select(DagScheduleAssetReference.dag_id)
            .join(AssetModel, AssetModel.id == DagScheduleAssetReference.asset_id)
            .where(AssetModel.name == "churn_retraining")
        ).all()
        [stored] = session.scalars(select(DagModel).where(DagModel.dag_id == "churn_training"))
        next_time = stored.next_dagrun_create_after

    assert waiting == ["churn_training"]
    assert next_time is not None
    assert (next_time.day, next_time.hour) == (1, 4)

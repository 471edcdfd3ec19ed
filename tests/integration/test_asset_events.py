"""Tasks that end at the same time with an event of the same asset: each is recorded, and none fails for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from airflow.models import import_all_models
from airflow.models.asset import AssetActive, AssetDagRunQueue, AssetEvent, AssetModel, DagScheduleAssetReference
from airflow.models.base import Base
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import Session

from ml_lifecycle.asset_manager import SerialAssetManager

TASKS, EVENTS = 6, 15
WAITING = [f"waiting_{number}" for number in range(4)]


@pytest.fixture
def engine(postgres_dsn: str) -> Iterator[Engine]:
    """A database of Airflow in which some DAGs wait for the same asset."""
    engine = create_engine(postgres_dsn.replace("postgresql://", "postgresql+psycopg2://"), pool_size=TASKS)
    import_all_models()
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        asset = AssetModel(name="features", uri="x://features", group="asset")
        session.add_all([DagBundleModel(name="dags"), asset])
        session.flush()
        session.add(AssetActive.for_asset(asset))
        for dag_id in WAITING:
            session.add(_dag(dag_id))
            session.flush()
            session.add(DagScheduleAssetReference(asset_id=asset.id, dag_id=dag_id))
        session.commit()
    yield engine
    engine.dispose()


def test_no_event_of_tasks_that_end_together_is_lost(engine: Engine) -> None:
    # given
    def end_task(_: int) -> None:
        for _ in range(EVENTS):
            with Session(engine) as session:
                asset = session.scalars(select(AssetModel)).one()
                SerialAssetManager.register_asset_change(asset=asset, session=session)
                session.commit()
            # The scheduler takes what is queued, so that the next event queues it again.
            with Session(engine) as session:
                session.query(AssetDagRunQueue).delete()
                session.commit()

    # when
    with ThreadPoolExecutor(TASKS) as pool:
        list(pool.map(end_task, range(TASKS)))

    # then
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(AssetEvent)) == TASKS * EVENTS
        SerialAssetManager.register_asset_change(asset=session.scalars(select(AssetModel)).one(), session=session)
        assert sorted(session.scalars(select(AssetDagRunQueue.target_dag_id))) == WAITING


def _dag(dag_id: str) -> DagModel:
    return DagModel(
        dag_id=dag_id,
        bundle_name="dags",
        fileloc=f"{dag_id}.py",
        is_paused=False,
        max_active_tasks=1,
        max_active_runs=1,
        has_task_concurrency_limits=False,
    )

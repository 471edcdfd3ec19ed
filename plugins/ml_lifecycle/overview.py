"""The web application of the overview: what is wrong, since when, and where every model and dataset stands."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import takewhile
from urllib.parse import quote
from zoneinfo import ZoneInfo

import psycopg2
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, State
from fastapi import Response
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from include.catalog import DATASETS, MODELS
from include.lifecycle.overview import state
from include.lifecycle.overview.concerns import FailedRun, concerns
from include.lifecycle.overview.overview_page import Overview, overview_page
from include.lifecycle.overview.state import LakeState
from include.lifecycle.overview.summaries import Summaries
from include.lifecycle.reporting.pages import render
from include.lifecycle.specs import DatasetSpec
from ml_lifecycle.hooks import WarehouseHook
from ml_lifecycle.summaries import kept_of_catalog
from ml_lifecycle.web import html, web_app

# A connection that lacks something is refused with a ValueError before it is opened.
_OUT_OF_REACH = (psycopg2.Error, AirflowNotFoundException, AirflowRuntimeError, ValueError)
_MOST_RUNS = 30
"""So many of a DAG's newest finished runs are looked at for the first of those that failed in a row."""

app = web_app("Overview")


@app.get("/")
def show_overview() -> Response:
    """The overview; without the warehouse, it says so, and which runs have failed."""
    return html(render(overview_page(overview(datetime.now(UTC)))))


def overview(now: datetime) -> Overview:
    """What the page shows at a moment."""
    runs = failed_runs()
    try:
        with WarehouseHook().connection() as connection:
            models = [
                state.model_state(connection, model, _today(model.dataset, now)) for model in MODELS.values()
            ]
            datasets = [state.dataset_state(connection, each, _today(each, now)) for each in DATASETS.values()]
            lake = state.lake_state(connection, now.date())
            checked_at = Summaries(connection).checked_at(kept.prefix for kept in kept_of_catalog())
    except ValidationError:
        raise
    except _OUT_OF_REACH as error:
        outage = f"The warehouse cannot be asked, so nothing of models and data is shown: {error}"
        return Overview([], [], concerns([], [], LakeState(None), runs, now), None, [outage.strip()])
    return Overview(models, datasets, concerns(models, datasets, lake, runs, now), checked_at)


def failed_runs() -> list[FailedRun]:
    """The DAGs that still exist and whose newest finished run failed."""
    with create_session() as session:
        dag_ids = session.scalars(select(DagModel.dag_id).where(DagModel.is_stale.is_(False)))
        found = (_failed_run(session, dag_id) for dag_id in sorted(dag_ids))
        return [run for run in found if run is not None]


def _failed_run(session: Session, dag_id: str) -> FailedRun | None:
    query = (
        select(DagRun.run_id, DagRun.end_date, DagRun.state)
        .where(DagRun.dag_id == dag_id, DagRun.end_date.is_not(None), DagRun.state.in_(State.finished_dr_states))
        .order_by(DagRun.end_date.desc())
        .limit(_MOST_RUNS)
    )
    finished = session.execute(query).all()
    failed = list(takewhile(lambda run: run.state == DagRunState.FAILED, finished))
    if not failed:
        return None
    return FailedRun(dag_id, failed[-1].end_date, f"../../dags/{dag_id}/runs/{quote(failed[0].run_id)}")


def _today(dataset: DatasetSpec, now: datetime) -> date:
    return now.astimezone(ZoneInfo(dataset.timezone)).date()

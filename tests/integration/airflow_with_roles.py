"""Airflow's web server with the roles of a server, a user of each, and runs to do something with.

    python -m tests.integration.airflow_with_roles <port>

Its database is empty, and named in the environment. Each user's password is its name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import uvicorn
from airflow.api_fastapi.app import create_app
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.models.connection import Connection
from airflow.models.dagbag import DBDagBag
from airflow.models.hitl import HITLDetail
from airflow.models.variable import Variable
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from pendulum import datetime

from ml_lifecycle import roles

USERS = {"nobody": "Public", "viewer": "Viewer", "operator": "Operator", "approver": "Approver", "admin": "Admin"}
DAG_ID = "decision"
TASK_ID = "approve"
DAG_FILE = f"""
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG

with DAG("{DAG_ID}", schedule=None):
    ApprovalOperator(task_id="{TASK_ID}", subject="Promote?")

rollback = DAG("churn_rollback", schedule=None)
"""


def add_users() -> None:
    """The roles, again after somebody has given one of them too much; then a user of each."""
    with get_application_builder() as builder:
        roles.bring_in(builder.sm)
        too_much = builder.sm.create_permission("can_read", "Connections")
        builder.sm.add_permission_to_role(builder.sm.find_role("Operator"), too_much)
        roles.bring_in(builder.sm)
        for name, role in USERS.items():
            address = f"{name}@localhost"
            builder.sm.add_user(name, name, name, address, builder.sm.find_role(role), password=name)


def add_dag(folder: Path) -> None:
    (folder / f"{DAG_ID}.py").write_text(DAG_FILE)
    DagBundlesManager().sync_bundles_to_db()
    bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")
    sync_bag_to_db(bag, "dags-folder", None)


def add_runs() -> None:
    """For each user a run of its own, which waits for an approval."""
    with create_session() as session:
        dag: Any = DBDagBag().get_latest_version_of_dag(DAG_ID, session=session)
        for day, user in enumerate([*USERS, "anonymous"], start=1):
            run = dag.create_dagrun(
                run_id=user,
                run_after=datetime(2026, 1, day),
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                state=DagRunState.RUNNING,
                session=session,
            )
            [task] = run.get_task_instances(session=session)
            task.state = TaskInstanceState.AWAITING_INPUT
            session.add(HITLDetail(ti_id=task.id, options=["Approve", "Reject"], subject="Promote?"))
        session.add(Variable("limit", "3"))
        session.add(Connection("lake", "aws", password="secret"))


if __name__ == "__main__":
    initdb()
    add_users()
    add_dag(Path(sys.argv[2]))
    add_runs()
    uvicorn.run(create_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")

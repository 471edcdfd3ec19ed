"""MLflow's tables, as they are before its server starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _get_alembic_config, _verify_schema
from mlflow.store.tracking.dbmodels.initial_models import Base

ROOT = Path(__file__).parents[2]


def test_tables_of_an_older_mlflow_are_migrated(postgres_dsn: str) -> None:
    # given
    url = postgres_dsn.replace("postgresql://", "postgresql+psycopg2://")
    engine = sqlalchemy.create_engine(url)
    Base.metadata.create_all(engine)
    command.upgrade(_get_alembic_config(url), "head-1")
    with pytest.raises(MlflowException, match="out-of-date"):
        _verify_schema(engine)

    # when
    migration = [sys.executable, "-m", "include.stack.mlflow_tables"]
    subprocess.run(migration, cwd=ROOT, env={**os.environ, "MLFLOW_BACKEND_STORE_URI": url}, check=True)

    # then
    _verify_schema(engine)
    engine.dispose()

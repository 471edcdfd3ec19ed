"""MLflow's tables, as a server's first step leaves them."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _get_alembic_config, _verify_schema
from mlflow.store.tracking.dbmodels.initial_models import Base

from include.stack import server_steps
from include.stack.server import Server


def test_tables_of_an_older_mlflow_are_migrated(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    url = postgres_dsn.replace("postgresql://", "postgresql+psycopg2://")
    monkeypatch.setattr(Server, "sqlalchemy_url", lambda *_: url)
    engine = sqlalchemy.create_engine(url)
    Base.metadata.create_all(engine)
    command.upgrade(_get_alembic_config(url), "head-1")
    with pytest.raises(MlflowException, match="out-of-date"):
        _verify_schema(engine)

    # when
    server_steps._migrate_mlflow(Server(tmp_path / "secrets.json"))

    # then
    _verify_schema(engine)
    engine.dispose()

"""Events of assets, recorded one transaction at a time; airflow.env names the class.

Airflow notes which DAGs an event wakes in an order that differs from transaction to transaction. Two tasks that
end at the same time with an event of the same asset may so wait for each other, until PostgreSQL aborts one of
them. Airflow marks the task of that one as failed, though it has done its work: with no retry, and no line in its
log.
"""

from __future__ import annotations

from typing import Any

from airflow.assets.manager import AssetManager
from airflow.models.asset import AssetEvent
from sqlalchemy import func, select
from sqlalchemy.orm import Session


class SerialAssetManager(AssetManager):
    """Airflow's own, with a lock that a transaction holds until it ends."""

    @classmethod
    def register_asset_change(cls, *, session: Session, **change: Any) -> AssetEvent | None:
        """Record an event and the DAGs that it wakes; see Airflow's for the parameters."""
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("asset events", 0))))
        return super().register_asset_change(session=session, **change)

"""Airflow's FAB auth manager, with approvals that are answered by those who may change nothing else."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from airflow.providers.fab.www.security.permissions import RESOURCE_HITL_DETAIL


class AuthManager(FabAuthManager):
    """FAB's own wants the right to change a DAG from whoever answers its approvals: a right to pause it, too."""

    def is_authorized_dag(
        self, *, method: Any, user: Any, access_entity: DagAccessEntity | None = None, details: Any = None
    ) -> bool:
        """Whether the user may; for an answer, to read the DAG's approvals and to edit approvals will do."""
        answers = method == "PUT" and access_entity == DagAccessEntity.HITL_DETAIL
        permitted = super().is_authorized_dag(
            method="GET" if answers else method, user=user, access_entity=access_entity, details=details
        )
        if not answers:
            return permitted
        return permitted and self.is_authorized_custom_view(
            method="PUT", resource_name=RESOURCE_HITL_DETAIL, user=user
        )

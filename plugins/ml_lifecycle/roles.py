"""``python -m ml_lifecycle.roles``: bring the project's roles into Airflow, as often as you like."""

from __future__ import annotations

from typing import Any

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

from include.stack.roles import ROLES


def bring_in(security_manager: Any) -> None:
    """Give each of the project's roles exactly its permissions; other roles stay as they are."""
    security_manager.bulk_sync_roles([{"role": name, "perms": allowed} for name, allowed in ROLES.items()])
    for name, allowed in ROLES.items():
        role = security_manager.find_role(name)
        for permission in list(role.permissions):
            if (permission.action.name, permission.resource.name) not in allowed:
                security_manager.remove_permission_from_role(role, permission)


if __name__ == "__main__":
    with get_application_builder() as builder:
        bring_in(builder.sm)

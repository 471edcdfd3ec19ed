"""Who may do what on a server: its roles and what each permits, in the names of Airflow's FAB auth manager.

Viewer and Admin are Airflow's own. Operator and Approver are the project's: what a viewer may, and what each is
there for. Whoever may change a DAG may pause it, too; Airflow makes no difference.
"""

Permissions = frozenset[tuple[str, str]]


def _permissions(action: str, *resources: str) -> Permissions:
    return frozenset((action, resource) for resource in resources)


VIEWER: Permissions = (
    _permissions(
        "can_read",
        "Asset Aliases",
        "Assets",
        "Backfills",
        "Cluster Activity",
        "DAG Code",
        "DAG Dependencies",
        "DAG Runs",
        "DAG Versions",
        "DAG Warnings",
        "DAGs",
        "HITL Detail",
        "ImportError",
        "Jobs",
        "My Password",
        "My Profile",
        "Pools",
        "SLA Misses",
        "Task Instances",
        "Task Logs",
        "Website",
        "XComs",
    )
    | _permissions("can_edit", "My Password", "My Profile")
    | _permissions(
        "menu_access",
        "Assets",
        "Browse",
        "Cluster Activity",
        "DAG Dependencies",
        "DAG Runs",
        "DAGs",
        "Docs",
        "Documentation",
        "Jobs",
        "SLA Misses",
        "Task Instances",
    )
)
_SEES_APPROVALS = _permissions("menu_access", "HITL Detail")

ROLES: dict[str, Permissions] = {
    "Operator": VIEWER
    | _SEES_APPROVALS
    | _permissions("can_create", "Assets", "DAG Runs")
    | _permissions("can_edit", "DAG Runs", "DAGs", "Task Instances"),
    "Approver": VIEWER | _SEES_APPROVALS | _permissions("can_edit", "HITL Detail"),
}

"""The plugin: overview, report pages, downloads of predictions, buttons, notes of failed runs and warm workers."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from ml_lifecycle import links, run_notes, warm_workers


async def overview(scope: Any, receive: Any, send: Any) -> None:
    """The overview's application, imported at its first request: every Airflow process loads this plugin."""
    from ml_lifecycle.overview import app

    await app(scope, receive, send)


async def reports(scope: Any, receive: Any, send: Any) -> None:
    """The reports application, imported at its first request."""
    from ml_lifecycle.reports import app

    await app(scope, receive, send)


async def predictions(scope: Any, receive: Any, send: Any) -> None:
    """The application that hands out prediction files, imported at its first request."""
    from ml_lifecycle.predictions import app

    await app(scope, receive, send)


class MlLifecyclePlugin(AirflowPlugin):
    """What the project adds to Airflow."""

    name = "ml_lifecycle"
    fastapi_apps = [  # noqa: RUF012
        {"app": overview, "url_prefix": links.OVERVIEW_URL, "name": "Overview"},
        {"app": reports, "url_prefix": links.REPORTS_URL, "name": "Reports"},
        {"app": predictions, "url_prefix": links.PREDICTIONS_URL, "name": "Predictions"},
    ]
    global_operator_extra_links = [  # noqa: RUF012
        links.ValidationPageLink(),
        links.ModelCardLink(),
        links.DriftReportLink(),
        links.PerformanceReportLink(),
        links.PortfolioLink(),
        links.MaintenancePageLink(),
    ]
    listeners = [run_notes, warm_workers]  # noqa: RUF012

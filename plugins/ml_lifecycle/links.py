"""Buttons on a task's page. A task stores the address; the button appears where there is one."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.sdk import BaseOperatorLink, get_current_context
from airflow.sdk.execution_time.xcom import XCom

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

OVERVIEW_URL = "/ml/overview"
REPORTS_URL = "/ml/reports"
PREDICTIONS_URL = "/ml/predictions"
SHOWN_REPORT = "shown_report"
"""Where a task's context has the address of the report that it made."""


class _StoredLink(BaseOperatorLink):
    """Opens the address that the task stored under `xcom_key`."""

    xcom_key: ClassVar[str]

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The stored address; empty where the task did not get so far."""
        return XCom.get_value(ti_key=ti_key, key=self.xcom_key) or ""


class MlflowVersionLink(_StoredLink):
    """Opens the registered version that the task made."""

    name = "Model version in MLflow"
    xcom_key = "mlflow_version_url"


class PredictionFileLink(_StoredLink):
    """Downloads the newest prediction file that the task published."""

    name = "Prediction file"
    xcom_key = "prediction_file_url"


class ReportLink(BaseOperatorLink):
    """Opens the report that the task made. For tasks of any kind, so Airflow asks for it in its web server."""

    kind: ClassVar[str]

    @property
    def xcom_key(self) -> str:
        """Where the task stores the address."""
        return _report_key(self.kind)

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The stored address; empty where the task made no such report."""
        from airflow.serialization.definitions.operatorlink import XComOperatorLink

        return XComOperatorLink(self.name, self.xcom_key).get_link(operator, ti_key=ti_key)


class ValidationPageLink(ReportLink):
    """Opens the validation page of the day."""

    name = "Validation page"
    kind = "validation"


class ModelCardLink(ReportLink):
    """Opens the model card of the training."""

    name = "Model card"
    kind = "model_card"


class DriftReportLink(ReportLink):
    """Opens the drift report of the week."""

    name = "Drift report"
    kind = "drift"


class PerformanceReportLink(ReportLink):
    """Opens the report on how good predictions turned out."""

    name = "Performance report"
    kind = "performance"


class PortfolioLink(ReportLink):
    """Opens the portfolio of the day."""

    name = "Portfolio"
    kind = "portfolio"


class MaintenancePageLink(ReportLink):
    """Opens the page on the state of the lake."""

    name = "Maintenance page"
    kind = "maintenance"


def show_report(prefix: str, day: date) -> str:
    """Give the current task the button that opens a report; returns its address within Airflow's web server.

    `prefix` is the report's lake prefix: `reports/<area>/<kind>`, or `reports/<area>/<kind>/version=<n>` for one
    that belongs to a version.
    """
    _, area, kind, *version = prefix.split("/")
    address = "/".join([REPORTS_URL, area, kind, *version, f"{day}/"])
    context = cast("dict[str, Any]", get_current_context())
    context[SHOWN_REPORT] = address
    context["ti"].xcom_push(_report_key(kind), address)
    return address


def prediction_file(model: str, day: str) -> str:
    """The address of a day's prediction file within Airflow's web server."""
    return f"{PREDICTIONS_URL}/{model}/{day}/predictions.csv"


def _report_key(kind: str) -> str:
    return f"{kind}_url"

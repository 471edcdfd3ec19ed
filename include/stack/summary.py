"""What the stack shows at the end: the champion beside the baseline, the predictions, the drift, the addresses."""

from typing import Any

from rich.console import Console
from rich.table import Table

from include.stack import results
from include.stack.settings import ADMIN_NAME, StackSettings

METRICS = {
    "average_precision": "average precision (higher is better)",
    "roc_auc": "ROC AUC (higher is better)",
    "brier": "Brier score (lower is better)",
    "ece": "calibration error (lower is better)",
    "lift_10": "lift in the top 10 % (higher is better)",
}


def show(settings: StackSettings, console: Console) -> None:
    """Print what the main job left behind, read afresh from the registry and the lake, and where everything is."""
    _show_champion(console, results.champion(settings))
    _show_predictions(settings, console, results.latest_predictions(settings))
    _show_drift(settings, console, results.newest_report(settings))
    show_addresses(settings, console)


def show_addresses(settings: StackSettings, console: Console) -> None:
    """Print the web addresses and the login."""
    _heading(console, "Where to look")
    _line(console, "Airflow", settings.airflow_url)
    _line(console, "  login", f"{ADMIN_NAME}, password {settings.secrets.airflow_password}")
    _line(console, "  kept in", str(settings.airflow_password_file))
    _line(console, "MLflow", settings.mlflow_url)


def _show_champion(console: Console, champion: results.Champion | None) -> None:
    _heading(console, "Champion")
    if champion is None:
        _line(console, "model", "none yet")
        return
    _line(console, "model", f"{results.MODEL}, version {champion.version}")
    table = Table("on the holdout", box=None, pad_edge=False)
    table.add_column("champion", justify="right")
    table.add_column("baseline", justify="right")
    for name, label in METRICS.items():
        values = (champion.metrics.get(f"{prefix}_{name}") for prefix in ("holdout", "baseline_holdout"))
        table.add_row(label, *("" if value is None else f"{value:.3f}" for value in values))
    console.print(table)


def _show_predictions(settings: StackSettings, console: Console, latest: dict[str, Any] | None) -> None:
    _heading(console, "Predictions")
    if latest is None:
        _line(console, "files", "none yet")
        return
    _line(console, "day", latest["day"])
    _line(console, "rows", f"{latest['rows']:,}, scored by version {latest['model_version']}")
    folder = latest["manifest"].rpartition("/")[0]
    for file in latest["files"]:
        key = f"{folder}/{file['name']}"
        _line(console, "file", results.s3_uri(key))
        _line(console, "", str(results.local_path(settings, key)))


def _show_drift(settings: StackSettings, console: Console, report: results.Report | None) -> None:
    _heading(console, "Drift")
    if report is None:
        _line(console, "report", "none yet")
        return
    _line(console, "verdict", f"{report.verdict} ({report.day})")
    _line(console, "because", report.reason)
    _line(console, "report", f"{settings.airflow_url}/ml/{results.REPORTS}/{report.day}/")
    _line(console, "", results.s3_uri(report.page))


def _heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]")


def _line(console: Console, label: str, text: str) -> None:
    console.print(f"{label:<9} {text}", markup=False, highlight=False, soft_wrap=True)

"""What the stack shows at the end: the champion beside the baseline, the predictions, the drift, the addresses."""

from rich.console import Console
from rich.table import Table

from include.catalog import MODELS
from include.datasets.market import MARKET
from include.lifecycle.modelling.tasks import present_names, task_of
from include.lifecycle.numbers import distinct_texts
from include.lifecycle.reporting.pages import percent
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.latest import Latest
from include.portfolio.strategies import MAXIMUM_SHARPE, MINIMUM_VARIANCE
from include.stack import results
from include.stack.services import ADMIN_NAME, DATABASE_ROLE, Services
from include.stack.settings import HOST, StackSettings

SIGNALS = ("symbol", "signal", "expected_return", "expected_volatility", "reason")


def show(services: Services, console: Console, dataset: str | None = None) -> None:
    """Print what the main job left behind, of one dataset or all, read afresh from the registry and the lake."""
    for model in MODELS.values():
        if dataset not in (None, model.dataset.name):
            continue
        _heading(console, model.title)
        _show_champion(console, model, results.champion(services, model.name))
        _show_predictions(services, console, model.name, results.latest_predictions(services, model.name))
        _show_drift(services, console, model.name, results.newest_report(services, model.name))
    if dataset in (None, MARKET.name):
        _show_signals(services, console)
        _show_portfolio(services, console)


def show_addresses(settings: StackSettings, console: Console) -> None:
    """Print the web addresses and the login."""
    _heading(console, "Where to look")
    _line(console, "Overview", f"{settings.airflow_url}/ml/overview/")
    _line(console, "Airflow", settings.airflow_url)
    _line(console, "  login", f"{ADMIN_NAME}, password {settings.secrets.airflow_password}")
    _line(console, "  kept in", str(settings.airflow_password_file))
    _line(console, "MLflow", settings.mlflow_url)
    _line(console, "S3", f"{settings.s3_endpoint}, bucket {settings.buckets.lake}")
    _line(console, "Postgres", f"{HOST}:{settings.ports.postgres}, user {DATABASE_ROLE}, database warehouse")
    _line(console, "  keys in", str(settings.secrets_file))


def _show_champion(console: Console, model: ModelSpec, champion: results.Champion | None) -> None:
    if champion is None:
        _line(console, "champion", "none yet")
        return
    what = ": the naive baseline" if champion.is_baseline else ""
    _line(console, "champion", f"{model.name}, version {champion.version}{what}")
    if champion.is_baseline:
        _line(console, "because", champion.description)
    table = Table("on the holdout", box=None, pad_edge=False)
    table.add_column("champion", justify="right")
    table.add_column("baseline", justify="right")
    table.add_column("how to read it")
    task = task_of(model)
    own, baseline = (present_names(task, champion.metrics, prefix) for prefix in ("holdout_", "baseline_holdout_"))
    for name, metric in task.metrics.items():
        if name in own:
            table.add_row(metric.title, *distinct_texts([own[name], baseline.get(name)]), metric.hint)
    console.print(table)


def _show_predictions(services: Services, console: Console, model: str, newest: Latest | None) -> None:
    if newest is None:
        _line(console, "files", "none yet")
        return
    _line(console, "scored", f"{newest.rows:,} rows of {newest.day} by version {newest.model_version}")
    folder = newest.manifest.rpartition("/")[0]
    for file in newest.files:
        key = f"{folder}/{file.name}"
        _line(console, "file", results.s3_uri(services, key))
        if services.lake_dir:
            _line(console, "", str(services.lake_dir / key))
    _line(
        console,
        "download",
        f"{services.airflow_pages}/ml/predictions/{model}/latest/predictions.csv (with a login)",
    )


def _show_drift(services: Services, console: Console, model: str, report: results.Report | None) -> None:
    if report is None:
        _line(console, "drift", "no report yet")
        return
    _line(console, "drift", f"{report.verdict} ({report.day})")
    _line(console, "because", report.reason)
    _line(console, "report", f"{services.airflow_pages}/ml/reports/{model}/drift/{report.day}/")
    _line(console, "", results.s3_uri(services, report.page))


def _show_signals(services: Services, console: Console) -> None:
    rows = results.prediction_rows(services, "returns", SIGNALS)
    if not rows:
        return
    _heading(console, "Signals")
    table = Table("symbol", "signal", box=None, pad_edge=False)
    table.add_column("expected return", justify="right")
    table.add_column("volatility", justify="right")
    table.add_column("because")
    for symbol, signal, expected, volatility, reason in rows:
        table.add_row(symbol, signal, percent(expected, 2), percent(volatility, 1), reason)
    console.print(table)


def _show_portfolio(services: Services, console: Console) -> None:
    day, weights = results.portfolio_day(services), results.portfolio_weights(services)
    if day is None or weights is None:
        return
    _heading(console, "Portfolio")
    table = Table("symbol", box=None, pad_edge=False)
    for strategy in weights.columns[1:]:
        table.add_column(strategy.replace("_", " "), justify="right")
    for symbol, *shares in weights.rows():
        table.add_row(symbol, *("" if share is None else percent(share, 1) for share in shares))
    console.print(table)
    if weights[MINIMUM_VARIANCE].equals(weights[MAXIMUM_SHARPE]):
        _line(console, "note", "Maximum Sharpe holds the same as minimum variance; the page says why.")
    _line(console, "page", f"{services.airflow_pages}/ml/reports/portfolio/portfolio/{day}/")


def _heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]")


def _line(console: Console, label: str, text: str) -> None:
    console.print(f"{label:<9} {text}", markup=False, highlight=False, soft_wrap=True)

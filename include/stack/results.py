"""What the main job leaves behind: read from the lake and from the registry, never remembered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import polars as pl

from include.lifecycle.ingestion.feature_version import other_versions
from include.lifecycle.promotion.registry import VERDICT_TAG
from include.lifecycle.specs import DatasetSpec
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, partition
from include.lifecycle.storage.latest import DamagedLatestError, Latest
from include.stack.errors import StackError
from include.stack.s3 import s3_client
from include.stack.services import Services

PORTFOLIO = "portfolio/market"


@dataclass(frozen=True)
class Champion:
    """The model version in charge, with the metrics of the run that made it.

    `is_baseline`: it is the naive baseline, and `description` says why.
    """

    version: int
    metrics: dict[str, float]
    is_baseline: bool = False
    description: str = ""


@dataclass(frozen=True)
class Report:
    """A drift report: its day, its verdict (drift, no drift, not enough evidence), why, and its page's key."""

    day: date
    verdict: str
    reason: str
    page: str


def newest_features_day(services: Services, dataset: str, until: date | None = None) -> date | None:
    """Return the last day with features, until a day if one is given, or None."""
    return max(_lake(services).days(f"features/{dataset}", until=until or date.max), default=None)


def is_of_other_code(services: Services, dataset: DatasetSpec, day: date) -> bool:
    """Whether the features of a day were made by other code than the present one."""
    return bool(other_versions(dataset, _lake(services), [day]))


def latest_predictions(services: Services, model: str) -> Latest | None:
    """Return what names the newest prediction files, as consumers read it, or None."""
    return _latest(services, f"predictions/{model}")


def newest_report(services: Services, model: str) -> Report | None:
    """Return the newest drift report, or None."""
    lake, prefix = _lake(services), f"reports/{model}/drift"
    day = max(lake.days(prefix), default=None)
    if day is None:
        return None
    verdict = lake.read_json(prefix, day, "verdict.json")
    page = lake.manifest(prefix, day).file("index.html").name
    return Report(day, verdict["verdict"], verdict["reason"], f"{partition(prefix, day)}/{page}")


def prediction_rows(services: Services, model: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return columns of the newest predictions, row by row."""
    newest = latest_predictions(services, model)
    if newest is None:
        return []
    with TemporaryDirectory() as folder:
        files = _lake(services).download(f"predictions/{model}", newest.day, Path(folder), "predictions.parquet")
        return pl.read_parquet(files, columns=list(columns)).select(columns).rows()


def portfolio_day(services: Services) -> date | None:
    """Return the day of the newest portfolio, or None."""
    newest = _latest(services, PORTFOLIO)
    return None if newest is None else newest.day


def portfolio_weights(services: Services) -> pl.DataFrame | None:
    """Return the newest portfolio's weights, a row per symbol and a column per strategy, or None."""
    day = portfolio_day(services)
    if day is None:
        return None
    with TemporaryDirectory() as folder:
        files = _lake(services).download(PORTFOLIO, day, Path(folder), "weights.parquet")
        return pl.read_parquet(files).pivot("strategy", index="symbol", values="weight")


def champion(services: Services, model: str) -> Champion | None:
    """Return the model version that the registry's alias ``champion`` names, or None."""
    version = _ask_mlflow(services, "registered-models/alias", name=model, alias="champion")
    if version is None:
        return None
    found = version["model_version"]
    run = _ask_mlflow(services, "runs/get", run_id=found["run_id"])
    metrics = run["run"]["data"].get("metrics", []) if run else []
    tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
    return Champion(
        int(found["version"]),
        {item["key"]: item["value"] for item in metrics},
        tags.get(VERDICT_TAG) == "baseline",
        found.get("description", ""),
    )


def s3_uri(services: Services, key: str) -> str:
    """Return the S3 address of a key on the lake."""
    return f"s3://{services.buckets.lake}/{key}"


def _latest(services: Services, prefix: str) -> Latest | None:
    """Return what names the newest day of a prefix, or None where there is nothing.

    Raises
    ------
    StackError
        If it is damaged.
    """
    try:
        return latest.find(_lake(services), prefix)
    except DamagedLatestError as error:
        raise StackError(str(error)) from error


def _lake(services: Services) -> Lake:
    return Lake(s3_client(services), services.buckets.lake)


def _ask_mlflow(services: Services, path: str, **query: str) -> dict[str, Any] | None:
    """Return the answer of MLflow's REST API (its client is slow to load), or None if it knows no such."""
    url = f"{services.mlflow_url}/api/2.0/mlflow/{path}"
    answer = httpx.get(url, params=query, auth=services.mlflow_login, trust_env=False, timeout=30)
    if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.BAD_REQUEST):
        return None
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found

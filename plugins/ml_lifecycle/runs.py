"""What a task needs to know of its run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from airflow.sdk import get_current_context
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from include.lifecycle.ingestion.records import ExtractedDays, ValidatedDays, shortfall
from include.lifecycle.specs import DatasetSpec
from include.lifecycle.storage.lake import RunInfo
from include.lifecycle.storage.manifests import UNKNOWN_VERSION
from ml_lifecycle.days import run_start
from ml_lifecycle.links import show_report

if TYPE_CHECKING:
    from include.lifecycle.ingestion.verdicts import DayVerdict


def run_info() -> RunInfo:
    """The current run, as manifests record it."""
    context = get_current_context()
    run = context["dag_run"]
    return RunInfo(run.run_id, run_start(context), code_version(), run_url(run.dag_id, run.run_id))


def run_url(dag_id: str, run_id: str) -> str:
    """The page of a run in Airflow, as a browser reaches it."""
    return web_url(f"/dags/{dag_id}/runs/{quote(run_id)}")


def web_url(address: str) -> str:
    """An address within Airflow's web server, as a browser reaches it."""
    return f"{conf.get('api', 'base_url', fallback='http://localhost:8080').rstrip('/')}{address}"


def run_links(page: str | None = None) -> dict[str, str]:
    """Where a notification leads: a page within Airflow's web server, if there is one, and the current run."""
    run = get_current_context()["dag_run"]
    return {**({"Page": web_url(page)} if page else {}), "Run": run_url(run.dag_id, run.run_id)}


@cache
def code_version() -> str:
    """`ML_CODE_VERSION` where it is set, else the Git commit, else UNKNOWN_VERSION (an image without Git)."""
    set_version = os.environ.get("ML_CODE_VERSION")
    if set_version:
        return set_version
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return UNKNOWN_VERSION


def label_days(days: Sequence[str], detail: str = "") -> list[date]:
    """The days of a mapped task, which with a detail also become its label in the UI."""
    context = cast("dict[str, Any]", get_current_context())
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    context["days_label"] = f"{span}, {detail}" if detail else span
    return [date.fromisoformat(day) for day in days]


def label_batch(number: int, count: int, segments: Sequence[str]) -> None:
    """Make a batch of segments, the `number`-th from 0 of `count`, the label of its mapped task in the UI."""
    cast("dict[str, Any]", get_current_context())["batch_label"] = batch_label(number, count, segments)


def batch_label(number: int, count: int, segments: Sequence[str]) -> str:
    """The label of a batch, e.g. `batch 03 of 12: AAPL to TSLA (5)`: sorted by text, batches are in order."""
    more = f" to {segments[-1]} ({len(segments)})" if len(segments) > 1 else ""
    return f"batch {number + 1:0{len(str(count))}d} of {count}: {segments[0]}{more}"


def show_verdicts(dataset: DatasetSpec, verdicts: Sequence[DayVerdict]) -> ValidatedDays:
    """Give the task its button to the page of its first rejected day, or else its newest; sum them up."""
    validated = ValidatedDays.of(verdicts)
    show_report(dataset.validation_prefix, min(validated.rejected, default=verdicts[-1].day))
    return validated


def fail_on_shortfall(
    dataset: DatasetSpec,
    planned: Sequence[date],
    extracted: Sequence[ExtractedDays],
    validated: ValidatedDays,
) -> None:
    """Make the run fail, without a retry, where it owes something, with a button to the first rejected day's page.

    Raises
    ------
    AirflowFailException
        With a sentence for each rejected day, each without a verdict, and all that the source lacks.
    """
    if validated.rejected:
        show_report(dataset.validation_prefix, min(validated.rejected))
    sentences = shortfall(planned, extracted, validated)
    if sentences:
        raise AirflowFailException(f"{dataset.title} is incomplete. {' '.join(sentences)}")

"""What a task needs to know of its run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from include.lifecycle.lake import RunInfo
from include.lifecycle.specs import DatasetSpec
from ml_lifecycle.days import run_start
from ml_lifecycle.links import show_report

if TYPE_CHECKING:
    from include.lifecycle.validation import DayVerdict


def run_info() -> RunInfo:
    """The current run, as manifests record it."""
    context = get_current_context()
    return RunInfo(context["dag_run"].run_id, run_start(context), code_version())


@cache
def code_version() -> str:
    """`ML_CODE_VERSION` where it is set, else the Git commit, else `unknown` (an image without Git)."""
    set_version = os.environ.get("ML_CODE_VERSION")
    if set_version:
        return set_version
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "unknown"


def label_days(days: Sequence[str]) -> list[date]:
    """The days of a mapped task, which also become its label in the UI."""
    context = cast("dict[str, Any]", get_current_context())
    context["days_label"] = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return [date.fromisoformat(day) for day in days]


def label_segments(segments: Sequence[str]) -> None:
    """Make the segments of a mapped task its label in the UI."""
    context = cast("dict[str, Any]", get_current_context())
    more = f" to {segments[-1]} ({len(segments)})" if len(segments) > 1 else ""
    context["segments_label"] = f"{segments[0]}{more}"


def report_verdicts(dataset: DatasetSpec, verdicts: Sequence[DayVerdict]) -> None:
    """Give the task its button to the validation page, and stop the run, without a retry, if a day was rejected.

    The button opens the newest day, or the first rejected one.

    Raises
    ------
    AirflowFailException
        With a sentence for each rejected day.
    """
    rejected = [verdict for verdict in verdicts if not verdict.accepted]
    show_report(dataset.validation_prefix, rejected[0].day if rejected else verdicts[-1].day)
    if rejected:
        reasons = " ".join(f"{verdict.day}: {' '.join(verdict.problems)}" for verdict in rejected)
        raise AirflowFailException(
            f"{dataset.title} was rejected for {len(rejected)} day(s). {reasons} "
            "Open the validation page, fix the source, and trigger this DAG with the day."
        )

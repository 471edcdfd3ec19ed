"""What is wrong, and since when: a pure function of where models, datasets, lake and runs stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypeVar

from pydantic import BaseModel

from include.lifecycle.monitoring import drift_verdict, performance_verdict
from include.lifecycle.overview.state import DatasetState, Dated, LakeState, ModelState
from include.lifecycle.promotion import ledger
from include.lifecycle.reporting.pages import percent
from include.lifecycle.scoring.deadlines import deadline, overdue

Record = TypeVar("Record", bound=BaseModel)

REPORTS = "../reports"
"""Where the reports are, from the overview."""


@dataclass(frozen=True)
class Concern:
    """Something that somebody has to act on (`bad`), look at (`warning`) or answer (`neutral`).

    Attributes
    ----------
    about : the model, dataset or DAG.
    sentence : what is wrong.
    since : the first day of it; None where that is not known.
    address : of the page that says more, relative to the overview.
    """

    status: Literal["bad", "warning", "neutral"]
    about: str
    sentence: str
    since: date | None
    address: str


@dataclass(frozen=True)
class FailedRun:
    """The newest finished run of a DAG, where it failed. `since` is the end of the first of those in a row."""

    dag_id: str
    since: datetime
    address: str


def concerns(
    models: Sequence[ModelState],
    datasets: Sequence[DatasetState],
    lake: LakeState,
    runs: Sequence[FailedRun],
    now: datetime,
) -> list[Concern]:
    """All of them: what somebody has to act on first, of each kind the oldest first."""
    found = [
        *(concern for state in models for concern in _of_model(state, now)),
        *(concern for state in datasets for concern in _of_dataset(state)),
        *_of_lake(lake),
        *(Concern("bad", run.dag_id, "Its newest run failed.", run.since.date(), run.address) for run in runs),
    ]
    order = ("bad", "warning", "neutral")
    return sorted(
        found, key=lambda concern: (order.index(concern.status), concern.since or date.min, concern.about)
    )


def _of_model(state: ModelState, now: datetime) -> Iterator[Concern]:
    name = state.model.name
    for fault in state.faults:
        yield Concern("bad", name, fault, None, f"{REPORTS}/lake/maintenance/latest/")
    yield from _of_predictions(state, now)
    yield from _of_drift(state)
    yield from _of_performance(state)
    for proposal in ledger.unanswered(state.history):
        sentence = f"Version {proposal.candidate} waits for somebody to approve or reject it."
        address = f"{REPORTS}/{name}/model_card/version={proposal.candidate}/latest/"
        yield Concern("warning", name, sentence, proposal.effective_from, address)
    if state.request is not None:
        waits = "A training has been asked for." if state.request.state == "open" else "A training is at work."
        sentence = f"{waits} {state.request.reason}"
        yield Concern("neutral", name, sentence, state.request.asked_on, f"../../dags/{name}_training")


def _of_predictions(state: ModelState, now: datetime) -> Iterator[Concern]:
    model, newest = state.model, state.predictions
    if state.champion is None:
        sentence = "No version is in force, so nothing is scored. A training makes one."
        yield Concern("neutral", model.name, sentence, None, f"../../dags/{model.name}_training")
    if newest is None:
        return
    if newest.fault:
        yield Concern("bad", model.name, newest.fault, newest.day, f"../../dags/{model.name}_scoring")
    if overdue(model, newest.day, now):
        following = model.dataset.calendar.later(newest.day, 1)
        due = deadline(model, following)
        sentence = f"The predictions of {following} were due on {due:%Y-%m-%d at %H:%M} and are not there."
        yield Concern("bad", model.name, sentence, due.date(), f"../../dags/{model.name}_scoring")


def _of_drift(state: ModelState) -> Iterator[Concern]:
    since = _first_in_a_row(state.drift, lambda verdict: verdict.verdict == "drift")
    if since is not None:
        newest = state.drift[-1]
        address = _report(state.model.name, drift_verdict.KIND, newest.day)
        yield Concern("warning", state.model.name, f"Drift. {newest.record.reason}", since, address)


def _of_performance(state: ModelState) -> Iterator[Concern]:
    newest = state.performance[-1] if state.performance else None
    status = newest and _STATUS_OF_PERFORMANCE.get(newest.record.verdict)
    if newest is not None and status:
        verdict = newest.record.verdict
        since = _first_in_a_row(state.performance, lambda found: found.verdict == verdict)
        address = _report(state.model.name, performance_verdict.KIND, newest.day)
        yield Concern(status, state.model.name, newest.record.reason, since, address)


_STATUS_OF_PERFORMANCE: dict[performance_verdict.VerdictName, Literal["bad", "warning"]] = {
    "worse": "bad",
    "intervals off": "warning",
}


def _of_dataset(state: DatasetState) -> Iterator[Concern]:
    name = state.dataset.name
    for fault in state.faults:
        yield Concern("bad", name, fault, None, f"{REPORTS}/lake/maintenance/latest/")
    if not state.verdicts:
        return
    newest = state.verdicts[-1]
    address = _report(name, "validation", newest.day)
    rejected = _first_in_a_row(state.verdicts, lambda verdict: not verdict.accepted)
    if rejected is not None:
        sentence = f"{newest.day} was rejected: {' '.join(newest.record.problems)}"
        yield Concern("bad", name, sentence, rejected, address)
    for table, verdict in newest.record.tables.items():
        if verdict.has_unusually_many_bad_rows:
            sentence = (
                f"{percent(verdict.bad_share)} of {table} went to quarantine on {newest.day}, far more than usual."
            )
            yield Concern("warning", name, sentence, newest.day, address)


def _of_lake(state: LakeState) -> Iterator[Concern]:
    address = f"{REPORTS}/lake/maintenance/latest/"
    yield from (Concern("bad", "lake", fault, None, address) for fault in state.faults)
    if state.maintenance is None:
        return
    report = state.maintenance.record
    paths = sorted({damage.path for damage in report.damages})
    if paths:
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        since = min((report.tried[path] for path in paths if path in report.tried), default=state.maintenance.day)
        yield Concern("bad", "lake", f"Maintenance could not heal {paths[0]}{more}.", since, address)


def _report(area: str, kind: str, day: date) -> str:
    return f"{REPORTS}/{area}/{kind}/{day}/"


def _first_in_a_row(records: Sequence[Dated[Record]], is_bad: Callable[[Record], bool]) -> date | None:
    """The day of the first of the bad records that the newest one ends; None where that one is good."""
    since = None
    for dated in reversed(records):
        if not is_bad(dated.record):
            break
        since = dated.day
    return since

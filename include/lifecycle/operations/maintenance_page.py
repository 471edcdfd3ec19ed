"""The maintenance page: are lake and warehouse whole, what was healed, what is lost, what was swept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import TYPE_CHECKING

from include.lifecycle.reporting.pages import Cell, Page, Section, Table, Verdict, render

if TYPE_CHECKING:
    from include.lifecycle.operations.maintenance_policy import Damage, Decision, Evidence, Outcome, Scope

_MOST_SHOWN = 200
# Airflow's pages, from the address of a report.
_AIRFLOW = "../" * 5


def verdict_of(scope: Scope, evidence: Evidence, decision: Decision, outcome: Outcome | None) -> Verdict:
    """Whether damage was found. Without an outcome: before anything is done about it, or where nothing will be."""
    checked = f"{evidence.checked:,} of {_counted(evidence.partitions, 'partition')} compared with the manifests."
    found = len({damage.path for damage in evidence.damages})
    if not found and not evidence.checked:
        return Verdict("neutral", "Nothing was checked", "No partition lies under this prefix and in these days.")
    if not found:
        return Verdict("good", "No damage was found", f"{checked} {_swept(scope, decision, outcome)}")
    if outcome is None:
        woken = len({path for wake in decision.wakes for path in wake.heals})
        plan = f"{_counted(len(decision.wakes), 'run')} for {woken:,} of them"
        reason = f"{checked} " + (
            f"Dry run: nothing was done; it would have started {plan}." if scope.dry_run else f"To start: {plan}."
        )
        return Verdict("bad", _faults(evidence.damages), reason)
    left = len({damage.path for damage in outcome.remaining})
    if left:
        healed = f"{found - left:,} of {_counted(found, 'partition')} healed."
        reason = f"{checked} {healed} {_swept(scope, decision, outcome)}"
        return Verdict("bad", _faults(outcome.remaining, "still "), reason)
    reason = f"{checked} {_swept(scope, decision, outcome)}"
    return Verdict("warning", _healed(evidence.damages), reason)


def render_maintenance(
    scope: Scope, verdict: Verdict, evidence: Evidence, decision: Decision, outcome: Outcome | None
) -> str:
    """The page of a run, self-contained."""
    return render(
        Page(
            title=f"Maintenance of the lake, {scope.until}",
            verdict=verdict,
            sections=[
                *_damages(scope, evidence, decision, outcome),
                *_stray(scope, evidence, decision, outcome),
                *_unknown(evidence),
            ],
            facts={
                "Prefix": scope.prefix or "the whole lake",
                "Days": _days(scope),
                "Run": f"{scope.started_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
                + (", dry" if scope.dry_run else ""),
                "Older partitions in the sample": None if scope.days or scope.prefix else evidence.sampled,
                "Unreferenced files are kept for": f"{scope.keep_days} days",
            },
            links=_runs(scope, decision),
        )
    )


def _runs(scope: Scope, decision: Decision) -> dict[str, str]:
    dags = () if scope.dry_run else (wake.dag_id for wake in decision.wakes)
    return {f"Runs of {dag_id}": f"{_AIRFLOW}dags/{dag_id}/runs" for dag_id in dags}


def _days(scope: Scope) -> str:
    if scope.days is not None:
        return " to ".join(dict.fromkeys(map(str, scope.days)))
    if scope.prefix:
        return "all"
    return f"the last {scope.recent_days}, partitions written in them, and a sample of the others"


def _damages(scope: Scope, evidence: Evidence, decision: Decision, outcome: Outcome | None) -> list[Section]:
    damaged = [damage for damage in evidence.damages if not damage.table]
    unloaded = [damage for damage in evidence.damages if damage.table]
    columns = ["partition", "what is wrong", "what is done"]

    def section(title: str, text: str, damages: list[Damage]) -> Section:
        rows: list[list[Cell]] = [
            [damage.path, damage.problem, _state(damage, scope, decision, outcome)]
            for damage in damages[:_MOST_SHOWN]
        ]
        return Section(title, text, table=Table(columns, rows, caption=_more(len(damages))))

    sections = []
    if damaged:
        text = (
            "What can be rebuilt is rebuilt by the DAG of its prefix, from what it reads. Raw data can only be "
            "extracted again from a source that still has the day."
        )
        sections.append(section("Damaged or missing", text, damaged))
    if unloaded:
        text = (
            "The warehouse's table was not loaded from the prediction files that the lake has now, as after a "
            "database was restored, or rows of it were deleted or added since. Scoring these days again publishes "
            "files and table together."
        )
        sections.append(section("Missing or old in the warehouse", text, unloaded))
    return sections


def _state(damage: Damage, scope: Scope, decision: Decision, outcome: Outcome | None) -> str:
    """What is done about a damage, or what came of it."""
    dags = {path: wake.dag_id for wake in decision.wakes for path in wake.heals}
    dag_id = dags.get(damage.path)
    left = {(one.path, one.table) for one in outcome.remaining} if outcome else set()
    if outcome and (damage.path, damage.table) not in left:
        return f"Healed by {dag_id or 'another run'}."
    if outcome and dag_id:
        return f"Not healed: {dag_id} was run and it is as it was; look at that run."
    return decision.lost.get(damage.path) or f"{dag_id} {'would rebuild' if scope.dry_run else 'rebuilds'} it."


def _stray(scope: Scope, evidence: Evidence, decision: Decision, outcome: Outcome | None) -> list[Section]:
    if not evidence.stray:
        return []
    swept = {file.key for file in decision.sweep}
    done = "deleted" if outcome else "would be deleted" if scope.dry_run else "to be deleted"
    rows: list[list[Cell]] = [
        [file.key, file.bytes, str(file.written.date()), done if file.key in swept else "kept for now"]
        for file in evidence.stray[:_MOST_SHOWN]
    ]
    text = "Files that no manifest names, and staged partitions that have expired."
    table = Table(["file", "bytes", "written", "what is done"], rows, caption=_more(len(evidence.stray)))
    return [Section("Unreferenced files", f"{text} {_swept(scope, decision, outcome)}", table=table)]


def _unknown(evidence: Evidence) -> list[Section]:
    if not evidence.unknown:
        return []
    rows = [[key] for key in evidence.unknown[:_MOST_SHOWN]]
    text = "Objects that do not belong to this project. They are left alone; delete them if nobody needs them."
    return [Section("Unknown files", text, table=Table(["file"], rows, caption=_more(len(evidence.unknown))))]


def _swept(scope: Scope, decision: Decision, outcome: Outcome | None) -> str:
    if outcome is not None:
        return f"{outcome.freed:,} bytes of unreferenced files were freed."
    size = sum(file.bytes for file in decision.sweep)
    files = f"{_counted(len(decision.sweep), 'unreferenced file')} ({size:,} bytes)"
    return f"Dry run: {files} would be deleted." if scope.dry_run else f"To be deleted: {files}."


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _faults(damages: Iterable[Damage], still: str = "") -> str:
    """How many partitions are damaged or missing, and how many the warehouse was not loaded from."""
    damaged, unloaded = _by_place(damages)
    sentences = []
    if damaged:
        verb = "is" if damaged == 1 else "are"
        sentences.append(f"{_counted(damaged, 'partition')} {verb} {still}damaged or missing")
    if unloaded:
        verb = "is" if unloaded == 1 else "are"
        sentences.append(
            f"{_counted(unloaded, 'day')} of predictions {verb} {still}missing or old in the warehouse"
        )
    return ", ".join(sentences)


def _healed(damages: Iterable[Damage]) -> str:
    damaged, unloaded = _by_place(damages)
    sentences = []
    if damaged == 1:
        sentences.append("The damaged or missing partition was healed")
    elif damaged:
        sentences.append(f"All {damaged:,} damaged or missing partitions were healed")
    if unloaded:
        verb = "was" if unloaded == 1 else "were"
        sentences.append(f"{_counted(unloaded, 'day')} of predictions {verb} loaded into the warehouse")
    return ", ".join(sentences)


def _by_place(damages: Iterable[Damage]) -> tuple[int, int]:
    """How many partitions are damaged in the lake, and how many the warehouse lacks."""
    every = list(damages)
    return (
        len({damage.path for damage in every if not damage.table}),
        len({damage.path for damage in every if damage.table}),
    )


def _more(rows: int) -> str:
    return f"The first {_MOST_SHOWN} of {rows:,}." if rows > _MOST_SHOWN else ""

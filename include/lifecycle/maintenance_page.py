"""The maintenance page: is the lake whole, what was healed, what is lost, what was swept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.lifecycle.pages import Page, Section, Table, Verdict, render

if TYPE_CHECKING:
    from include.lifecycle.maintenance_policy import Decision, Evidence, Outcome, Scope

_MOST_SHOWN = 200


def verdict_of(evidence: Evidence, decision: Decision, outcome: Outcome | None) -> Verdict:
    """Whether the lake is whole. Without an outcome: what was found, before anything is done about it."""
    checked = f"{evidence.checked:,} of {evidence.partitions:,} partitions were compared with their manifests."
    found = len({damage.path for damage in evidence.damages})
    if not found and not evidence.partitions:
        return Verdict(
            "neutral", "Nothing was checked", "No partition lies under this prefix; check its spelling."
        )
    if not found:
        return Verdict("good", "The lake is whole", f"{checked} {_swept(decision, outcome)}")
    if outcome is None:
        woken = len({path for wake in decision.wakes for path in wake.heals})
        reason = f"{checked} {len(decision.wakes)} runs would rebuild {woken} of the damaged ones."
        return Verdict("bad", f"{_partitions(found)} damaged or missing", reason)
    left = len({damage.path for damage in outcome.remaining})
    if left:
        reason = f"{checked} {found - left:,} of {found:,} damaged ones were healed. {_swept(decision, outcome)}"
        return Verdict("bad", f"{_partitions(left)} still damaged or missing", reason)
    reason = f"{checked} {_swept(decision, outcome)}"
    return Verdict("warning", _healed(found), reason)


def render_maintenance(
    scope: Scope, verdict: Verdict, evidence: Evidence, decision: Decision, outcome: Outcome | None
) -> str:
    """The page of a run, self-contained."""
    return render(
        Page(
            title=f"Maintenance of the lake, {scope.until}",
            verdict=verdict,
            sections=[
                *_damages(evidence, decision, outcome),
                *_stray(evidence, decision, outcome),
                *_unknown(evidence),
            ],
            facts={
                "Prefix": scope.prefix or "the whole lake",
                "Days": " to ".join(map(str, scope.days)) if scope.days else f"the last {scope.recent_days}",
                "Older partitions in the sample": None if scope.days or scope.prefix else scope.sample,
                "Unreferenced files are kept for": f"{scope.keep_days} days",
            },
        )
    )


def _damages(evidence: Evidence, decision: Decision, outcome: Outcome | None) -> list[Section]:
    if not evidence.damages:
        return []
    dags = {path: wake.dag_id for wake in decision.wakes for path in wake.heals}
    left = {damage.path for damage in outcome.remaining} if outcome else set()
    rows = []
    for damage in evidence.damages[:_MOST_SHOWN]:
        state = decision.lost.get(damage.path) or f"{dags[damage.path]} rebuilds it."
        if outcome and damage.path in left and damage.path in dags:
            state = f"Not healed: {dags[damage.path]} was run and it is still damaged; look at that run."
        elif outcome and damage.path not in left:
            state = f"Healed by {dags.get(damage.path, 'another run')}."
        rows.append([damage.path, damage.problem, state])
    text = (
        "What can be rebuilt is rebuilt by the DAG of its prefix, from what it reads. Raw data can only be "
        "extracted again from a source that still has the day."
    )
    table = Table(["partition", "what is wrong", "what is done"], rows, caption=_more(len(evidence.damages)))
    return [Section("Damaged or missing", text, table=table)]


def _stray(evidence: Evidence, decision: Decision, outcome: Outcome | None) -> list[Section]:
    if not evidence.stray:
        return []
    swept = {file.key for file in decision.sweep}
    rows = [
        [file.key, file.bytes, str(file.written.date()), "swept" if file.key in swept else "kept for now"]
        for file in evidence.stray[:_MOST_SHOWN]
    ]
    text = "Files that no manifest names, and staged partitions that have expired."
    table = Table(["file", "bytes", "written", "what is done"], rows, caption=_more(len(evidence.stray)))
    return [Section("Unreferenced files", f"{text} {_swept(decision, outcome)}", table=table)]


def _unknown(evidence: Evidence) -> list[Section]:
    if not evidence.unknown:
        return []
    rows = [[key] for key in evidence.unknown[:_MOST_SHOWN]]
    text = "Objects that do not belong to this project. They are left alone; delete them if nobody needs them."
    return [Section("Unknown files", text, table=Table(["file"], rows, caption=_more(len(evidence.unknown))))]


def _swept(decision: Decision, outcome: Outcome | None) -> str:
    if outcome is None:
        size = sum(file.bytes for file in decision.sweep)
        return f"{len(decision.sweep):,} unreferenced files ({size:,} bytes) would be deleted."
    return f"{outcome.freed:,} bytes of unreferenced files were freed."


def _partitions(number: int) -> str:
    return f"{number:,} partition is" if number == 1 else f"{number:,} partitions are"


def _healed(number: int) -> str:
    return (
        "The damaged or missing partition was healed"
        if number == 1
        else (f"All {number:,} damaged or missing partitions were healed")
    )


def _more(rows: int) -> str:
    return f"The first {_MOST_SHOWN} of {rows:,}." if rows > _MOST_SHOWN else ""

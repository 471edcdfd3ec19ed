"""Which version scores which day: its champion, or, where that cannot be used, one that the champion replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import groupby

from include.lifecycle.promotion import ledger
from include.lifecycle.specs import Spec

Fault = Callable[[int], str | None]
"""Says of a version why it cannot be used, or None."""


@dataclass(frozen=True)
class Job:
    """Days, oldest first, that one version scores."""

    version: int
    days: tuple[date, ...]


class FallbackEvidence(Spec):
    """What the ledger keeps of a fallback: why a version cannot be used, and which one scores each day instead."""

    fault: str
    days: dict[date, int | None]


@dataclass(frozen=True)
class Assignment:
    """The version that scores each day, and the fallbacks that the ledger does not have yet."""

    versions: dict[date, int]
    entries: tuple[ledger.Entry, ...]


def assign(
    planned: Mapping[date, int], history: Sequence[ledger.Entry], fault: Fault, run_id: str, *, on_demand: bool
) -> Assignment:
    """Give each planned day a version that can be used: its own, or one that had not seen the day's future.

    Where there is none, the day keeps its version, so that its scoring fails and says why. A day that the present
    champion may not score is left out instead, unless it was asked for: no training can bring its version back,
    and the days after it must not wait.

    Parameters
    ----------
    planned : the version that is to score each day.
    history : the model's ledger entries, oldest first.
    on_demand : whether a person asked for these days.
    """
    known_fault = cache(fault)
    present = ledger.replay(history).champion
    versions: dict[date, int] = {}
    replaced: dict[int, dict[date, int | None]] = {}
    for day, due in planned.items():
        choices = (due, *ledger.choices_as_of(history, day))
        used = next((version for version in choices if known_fault(version) is None), None)
        if used is not None or on_demand or present in choices:
            versions[day] = due if used is None else used
        if used != due:
            replaced.setdefault(due, {})[day] = used
    entries = (
        _entry(history[0].model, version, days, str(known_fault(version)), run_id)
        for version, days in replaced.items()
    )
    recorded = [entry.evidence for entry in history if entry.action == "fallback"]
    return Assignment(versions, tuple(entry for entry in entries if entry.evidence not in recorded))


def jobs(versions: Mapping[date, int], days_per_job: int) -> list[Job]:
    """The days, oldest first, in runs of one version of at most so many days."""
    return list(_jobs(versions, days_per_job))


def _jobs(versions: Mapping[date, int], days_per_job: int) -> Iterator[Job]:
    for version, group in groupby(sorted(versions), key=lambda day: versions[day]):
        days = tuple(group)
        for start in range(0, len(days), days_per_job):
            yield Job(version, days[start : start + days_per_job])


def _entry(model: str, version: int, days: Mapping[date, int | None], fault: str, run_id: str) -> ledger.Entry:
    """What the ledger says of a version that could not score some days; the champion stays as it is."""
    groups = [
        (f"{_span([day for day in days if days[day] == used])}", used) for used in dict.fromkeys(days.values())
    ]
    instead = "; ".join(
        f"version {used} scores {span}" if used else f"no other version may score {span}" for span, used in groups
    )
    return ledger.Entry(
        model=model,
        action="fallback",
        candidate=version,
        from_version=None,
        to_version=None,
        effective_from=min(days),
        actor="scoring",
        reason=f"Version {version} cannot score: {instead}. {fault}",
        evidence=FallbackEvidence(fault=fault, days=dict(days)).model_dump(mode="json"),
        run_id=run_id,
    )


def _span(days: Sequence[date]) -> str:
    return f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]}"

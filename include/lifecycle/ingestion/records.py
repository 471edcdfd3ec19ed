"""What the steps of an ETL run hand on: the days that were extracted, and what validation said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Self

from pydantic import Field

from include.lifecycle.ingestion.planning import some_days
from include.lifecycle.ingestion.verdicts import DayVerdict, present_verdicts
from include.lifecycle.specs import DatasetSpec, Spec
from include.lifecycle.storage.lake import Lake


class ExtractedDays(Spec):
    """What came of extracting some days: `faults` say, by day and table, why a table could not be had.

    `source_faults` are sentences on what the source should give and cannot, on any day.
    """

    days: tuple[date, ...]
    faults: dict[date, dict[str, str]] = Field(default_factory=dict)
    source_faults: tuple[str, ...] = ()


class ValidatedDays(Spec):
    """What validation said of some days: those accepted, and by rejected day the problems, in sentences.

    `is_complete` is false where validation failed, and this is what the lake has of the days.
    """

    is_complete: bool = True
    accepted: tuple[date, ...]
    rejected: dict[date, tuple[str, ...]] = Field(default_factory=dict)

    @classmethod
    def of(cls, verdicts: Sequence[DayVerdict]) -> Self:
        """The verdicts, summed up."""
        return cls(
            accepted=tuple(verdict.day for verdict in verdicts if verdict.accepted),
            rejected={verdict.day: verdict.problems for verdict in verdicts if not verdict.accepted},
        )


def validated_days(
    dataset: DatasetSpec, lake: Lake, extracted: Sequence[ExtractedDays], validated: Mapping[str, Any] | None
) -> ValidatedDays:
    """What validation said of extracted days; where it failed and gave nothing, what the lake has of it."""
    if validated is not None:
        return ValidatedDays.model_validate(validated)
    days = sorted(day for some in extracted for day in some.days)
    faults = {day: tables for some in extracted for day, tables in some.faults.items()}
    found = ValidatedDays.of(present_verdicts(dataset, lake, days, faults))
    return found.model_copy(update={"is_complete": False})


def shortfall(planned: Sequence[date], extracted: Sequence[ExtractedDays], validated: ValidatedDays) -> list[str]:
    """What a run owes, in sentences: its rejected days, those without a verdict, and what the source lacks."""
    without_verdict = set(planned) - {*validated.accepted, *validated.rejected}
    sentences = []
    if planned and not validated.is_complete:
        sentences.append("Validation did not end well, so a verdict may be from before; its log says why.")
    sentences += [
        f"{day} was rejected: {' '.join(problems)}" for day, problems in sorted(validated.rejected.items())
    ]
    if validated.rejected:
        sentences.append("Correct the source, then trigger this DAG with the days that were rejected.")
    if without_verdict:
        sentences.append(
            f"Without a verdict, because a task failed: {some_days(sorted(without_verdict))}. The next run takes "
            "up those that are new; trigger this DAG with the others."
        )
    return sentences + list(dict.fromkeys(fault for some in extracted for fault in some.source_faults))

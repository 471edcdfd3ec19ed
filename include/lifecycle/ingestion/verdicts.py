"""What validation says of a day and of each of its tables, and what it said of the days before."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from itertools import islice
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from include.lifecycle.ingestion.table_rules import COMPARED_DAYS
from include.lifecycle.specs import DatasetSpec
from include.lifecycle.storage.lake import Lake, LakeError, partition

log = logging.getLogger(__name__)

RECENT_DAYS = 14
"""A day's share of bad rows is compared with those of so many accepted days before it at most."""

FEWEST_DAYS = 5
"""Fewer accepted days say nothing on what share of bad rows is usual."""

_LOOK_BACK_DAYS = 60


# Verdicts that earlier versions of the code wrote can be read as long as they say what is needed.
_RECORD = ConfigDict(frozen=True, extra="ignore")


class TableVerdict(BaseModel):
    """What was found in one table of a day: rows = good + quarantined. `rules` counts rows per broken rule.

    `counted` is how many rows the source says it wrote (None where it does not count), `lines` how many lines of
    data the file has. Both are counted without the reader, and both must be met: good and quarantined rows add up
    to `counted`, and their lines to `lines`. `usual_bad_share` is the smallest and the largest share of recent
    days; None where there are too few of them. `content` is a digest of the good rows, by which a day shows that
    repeats another; None of few rows. `only_rows_are_unusual`: nothing but the number of rows is wrong.
    """

    model_config = _RECORD

    counted: int | None = None
    lines: int
    rows: int
    good: int
    good_lines: int
    quarantined: int
    quarantined_lines: int
    rules: dict[str, int]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    usual_bad_share: tuple[float, float] | None = None
    content: str | None = None
    only_rows_are_unusual: bool = False

    @model_validator(mode="before")
    @classmethod
    def _each_row_was_a_line(cls, content: dict[str, Any]) -> dict[str, Any]:
        """Verdicts written before lines were counted have rows alone."""
        lines = {"lines": "rows", "good_lines": "good", "quarantined_lines": "quarantined"}
        return {name: content[rows] for name, rows in lines.items() if rows in content} | content

    @property
    def bad_share(self) -> float:
        """Share of the lines that went to quarantine; those that a broken record takes in count too."""
        return self.quarantined_lines / max(self.good_lines + self.quarantined_lines, 1)

    @property
    def has_unusually_many_bad_rows(self) -> bool:
        """Whether the share exceeds the largest of recent days by more than those differ among themselves."""
        if self.usual_bad_share is None:
            return False
        lowest, highest = self.usual_bad_share
        return self.bad_share > highest + (highest - lowest)

    @property
    def imbalance(self) -> str:
        """A sentence where good and quarantined rows are not what the source gave; empty where they are."""
        if self.good + self.quarantined != self.rows:
            return (
                f"{self.rows:,} rows were read, and {self.good:,} are good and {self.quarantined:,} quarantined. "
                "This is a fault of validation; report it."
            )
        if self.good_lines + self.quarantined_lines != self.lines:
            return (
                f"its file has {self.lines:,} lines of data, and good and quarantined rows account for "
                f"{self.good_lines + self.quarantined_lines:,}. This is a fault of validation; report it."
            )
        if self.counted not in (None, self.rows):
            return (
                f"the source counted {self.counted:,} rows, and its file has {self.rows:,}. "
                "Extract this day again; if it stays so, find out what the source loses."
            )
        return ""


class UnreadableVerdictError(LakeError):
    """A verdict lacks what is needed of it."""


class DayVerdict(BaseModel):
    """Whether a day may be used. `stale`: it may not, and its clean tables are those of an earlier extract."""

    model_config = _RECORD

    day: date
    accepted: bool
    stale: bool = False
    tables: dict[str, TableVerdict]

    @classmethod
    def read(cls, lake: Lake, dataset: DatasetSpec, day: date) -> Self:
        """The verdict of a day, also where an earlier version of the code wrote it.

        Raises
        ------
        LakeError
            If there is none, or it is damaged.
        """
        content = lake.read_json(dataset.validation_prefix, day, "verdict.json")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise UnreadableVerdictError(
                f"The verdict of {dataset.name} on {day} cannot be read: {error}"
            ) from error

    @classmethod
    def find(cls, lake: Lake, dataset: DatasetSpec, day: date) -> Self | None:
        """The verdict of a day; None where it cannot be read."""
        try:
            return cls.read(lake, dataset, day)
        except LakeError as error:
            log.warning("%s of %s counts as not checked: %s", dataset.name, day, error)
            return None

    @property
    def bad_share(self) -> float:
        """Share of the lines of all tables that went to quarantine, as `TableVerdict.bad_share` has it of one."""
        quarantined = sum(table.quarantined_lines for table in self.tables.values())
        return quarantined / max(quarantined + sum(table.good_lines for table in self.tables.values()), 1)

    @property
    def only_rows_are_unusual(self) -> bool:
        """Whether the day was rejected for nothing but numbers of rows."""
        bad = [table for table in self.tables.values() if table.problems]
        return bool(bad) and all(table.only_rows_are_unusual for table in bad)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the day was rejected, in sentences."""
        return tuple(problem for table in self.tables.values() for problem in table.problems)


@dataclass(frozen=True)
class PastVerdicts:
    """The verdicts of the days around those to be checked, listed and read once.

    As later days only others than those to be checked count, so that a run which was cut short gives the same
    verdicts when it is tried again.
    """

    dataset: DatasetSpec
    lake: Lake
    checked: Sequence[date]
    _read: dict[date, DayVerdict | None] = field(default_factory=dict, init=False)

    def recent(self, day: date) -> list[DayVerdict]:
        """Verdicts of the `RECENT_DAYS` newest accepted days of the 60 before `day`, newest first."""
        return list(islice((verdict for verdict in self._before(day) if verdict.accepted), RECENT_DAYS))

    def before(self, day: date) -> list[DayVerdict]:
        """Verdicts of the `COMPARED_DAYS` comparable days next before `day`, of the 60 before it, oldest first."""
        return _comparable(self._before(day))[::-1]

    def after(self, day: date) -> list[DayVerdict]:
        """Verdicts of the `COMPARED_DAYS` comparable days next after `day`, of the 60 after it, oldest first."""
        until = day + timedelta(days=min(_LOOK_BACK_DAYS, (date.max - day).days))
        known = self.lake.days(self.dataset.validation_prefix, day, until)
        return _comparable(self._verdicts(later for later in known if later > day and later not in self.checked))

    def add(self, verdict: DayVerdict) -> None:
        """Take note of a new verdict."""
        self._read[verdict.day] = verdict

    def usual_bad_shares(self, day: date) -> dict[str, tuple[float, float]]:
        """Smallest and largest share of bad rows of recent days by table; without those of too few days."""
        shares: dict[str, list[float]] = {}
        for verdict in self.recent(day):
            for name, table in verdict.tables.items():
                shares.setdefault(name, []).append(table.bad_share)
        return {name: (min(found), max(found)) for name, found in shares.items() if len(found) >= FEWEST_DAYS}

    def _before(self, day: date) -> Iterator[DayVerdict]:
        """Verdicts of the 60 days before `day`, newest first."""
        since = _look_back(day)
        known = (earlier for earlier in self._published | self._read.keys() if since <= earlier < day)
        return self._verdicts(sorted(known, reverse=True))

    @cached_property
    def _published(self) -> set[date]:
        first, last = _look_back(min(self.checked)), max(self.checked)
        return set(self.lake.days(self.dataset.validation_prefix, first, last))

    def _verdicts(self, days: Iterable[date]) -> Iterator[DayVerdict]:
        return (verdict for day in days if (verdict := self._verdict(day)) is not None)

    def _verdict(self, day: date) -> DayVerdict | None:
        """The verdict of a day; None where it cannot be read."""
        if day not in self._read:
            self._read[day] = DayVerdict.find(self.lake, self.dataset, day)
        return self._read[day]


def present_verdicts(
    dataset: DatasetSpec, lake: Lake, days: Sequence[date], faults: Mapping[date, Collection[str]]
) -> list[DayVerdict]:
    """The verdicts of those of `days` whose raw tables are still as they were checked.

    `faults` names, by day, the tables that could not be extracted, so that what the lake has of them counts not.
    """
    return [
        verdict
        for day in days
        if _is_present(dataset, lake, day, faults.get(day, ()))
        and (verdict := DayVerdict.find(lake, dataset, day)) is not None
    ]


def _is_present(dataset: DatasetSpec, lake: Lake, day: date, lacking: Collection[str]) -> bool:
    report = lake.usable_manifest(dataset.validation_prefix, day)
    raw = {
        partition(dataset.raw(table.name), day): manifest.digest
        for table in dataset.tables
        if table.name not in lacking and (manifest := lake.usable_manifest(dataset.raw(table.name), day))
    }
    return report is not None and report.inputs == raw


def _look_back(day: date) -> date:
    return day - timedelta(days=min(_LOOK_BACK_DAYS, (day - date.min).days))


def _comparable(verdicts: Iterator[DayVerdict]) -> list[DayVerdict]:
    """The first `COMPARED_DAYS` verdicts of days that were accepted, or rejected for numbers of rows alone."""
    found = (verdict for verdict in verdicts if verdict.accepted or verdict.only_rows_are_unusual)
    return list(islice(found, COMPARED_DAYS))

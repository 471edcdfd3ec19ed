"""What validation says of a day and of each of its tables, and what it said of the days before."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice

from pydantic import BaseModel, ConfigDict, ValidationError

from include.lifecycle.lake import Lake, LakeError
from include.lifecycle.specs import DatasetSpec

log = logging.getLogger(__name__)

RECENT_DAYS = 14
FEWEST_DAYS = 5
_LOOK_BACK_DAYS = 60


class TableVerdict(BaseModel):
    """What was found in one table of a day: rows = good + quarantined. `rules` counts rows per broken rule.

    `counted` is how many rows the source says it wrote (None where it does not count), `lines` how many lines of
    data the file has. Both are counted without the reader, and both must be met: good and quarantined rows add up
    to `counted`, and their lines to `lines`. `usual_bad_share` is the smallest and the largest share of recent
    days; None where there are too few of them. `content` is a digest of the good rows, by which a day shows that
    repeats another; None of few rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    counted: int | None
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

    @property
    def bad_share(self) -> float:
        """Share of the lines that went to quarantine; those that a broken record takes in count too."""
        return self.quarantined_lines / max(self.good_lines + self.quarantined_lines, 1)

    @property
    def has_unusually_many_bad_rows(self) -> bool:
        """Whether the share is further above those of recent days than they are from each other."""
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


class DayVerdict(BaseModel):
    """Whether a day may be used. `stale`: it may not, and its clean tables are those of an earlier extract."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: date
    accepted: bool
    stale: bool
    tables: dict[str, TableVerdict]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the day was rejected, in sentences."""
        return tuple(problem for table in self.tables.values() for problem in table.problems)


@dataclass(frozen=True)
class PastVerdicts:
    """The verdicts of a dataset's earlier days, each of them read once."""

    dataset: DatasetSpec
    lake: Lake
    _read: dict[date, DayVerdict | None] = field(default_factory=dict, init=False)

    def recent(self, day: date) -> list[DayVerdict]:
        """Verdicts of the `RECENT_DAYS` newest accepted days of the 60 before `day`, newest first."""
        since = day - timedelta(days=min(_LOOK_BACK_DAYS, (day - date.min).days))
        known = self.lake.days(self.dataset.validation_prefix, since)
        verdicts = (self._verdict(earlier) for earlier in reversed(known) if earlier < day)
        return list(islice((verdict for verdict in verdicts if verdict and verdict.accepted), RECENT_DAYS))

    def usual_bad_shares(self, day: date) -> dict[str, tuple[float, float]]:
        """Smallest and largest share of bad rows of recent days by table; without those of too few days."""
        shares: dict[str, list[float]] = {}
        for verdict in self.recent(day):
            for name, table in verdict.tables.items():
                shares.setdefault(name, []).append(table.bad_share)
        return {name: (min(found), max(found)) for name, found in shares.items() if len(found) >= FEWEST_DAYS}

    def _verdict(self, day: date) -> DayVerdict | None:
        """The verdict of a day; None where it is damaged, or an earlier version of the code wrote it otherwise."""
        if day not in self._read:
            try:
                content = self.lake.read_json(self.dataset.validation_prefix, day, "verdict.json")
                self._read[day] = DayVerdict.model_validate(content)
            except (LakeError, ValidationError) as error:
                log.warning("%s of %s is compared with nothing: %s", self.dataset.name, day, error)
                self._read[day] = None
        return self._read[day]

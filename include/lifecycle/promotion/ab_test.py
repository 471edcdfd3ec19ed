"""A/B tests: what is stated of one before it begins, which key is whose, and which days are split.

All of it follows from the ledger, so a day that is lost is scored again as it was, also after the test has ended.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import polars as pl
from pydantic import ConfigDict, Field

from include.lifecycle.modelling.bootstrap import LEVEL
from include.lifecycle.promotion import ledger
from include.lifecycle.specs import ModelSpec, Spec

STATED, LAST_SPLIT_DAY = "ab_test", "last_split_day"
"""Names in the evidence of the ledger: of the test that begins, and of the last day of the one that ends."""
_DAY = timedelta(days=1)


class AbTest(Spec):
    """What is stated when a test begins; nothing of it changes while it runs.

    Attributes
    ----------
    share : of the keys; about these the challenger decides.
    salt : each test has its own, so that it draws other keys.
    first_day : the first day that is split.
    days : the horizon: outcomes are compared once, when so many split days have known ones, and on these days.
    outcome, aim : what is compared, and whether it is to be lower or higher.
    level : how often the interval of the difference misses it.
    """

    # Written by later code, a test that runs may state more, which must not stop the scoring.
    model_config = ConfigDict(frozen=True, extra="ignore")

    share: float = Field(gt=0, le=0.5)
    salt: str
    first_day: date
    days: int = Field(ge=1)
    aim: Literal["lower", "higher"]
    outcome: Literal["mean label of a key"] = "mean label of a key"
    level: float = LEVEL

    def is_challengers(self, keys: pl.DataFrame) -> pl.Series:
        """Whether the challenger decides about each key, a row of `keys`: by its values and the salt alone.

        A key that the challenger has at one share it has at every larger one.
        """
        return pl.Series([self._place(key) < self.share for key in keys.iter_rows()], dtype=pl.Boolean)

    def _place(self, key: tuple[Any, ...]) -> float:
        """Where a key lies between 0 and 1, the same on each day and machine."""
        text = json.dumps([self.salt, *map(str, key)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


@dataclass(frozen=True)
class Split:
    """A test as the ledger has it; `last_day` is the last day that was split, None while it runs."""

    test: AbTest
    champion: int
    challenger: int
    last_day: date | None = None

    def covers(self, day: date) -> bool:
        """Whether the day is split."""
        return self.test.first_day <= day and (self.last_day is None or day <= self.last_day)

    @property
    def has_days(self) -> bool:
        """Whether any day is split: a test may end before it has begun."""
        return self.covers(self.test.first_day)

    @property
    def is_void(self) -> bool:
        """Whether one of its versions was rolled back, so that no day may be scored so any more."""
        return self.last_day == date.min


def stated(model: ModelSpec, version: int, share: float, days: int, first_day: date) -> AbTest | None:
    """The test of a version that would begin with a day; None where no share, or no aim, is given."""
    if not share or model.label.aim is None:
        return None
    salt = f"{model.name} version {version} from {first_day}"
    return AbTest(share=share, salt=salt, first_day=first_day, days=days, aim=model.label.aim)


def splits(history: Sequence[ledger.Entry]) -> list[Split]:
    """The tests of a model, whose ledger entries these are, oldest first."""
    found = []
    for number, entry in enumerate(history):
        test = entry.evidence.get(STATED) if entry.action == "shadow" else None
        if test is not None and entry.from_version is not None:
            begun = Split(AbTest.model_validate(test), entry.from_version, entry.candidate)
            found.append(_ended(begun, history[number + 1 :]))
    return found


def running(history: Sequence[ledger.Entry]) -> Split | None:
    """The test that runs, or None."""
    return next((split for split in splits(history) if split.last_day is None), None)


def newest_of(history: Sequence[ledger.Entry], present: ledger.Aliases) -> Split | None:
    """The newest test of the present champion and challenger, also where it has ended; None without one."""
    own = (present.champion, present.challenger)
    found = [split for split in splits(history) if (split.champion, split.challenger) == own and not split.is_void]
    return found[-1] if found else None


def split_as_of(history: Sequence[ledger.Entry], day: date) -> Split | None:
    """The test that a day is scored under, or None."""
    return next((split for split in splits(history) if split.covers(day)), None)


def begun_as_of(history: Sequence[ledger.Entry], day: date) -> list[Split]:
    """The tests whose first day is not after a day, oldest first, also those that had ended by then."""
    return [split for split in splits(history) if split.test.first_day <= day and not split.is_void]


def champion_as_of(history: Sequence[ledger.Entry], day: date) -> int | None:
    """As `ledger.champion_as_of`, but of a day that was split, the champion of then."""
    split = split_as_of(history, day)
    return split.champion if split else ledger.champion_as_of(history, day)


def _ended(split: Split, later: Iterable[ledger.Entry]) -> Split:
    """The test with its last day, by the entries after it."""
    ends = [end for entry in later if (end := _end(split, entry)) is not None]
    return Split(split.test, split.champion, split.challenger, min(ends, default=None))


def _end(split: Split, entry: ledger.Entry) -> date | None:
    """The last day that is split after an entry; None where it changes nothing.

    A version that was rolled back scores nothing, so then no day is. Another champion scores the days that it is
    for, but for those that were published before it came.
    """
    if entry.action == "rollback" and entry.from_version in (split.champion, split.challenger):
        return date.min
    if last := entry.evidence.get(LAST_SPLIT_DAY):
        return date.fromisoformat(last)
    if entry.from_version == split.champion != entry.to_version:
        return entry.effective_from - _DAY
    return None

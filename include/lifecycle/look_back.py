"""How far back a scheduled run looks for days that are not done."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, timedelta

LOOK_BACK = timedelta(days=180)
"""A look for days that are not done goes so far back, at first, from the newest day that is published."""


@dataclass(frozen=True)
class Look:
    """What a look at the days from some day on has found.

    Attributes
    ----------
    days : all days that could be done, in any order.
    undone : those that are not done, oldest first.
    published : the days that are published.
    """

    days: Collection[date]
    undone: list[date]
    published: Collection[date]


def undone_days(newest: date | None, first: date, look: Callable[[date], Look]) -> list[date]:
    """The days that are not done, oldest first; a look costs the same after ten years as after one.

    They are looked for from LOOK_BACK before the newest published day on. Where the oldest of the days looked at
    is not done, or the newest published one is lost, there may be more: then all of the history is looked at.

    Parameters
    ----------
    newest : the newest day that was published, if any.
    first : where the history begins.
    look : looks at all days from the one that it is given.
    """
    since = max(first, newest - LOOK_BACK) if newest else first
    found = look(since)
    is_lost = newest is not None and newest not in found.published
    is_oldest_undone = found.undone[:1] == [min(found.days, default=None)]
    return look(first).undone if since > first and (is_lost or is_oldest_undone) else found.undone

"""Since which day of data the present champion has been in force: the clock has no say."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from include.lifecycle.promotion.ledger import Entry
from include.lifecycle.promotion.rollback import changed_on

JANUARY, FEBRUARY, MARCH, APRIL = (date(2026, month, 1) for month in range(1, 5))
FIRST = Entry("churn", "promote", 1, None, 1, JANUARY, "gate", "Better.", {}, "first")
SECOND = replace(FIRST, candidate=2, from_version=1, to_version=2, effective_from=FEBRUARY, run_id="second")
BACK = replace(FIRST, action="rollback", from_version=2, run_id="back")


def test_before_the_first_champion_there_is_no_day() -> None:
    assert changed_on([]) is None
    assert changed_on([replace(FIRST, action="propose", to_version=None)]) is None


@pytest.mark.parametrize("action", ["promote", "refresh", "approve", "baseline"])
def test_a_training_puts_its_version_in_force_on_the_last_day_that_it_knew(action: Any) -> None:
    assert changed_on([FIRST, replace(SECOND, action=action)]) == FEBRUARY


def test_what_leaves_the_champion_alone_counts_for_nothing() -> None:
    kept = replace(SECOND, action="keep", candidate=3, from_version=2, effective_from=APRIL, run_id="third")

    assert changed_on([FIRST, SECOND, kept]) == FEBRUARY


@pytest.mark.parametrize(
    ("evidence", "day"), [({"day": "2026-03-01"}, MARCH), ({"day": None}, FEBRUARY), ({}, FEBRUARY)]
)
def test_a_rollback_counts_from_its_day_or_else_from_the_last_that_the_version_which_goes_knew(
    evidence: dict[str, Any], day: date
) -> None:
    assert changed_on([FIRST, SECOND, replace(BACK, evidence=evidence)]) == day


@pytest.mark.parametrize(
    ("evidence", "day"),
    [
        ({"newest_day": "2026-04-01"}, APRIL),
        ({"newest_day": None}, FEBRUARY),
        # Before the newest day was kept: the last one that was compared.
        ({}, MARCH),
    ],
)
def test_a_challenger_that_leaves_the_shadow_counts_from_the_newest_day_of_then(
    evidence: dict[str, Any], day: date
) -> None:
    compared = {"comparison": {"days": ["2026-02-02", "2026-03-01"]} if day != FEBRUARY else None}

    assert changed_on([FIRST, replace(SECOND, evidence=compared | evidence)]) == day


def test_a_training_as_of_an_older_day_counts_from_the_newest_day_that_a_champion_before_it_knew() -> None:
    older = replace(SECOND, candidate=3, from_version=2, to_version=3, effective_from=JANUARY, run_id="older")

    assert changed_on([FIRST, SECOND, older]) == FEBRUARY

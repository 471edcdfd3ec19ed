"""Which keys are the challenger's in an A/B test, and which days are split, as the ledger says."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from include.lifecycle.promotion import ab_test
from include.lifecycle.promotion.ab_test import AbTest
from include.lifecycle.promotion.ledger import Aliases, Entry
from include.models.churn import CHURN
from tests.specs import changed

KEYS = pl.DataFrame({"customer": [f"C{number:04d}" for number in range(2000)], "place": ["here", "there"] * 1000})
DAY = date(2026, 3, 1)


def day(number: int) -> date:
    return DAY + timedelta(number)


def stated(share: float = 0.2, salt: str = "churn version 2") -> AbTest:
    return AbTest(share=share, salt=salt, first_day=day(10), days=28, aim="lower")


@given(share=st.floats(0.01, 0.5), salt=st.text())
def test_the_challenger_has_its_share_of_the_keys_within_chance(share: float, salt: str) -> None:
    count = int(stated(share, salt).is_challengers(KEYS).sum())

    deviation = (KEYS.height * share * (1 - share)) ** 0.5
    assert abs(count - KEYS.height * share) < 5 * deviation


@given(seed=st.integers(0, 1000), kept=st.integers(1, 2000), salt=st.text())
def test_whose_a_key_is_depends_neither_on_other_keys_nor_on_their_order(seed: int, kept: int, salt: str) -> None:
    test, others = stated(salt=salt), KEYS.sample(kept, seed=seed, shuffle=True)
    known = KEYS.with_columns(whose=test.is_challengers(KEYS))

    assert (
        others.with_columns(whose=test.is_challengers(others))
        .join(known, on=KEYS.columns, how="inner")
        .filter(pl.col("whose") == pl.col("whose_right"))
        .height
        == kept
    )


@given(shares=st.tuples(st.floats(0.01, 0.5), st.floats(0.01, 0.5)), salt=st.text())
def test_a_larger_share_takes_no_key_from_the_challenger(shares: tuple[float, float], salt: str) -> None:
    smaller, larger = (stated(share, salt).is_challengers(KEYS) for share in sorted(shares))

    assert not (smaller & ~larger).any()


def test_another_test_draws_other_keys() -> None:
    one, two = (stated(0.5, salt).is_challengers(KEYS) for salt in ("churn version 2", "churn version 3"))

    both = int((one & two).sum())
    assert abs(both - 500) < 100


def test_each_part_of_a_key_counts() -> None:
    moved = KEYS.with_columns(place=pl.lit("elsewhere"))

    assert (stated(0.5).is_challengers(KEYS) != stated(0.5).is_challengers(moved)).sum() > 800


def test_the_same_keys_are_drawn_on_each_day_and_machine() -> None:
    # These may never change: days of before are scored again as they were.
    assert stated().is_challengers(KEYS).arg_true().to_list()[:6] == [2, 4, 9, 13, 14, 17]


FIRST = Entry("churn", "promote", 1, None, 1, day(0), "gate", "Better.", {}, "first")
REFUSED = replace(FIRST, action="keep", candidate=2, from_version=1, effective_from=day(5), run_id="second")
BEGUN = replace(
    REFUSED, action="shadow", actor="eve", evidence={"ab_test": stated().model_dump(mode="json")}, run_id="begun"
)
ENDS = {"last_split_day": str(day(20))}


def later(
    action: Any, candidate: int, to_version: int, from_day: date = REFUSED.effective_from, **changes: Any
) -> Entry:
    known: dict[str, Any] = {"action": action, "candidate": candidate, "to_version": to_version, **changes}
    return replace(REFUSED, effective_from=from_day, run_id=f"{action} {candidate}", **known)


WITHDRAWN = later("withdraw", 2, 1, evidence=ENDS)
PROMOTED = later("promote", 2, 2, evidence=ENDS)
OTHER_CHALLENGER = later("shadow", 3, 1, evidence=ENDS)
OTHER_CHAMPION = later("promote", 4, 4, day(18))
ROLLED_BACK = later("rollback", 0, 0, day(-9))
CHALLENGER_ROLLED_BACK = later("rollback", 1, 1, day(0), from_version=2)
AGAIN = replace(BEGUN, evidence={"ab_test": stated(salt="again").model_dump(mode="json")}, run_id="again")


@pytest.mark.parametrize(
    ("entries", "split", "champions"),
    [
        # What comes after the ledger's first two entries; which of the days 9, 10, 17, 18, 20 and 21 are split;
        # and who is champion of each.
        ([], [], [1, 1, 1, 1, 1, 1]),
        ([replace(BEGUN, evidence={"ab_test": None})], [], [1, 1, 1, 1, 1, 1]),
        ([BEGUN], [10, 17, 18, 20, 21], [1, 1, 1, 1, 1, 1]),
        ([BEGUN, WITHDRAWN], [10, 17, 18, 20], [1, 1, 1, 1, 1, 1]),
        ([BEGUN, PROMOTED], [10, 17, 18, 20], [2, 1, 1, 1, 1, 2]),
        ([BEGUN, OTHER_CHALLENGER], [10, 17, 18, 20], [1, 1, 1, 1, 1, 1]),
        ([BEGUN, OTHER_CHAMPION], [10, 17], [1, 1, 1, 4, 4, 4]),
        ([BEGUN, later("keep", 5, 1, day(18))], [10, 17, 18, 20, 21], [1, 1, 1, 1, 1, 1]),
        ([BEGUN, ROLLED_BACK], [], [0, 0, 0, 0, 0, 0]),
        ([BEGUN, PROMOTED, CHALLENGER_ROLLED_BACK], [], [1, 1, 1, 1, 1, 1]),
        ([BEGUN, PROMOTED, later("promote", 4, 4, day(19), from_version=2)], [10, 17, 18, 20], [2, 1, 1, 1, 1, 4]),
    ],
)
def test_the_ledger_says_which_days_are_split_also_after_the_test(
    entries: list[Entry], split: list[int], champions: list[int]
) -> None:
    history, days = [FIRST, REFUSED, *entries], [9, 10, 17, 18, 20, 21]

    found = {number: ab_test.split_as_of(history, day(number)) for number in days}

    assert [number for number in days if found[number]] == split
    assert all((one.test, one.champion, one.challenger) == (stated(), 1, 2) for one in found.values() if one)
    assert [ab_test.champion_as_of(history, day(number)) for number in days] == champions
    assert bool(ab_test.running(history)) == (21 in split)


def test_a_test_that_ended_before_it_began_splits_no_day() -> None:
    ended = replace(WITHDRAWN, evidence={"last_split_day": str(day(9))})

    [split] = ab_test.splits([FIRST, REFUSED, BEGUN, ended])

    assert not split.has_days
    assert ab_test.split_as_of([FIRST, REFUSED, BEGUN, ended], day(10)) is None


def test_a_second_test_splits_the_days_after_the_first() -> None:
    second = stated(salt="churn version 3").model_copy(update={"first_day": day(21)})
    again = replace(OTHER_CHALLENGER, evidence={**ENDS, "ab_test": second.model_dump(mode="json")})
    history = [FIRST, REFUSED, BEGUN, again]

    found = [ab_test.split_as_of(history, day(number)) for number in (10, 20, 21)]

    assert [one and one.challenger for one in found] == [2, 2, 3]
    running = ab_test.running(history)
    assert running is not None
    assert (running.test, running.challenger) == (second, 3)


def test_tests_that_have_begun_are_known_also_after_their_end_but_not_after_a_rollback() -> None:
    second = stated(salt="churn version 3").model_copy(update={"first_day": day(21)})
    again = replace(OTHER_CHALLENGER, evidence={**ENDS, "ab_test": second.model_dump(mode="json")})
    history = [FIRST, REFUSED, BEGUN, again]

    found = {
        number: [one.challenger for one in ab_test.begun_as_of(history, day(number))] for number in (9, 10, 20, 21)
    }

    assert found == {9: [], 10: [2], 20: [2], 21: [2, 3]}
    assert ab_test.begun_as_of([FIRST, REFUSED, BEGUN, PROMOTED, CHALLENGER_ROLLED_BACK], day(10)) == []


@pytest.mark.parametrize(
    ("entries", "present", "salts"),
    [
        ([], Aliases(1, 2), None),
        ([BEGUN], Aliases(1, 2), "churn version 2"),
        ([BEGUN, WITHDRAWN], Aliases(1, 2), "churn version 2"),
        ([BEGUN, WITHDRAWN], Aliases(1, 3), None),
        ([BEGUN, WITHDRAWN], Aliases(4, 2), None),
        ([BEGUN, WITHDRAWN, AGAIN], Aliases(1, 2), "again"),
        ([BEGUN, PROMOTED, CHALLENGER_ROLLED_BACK], Aliases(1, 2), None),
    ],
)
def test_the_newest_test_of_champion_and_challenger_is_known_also_after_its_end(
    entries: list[Entry], present: Aliases, salts: str | None
) -> None:
    found = ab_test.newest_of([FIRST, REFUSED, *entries], present)

    assert (found and found.test.salt) == salts


@pytest.mark.parametrize(
    ("last_day", "has_days"), [(None, True), (day(10), True), (day(9), False), (date.min, False)]
)
def test_a_test_that_ended_before_it_began_has_no_days(last_day: date | None, has_days: bool) -> None:
    assert ab_test.Split(stated(), champion=1, challenger=2, last_day=last_day).has_days is has_days


def test_a_test_is_stated_only_with_a_share_and_an_aim() -> None:
    no_aim = changed(CHURN, label=changed(CHURN.label, aim=None))

    found = ab_test.stated(CHURN, 2, 0.2, 28, day(10))

    assert found == AbTest(
        share=0.2, salt=f"churn version 2 from {day(10)}", first_day=day(10), days=28, aim="lower"
    )
    assert ab_test.stated(CHURN, 2, 0.0, 28, day(10)) is None
    assert ab_test.stated(no_aim, 2, 0.2, 28, day(10)) is None


@pytest.mark.parametrize("changes", [{"share": 0.0}, {"share": 0.51}, {"days": 0}])
def test_a_share_above_a_half_or_no_day_is_no_test(changes: dict[str, Any]) -> None:
    AbTest.model_validate({**stated().model_dump(), "share": 0.5, "days": 1})

    with pytest.raises(ValidationError):
        AbTest.model_validate({**stated().model_dump(), **changes})


def test_what_was_stated_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        stated().share = 0.3  # type: ignore[misc]

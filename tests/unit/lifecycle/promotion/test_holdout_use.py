"""A holdout that has judged before asks for more, whatever the order of its rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import count, takewhile

import polars as pl
import pytest

from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.holdout import Contender, Holdout, judgement_level, judgement_number
from include.models.churn import CHURN

DAY = date(2026, 3, 1)
ROWS = pl.DataFrame({"customer_id": ["A", "B", "C"], "dt": [DAY] * 3, "label": [0, 1, 0], "age": [20, 30, 40]})


def holdout(rows: pl.DataFrame) -> Holdout:
    return Holdout(CHURN, "", rows, DAY, "time")


def contender(as_of: date = DAY) -> Contender:
    return Contender("champion", 4, as_of, None)


def verdict(candidate: int, digest: str) -> ledger.Entry:
    evidence = {"holdout_digest": digest} if digest else {}
    return ledger.Entry("churn", "keep", candidate, 1, 1, DAY, "gate", "", evidence, f"run {candidate}")


def test_a_holdout_is_known_by_its_keys_days_and_labels_alone() -> None:
    digest = holdout(ROWS).digest

    assert holdout(ROWS.reverse()).digest == digest
    assert holdout(ROWS.with_columns(age=pl.lit(0))).digest == digest
    for other in (
        ROWS.head(2),
        ROWS.with_columns(label=pl.lit(1)),
        ROWS.with_columns(dt=pl.lit(date(2026, 3, 2))),
        ROWS.with_columns(customer_id=pl.Series(["A", "B", "D"])),
    ):
        assert holdout(other).digest != digest


def test_the_ledger_says_how_many_candidates_a_holdout_has_judged() -> None:
    history = [verdict(1, ""), verdict(2, "a"), verdict(3, "b"), verdict(4, "a")]
    again = replace(verdict(4, "a"), run_id="another run")

    assert judgement_number(history, "a", 5) == 3
    assert judgement_number([*history, again], "a", 5) == 3
    assert judgement_number(history, "a", 4) == 2
    assert judgement_number(history, "c", 5) == 1
    assert judgement_number([], "a", 1) == 1


def test_however_many_candidates_are_judged_one_wins_by_chance_less_than_once_in_twenty_times() -> None:
    levels = [judgement_level(number) for number in takewhile(lambda number: number <= 10_000, count(1))]

    assert levels[:3] == pytest.approx([0.05, 0.0125, 0.05 / 9])
    assert sum(levels) / 2 < 0.05


def after(days: int) -> date:
    return DAY + timedelta(days)


# Whether a customer left is known 30 days later.
@pytest.mark.parametrize(
    ("split", "tags", "may_have_learnt"),
    [
        ("time", {"learnt_until": str(after(-31)), "split": "time"}, False),
        ("time", {"learnt_until": str(after(-30)), "split": "time"}, False),
        ("time", {"learnt_until": str(after(-29)), "split": "time"}, True),
        ("time", {"learnt_until": str(after(0)), "split": "time"}, True),
        ("time", {"learnt_until": str(after(-29)), "split": "key"}, True),
        ("key", {"learnt_until": str(after(-29)), "split": "time"}, True),
        ("key", {"learnt_until": str(after(-29))}, True),
        ("key", {"learnt_until": str(after(300)), "split": "key"}, False),
    ],
)
def test_a_version_may_not_know_outcomes_of_the_holdout_but_of_other_keys(
    split: str, tags: dict[str, str], may_have_learnt: bool
) -> None:
    found = Holdout(CHURN, "", ROWS, DAY, split).overlap_by(contender(), tags)

    sentence = (
        f"The champion, version 4, has learnt from days until {tags['learnt_until']}, whose outcomes reach into "
        "the holdout of 2026-03-01; train again as of a later day."
    )
    assert found == ((sentence,) if may_have_learnt else ())


@pytest.mark.parametrize("tags", [{}, {"learnt_until": "", "split": "key"}, {"learnt_until": "yesterday"}])
def test_a_version_that_does_not_say_what_it_has_learnt_is_believed_only_if_it_is_older(
    tags: dict[str, str],
) -> None:
    told = tags.get("learnt_until")

    assert holdout(ROWS).overlap_by(contender(DAY), tags) == ()
    assert holdout(ROWS).overlap_by(contender(after(1)), tags) == (
        f"The champion, version 4, has no tag `learnt_until` with a day (it is {told!r}); as of 2026-03-02, it "
        "may have learnt the holdout of 2026-03-01; train again as of a later day.",
    )

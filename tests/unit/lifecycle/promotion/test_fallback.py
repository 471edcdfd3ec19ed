"""Which version scores a day whose champion cannot be used."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest

from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.fallback import Assignment, Job, assign, jobs

DAYS = [date(2026, 3, 1) + timedelta(number) for number in range(6)]


def promotion(version: int, former: int | None, day: date) -> ledger.Entry:
    return ledger.Entry("churn", "promote", version, former, version, day, "gate", "", {}, f"run {version}")


HISTORY = [promotion(1, None, DAYS[0]), promotion(2, 1, DAYS[2]), promotion(3, 2, DAYS[4])]
PLANNED = {day: number // 2 + 1 for number, day in enumerate(DAYS)}


def assigned(dead: set[int], history: list[ledger.Entry] = HISTORY, **changes: Any) -> Assignment:
    def fault(version: int) -> str | None:
        return f"Version {version} is empty." if version in dead else None

    return assign(PLANNED, history, fault, "scoring", **{"on_demand": False, **changes})


def test_days_are_scored_by_their_champions_where_these_can_be_used() -> None:
    assert assigned(set()) == Assignment(PLANNED, ())


def test_the_version_that_a_dead_champion_replaced_scores_its_days_and_the_ledger_says_so() -> None:
    found = assigned({3})

    assert found.versions == {**PLANNED, DAYS[4]: 2, DAYS[5]: 2}
    [entry] = found.entries
    assert (entry.action, entry.candidate, entry.effective_from, entry.actor) == (
        "fallback",
        3,
        DAYS[4],
        "scoring",
    )
    assert entry.evidence == {"fault": "Version 3 is empty.", "days": {"2026-03-05": 2, "2026-03-06": 2}}
    assert entry.reason == (
        "Version 3 cannot score: version 2 scores 2026-03-05 to 2026-03-06. Version 3 is empty."
    )


@pytest.mark.parametrize(("days", "span"), [(DAYS[:1], "2026-03-01"), (DAYS[:3], "2026-03-01 to 2026-03-03")])
def test_the_ledger_names_the_days_that_no_version_may_score(days: list[date], span: str) -> None:
    found = assign(dict.fromkeys(days, 1), HISTORY[:1], lambda _: "It is empty.", "scoring", on_demand=False)

    [entry] = found.entries
    assert found.versions == dict.fromkeys(days, 1)
    assert entry.reason == f"Version 1 cannot score: no other version may score {span}. It is empty."
    assert entry.model == "churn"


@pytest.mark.parametrize("dead", [set(dead) - {0} for dead in product((0, 1), (0, 2), (0, 3))])
def test_no_day_is_scored_by_a_dead_version_or_one_that_had_seen_its_future(dead: set[int]) -> None:
    found = assigned(dead)

    for day, champion in PLANNED.items():
        allowed = [version for version in range(champion, 0, -1) if version not in dead]
        # Without any, the present champion's days fail in their task; what it replaced can come back never.
        expected = allowed[0] if allowed else (3 if champion == 3 else None)
        assert found.versions.get(day) == expected
        named = [entry for entry in found.entries if day.isoformat() in entry.evidence["days"]]
        assert bool(named) == (champion in dead)


def test_a_day_that_a_person_asked_for_fails_rather_than_being_left_out() -> None:
    assert assigned({1}).versions.get(DAYS[0]) is None
    assert assigned({1}, on_demand=True).versions[DAYS[0]] == 1


def test_what_the_ledger_says_already_is_not_said_again() -> None:
    [entry] = assigned({3}).entries
    recorded = replace(entry, from_version=3, to_version=3, run_id="an earlier run")

    assert assigned({3}, [*HISTORY, recorded]).entries == ()


def test_days_before_the_first_champion_are_scored_by_the_one_that_was_planned() -> None:
    day = DAYS[0] - timedelta(days=1)

    assert assign({day: 3}, HISTORY, lambda _: None, "scoring", on_demand=True).versions == {day: 3}


@pytest.mark.parametrize(("dead", "used"), [(set(), 1), ({1}, 3), ({1, 3}, 2), ({1, 2, 3}, 1)])
def test_a_day_that_another_version_is_to_score_falls_back_to_its_champion(dead: set[int], used: int) -> None:
    def fault(version: int) -> str | None:
        return "It is empty." if version in dead else None

    found = assign({DAYS[4]: 1}, HISTORY, fault, "scoring", on_demand=False)

    # Where none can be used, the next training may bring one, so the day's task fails and says why.
    assert found.versions == {DAYS[4]: used}
    assert [entry.candidate for entry in found.entries] == ([1] if 1 in dead else [])


def test_a_version_is_asked_about_once() -> None:
    asked: list[int] = []

    assign(PLANNED, HISTORY, asked.append, "scoring", on_demand=False)

    assert asked == [1, 2, 3]


def test_jobs_are_days_of_one_version_and_of_limited_number() -> None:
    versions = {**PLANNED, DAYS[5]: 1}

    assert jobs(versions, 2) == [
        Job(1, (DAYS[0], DAYS[1])),
        Job(2, (DAYS[2], DAYS[3])),
        Job(3, (DAYS[4],)),
        Job(1, (DAYS[5],)),
    ]
    assert [len(job.days) for job in jobs(dict.fromkeys(DAYS, 1), 4)] == [4, 2]
    assert jobs({}, 4) == []

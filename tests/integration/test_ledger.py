from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.lifecycle import ledger
from include.lifecycle.ledger import Aliases, Entry, LedgerConflictError

JANUARY, FEBRUARY, MARCH = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)


def entry(candidate: int, before: int | None, after: int | None, **changes: Any) -> Entry:
    known = Entry(
        model="churn",
        action="promote",
        candidate=candidate,
        from_version=before,
        to_version=after,
        effective_from=JANUARY,
        actor="gate",
        reason="It is better.",
        evidence={"candidate_score": 0.6},
        run_id=f"run of {candidate}",
    )
    return replace(known, **changes)


def test_an_empty_ledger_knows_no_champion(postgres: Any) -> None:
    assert ledger.champion(postgres, "churn") is None
    assert ledger.champion_as_of(ledger.entries(postgres, "churn"), MARCH) is None
    assert ledger.entries(postgres, "churn") == []
    assert ledger.replay([]) == Aliases()


def test_entries_come_back_as_recorded_and_in_order(postgres: Any) -> None:
    first, second = entry(1, None, 1), entry(2, 1, 1, action="keep")

    ledger.record(postgres, first)
    ledger.record(postgres, second)
    ledger.record(postgres, entry(1, None, 1, model="other"))

    assert ledger.entries(postgres, "churn") == [first, second]
    assert ledger.find(postgres, "churn", "run of 2", 2) == second
    assert ledger.find(postgres, "churn", "run of 2", 1) is None


def test_a_candidate_judged_twice_in_a_run_keeps_its_first_entry(postgres: Any) -> None:
    first = ledger.record(postgres, entry(1, None, 1))

    again = ledger.record(postgres, entry(1, 1, 1, action="keep"))

    assert again == first
    assert ledger.entries(postgres, "churn") == [first]


def test_a_decision_against_a_former_champion_is_refused(postgres: Any) -> None:
    ledger.record(postgres, entry(1, None, 1))
    ledger.record(postgres, entry(2, 1, 2))

    with pytest.raises(LedgerConflictError, match="replaces version 1, but meanwhile version 2 became champion"):
        ledger.record(postgres, entry(3, 1, 3))
    assert ledger.champion(postgres, "churn") == 2


def test_of_two_simultaneous_first_champions_one_is_refused(postgres_dsn: str) -> None:
    def append(candidate: int) -> str:
        connection = psycopg2.connect(postgres_dsn)
        try:
            ledger.record(connection, entry(candidate, None, candidate))
            return "recorded"
        except LedgerConflictError:
            return "refused"
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(append, range(1, 5)))

    assert sorted(outcomes) == ["recorded", "refused", "refused", "refused"]


@pytest.mark.parametrize(
    "statement", ["update ml.ledger set to_version = 9", "delete from ml.ledger", "truncate ml.ledger"]
)
def test_what_is_recorded_cannot_be_changed(postgres: Any, statement: str) -> None:
    ledger.record(postgres, entry(1, None, 1))

    with pytest.raises(psycopg2.errors.RaiseException, match="append-only"), postgres, postgres.cursor() as cursor:
        cursor.execute(statement)
    assert ledger.champion(postgres, "churn") == 1


def test_data_of_a_day_is_scored_by_a_model_that_had_not_seen_its_future(postgres: Any) -> None:
    ledger.record(postgres, entry(1, None, 1, effective_from=JANUARY))
    ledger.record(postgres, entry(2, 1, 1, action="keep", effective_from=FEBRUARY))
    ledger.record(postgres, entry(3, 1, 3, effective_from=MARCH))
    ledger.record(postgres, entry(4, 3, 3, action="keep", effective_from=FEBRUARY))

    assert ledger.champion_as_of(ledger.entries(postgres, "churn"), JANUARY - timedelta(days=1)) is None
    assert ledger.champion_as_of(ledger.entries(postgres, "churn"), JANUARY) == 1
    assert ledger.champion_as_of(ledger.entries(postgres, "churn"), MARCH - timedelta(days=1)) == 1
    assert ledger.champion_as_of(ledger.entries(postgres, "churn"), MARCH) == 3


def test_a_rollback_is_in_force_for_the_days_that_the_withdrawn_version_had(postgres: Any) -> None:
    ledger.record(postgres, entry(1, None, 1, effective_from=JANUARY))
    ledger.record(postgres, entry(2, 1, 2, effective_from=FEBRUARY))
    ledger.record(postgres, entry(1, 2, 1, effective_from=JANUARY, action="rollback", run_id="back", actor="eve"))

    assert ledger.champion_as_of(ledger.entries(postgres, "churn"), MARCH) == 1
    assert ledger.champion_as_of(ledger.entries(postgres, "churn"), JANUARY) == 1


_names = (f"model{number}" for number in count())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(st.sampled_from(["promote", "keep", "baseline", "rollback"]), max_size=12))
def test_replaying_the_ledger_equals_the_aliases_at_each_step(postgres: Any, actions: list[str]) -> None:
    name = next(_names)
    champion, challenger, former = None, None, []
    for number, action in enumerate(actions, start=1):
        candidate, after = 10 * number, champion
        if action == "promote":
            after = candidate
        elif action == "baseline":
            after = candidate + 1
        elif action == "rollback" and former:
            candidate = after = former[0]
        changes = {"model": name, "action": action, "run_id": f"run {number}"}
        ledger.record(postgres, entry(candidate, champion, after, **changes))
        challenger = None if action in ("promote", "rollback") and candidate == after else candidate
        former, champion = [*former, champion] if champion else former, after

        assert ledger.replay(ledger.entries(postgres, name)) == Aliases(champion, challenger)
        assert ledger.champion(postgres, name) == champion


def test_a_ledger_with_a_gap_is_not_replayed() -> None:
    with pytest.raises(ValueError, match="starts from version 5, but the champion then was 1"):
        ledger.replay([entry(1, None, 1), entry(6, 5, 6)])

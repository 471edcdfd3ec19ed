from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from typing import Any, get_args

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.actions import Action
from include.lifecycle.promotion.ledger import Aliases, Entry, LedgerConflictError
from include.lifecycle.promotion.rollback import version_before

ACTIONS = {action for group in get_args(Action) for action in get_args(group)}
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


FIRST_TABLE = """
create schema ml;
create table ml.ledger (
    id bigint generated always as identity primary key,
    recorded_at timestamptz not null default clock_timestamp(),
    model text not null,
    action text not null check (action in ('promote', 'keep', 'baseline', 'rollback')),
    candidate integer not null, from_version integer, to_version integer, effective_from date not null,
    actor text not null, reason text not null, evidence jsonb not null, run_id text not null,
    unique (model, run_id, candidate)
);
create function ml.refuse_ledger_change() returns trigger language plpgsql as $$
begin
    raise exception 'append-only';
end $$;
create trigger append_only before update or delete or truncate on ml.ledger
    for each statement execute function ml.refuse_ledger_change();
insert into ml.ledger
    (model, action, candidate, to_version, effective_from, actor, reason, evidence, run_id) values
    ('churn', 'promote', 1, 1, '2026-01-01', 'gate', 'It is better.', '{"candidate_score": 0.6}', 'run of 1');
"""
WITH_DIGESTS = f"{FIRST_TABLE} alter table ml.ledger add column digests jsonb not null default '{{}}';"
WITH_FALLBACKS = f"""{WITH_DIGESTS}
alter table ml.ledger drop constraint ledger_action_check;
alter table ml.ledger add constraint ledger_action_check
    check (action in ('promote', 'keep', 'baseline', 'rollback', 'fallback'));
"""


@pytest.mark.parametrize(
    "table", [FIRST_TABLE, WITH_DIGESTS, WITH_FALLBACKS], ids=["first", "digests", "fallbacks"]
)
def test_a_ledger_of_any_earlier_shape_keeps_its_entries_and_takes_every_action(postgres: Any, table: str) -> None:
    with postgres, postgres.cursor() as cursor:
        cursor.execute(table)
    later = entry(2, 1, 2, digests={"2": "ab"})

    ledger.record(postgres, later)
    for action in ACTIONS - {"promote"}:
        ledger.record(postgres, entry(2, 2, 2, action=action, run_id=action))

    history = ledger.entries(postgres, "churn")
    assert history[:2] == [entry(1, None, 1), later]
    assert {found.action for found in history} == ACTIONS
    assert [ledger.digest_of(history, version) for version in (1, 2)] == [None, "ab"]
    assert ledger.replay(history) == Aliases(champion=2)
    with pytest.raises(psycopg2.Error, match="append-only"), postgres, postgres.cursor() as cursor:
        cursor.execute("update ml.ledger set digests = '{}'")


def test_a_ledger_takes_no_action_that_the_code_does_not_know(postgres: Any) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation, match="ledger_action_check"):
        ledger.record(postgres, entry(1, None, 1, action="crown"))


def test_a_later_entry_cannot_change_the_digest_of_a_version(postgres: Any) -> None:
    ledger.record(postgres, entry(1, None, 1, digests={"1": "trained"}))
    ledger.record(postgres, entry(2, 1, 1, action="keep", digests={"1": "swapped", "2": "refused"}))

    assert ledger.digest_of(ledger.entries(postgres, "churn"), 1) == "trained"


def test_a_fallback_changes_no_champion_and_no_alias(postgres: Any) -> None:
    ledger.record(postgres, entry(1, None, 1))
    ledger.record(postgres, entry(2, 1, 2, effective_from=FEBRUARY))
    before = ledger.entries(postgres, "churn")

    ledger.record(postgres, entry(2, None, None, action="fallback", run_id="scoring", effective_from=MARCH))

    history = ledger.entries(postgres, "churn")
    assert (history[2].from_version, history[2].to_version) == (2, 2)
    assert ledger.replay(history) == ledger.replay(before)
    assert ledger.champion(postgres, "churn") == 2
    assert ledger.choices_as_of(history, MARCH) == ledger.choices_as_of(before, MARCH) == (2, 1)
    ledger.record(postgres, entry(3, 2, 3, effective_from=MARCH))


def test_the_versions_for_a_day_are_the_champion_and_those_it_replaced(postgres: Any) -> None:
    history = [
        entry(1, None, 1),
        entry(2, 1, 2, effective_from=FEBRUARY),
        entry(3, 2, 2, action="keep", effective_from=FEBRUARY),
        entry(1, 2, 1, action="rollback"),
        entry(4, 1, 4, effective_from=MARCH),
    ]

    assert ledger.choices_as_of(history, JANUARY - timedelta(days=1)) == ()
    assert ledger.choices_as_of(history, JANUARY) == (1,)
    assert ledger.choices_as_of(history, FEBRUARY) == (1,)
    assert ledger.choices_as_of(history, MARCH) == (4, 1)


def test_a_version_that_was_rolled_back_is_no_choice_until_it_is_in_force_again() -> None:
    history = [
        entry(1, None, 1),
        entry(2, 1, 2, effective_from=FEBRUARY),
        entry(3, 2, 3, effective_from=MARCH),
        entry(2, 3, 2, action="rollback", effective_from=FEBRUARY),
    ]
    undone = [*history, entry(3, 2, 3, action="rollback", effective_from=MARCH)]

    assert ledger.choices_as_of(history, MARCH) == (2, 1)
    assert ledger.choices_as_of(history, FEBRUARY) == (2, 1)
    assert ledger.choices_as_of(undone, MARCH) == (3, 1)
    # The version that is in force again had seen the future of these days, so the other one keeps them.
    assert ledger.choices_as_of(undone, FEBRUARY) == (2, 1)
    assert ledger.choices_as_of([*undone, entry(4, 3, 4, effective_from=MARCH)], MARCH) == (4, 3, 1)


def test_a_refitted_version_may_score_the_days_that_its_parent_may_and_no_earlier_one() -> None:
    history = [
        entry(1, None, 1),
        entry(2, 1, 2, effective_from=MARCH),
        entry(3, 2, 3, action="refit", effective_from=MARCH),
    ]

    assert ledger.choices_as_of(history, FEBRUARY) == (1,)
    assert ledger.choices_as_of(history, MARCH) == (3, 2, 1)
    assert ledger.parents(history) == {3: 2}


def test_a_refitted_version_that_is_rolled_back_takes_its_parent_with_it_unless_that_comes_back() -> None:
    history = [
        entry(1, None, 1),
        entry(2, 1, 2, effective_from=FEBRUARY),
        entry(3, 2, 3, action="refit", effective_from=FEBRUARY),
    ]

    to_before = [*history, entry(1, 3, 1, action="rollback")]
    to_parent = [*history, entry(2, 3, 2, action="rollback", effective_from=FEBRUARY)]

    assert version_before(history) == 1
    assert ledger.choices_as_of(to_before, MARCH) == (1,)
    assert ledger.choices_as_of(to_parent, MARCH) == (2, 1)
    assert version_before(to_parent) == 1
    undone = [*to_before, entry(3, 1, 3, action="rollback", effective_from=FEBRUARY)]
    assert ledger.choices_as_of(undone, MARCH) == (3,)
    assert version_before(history[:2]) == 1
    assert version_before(history[1:]) is version_before([]) is None


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


def test_a_candidate_evaluated_twice_in_a_run_keeps_its_first_entry(postgres: Any) -> None:
    first = ledger.record(postgres, entry(1, None, 1))

    again = ledger.record(postgres, entry(1, 1, 1, action="keep"))

    assert again == first
    assert ledger.entries(postgres, "churn") == [first]


def test_a_proposal_its_answer_and_what_else_a_run_does_are_each_recorded_once(
    postgres: Any,
) -> None:
    steps = [
        entry(1, None, 1),
        entry(2, 1, 1, action="propose", run_id="weekly"),
        entry(2, 1, 1, action="shadow", run_id="weekly"),
        entry(2, 1, 2, action="approve", run_id="weekly"),
        entry(2, 2, 2, action="repair", run_id="weekly"),
    ]
    for step in steps:
        ledger.record(postgres, step)
        ledger.record(postgres, step)

    late = ledger.record(postgres, entry(2, 2, 2, action="reject", run_id="weekly"))

    assert late.action == "approve"
    assert ledger.entries(postgres, "churn") == steps


def test_a_challenger_is_one_from_its_shadow_until_it_is_withdrawn_or_champion() -> None:
    shadow = entry(2, 1, 1, action="shadow", run_id="shadow")
    beside = [entry(1, None, 1), shadow]

    assert ledger.replay(beside) == Aliases(1, 2)
    assert ledger.replay([*beside, entry(3, 1, 3)]) == Aliases(3, 2)
    assert ledger.replay([*beside, entry(2, 1, 1, action="keep")]) == Aliases(1, 2)
    assert ledger.replay([*beside, entry(2, 1, 2)]) == Aliases(2)
    assert ledger.replay([*beside, entry(2, 1, 1, action="withdraw")]) == Aliases(1)
    assert ledger.replay([*beside, entry(3, 1, 1, action="withdraw")]) == Aliases(1, 2)
    assert ledger.replay([*beside, entry(3, 1, 1, action="shadow")]) == Aliases(1, 3)
    assert ledger.replay([entry(1, None, 1), entry(1, 1, 1, action="shadow")]) == Aliases(1)


@pytest.mark.parametrize("action", ["reject", "refuse_refit", "fallback", "shadow", "withdraw", "repair"])
def test_what_changes_no_champion_is_recorded_beside_whichever_there_is(postgres: Any, action: Any) -> None:
    ledger.record(postgres, entry(1, None, 1))
    ledger.record(postgres, entry(2, 1, 2))

    recorded = ledger.record(postgres, entry(3, 1, 1, action=action))

    assert (recorded.from_version, recorded.to_version) == (2, 2)
    assert ledger.champion(postgres, "churn") == 2


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
    champion: int | None = None
    former: list[int] = []
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
        former, champion = [*former, champion] if champion else former, after

        assert ledger.replay(ledger.entries(postgres, name)) == Aliases(champion)
        assert ledger.champion(postgres, name) == champion


def test_a_ledger_with_a_gap_is_not_replayed() -> None:
    with pytest.raises(ValueError, match="starts from version 5, but the champion then was 1"):
        ledger.replay([entry(1, None, 1), entry(6, 5, 6)])

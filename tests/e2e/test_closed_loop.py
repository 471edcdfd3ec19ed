"""The closed loop, through the real scheduler and REST API: what drifts is learnt once, what is better takes over.

The tests build on each other, in the order of the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial
from typing import NamedTuple

import pytest

from include.samples.settings import CompanySettings, Drift
from include.stack.services import ADMIN_NAME
from tests.e2e.champions import Row, answer, champion, ledger, mlflow, state_of
from tests.e2e.conftest import ENDED, YESTERDAY, World, new_world, pass_days, wait_until

FIRST = YESTERDAY - timedelta(days=229)
TRAINED = FIRST + timedelta(days=79)
OFFER = Drift(kind="competitor_offer", start=TRAINED + timedelta(days=1))
COMPANY = CompanySettings(customers=3000, history_days=230, seed=11, drift=OFFER)
WEEKS = tuple(TRAINED + timedelta(days=days) for days in (7, 14, 21, 42, 49, 56))
"""Last days of the weeks that are reported on until two of them have refuted what was estimated of them.

The outcomes of the first three become known with the last three.
"""
LATER = YESTERDAY - timedelta(days=65)
"""A version of this day has learnt from days of the drift."""


class Request(NamedTuple):
    """A row of ml.retraining."""

    asked_on: date
    reasons: str
    state: str
    attempts: int
    run_id: str
    outcome: str


class Asked(NamedTuple):
    """The report that asked for a training, by its day, and the entry in the ledger that came of it."""

    day: date
    verdict: Row
    run_id: str


@pytest.fixture(scope="module")
def drifting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A company with a competitor from the day after its model was trained on; all days are scored."""
    with new_world(tmp_path_factory.mktemp("drifting")) as made:
        source = {"kind": "postgres", "connection": "company_db", "max_lag_days": 10}
        made.set_variable("customers_source", source)
        pass_days(made, YESTERDAY, COMPANY)
        assert made.run("customers_etl").state == "success"
        made.api.unpause("churn_scoring")
        trained = made.run("churn_training", trials=2, day=TRAINED.isoformat(), reason="first life")
        assert trained.state == "success", trained.tasks
        made.wait_for_predictions("churn", YESTERDAY)
        yield made


def requests(world: World) -> list[Request]:
    columns = ", ".join(Request._fields)
    return [Request(*row) for row in world.query("warehouse", f"select {columns} from ml.retraining order by id")]


def woken(world: World) -> list[str]:
    """The trainings that an event started."""
    world.wait_until_quiet("churn_training")
    return world.runs_of_type("churn_training", "asset_triggered")


def scored_by(world: World, day: date) -> str:
    return world.lake.manifest("predictions/churn", day).inputs["models:/churn"]


@pytest.fixture(scope="module")
def asked(drifting: World) -> Asked:
    """The weekly reports, until one of them asks for a training, which an event starts."""
    before = len(ledger(drifting))
    for day in WEEKS:
        report = drifting.run("churn_monitoring", day=day.isoformat())
        assert report.state == "success", report.tasks
        if report.tasks["wake_training"] == "success":
            wait_until(lambda: bool(woken(drifting)), "The request has woken no training")
            [run_id] = woken(drifting)
            return Asked(day, ledger(drifting)[before], run_id)
        assert requests(drifting) == []
    pytest.fail(f"None of the reports until {WEEKS[-1]} asks for a training.")


def test_drift_makes_one_request_and_one_training_which_the_gate_judges(drifting: World, asked: Asked) -> None:
    assert drifting.wait("churn_training", asked.run_id).state == "success"
    assert asked.verdict.actor == "gate"
    [request] = requests(drifting)
    assert (request.asked_on, request.state, request.attempts) == (asked.day, "done", 1)
    assert request.run_id == asked.run_id
    assert request.outcome.startswith(f"{asked.verdict.action}: ")
    note = drifting.api.get(f"/dags/churn_training/dagRuns/{asked.run_id}")["note"]
    assert f"Requested on {asked.day}" in note
    version = mlflow(drifting).get_model_version("churn", str(asked.verdict.candidate))
    run = mlflow(drifting).get_run(str(version.run_id))
    assert f"Requested on {asked.day}" in json.dumps(run.data.tags | run.data.params)


def test_the_same_report_again_trains_nothing(drifting: World, asked: Asked) -> None:
    entries, trainings = ledger(drifting), woken(drifting)

    again = drifting.run("churn_monitoring", day=asked.day.isoformat())

    assert (again.state, again.tasks["wake_training"]) == ("success", "skipped")
    assert woken(drifting) == trainings
    assert len(requests(drifting)) == 1
    assert ledger(drifting) == entries


def rejected(world: World) -> int:
    """A version that the gate would promote and a person does not.

    Of a company as small as this one some seeds make a model that fails a test of its behaviour.
    """
    world.api.unpause("churn_training")
    for seed in range(401, 405):
        form = {"trials": 2, "seed": seed, "day": LATER.isoformat(), "ask_first": True, "reason": "a challenger"}
        run_id = world.api.trigger("churn_training", form)
        wait_until(partial(is_asked_or_over, world, run_id), f"{run_id} does not end")
        if world.api.run_state("churn_training", run_id) not in ENDED:
            answer(world, run_id, "Reject", "Let it prove itself first.")
            assert world.wait("churn_training", run_id).state == "success"
            return ledger(world)[-1].candidate
    pytest.fail("The gate would promote none of the versions that know the drift.")


def is_asked_or_over(world: World, run_id: str) -> bool:
    is_asked = state_of(world, run_id, "approve") == "awaiting_input"
    return is_asked or world.api.run_state("churn_training", run_id) in ENDED


def test_a_challenger_that_is_better_on_live_outcomes_leaves_the_shadow_as_champion(drifting: World) -> None:
    former = champion(drifting)
    challenger = rejected(drifting)
    # All days were scored before there was a second champion.
    present = {"day": LATER.isoformat(), "last_day": YESTERDAY.isoformat(), "rescore": True}
    assert drifting.run("churn_scoring", **present).state == "success"
    published = drifting.published("predictions/churn/dt=", "predictions/churn/latest.json")

    made = drifting.run("churn_shadow", action="shadow", version=challenger, reason="It knows of the competitor.")

    assert made.state == "success", made.tasks
    assert champion(drifting) == former
    assert mlflow(drifting).get_registered_model("churn").aliases["challenger"] == str(challenger)
    days = drifting.lake.days(f"predictions/churn/shadow/version={challenger}", FIRST, YESTERDAY)
    assert days == [LATER + timedelta(days=ahead) for ahead in range((YESTERDAY - LATER).days + 1)]
    assert drifting.published("predictions/churn/dt=", "predictions/churn/latest.json") == published

    reported = drifting.run("churn_monitoring", day=YESTERDAY.isoformat())
    promoted = drifting.run("churn_shadow", action="promote", reason="Better on a month of outcomes.")

    assert reported.state == "success", reported.tasks
    assert promoted.state == "success", promoted.tasks
    row = next(row for row in reversed(ledger(drifting)) if row.action == "promote")
    assert (row.actor, row.candidate, row.before, row.after) == (ADMIN_NAME, challenger, former, challenger)
    assert row.evidence["comparison"]["gain_lower_bound"] > 0
    assert champion(drifting) == challenger


def test_a_backfill_across_a_promotion_uses_the_older_version_for_the_older_days(drifting: World) -> None:
    drifting.wait_until_quiet("churn_scoring")
    promotion = ledger(drifting)[-1]
    days = [LATER + timedelta(days=ahead) for ahead in (-2, -1, 0, 1)]

    asked = {"day": days[0].isoformat(), "last_day": days[-1].isoformat()}
    ended = drifting.run("churn_scoring", **asked, rescore=True)

    assert ended.state == "success", ended.tasks
    older, newer = str(promotion.before), str(promotion.after)
    assert [scored_by(drifting, day) for day in days] == [older, older, newer, newer]

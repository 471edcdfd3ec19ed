"""The closed loop, through the real scheduler and REST API: what drifts is learnt once, what is better takes over.

The tests build on each other, in the order of the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

import pytest

from include.samples.settings import CompanySettings, Drift
from include.stack.settings import ADMIN_NAME
from tests.e2e.champions import answer, champion, ledger, mlflow, propose
from tests.e2e.conftest import YESTERDAY, World, new_world, pass_days, wait_until

FIRST = YESTERDAY - timedelta(days=259)
TRAINED = FIRST + timedelta(days=100)
PRICE_RISE = Drift(kind="price_rise", start=TRAINED + timedelta(days=1), strength=3)
COMPANY = CompanySettings(customers=3000, history_days=260, seed=11, drift=PRICE_RISE)
WEEKS = (TRAINED + timedelta(days=36), TRAINED + timedelta(days=43))
"""Last days of the weeks that are reported on: the second report makes it enough."""
LATER = FIRST + timedelta(days=190)
"""A version of this day has learnt from days after the price rise."""


class Request(NamedTuple):
    """A row of ml.retraining."""

    asked_on: date
    reasons: str
    state: str
    attempts: int
    run_id: str
    outcome: str


@pytest.fixture(scope="module")
def drifting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A company whose prices rise on the day after its model was trained; all days are scored."""
    with new_world(tmp_path_factory.mktemp("drifting")) as made:
        source = {"kind": "postgres", "connection": "company_db", "max_lag_days": 10}
        made.set_variable("customers_source", source)
        pass_days(made, YESTERDAY, COMPANY)
        made.api.unpause("churn_scoring")
        assert made.run("customers_etl").state == "success"
        trained = made.run("churn_training", trials=4, day=TRAINED.isoformat(), reason="first life")
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


def test_drift_makes_one_request_and_one_training_which_the_gate_judges(drifting: World) -> None:
    before = len(ledger(drifting))
    first, second = (drifting.run("churn_monitoring", day=day.isoformat()) for day in WEEKS)

    assert (first.state, first.tasks["wake_training"]) == ("success", "skipped")
    assert (second.state, second.tasks["wake_training"]) == ("success", "success")
    wait_until(lambda: bool(woken(drifting)), "The request has woken no training")
    [run_id] = woken(drifting)
    assert drifting.wait("churn_training", run_id).state == "success"
    verdict = ledger(drifting)[before]
    assert verdict.actor == "gate"
    [request] = requests(drifting)
    assert (request.asked_on, request.state, request.attempts, request.run_id) == (WEEKS[1], "done", 1, run_id)
    assert request.outcome.startswith(f"{verdict.action}: ")
    assert "Of the last 2 drift reports, 2 found that the scores drifted" in request.reasons
    note = drifting.api.get(f"/dags/churn_training/dagRuns/{run_id}")["note"]
    assert f"Requested on {WEEKS[1]}" in note
    run = mlflow(drifting).get_run(str(mlflow(drifting).get_model_version("churn", str(verdict.candidate)).run_id))
    assert f"Requested on {WEEKS[1]}" in json.dumps(run.data.tags | run.data.params)


def test_the_same_report_again_trains_nothing(drifting: World) -> None:
    entries, trainings = ledger(drifting), woken(drifting)

    again = drifting.run("churn_monitoring", day=WEEKS[1].isoformat())

    assert (again.state, again.tasks["wake_training"]) == ("success", "skipped")
    assert woken(drifting) == trainings
    assert len(requests(drifting)) == 1
    assert ledger(drifting) == entries


def test_a_challenger_that_is_better_on_live_outcomes_leaves_the_shadow_as_champion(drifting: World) -> None:
    former = champion(drifting)
    run_id = propose(drifting, seed=401, day=LATER)
    answer(drifting, run_id, "Reject", "Let it prove itself first.")
    assert drifting.wait("churn_training", run_id).state == "success"
    challenger = ledger(drifting)[-1].candidate
    published = drifting.published("predictions/churn/dt=", "predictions/churn/latest.json")

    made = drifting.run("churn_shadow", action="shadow", version=challenger, reason="It knows the new prices.")

    assert made.state == "success", made.tasks
    assert champion(drifting) == former
    assert mlflow(drifting).get_registered_model("churn").aliases["challenger"] == str(challenger)
    days = drifting.lake.days(f"predictions/churn/shadow/version={challenger}", FIRST, YESTERDAY)
    assert days == [LATER + timedelta(days=ahead) for ahead in range(1, (YESTERDAY - LATER).days + 1)]
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
    days = [LATER + timedelta(days=ahead) for ahead in (-1, 0, 1, 2)]

    asked = {"day": days[0].isoformat(), "last_day": days[-1].isoformat()}
    ended = drifting.run("churn_scoring", **asked, rescore=True)

    assert ended.state == "success", ended.tasks
    older, newer = str(promotion.before), str(promotion.after)
    assert [scored_by(drifting, day) for day in days] == [older, older, newer, newer]

"""Versions that wait for a person: rejected, never answered, approved; through the real scheduler and REST API.

The tests build on each other, in the order of the file; the last champion is healthy again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.stack.services import ADMIN_NAME
from tests.e2e.champions import answer, champion, damaged_champion, ledger, mlflow, propose
from tests.e2e.conftest import START, World


@pytest.fixture(scope="module")
def before(company: World) -> Iterator[int]:
    """The champion before, which any candidate may replace that beats the baseline."""
    company.wait_until_quiet("churn_scoring")
    with damaged_champion(company) as version:
        yield version


def card(world: World, version: int) -> Any:
    return world.lake.read_json(f"reports/churn/model_card/version={version}", START, "card.json")["verdict"]


def test_a_rejected_version_does_not_become_champion_and_wakes_nobody(company: World, before: int) -> None:
    scorings = len(company.api.runs("churn_scoring"))
    run_id = propose(company, seed=201)
    asked = company.api.get(f"/dags/churn_training/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails")
    [proposal] = ledger(company)[-1:]
    assert (proposal.action, proposal.after) == ("propose", before)
    assert asked["subject"].endswith(f"may version {proposal.candidate} replace version {before}?")
    assert "waiting for approval" in card(company, proposal.candidate)["headline"]

    answer(company, run_id, "Reject", "Not before the holidays.")

    ended = company.wait("churn_training", run_id)
    assert ended.state == "success", ended.tasks
    assert (ended.tasks["settle"], ended.tasks["announce_champion"]) == ("success", "skipped")
    row = ledger(company)[-1]
    assert (row.action, row.actor, row.candidate, row.after) == ("reject", ADMIN_NAME, proposal.candidate, before)
    assert 'wrote: "Not before the holidays."' in row.reason
    assert champion(company) == before
    assert "rejected" in card(company, proposal.candidate)["headline"]
    assert "Not before the holidays." in card(company, proposal.candidate)["reason"]
    assert len(company.api.runs("churn_scoring")) == scorings


def test_a_version_that_nobody_answers_about_in_time_is_rejected(company: World, before: int) -> None:
    run_id = propose(company, seed=202)
    company.query(
        "airflow",
        "update task_instance set trigger_timeout = now() where run_id = %s and task_id = 'approve'",
        run_id,
    )

    ended = company.wait("churn_training", run_id)

    assert ended.state == "success", ended.tasks
    row = ledger(company)[-1]
    assert (row.action, row.actor, row.after) == ("reject", "timeout", before)
    assert champion(company) == before


def test_an_approved_version_becomes_champion_and_wakes_the_scoring_once(company: World, before: int) -> None:
    scorings = len(company.api.runs("churn_scoring"))
    run_id = propose(company, seed=203)
    assert champion(company) == before

    answer(company, run_id, "Approve", "Checked with sales.")

    ended = company.wait("churn_training", run_id)
    assert ended.state == "success", ended.tasks
    assert ended.tasks["announce_champion"] == "success"
    row = ledger(company)[-1]
    assert (row.action, row.actor, row.before, row.after) == ("approve", ADMIN_NAME, before, row.candidate)
    assert row.reason == f'{ADMIN_NAME} approved it and wrote: "Checked with sales."'
    assert champion(company) == row.candidate
    assert mlflow(company).get_model_version("churn", str(row.candidate)).tags["gate_verdict"] == "promoted"
    assert "approved" in card(company, row.candidate)["headline"]
    company.wait_until_quiet("churn_scoring")
    assert len(company.api.runs("churn_scoring")) == scorings + 1

"""Rollbacks by hand: as a dry run, with and without scoring again; through the real scheduler and REST API.

The tests build on each other, in the order of the file; the champion of the beginning is that of the end.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from include.stack.services import ADMIN_NAME
from tests.e2e.champions import (
    answer,
    champion,
    damaged_champion,
    ledger,
    mlflow,
    propose,
    score_again,
    scored_by,
)
from tests.e2e.conftest import START, World

REASON = "It calls the wrong customers, says the call centre."


class Champions(NamedTuple):
    """The present champion, which has scored START, and the one that it replaced."""

    former: int
    present: int


@pytest.fixture(scope="module")
def champions(company: World) -> Champions:
    company.wait_until_quiet("churn_scoring")
    with damaged_champion(company):
        run_id = propose(company, seed=301)
        answer(company, run_id, "Approve", "To have another champion.")
        assert company.wait("churn_training", run_id).state == "success"
    row = ledger(company)[-1]
    assert row.before is not None
    assert row.after is not None
    company.wait_until_quiet("churn_scoring")
    assert score_again(company).state == "success"
    assert scored_by(company) == row.after
    return Champions(row.before, row.after)


def test_a_dry_run_says_what_would_change_and_changes_nothing(company: World, champions: Champions) -> None:
    entries, published = ledger(company), company.published("predictions/churn")

    ended = company.run("churn_rollback", rescore=True)

    assert ended.state == "success", ended.tasks
    assert ended.tasks == {"plan": "success", "roll_back": "skipped"}
    note = company.api.get(f"/dags/churn_rollback/dagRuns/{ended.run_id}")["note"]
    assert f"version {champions.former}" in note
    assert f"version {champions.present}" in note
    assert ledger(company) == entries
    assert company.published("predictions/churn") == published


def test_a_rollback_brings_the_former_champion_back_and_scores_its_days_again(
    company: World, champions: Champions
) -> None:
    ended = company.run("churn_rollback", dry_run=False, rescore=True, reason=REASON)

    assert ended.state == "success", ended.tasks
    row = ledger(company)[-1]
    assert (row.action, row.actor, row.before, row.after) == (
        "rollback",
        ADMIN_NAME,
        champions.present,
        champions.former,
    )
    assert REASON in row.reason
    assert champion(company) == champions.former
    tags = mlflow(company).get_model_version("churn", str(champions.present)).tags
    assert tags["gate_verdict"] == "rolled back"
    company.wait_for_predictions("churn", START, str(champions.former))
    assert scored_by(company) == champions.former
    assert REASON in company.lake.manifest("predictions/churn", START).inputs["rescored:/churn"]


def test_a_rollback_without_scoring_again_leaves_what_was_published(company: World, champions: Champions) -> None:
    published = company.published(f"predictions/churn/dt={START}")

    ended = company.run(
        "churn_rollback", dry_run=False, version=champions.present, reason="The call centre had read it wrongly."
    )

    assert ended.state == "success", ended.tasks
    assert champion(company) == champions.present
    company.wait_until_quiet("churn_scoring")
    assert company.published(f"predictions/churn/dt={START}") == published
    assert scored_by(company) == champions.former

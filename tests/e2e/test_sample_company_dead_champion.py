"""A champion that is damaged, replaced or deleted, each followed by scheduled scoring and a training.

The tests build on each other, in the order of the file; the last champion is healthy again.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.e2e.champions import champion, ledger, mlflow, read, score_again, scored_by, write
from tests.e2e.conftest import START, World


def train_another(world: World, dead: int, said: str, seed: int) -> int:
    """A training replaces the dead champion, wakes scoring, and the ledger says why; returns the new champion."""
    trained = world.run("churn_training", trials=2, seed=seed, day=START.isoformat(), reason=said)
    assert trained.state == "success", trained.tasks
    assert trained.tasks["announce_champion"] == "success"
    row = ledger(world)[-1]
    assert row.action == "promote"
    assert row.before == dead != row.after
    assert row.evidence["champion_fault"].startswith(f"The champion, version {dead}, cannot be loaded: ")
    assert said in row.evidence["champion_fault"]
    return champion(world)


@pytest.fixture(scope="module")
def versions() -> dict[str, int]:
    """The champions of this module, by what befell them."""
    return {}


def test_without_another_version_scoring_fails_with_a_sentence_until_a_training(
    company: World, versions: dict[str, int]
) -> None:
    versions["damaged"] = dead = champion(company)
    whole = {version: read(company, version) for version in {row.after for row in ledger(company)} if version}
    for version, body in whole.items():
        write(company, version, body[: len(body) // 2])

    scored = score_again(company)

    assert scored.state == scored.tasks["report_unscored"] == "failed"
    assert (scored.tasks["chunk.score"], scored.tasks["chunk.publish"]) == ("success", "skipped")
    row = ledger(company)[-1]
    assert (row.action, row.candidate, row.before, row.after) == ("fallback", dead, dead, dead)
    assert "is damaged or truncated" in row.reason
    train_another(company, dead, "is damaged or truncated", seed=101)
    company.wait_for_predictions("churn", START)
    for version, body in whole.items():
        write(company, version, body)


def test_a_replaced_file_is_noticed_and_the_former_champion_scores(
    company: World, versions: dict[str, int]
) -> None:
    dead, former = champion(company), versions["damaged"]
    whole = read(company, dead)
    write(company, dead, read(company, former))

    scored = score_again(company)

    assert scored.state == "success", scored.tasks
    assert scored_by(company) == former
    row = ledger(company)[-1]
    assert (row.action, row.candidate, row.after) == ("fallback", dead, dead)
    assert "is not the one that was trained" in row.reason
    assert row.evidence["days"] == {START.isoformat(): former}
    latest = train_another(company, dead, "is not the one that was trained", seed=102)
    assert score_again(company).state == "success"
    assert scored_by(company) == latest
    write(company, dead, whole)


def test_a_deleted_version_is_replaced(company: World) -> None:
    dead = champion(company)
    former = [row.after for row in ledger(company) if row.after != dead][-1]
    mlflow(company).delete_model_version("churn", str(dead))

    scored = score_again(company)

    assert scored.state == "success", scored.tasks
    assert scored_by(company) == former
    assert ledger(company)[-1].action == "fallback"
    latest = train_another(company, dead, "is not in MLflow any more", seed=103)
    assert score_again(company).state == "success"
    assert scored_by(company) == latest


def test_a_refused_training_wakes_no_scoring(company: World) -> None:
    """The candidate has the champion's seed: it is another version of the same model, which gains nothing."""
    company.wait_until_quiet("churn_scoring")
    before = len(company.api.runs("churn_scoring"))

    trained = company.run("churn_training", trials=2, seed=103, day=START.isoformat(), reason="the same again")

    assert trained.state == "success"
    row = ledger(company)[-1]
    assert row.action == "keep"
    assert row.candidate != row.after
    assert trained.tasks["announce_champion"] == "skipped"
    company.wait_until_quiet("churn_scoring")
    assert len(company.api.runs("churn_scoring")) == before


def test_the_ledger_tells_it_all(company: World, record_property: Callable[[str, object], None]) -> None:
    rows = ledger(company)
    text = "\n".join(
        f"{row.action:9} {row.candidate!s:>3} {row.before!s:>4} -> {row.after!s:>4}  {row.reason}" for row in rows
    )
    print(f"\n{text}")
    record_property("ledger", text)

    assert [row.action for row in rows].count("fallback") >= 3
    assert all(later.before == earlier.after for earlier, later in pairwise(rows))

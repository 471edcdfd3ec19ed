"""A rollback may ask for the days of the version that goes to be scored again: which, and what they say of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.ledger import Entry
from include.lifecycle.scoring import planning
from include.lifecycle.scoring.prediction_files import version_of
from include.lifecycle.scoring.rescoring import days_to_rescore
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, RunInfo, partition
from tests.integration.scoring.people import DAY, LEAVING, objects, predictions, work

DAYS = [DAY + timedelta(number) for number in range(5)]
LATER = RunInfo("later", datetime(2026, 4, 1, tzinfo=UTC), "test")
WHY = "Version 2 was rolled back to version 1 by eve in run back: It raises false alarms."


def rolled_back(
    candidate: int, before: int, from_day: date, *, rescore: bool = True, run_id: str = "back"
) -> Entry:
    evidence, reason = {"rescore": rescore}, "It raises false alarms."
    return Entry("leaving", "rollback", candidate, before, candidate, from_day, "eve", reason, evidence, run_id)


@pytest.fixture
def world(lake: Lake, postgres: Any, run: RunInfo, publish_features: Any) -> Lake:
    """Five days: version 1 has scored two, version 2, which had seen the first two, the others."""
    for version, former, day in ((1, None, DAYS[0]), (2, 1, DAYS[2])):
        entry = Entry("leaving", "promote", version, former, version, day, "gate", "Better.", {}, f"run {version}")
        ledger.record(postgres, entry)
    for day in DAYS:
        publish_features(day)
    work(lake, postgres, run)
    return lake


def versions(lake: Lake) -> list[int]:
    manifests = (lake.manifest(LEAVING.predictions_prefix, day) for day in DAYS)
    return [version_of(LEAVING, manifest) for manifest in manifests]


def reasons(lake: Lake) -> list[str | None]:
    manifests = (lake.manifest(LEAVING.predictions_prefix, day) for day in DAYS)
    return [manifest.inputs.get("rescored:/leaving") for manifest in manifests]


def test_the_days_of_the_version_that_goes_are_scored_again_and_say_why(
    world: Lake, postgres: Any, tmp_path: Path
) -> None:
    assert versions(world) == [1, 1, 2, 2, 2]
    ledger.record(postgres, rolled_back(1, 2, DAYS[0]))

    assert work(world, postgres, LATER) == dict.fromkeys(DAYS[2:], 1)

    assert versions(world) == [1] * 5
    assert reasons(world) == [None, None, WHY, WHY, WHY]
    frame = predictions(world, DAYS[4], tmp_path / "read")
    assert frame.select("score", "model_version").unique().rows() == [(0.1, 1)]
    named = latest.find(world, LEAVING.predictions_prefix)
    newest = world.manifest(LEAVING.predictions_prefix, DAYS[4])
    assert named is not None
    assert named.names(LEAVING.predictions_prefix, DAYS[4], newest)
    assert named.model_version == 1
    assert planning.plan(LEAVING, world, postgres, None) == {}


def test_days_that_were_scored_again_keep_every_byte_when_that_is_repeated(world: Lake, postgres: Any) -> None:
    ledger.record(postgres, rolled_back(1, 2, DAYS[0]))
    work(world, postgres, LATER)
    files = objects(world)
    world.client.delete_object(
        Bucket=world.bucket, Key=f"{partition(LEAVING.predictions_prefix, DAYS[3])}/manifest.json"
    )

    assert work(world, postgres, replace(LATER, started_at=datetime(2026, 5, 1, tzinfo=UTC))) == {DAYS[3]: 1}

    assert objects(world) == files


def test_without_being_asked_for_what_was_published_stays(world: Lake, postgres: Any) -> None:
    ledger.record(postgres, rolled_back(1, 2, DAYS[0], rescore=False))

    assert work(world, postgres, LATER) == {}
    assert versions(world) == [1, 1, 2, 2, 2]


def test_a_version_scores_no_day_again_whose_future_it_has_seen(world: Lake, postgres: Any) -> None:
    ledger.record(postgres, rolled_back(1, 2, DAYS[0]))
    work(world, postgres, LATER)
    ledger.record(postgres, rolled_back(2, 1, DAYS[2], run_id="undone"))

    assert work(world, postgres, LATER) == dict.fromkeys(DAYS[2:], 2)

    assert versions(world) == [1, 1, 2, 2, 2]
    assert reasons(world)[:2] == [None, None]
    assert str(reasons(world)[4]).startswith("Version 1 was rolled back to version 2 by eve in run undone")
    assert planning.plan(LEAVING, world, postgres, None) == {}


def test_a_day_is_listed_before_the_rollback_is_recorded(world: Lake, postgres: Any) -> None:
    history = ledger.entries(postgres, "leaving")

    assert days_to_rescore(LEAVING, world, postgres, history) == []
    assert days_to_rescore(LEAVING, world, postgres, [*history, rolled_back(1, 2, DAYS[0])]) == DAYS[2:]


def test_a_later_promotion_takes_its_days_from_the_version_that_came_back(world: Lake, postgres: Any) -> None:
    ledger.record(postgres, rolled_back(1, 2, DAYS[0], rescore=False))
    ledger.record(postgres, Entry("leaving", "promote", 3, 1, 3, DAYS[4], "gate", "", {}, "run 3"))
    history = ledger.entries(postgres, "leaving")

    assert [ledger.champion_as_of(history, day) for day in DAYS] == [1, 1, 1, 1, 3]
    assert ledger.choices_as_of(history, DAYS[4]) == (3, 1)

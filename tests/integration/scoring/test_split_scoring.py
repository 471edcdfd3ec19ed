"""A day that an A/B test splits: whose each row is, what the files say of it, and that it is restored so."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.promotion import fallback, ledger
from include.lifecycle.promotion.ab_test import AbTest
from include.lifecycle.promotion.ledger import Entry
from include.lifecycle.scoring import planning, scorers
from include.lifecycle.scoring.prediction_files import PredictionsError
from include.lifecycle.scoring.publishing import publish
from include.lifecycle.scoring.rescoring import withdrawn
from include.lifecycle.scoring.scorers import Scorer
from include.lifecycle.scoring.scoring import score
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, RunInfo, partition
from tests.integration.scoring.people import (
    DAY,
    LEAVING,
    PEOPLE,
    Constant,
    features,
    objects,
    predictions,
    split_between,
    warehouse_rows,
)

DAYS = [DAY + timedelta(number) for number in range(4)]
TEST = AbTest(share=0.3, salt="leaving version 2", first_day=DAYS[1], days=2, aim="lower")
IS_CHALLENGERS = TEST.is_challengers(features().select("person", "place"))
LATER = RunInfo("test_run", datetime(2026, 4, 1, tzinfo=UTC), "test")
FIRST = Entry("leaving", "promote", 1, None, 1, DAYS[0], "gate", "Better.", {}, "run 1")
REFUSED = replace(FIRST, action="keep", candidate=2, from_version=1, effective_from=DAYS[1], run_id="run 2")
BEGUN = replace(
    REFUSED, action="shadow", actor="eve", evidence={"ab_test": TEST.model_dump(mode="json")}, run_id="begun"
)
OTHER_CHAMPION = replace(REFUSED, action="promote", candidate=3, to_version=3, run_id="third")
ENDED = {"last_split_day": str(DAYS[3])}


@dataclass
class Registry:
    """The versions that can be loaded; the estimator of each."""

    estimators: dict[int, Any] = field(
        default_factory=lambda: {1: Constant(0.2), 2: Constant(0.7), 3: Constant(0.3)}
    )

    loaded: list[int] = field(default_factory=list)

    def load(self, _url: str, _lake: Lake, _model: Any, version: int, _digest: str | None) -> Scorer:
        self.loaded.append(version)
        if version not in self.estimators:
            raise UnusableModelError(f"Version {version} is gone.")
        return Scorer(self.estimators[version], version)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    found = Registry()
    monkeypatch.setattr(scorers, "load_scorer", found.load)
    return found


@pytest.fixture
def world(lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, registry: Registry) -> Lake:
    """Four days that are scored, of which the last three are split."""
    for entry in (FIRST, REFUSED, BEGUN):
        ledger.record(postgres, entry)
    for day in DAYS:
        publish_features(day)
    work(lake, postgres, registry, run)
    return lake


def work(
    lake: Lake,
    postgres: Any,
    registry: Registry,
    run: RunInfo = LATER,
    requested: tuple[date, date] | None = None,
) -> dict[date, int]:
    """Score and publish what is planned, as a run of the scoring does; returns by whom."""
    history = ledger.entries(postgres, "leaving")

    def fault(version: int) -> str | None:
        return None if version in registry.estimators else "It is gone."

    planned = planning.plan(LEAVING, lake, postgres, requested)
    found = fallback.assign(planned, history, fault, run.run_id, on_demand=requested is not None)
    for job in fallback.jobs(found.versions, 2):
        challengers = scorers.challengers_of("", lake, LEAVING, history, job.version)
        loaded = registry.load("", lake, LEAVING, job.version, None)
        scorer = replace(loaded, withdrawn=withdrawn(history), challengers=challengers)
        for day in job.days:
            score(LEAVING, lake, day, scorer, run, postgres)
            publish(LEAVING, lake, postgres, day, run)
    return found.versions


def whose(lake: Lake, day: date, scratch: Path) -> list[int]:
    return predictions(lake, day, scratch)["model_version"].to_list()


def split_versions() -> list[int]:
    return (IS_CHALLENGERS.cast(pl.Int64) + 1).to_list()


def lose(lake: Lake, day: date, *names: str) -> None:
    prefix = partition(LEAVING.predictions_prefix, day)
    for key in lake.keys(f"{prefix}/"):
        if not names or key.rpartition("/")[2] in names:
            lake.client.delete_object(Bucket=lake.bucket, Key=key)


def test_the_challengers_keys_have_its_score_and_decision_and_each_row_says_whose_it_is(
    world: Lake, postgres: Any, tmp_path: Path
) -> None:
    assert 5 < IS_CHALLENGERS.sum() < 20
    assert set(whose(world, DAYS[0], tmp_path / "before")) == {1}

    frame = predictions(world, DAYS[1], tmp_path / "split")

    assert frame.select("person", "place").equals(features().select("person", "place"))
    assert frame["model_version"].to_list() == split_versions()
    assert frame["score"].to_list() == [0.7 if own else 0.2 for own in IS_CHALLENGERS]
    assert frame["will_leave"].to_list() == IS_CHALLENGERS.to_list()
    rows = warehouse_rows(postgres, DAYS[1])
    assert [row[-2] for row in rows] == split_versions()
    assert frame.columns == predictions(world, DAYS[0], tmp_path / "before").columns


def test_the_manifest_and_latest_name_both_versions_and_the_champion_first(world: Lake) -> None:
    inputs = world.manifest(LEAVING.predictions_prefix, DAYS[3]).inputs

    assert inputs == {
        f"features/people/dt={DAYS[3]}": world.manifest(PEOPLE.features_prefix, DAYS[3]).digest,
        "models:/leaving": "1",
        "challenger:/leaving": "2",
        "ab_test:/leaving": "0.3 of the keys, drawn with 'leaving version 2'",
    }
    named = latest.find(world, LEAVING.predictions_prefix)
    assert named is not None
    assert (named.day, named.model_version, named.challenger_version) == (DAYS[3], 1, 2)
    before = world.manifest(LEAVING.predictions_prefix, DAYS[0]).inputs
    assert "challenger:/leaving" not in before


@pytest.mark.parametrize("names", [(), ("manifest.json",)])
@pytest.mark.parametrize(
    "end",
    [
        None,
        replace(BEGUN, action="withdraw", evidence=ENDED, run_id="end"),
        # Whoever scored a day while the test was ended may have read the ledger before.
        replace(BEGUN, action="withdraw", evidence={"last_split_day": str(DAYS[0])}, run_id="end"),
        replace(BEGUN, action="promote", to_version=2, evidence=ENDED, run_id="end"),
        OTHER_CHAMPION,
    ],
    ids=["running", "withdrawn", "withdrawn before", "promoted", "another champion"],
)
def test_a_lost_day_is_restored_with_the_same_bytes_also_after_the_test(
    world: Lake, postgres: Any, registry: Registry, end: Entry | None, names: tuple[str, ...]
) -> None:
    files = objects(world)
    if end is not None:
        ledger.record(postgres, end)
    for day in DAYS[1:3]:
        lose(world, day, *names)

    assert work(world, postgres, registry) == dict.fromkeys(DAYS[1:3], 1)

    assert objects(world) == files
    assert work(world, postgres, registry) == {}


def test_a_day_that_is_asked_for_again_keeps_every_byte(world: Lake, postgres: Any, registry: Registry) -> None:
    files = objects(world)

    work(world, postgres, registry, requested=(DAYS[1], DAYS[3]))

    assert objects(world) == files


def test_a_day_that_was_published_whole_while_a_test_began_stays_so(
    lake: Lake, postgres: Any, run: RunInfo, registry: Registry, publish_features: Any, tmp_path: Path
) -> None:
    ledger.record(postgres, FIRST)
    publish_features(DAYS[1])
    work(lake, postgres, registry, run)
    files = objects(lake)
    for entry in (REFUSED, BEGUN):
        ledger.record(postgres, entry)
    lose(lake, DAYS[1])

    work(lake, postgres, registry)

    assert objects(lake) == files


def test_another_champion_scores_what_was_not_published_before_it(
    world: Lake, postgres: Any, registry: Registry, publish_features: Any, tmp_path: Path
) -> None:
    ledger.record(postgres, OTHER_CHAMPION)
    after = DAYS[3] + timedelta(1)
    publish_features(after)

    assert work(world, postgres, registry) == {after: 3}

    assert set(whose(world, after, tmp_path)) == {3}


def test_a_former_champion_that_scores_in_the_place_of_the_present_one_splits_nothing(
    world: Lake, postgres: Any, registry: Registry, publish_features: Any, tmp_path: Path
) -> None:
    ledger.record(postgres, OTHER_CHAMPION)
    del registry.estimators[3]
    after = DAYS[3] + timedelta(1)
    publish_features(after)

    assert work(world, postgres, registry) == {after: 1}

    assert set(whose(world, after, tmp_path)) == {1}


def test_days_after_the_test_are_whole_again(
    world: Lake, postgres: Any, registry: Registry, publish_features: Any, tmp_path: Path
) -> None:
    ledger.record(postgres, replace(BEGUN, action="withdraw", evidence=ENDED, run_id="end"))
    after = DAYS[3] + timedelta(1)
    publish_features(after)

    assert work(world, postgres, registry) == {after: 1}

    assert set(whose(world, after, tmp_path)) == {1}


class Failing:
    """A classifier that cannot score."""

    def predict_proba(self, matrix: Any) -> Any:
        raise ValueError("the column 'visits' is missing.")


@pytest.mark.parametrize(
    ("estimator", "fault"),
    [
        (None, "Version 2 is gone."),
        (Failing(), "the column 'visits' is missing."),
        (Constant(np.nan), "of its scores are not numbers from 0 to 1."),
    ],
    ids=["gone", "failing", "invalid"],
)
def test_without_a_usable_challenger_the_champion_scores_all_and_log_manifest_and_rows_say_so(
    world: Lake,
    postgres: Any,
    registry: Registry,
    publish_features: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    estimator: Any,
    fault: str,
) -> None:
    new = DAYS[3] + timedelta(1)
    publish_features(new)
    registry.estimators[2] = estimator
    if estimator is None:
        del registry.estimators[2]

    assert work(world, postgres, registry) == {new: 1}

    assert set(whose(world, new, tmp_path)) == {1}
    inputs = world.manifest(LEAVING.predictions_prefix, new).inputs
    why = inputs["unsplit:/leaving"]
    assert re.fullmatch(
        "The challenger, version 2, cannot score its share of the keys, so that version 1 scores all of them: "
        rf"[^:]*{re.escape(fault)}",
        why,
    )
    assert f"{new}: {why}" in caplog.messages
    assert "challenger:/leaving" not in inputs

    # Whether it can be used by now or not: what was published is restored.
    files = objects(world)
    registry.estimators[2] = Constant(0.7)
    lose(world, new)
    assert new in work(world, postgres, registry)
    assert objects(world) == files


def test_an_outage_is_no_fault_of_the_challenger(
    world: Lake, postgres: Any, registry: Registry, publish_features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OutOfReach:
        def predict_proba(self, matrix: Any) -> Any:
            raise ConnectionError("The server does not answer.")

    publish_features(DAYS[3] + timedelta(1))
    registry.estimators[2] = OutOfReach()

    with pytest.raises(ConnectionError):
        work(world, postgres, registry)


def test_the_days_of_a_challenger_that_is_rolled_back_are_scored_again_and_say_why(
    world: Lake, postgres: Any, registry: Registry, tmp_path: Path
) -> None:
    ledger.record(postgres, replace(BEGUN, action="promote", to_version=2, evidence=ENDED, run_id="end"))
    back = replace(REFUSED, action="rollback", candidate=1, from_version=2, to_version=1, actor="eve")
    ledger.record(postgres, replace(back, reason="It raises false alarms.", evidence={"rescore": True}))

    assert work(world, postgres, registry) == dict.fromkeys(DAYS[1:], 1)

    assert set(whose(world, DAYS[2], tmp_path)) == {1}
    inputs = world.manifest(LEAVING.predictions_prefix, DAYS[2]).inputs
    assert inputs["rescored:/leaving"].startswith("Version 2 was rolled back to version 1 by eve in run run 2")
    assert work(world, postgres, registry) == {}
    files = objects(world)
    lose(world, DAYS[2], "manifest.json")
    work(world, postgres, registry)
    assert objects(world) == files


def another_test(first_day: date, **ended: Any) -> Entry:
    """Version 3 gets a share of the keys from a day on."""
    stated = TEST.model_copy(update={"salt": "leaving version 3", "first_day": first_day})
    return replace(
        BEGUN, candidate=3, evidence={"ab_test": stated.model_dump(mode="json"), **ended}, run_id="begun 3"
    )


@pytest.mark.parametrize("rescore", [True, False])
def test_a_day_of_a_test_whose_challenger_was_rolled_back_is_not_given_to_that_of_a_test_before(
    world: Lake,
    postgres: Any,
    registry: Registry,
    publish_features: Any,
    tmp_path: Path,
    rescore: bool,
) -> None:
    # given: version 3 took the place of version 2, became champion and was rolled back
    ledger.record(postgres, another_test(DAYS[3] + timedelta(1), **ENDED))
    day = DAYS[3] + timedelta(2)
    publish_features(day)
    work(world, postgres, registry)
    assert set(whose(world, day, tmp_path / "split")) == {1, 3}
    promoted = replace(another_test(day), action="promote", to_version=3, effective_from=day, run_id="promoted 3")
    ledger.record(postgres, replace(promoted, evidence={"last_split_day": str(day)}))
    back = replace(promoted, action="rollback", candidate=1, from_version=3, to_version=1, run_id="back")
    ledger.record(postgres, replace(back, evidence={"rescore": rescore}))

    # when
    if not rescore:
        lose(world, day)
    planned = work(world, postgres, registry)

    # then
    assert planned[day] == 1
    assert set(whose(world, day, tmp_path / "whole")) == {1}
    assert ("rescored:/leaving" in world.manifest(LEAVING.predictions_prefix, day).inputs) == rescore
    assert work(world, postgres, registry) == {}


def test_a_day_that_the_challenger_of_a_test_before_had_scored_keeps_its_rows(
    world: Lake, postgres: Any, registry: Registry
) -> None:
    # given: the last split day was scored before the ledger said that version 3 takes over from it on
    ledger.record(postgres, another_test(DAYS[3], last_split_day=str(DAYS[2])))
    files = objects(world)
    lose(world, DAYS[3])

    work(world, postgres, registry)

    assert objects(world) == files


def test_days_of_an_ended_test_are_not_scored_again_for_ever_where_a_version_was_once_rolled_back(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, registry: Registry
) -> None:
    # given: version 2 was rolled back before its test, which another champion ends with days already published
    again = replace(FIRST, candidate=2, from_version=1, to_version=2, run_id="run 2")
    back = replace(again, action="rollback", candidate=1, from_version=2, to_version=1, evidence={"rescore": True})
    for entry in (FIRST, again, back, BEGUN):
        ledger.record(postgres, entry)
    for day in DAYS:
        publish_features(day)
    work(lake, postgres, registry, run)
    ledger.record(postgres, replace(OTHER_CHAMPION, effective_from=DAYS[2]))

    assert work(lake, postgres, registry) == {}


def test_a_challenger_is_loaded_only_where_a_day_is_split(
    world: Lake, postgres: Any, registry: Registry, publish_features: Any
) -> None:
    ledger.record(postgres, replace(BEGUN, action="withdraw", evidence=ENDED, run_id="end"))
    publish_features(DAYS[3] + timedelta(1))
    registry.loaded.clear()

    work(world, postgres, registry)

    assert set(registry.loaded) == {1}


def test_a_test_that_later_code_has_stated_with_more_stops_no_scoring(
    lake: Lake, postgres: Any, run: RunInfo, registry: Registry, publish_features: Any, tmp_path: Path
) -> None:
    stated = {**TEST.model_dump(mode="json"), "stratified_by": "plan"}
    for entry in (FIRST, REFUSED, replace(BEGUN, evidence={"ab_test": stated})):
        ledger.record(postgres, entry)
    publish_features(DAYS[1])

    work(lake, postgres, registry, run)

    assert whose(lake, DAYS[1], tmp_path) == split_versions()


def test_a_version_that_was_rolled_back_before_its_test_is_scored_once(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, registry: Registry, tmp_path: Path
) -> None:
    again = replace(FIRST, candidate=2, from_version=1, to_version=2, run_id="run 2")
    back = replace(again, action="rollback", candidate=1, from_version=2, to_version=1, evidence={"rescore": True})
    for entry in (FIRST, again, back, BEGUN):
        ledger.record(postgres, entry)
    for day in DAYS:
        publish_features(day)
    work(lake, postgres, registry, run)

    assert whose(lake, DAYS[1], tmp_path) == split_versions()
    assert work(lake, postgres, registry) == {}


def test_one_arm_may_have_no_key_of_a_batch(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, registry: Registry, tmp_path: Path
) -> None:
    for entry in (FIRST, REFUSED, BEGUN):
        ledger.record(postgres, entry)
    publish_features(DAYS[1], features().filter(IS_CHALLENGERS))
    publish_features(DAYS[2], features().filter(~IS_CHALLENGERS))

    work(lake, postgres, registry, run)

    assert set(whose(lake, DAYS[1], tmp_path / "1")) == {2}
    assert set(whose(lake, DAYS[2], tmp_path / "2")) == {1}


def test_scores_of_a_model_that_loses_rows_are_not_published(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, registry: Registry
) -> None:
    model = LEAVING.model_copy(update={"decide": lambda scores: LEAVING.decide(scores).head(3)})
    publish_features(DAYS[1])
    challenger = scorers.Challenger(TEST, 2, Scorer(Constant(0.7), 2))
    scorer = split_between(Scorer(Constant(0.2), 1), challenger)
    score(model, lake, DAYS[1], scorer, run, postgres)

    with pytest.raises(PredictionsError, match="There are 6 of them for 40 rows of features"):
        publish(model, lake, postgres, DAYS[1], run)

"""A new champion learns the holdout as well, once, and the next gate still judges on rows nobody has learnt."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mlflow import MlflowClient

from include.lifecycle.promotion import ledger, refit, registry
from include.lifecycle.promotion.gate import GateDecision, evaluate_gate
from include.lifecycle.promotion.ledger import Aliases
from include.lifecycle.promotion.model_card import PAGE, Decided, publish
from include.lifecycle.promotion.promotion import run_gate
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.refit import run_refit
from include.lifecycle.promotion.staged_training import StagedTraining
from include.lifecycle.specs import ModelSpec, Profile, RefitSpec
from include.lifecycle.storage.lake import Lake
from include.lifecycle.training.record import HOLDOUT, RECORD, TrainingRecord
from include.lifecycle.training.training import train
from include.lifecycle.training.training_set import TrainingSet, assemble
from include.models.churn import CHURN
from tests.integration.churn_history import RUN, day, publish_history, request
from tests.integration.interrupted import aliases, killed
from tests.specs import changed

AS_OF, LATER = day(105), day(147)
WIDE = RefitSpec(max_mean_difference=0.5, max_high_difference=0.9, max_calibration_increase=0.5)


@dataclass
class World:
    """A model with a history, whose trainings are real."""

    model: ModelSpec
    lake: Lake
    mlflow_url: str
    postgres: Any

    def train(self, as_of: date) -> tuple[StagedTraining, int]:
        assemble(self.model, self.lake, request(as_of))
        staged = StagedTraining(self.model, as_of, train(self.model, self.lake, request(as_of)).digest)
        return staged, push_model(self.mlflow_url, self.lake, staged, RUN).version

    def gate(self, staged: StagedTraining, version: int) -> GateDecision:
        run = replace(RUN, run_id=f"run of {staged.as_of}")
        return run_gate(self.mlflow_url, self.lake, self.postgres, staged, version, run)

    def refit(self, staged: StagedTraining, version: int) -> ledger.Entry | None:
        run = replace(RUN, run_id=f"run of {staged.as_of}")
        return run_refit(self.mlflow_url, self.lake, self.postgres, staged, version, run)

    @property
    def history(self) -> list[ledger.Entry]:
        return ledger.entries(self.postgres, self.model.name)

    @property
    def versions(self) -> list[int]:
        client = MlflowClient(self.mlflow_url, self.mlflow_url)
        return sorted(int(found.version) for found in client.search_model_versions(f"name = '{self.model.name}'"))

    def tags(self, version: int) -> dict[str, str]:
        return registry.version_tags(self.mlflow_url, self.model.name, version)


@pytest.fixture
def world(lake: Lake, tmp_path: Path, mlflow_url: str, postgres: Any) -> World:
    publish_history(lake, tmp_path, [day(number) for number in range(0, 113, 7)], until=LATER)
    gate = {"segments": (), "max_calibration_error": None, "leakage_threshold": None}
    # The profiles of the spec are those of the sample company, where fewer leave.
    behaviour = tuple(test for test in CHURN.behaviour if not isinstance(test, Profile))
    model = changed(CHURN, name=f"churn_{uuid.uuid4().hex[:8]}", gate=gate, behaviour=behaviour, refit=WIDE)
    return World(model, lake, mlflow_url, postgres)


def test_a_new_champion_learns_the_holdout_and_takes_its_parents_place(world: World, tmp_path: Path) -> None:
    # given
    staged, parent = world.train(AS_OF)
    assert world.gate(staged, parent).action == "promote"

    # when
    entry = world.refit(staged, parent)

    # then
    assert entry is not None
    assert (entry.action, entry.from_version, entry.to_version) == ("refit", parent, 2), entry.reason
    assert aliases(world.mlflow_url, world.model.name) == ledger.replay(world.history) == Aliases(champion=2)
    assert ledger.in_force_from(world.history, 2) == ledger.in_force_from(world.history, parent)
    judged, own = world.tags(parent), world.tags(2)
    assert own["learnt_until"] == str(day(70)) > judged["learnt_until"]
    assert (own["parent_version"], own["gate_verdict"], judged["gate_verdict"]) == ("1", "promoted", "promoted")
    _assert_reference_is_the_parents(world, parent, tmp_path)
    publish(world.model, world.lake, AS_OF, Decided.of(world.history, parent), {}, RUN)
    [page] = world.lake.download(world.model.card_prefix(parent), AS_OF, tmp_path, PAGE)
    for text in (judged["learnt_until"], own["learnt_until"], "Mean difference of scores", "took the place"):
        assert text in page.read_text()


def _assert_reference_is_the_parents(world: World, parent: int, tmp_path: Path) -> None:
    """A refitted version is compared later with what its parent did on the holdout before it was learnt."""
    kept = [world.lake.pin(world.model.reference_prefix(version), [AS_OF]) for version in (parent, 2)]
    holdouts = [pl.read_parquet(pinned.download(AS_OF, tmp_path, HOLDOUT)[0]) for pinned in kept]
    assert holdouts[0].equals(holdouts[1])
    record = TrainingRecord.model_validate(kept[1].read_json(AS_OF, RECORD))
    assert record.parent is not None
    assert record.parent.version == parent
    assert (record.params, record.seed) == (
        TrainingRecord.model_validate(kept[0].read_json(AS_OF, RECORD)).params,
        7,
    )


def test_a_refit_that_is_not_the_same_model_is_refused_shown_and_registered(world: World, tmp_path: Path) -> None:
    world.model = changed(world.model, refit=changed(WIDE, max_mean_difference=1e-9))
    staged, parent = world.train(AS_OF)
    world.gate(staged, parent)

    entry = world.refit(staged, parent)

    assert entry is not None
    assert (entry.action, entry.candidate, entry.to_version) == ("refuse_refit", 2, parent)
    assert aliases(world.mlflow_url, world.model.name) == ledger.replay(world.history) == Aliases(champion=parent)
    assert [world.tags(version)["gate_verdict"] for version in (1, 2)] == ["promoted", "refused"]
    publish(world.model, world.lake, AS_OF, Decided.of(world.history, parent), {}, RUN)
    [page] = world.lake.download(world.model.card_prefix(parent), AS_OF, tmp_path, PAGE)
    assert "Version 2 was refused, and version 1 stays champion." in page.read_text()


def test_a_refit_that_is_killed_wherever_it_can_be_is_completed_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged, parent = world.train(AS_OF)
    world.gate(staged, parent)
    for place, step in ((refit, "push_model"), (ledger, "record"), (refit, "show_in_registry")):
        for moment in ("before", "after"):
            with monkeypatch.context() as patch:
                patch.setattr(place, step, killed(getattr(place, step), moment))
                with pytest.raises(KeyboardInterrupt):
                    world.refit(staged, parent)

    first, second = world.refit(staged, parent), world.refit(staged, parent)

    assert first is not None
    assert first == second
    assert world.versions == [1, 2]
    assert [entry.action for entry in world.history if entry.action != "repair"] == ["promote", "refit"]
    assert aliases(world.mlflow_url, world.model.name) == Aliases(champion=2)


def test_the_next_candidate_meets_the_judged_parent_on_rows_that_neither_has_learnt(world: World) -> None:
    # given: the refitted champion has learnt days whose outcomes reach into the next holdout
    staged, parent = world.train(AS_OF)
    world.gate(staged, parent)
    world.refit(staged, parent)
    soon, candidate = world.train(day(119))

    # when
    decision = world.gate(soon, candidate)

    # then
    evidence = decision.evidence
    assert (evidence.champion_version, evidence.champion_parent) == (2, parent)
    assert evidence.champion_fault is None
    assert evidence.champion_score is not None
    assert not evidence.problems
    told = [row.sentence for row in evaluate_gate(evidence).checks if "judged by its parent" in row.sentence]
    assert any("the champion, version 2, judged by its parent, version 1" in sentence for sentence in told)
    assert world.history[-1].from_version == 2


def test_a_parent_that_cannot_be_used_is_said_as_of_a_champion_that_cannot(world: World) -> None:
    staged, parent = world.train(AS_OF)
    world.gate(staged, parent)
    world.refit(staged, parent)
    MlflowClient(world.mlflow_url, world.mlflow_url).delete_model_version(world.model.name, str(parent))
    soon, candidate = world.train(day(119))

    decision = world.gate(soon, candidate)

    assert decision.evidence.champion_fault is not None
    assert decision.evidence.champion_fault.startswith(
        "The champion's judged parent, version 1, cannot be loaded:"
    )


def test_only_a_candidate_that_has_just_become_champion_is_refitted(world: World) -> None:
    staged, version = world.train(AS_OF)
    assert world.refit(staged, version) is None

    world.gate(staged, version)
    world.model = changed(world.model, refit=None)

    assert world.refit(replace(staged, model=world.model), version) is None
    assert world.versions == [1]


def test_a_version_that_leaves_the_shadow_as_champion_is_not_refitted(world: World) -> None:
    # given: the gate refused the version, and a person has made it champion since
    staged, version = world.train(AS_OF)
    first = ledger.Entry(world.model.name, "promote", 9, None, 9, day(0), "gate", "Better.", {}, "first")
    refused = replace(first, action="keep", candidate=version, from_version=9, run_id="second")
    out = replace(refused, action="promote", to_version=version, actor="eve", run_id="shadow")
    for entry in (first, refused, out):
        ledger.record(world.postgres, entry)

    assert world.refit(staged, version) is None


def test_a_training_set_that_has_grown_since_is_not_learnt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    staged, parent = world.train(AS_OF)
    world.gate(staged, parent)
    read = TrainingSet.read

    def grown(*asked: Any) -> TrainingSet:
        found = read(*asked)
        newest = max(found.rows)
        return replace(found, rows={**found.rows, newest + timedelta(1): found.rows[newest]})

    monkeypatch.setattr(TrainingSet, "read", grown)

    with pytest.raises(ValueError, match="a later training replaced it"):
        world.refit(staged, parent)

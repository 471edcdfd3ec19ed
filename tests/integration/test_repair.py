"""The registry shows what the ledger says, whatever happens: decisions, deaths in between, a hand on an alias."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from include.lifecycle.promotion import ledger, promotion, registry, rollback
from include.lifecycle.promotion.ledger import Aliases, Entry
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.repair import RepairEvidence, repair
from include.lifecycle.promotion.staged_training import StagedTraining
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.integration.staged_training import AS_OF, small_model, stage

DAY = date(2026, 3, 1)
URL = "http://mlflow"
SOME_TIME = datetime(2026, 3, 2, tzinfo=UTC)


class KilledError(Exception):
    """Stands for the end of the process."""


@dataclass
class Registry:
    """The aliases of one model in memory. `dies_after` so many of its writes the process is gone."""

    aliases: Aliases = field(default_factory=Aliases)
    dies_after: int | None = None

    def set_aliases(self, _url: str, _name: str, aliases: Aliases) -> None:
        """As the real one, the champion first."""
        for alias in ("champion", "challenger"):
            if self.dies_after == 0:
                raise KilledError
            self.aliases = replace(self.aliases, **{alias: getattr(aliases, alias)})
            self.dies_after = None if self.dies_after is None else self.dies_after - 1


@dataclass
class World:
    """A model that is decided about, and what must come of it."""

    connection: Any
    registry: Registry
    name: str = field(default_factory=lambda: f"model_{uuid.uuid4().hex}")
    expected: Aliases = field(default_factory=Aliases)
    former: list[int] = field(default_factory=list)
    proposed: list[int] = field(default_factory=list)
    versions: int = 0
    runs: int = 0

    def decide(self, action: Any, candidate: int, champion: int | None) -> None:
        """Record an action and show it; the process may die anywhere after the record."""
        self.runs += 1
        before = self.expected.champion
        entry = Entry(self.name, action, candidate, before, champion, DAY, "somebody", "", {}, f"run {self.runs}")
        challenger = {"shadow": candidate, "withdraw": None}.get(action, self.expected.challenger)
        self.expected = Aliases(champion, None if challenger == champion else challenger)
        if champion != before and before is not None:
            self.former.append(before)
        if action == "rollback":
            rollback.roll_back(URL, self.connection, entry)
        else:
            ledger.record(self.connection, entry)
            promotion.show_in_registry(URL, self.connection, self.name, candidate)

    def new(self) -> int:
        self.versions += 1
        return self.versions

    def step(self, action: str) -> None:
        champion = self.expected.champion
        if action in ("promote", "refresh") or (action == "refit" and champion is not None):
            version = self.new()
            self.decide(action, version, version)
        elif action == "baseline":
            self.decide(action, self.new(), self.new())
        elif action == "propose":
            self.proposed.append(self.new())
            self.decide(action, self.proposed[-1], champion)
        elif action in ("approve", "reject") and self.proposed:
            version = self.proposed.pop()
            self.decide(action, version, version if action == "approve" else champion)
        elif action == "rollback" and self.former:
            self.decide(action, self.former[0], self.former[0])
        elif (action == "refuse_refit" and champion is not None) or action == "shadow":
            self.decide(action, self.new(), champion)
        elif action == "withdraw" and self.expected.challenger:
            self.decide(action, self.expected.challenger, champion)
        elif action == "keep":
            self.decide(action, self.new(), champion)

    def next_run(self) -> Entry | None:
        """What each run of training, scoring and maintenance does first."""
        self.runs += 1
        return repair(
            URL, self.connection, self.name, RunInfo(f"run {self.runs}", SOME_TIME, "test"), "maintenance"
        )

    def replayed(self) -> Aliases:
        return ledger.replay(ledger.entries(self.connection, self.name))


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Registry]:
    """Makes a registry in memory and puts it in MLflow's place."""

    def make() -> Registry:
        made = Registry()
        monkeypatch.setattr(registry, "set_aliases", made.set_aliases)
        monkeypatch.setattr(registry, "aliases", lambda *_: made.aliases)
        monkeypatch.setattr(registry, "settable", lambda _url, _name, aliases: aliases)
        monkeypatch.setattr(registry, "tag_version", lambda *_: None)
        return made

    return make


ACTIONS = [
    "promote",
    "refresh",
    "keep",
    "baseline",
    "propose",
    "approve",
    "reject",
    "refit",
    "refuse_refit",
    "rollback",
    "shadow",
    "withdraw",
]
STEPS = st.tuples(st.sampled_from([*ACTIONS, "hand"]), st.sampled_from([None, None, 0, 1, 2]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=14))
def test_after_any_sequence_and_any_death_the_next_run_makes_the_registry_equal_the_ledger(
    postgres: Any, memory: Callable[[], Registry], steps: list[tuple[str, int | None]]
) -> None:
    world = World(postgres, memory())
    for action, dies_after in steps:
        if action == "hand":
            world.registry.aliases = Aliases(99, dies_after)
        else:
            world.registry.dies_after = dies_after
            with suppress(KilledError):
                world.step(action)
            world.registry.dies_after = None
        found = world.registry.aliases

        repaired = world.next_run()

        assert world.replayed() == world.expected == world.registry.aliases
        assert (repaired is not None) == (found != world.expected)
        if repaired is not None:
            evidence = RepairEvidence.model_validate(repaired.evidence)
            assert (evidence.found, evidence.restored) == (found, world.expected)
            assert ledger.entries(postgres, world.name)[-1] == repaired
        assert world.next_run() is None


@pytest.mark.parametrize("actor", ["maintenance", "scoring"])
def test_a_process_that_dies_after_the_record_is_repaired_and_that_is_recorded(
    postgres: Any, memory: Callable[[], Registry], actor: str
) -> None:
    world = World(postgres, memory())
    world.step("promote")
    world.registry.dies_after = 0
    with pytest.raises(KilledError):
        world.step("promote")
    world.registry.dies_after = None

    found = repair(URL, postgres, world.name, RunInfo("later", SOME_TIME, "test"), actor)

    assert found is not None
    assert (found.action, found.candidate, found.from_version, found.to_version) == ("repair", 2, 2, 2)
    assert (found.actor, found.run_id) == (actor, "later")
    assert found.reason == (
        "The aliases in MLflow were champion version 1, challenger none; the ledger says champion version 2, "
        "challenger none, which they are set to."
    )
    assert world.registry.aliases == Aliases(2)


def test_a_repair_that_dies_before_the_aliases_is_completed_by_the_next_try_and_recorded_once(
    postgres: Any, memory: Callable[[], Registry]
) -> None:
    world, run = World(postgres, memory()), RunInfo("weekly", SOME_TIME, "test")
    world.step("promote")
    world.registry.aliases, world.registry.dies_after = Aliases(7), 0
    with pytest.raises(KilledError):
        repair(URL, postgres, world.name, run, "gate")
    world.registry.dies_after = None

    repair(URL, postgres, world.name, run, "gate")

    assert world.registry.aliases == Aliases(1)
    assert [entry.action for entry in ledger.entries(postgres, world.name)] == ["promote", "repair"]


def test_aliases_of_a_model_that_the_ledger_does_not_know_are_removed(
    postgres: Any, memory: Callable[[], Registry]
) -> None:
    world = World(postgres, memory())
    world.registry.aliases = Aliases(3, 4)

    found = world.next_run()

    assert found is not None
    assert (found.candidate, found.to_version) == (3, None)
    assert world.registry.aliases == world.replayed() == Aliases()


def test_in_mlflow_an_alias_moved_by_hand_is_set_back_and_one_of_a_lost_version_is_no_difference(
    lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str, postgres: Any
) -> None:
    # given: two versions, of which the second is champion
    model = small_model(f"returns_{uuid.uuid4().hex[:8]}")
    client = MlflowClient(mlflow_url, mlflow_url)
    for version, noise in enumerate((0.98, 0.0), start=1):
        staged = StagedTraining(model, AS_OF, stage(model, lake, run, tmp_path, noise=noise).digest)
        assert push_model(mlflow_url, lake, staged, run).version == version
        before = version - 1 or None
        ledger.record(
            postgres, Entry(model.name, "promote", version, before, version, DAY, "gate", "", {}, str(version))
        )
        promotion.show_in_registry(mlflow_url, postgres, model.name, version)
    client.set_registered_model_alias(model.name, "champion", "1")
    client.set_registered_model_alias(model.name, "challenger", "2")

    # when
    found = repair(mlflow_url, postgres, model.name, run, "maintenance")

    # then
    assert found is not None
    evidence = RepairEvidence.model_validate(found.evidence)
    assert [astuple(aliases) for aliases in (evidence.found, evidence.restored)] == [(1, 2), (2, None)]
    assert registry.aliases(mlflow_url, model.name) == Aliases(2)

    client.delete_model_version(model.name, "2")
    assert repair(mlflow_url, postgres, model.name, run, "maintenance") is None
    assert registry.aliases(mlflow_url, model.name) == Aliases()

"""The gate promotes no candidate that breaks a behaviour test, or of which one is missing."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from include.lifecycle.promotion.gate import GateDecision
from include.lifecycle.promotion.promotion import run_gate
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.staged_training import StagedTraining
from include.lifecycle.specs import BehaviourTest, ModelSpec, Monotonic
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.integration.staged_training import AS_OF, small_model, stage

PRICES = {"price": (-1.0, 0.0, 1.0)}
HIGHER_PRICE_IS_RISKIER = Monotonic(name="higher price", steps=PRICES)
"""What the orders show, so what every candidate learns."""
HIGHER_PRICE_IS_SAFER = Monotonic(name="higher price", steps=PRICES, direction="down")


class Gate:
    """Trains by one spec, and asks the gate by one."""

    def __init__(self, lake: Lake, run: RunInfo, scratch: Path, mlflow_url: str, postgres: Any) -> None:
        self.lake, self.run, self.scratch = lake, run, scratch
        self.mlflow_url, self.postgres = mlflow_url, postgres

    def decision(self, trained: tuple[BehaviourTest, ...], asked: tuple[BehaviourTest, ...]) -> GateDecision:
        name = f"returns_{uuid.uuid4().hex[:8]}"
        digest = stage(small_model(name, behaviour=trained), self.lake, self.run, self.scratch).digest
        model: ModelSpec = small_model(name, behaviour=asked)
        staged = StagedTraining(model, AS_OF, digest)
        version = push_model(self.mlflow_url, self.lake, staged, self.run).version
        return run_gate(self.mlflow_url, self.lake, self.postgres, staged, version, self.run)


@pytest.fixture
def gate(lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str, postgres: Any) -> Gate:
    return Gate(lake, run, tmp_path, mlflow_url, postgres)


def test_a_candidate_that_passes_its_behaviour_tests_is_promoted(gate: Gate) -> None:
    assert gate.decision((HIGHER_PRICE_IS_RISKIER,), (HIGHER_PRICE_IS_RISKIER,)).action == "promote"


def test_a_candidate_that_breaks_monotonicity_is_refused_however_good_its_metric(gate: Gate) -> None:
    decision = gate.decision((HIGHER_PRICE_IS_SAFER,), (HIGHER_PRICE_IS_SAFER,))

    assert decision.action == "baseline"
    reasons = " ".join(decision.reasons)
    assert "The behaviour test 'higher price' failed: The largest step the wrong way is" in reasons


def test_a_candidate_of_which_a_behaviour_test_is_missing_is_refused(gate: Gate) -> None:
    decision = gate.decision((), (HIGHER_PRICE_IS_RISKIER,))

    assert decision.action == "baseline"
    assert "The behaviour test 'higher price' was not run." in " ".join(decision.reasons)

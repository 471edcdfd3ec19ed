from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from include.datasets.market.calendar import NEW_YORK
from include.lifecycle.promotion import ab_test, ledger, promotion, registry
from include.lifecycle.promotion.ab_test import AbTest
from include.lifecycle.promotion.gate import GateDecision, evaluate_gate
from include.lifecycle.promotion.gate_evidence import GateEvidence
from include.lifecycle.promotion.ledger import Aliases
from include.lifecycle.promotion.promotion import run_gate
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.staged_training import StagedTraining
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.integration.interrupted import aliases, killed
from tests.integration.staged_training import AS_OF, small_model, stage
from tests.specs import changed

WEEK = timedelta(days=7)
Train = Callable[..., GateDecision]


@pytest.fixture
def model() -> ModelSpec:
    return changed(small_model(f"returns_{uuid.uuid4().hex[:8]}"), gate={"max_champion_age_days": 60})


@pytest.fixture
def train(model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str, postgres: Any) -> Train:
    """Stages a training, pushes it and lets the gate decide."""

    def train_and_evaluate(as_of: date = AS_OF, run_id: str = "", **training: Any) -> GateDecision:
        own_run = replace(run, run_id=run_id or f"run {uuid.uuid4().hex}")
        staged = StagedTraining(
            model, as_of, stage(model, lake, own_run, tmp_path, as_of=as_of, **training).digest
        )
        version = push_model(mlflow_url, lake, staged, own_run).version
        return run_gate(mlflow_url, lake, postgres, staged, version, own_run)

    return train_and_evaluate


def test_the_aliases_equal_a_replay_of_the_ledger_through_promotions_and_refusals(
    train: Train, model: ModelSpec, mlflow_url: str, postgres: Any
) -> None:
    steps: list[tuple[dict[str, Any], str, Aliases]] = [
        ({"noise": 2.0}, "baseline", Aliases(champion=2)),
        ({"noise": 0.98}, "promote", Aliases(champion=3)),
        ({"noise": 2.0, "trials": 1}, "keep", Aliases(champion=3)),
        ({"noise": 0.0, "as_of": AS_OF + WEEK}, "promote", Aliases(champion=5)),
        ({"noise": 0.0, "as_of": AS_OF + WEEK, "trials": 1}, "keep", Aliases(champion=5)),
    ]
    for training, action, expected in steps:
        decision = train(**training)

        assert decision.action == action, decision.reasons
        assert aliases(mlflow_url, model.name) == expected
        assert ledger.replay(ledger.entries(postgres, model.name)) == expected


def test_the_first_candidate_above_the_baseline_becomes_champion(
    train: Train, model: ModelSpec, mlflow_url: str, postgres: Any
) -> None:
    decision = train()

    champion = registry.champion(mlflow_url, model.name)
    assert decision.action == "promote"
    assert champion is not None
    assert champion.tags["gate_verdict"] == "promoted"
    assert champion.tags["gate_reason"] == "\n".join(decision.reasons)
    [entry] = ledger.entries(postgres, model.name)
    assert (entry.from_version, entry.to_version, entry.effective_from, entry.actor) == (None, 1, AS_OF, "gate")
    score = decision.evidence.candidate_score
    assert score is not None
    assert entry.evidence["candidate_score"] == score > 0.9


def test_a_model_trained_as_of_a_weekend_scores_the_last_session_before_it(
    lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str, postgres: Any
) -> None:
    # given
    churn = small_model(f"returns_{uuid.uuid4().hex[:8]}")
    model = churn.model_copy(update={"dataset": churn.dataset.model_copy(update={"calendar": NEW_YORK})})
    friday, sunday = date(2026, 11, 27), date(2026, 11, 29)
    staged = StagedTraining(model, sunday, stage(model, lake, run, tmp_path, as_of=sunday).digest)
    pushed = push_model(mlflow_url, lake, staged, run)

    # when
    run_gate(mlflow_url, lake, postgres, staged, pushed.version, run)

    # then
    entries = ledger.entries(postgres, model.name)
    assert ledger.champion_as_of(entries, friday) == ledger.replay(entries).champion is not None
    assert ledger.champion_as_of(entries, friday - timedelta(days=1)) is None


def test_the_same_model_trained_again_later_is_refused(
    train: Train, model: ModelSpec, mlflow_url: str, postgres: Any
) -> None:
    """The holdout is generated alike, so the two models differ in their as-of day alone."""
    train()

    decision = train(as_of=AS_OF + WEEK)

    assert decision.action == "keep"
    assert decision.evidence.candidate_score == decision.evidence.champion_score
    assert (decision.evidence.gain, decision.evidence.gain_lower_bound) == (0, 0)
    assert "is not above the required gain of 0." in decision.reasons[0]
    assert registry.version_tags(mlflow_url, model.name, 2)["gate_verdict"] == "refused"
    assert ledger.champion_as_of(ledger.entries(postgres, model.name), AS_OF + WEEK) == 1


def test_a_retry_takes_the_recorded_decision_and_repairs_the_aliases(
    train: Train,
    model: ModelSpec,
    lake: Lake,
    run: RunInfo,
    mlflow_url: str,
    postgres: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(registry, "set_aliases", killed(registry.set_aliases, "before"))
        with pytest.raises(KeyboardInterrupt):
            train(run_id="weekly")
    assert registry.champion(mlflow_url, model.name) is None
    replaced = StagedTraining(model, AS_OF, "of a staged training that a later one has replaced")

    decision = run_gate(mlflow_url, lake, postgres, replaced, 1, replace(run, run_id="weekly"))

    assert decision.action == "promote"
    assert aliases(mlflow_url, model.name) == Aliases(champion=1)
    assert [entry.action for entry in ledger.entries(postgres, model.name)] == ["promote", "repair"]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("module", "step"),
    [(promotion, "push_model"), (ledger, "record"), (registry, "set_aliases"), (registry, "tag_version")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_task_killed_at_any_step_leaves_a_state_that_the_next_try_completes(
    train: Train,
    model: ModelSpec,
    mlflow_url: str,
    postgres: Any,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    step: str,
    moment: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, step, killed(getattr(module, step), moment))
        with pytest.raises(KeyboardInterrupt):
            train(run_id="weekly", noise=2.0)
    decided = ledger.replay(ledger.entries(postgres, model.name))
    found = aliases(mlflow_url, model.name)
    assert found in (Aliases(), decided)

    decision = train(run_id="weekly", noise=2.0)

    entry, *repairs = ledger.entries(postgres, model.name)
    was_behind = decided == Aliases(champion=2) != found
    assert (decision.action, entry.action, entry.candidate, entry.to_version) == ("baseline", "baseline", 1, 2)
    assert [repair.action for repair in repairs] == ["repair"] * was_behind
    assert aliases(mlflow_url, model.name) == ledger.replay([entry]) == Aliases(champion=2)
    assert registry.version_tags(mlflow_url, model.name, 1)["gate_verdict"] == "refused"
    versions = MlflowClient(mlflow_url, mlflow_url).search_model_versions(f"name = '{model.name}'")
    assert sorted(int(version.version) for version in versions) == [1, 2]


def test_an_old_run_that_is_repeated_does_not_bring_its_champion_back(
    train: Train, model: ModelSpec, mlflow_url: str, postgres: Any
) -> None:
    train(run_id="old", noise=0.98)
    train(as_of=AS_OF + WEEK, run_id="new", noise=0.0)

    decision = train(run_id="old", noise=0.98)

    assert decision.action == "promote"
    assert aliases(mlflow_url, model.name) == Aliases(champion=2)
    assert len(ledger.entries(postgres, model.name)) == 2


def test_a_champion_that_has_learnt_the_holdout_is_not_compared_on_it(train: Train) -> None:
    train(as_of=AS_OF + 2 * WEEK, noise=0.98)

    decision = train(as_of=AS_OF)

    assert decision.action == "keep"
    assert decision.reasons == (
        "The champion, version 1, has learnt from days until 2026-02-28, whose outcomes reach into the holdout of "
        "2026-02-21; train again as of a later day.",
    )


def test_a_candidate_that_has_learnt_the_holdout_is_refused(train: Train) -> None:
    decision = train(learnt_until=AS_OF - timedelta(days=8))

    assert decision.action == "baseline"
    assert decision.reasons[0].startswith("The candidate, version 1, has learnt from days until 2026-02-21, whose")


def test_a_champion_that_cannot_be_used_is_evidence_and_stops_no_candidate(
    train: Train, model: ModelSpec, mlflow_url: str, postgres: Any, tmp_path: Path
) -> None:
    client = MlflowClient(mlflow_url, mlflow_url)
    train(noise=0.98)
    client.delete_model_version(model.name, "1")

    after_deletion = train(as_of=AS_OF + WEEK)

    assert after_deletion.action == "promote", after_deletion.reasons
    assert after_deletion.reasons[1].startswith("The champion, version 1, cannot be loaded: Version 1 of")
    assert aliases(mlflow_url, model.name) == Aliases(champion=2)

    source = client.get_model_version(model.name, "2").source
    assert source is not None
    (tmp_path / "model.skops").write_bytes((tmp_path / "baseline.skops").read_bytes())
    client.log_model_artifact(source.removeprefix("models:/"), str(tmp_path / "model.skops"))

    after_swap = train(as_of=AS_OF + 2 * WEEK, noise=2.0)

    assert after_swap.action == "keep"
    assert "is not the one that was trained" in after_swap.reasons[-1]
    entries = ledger.entries(postgres, model.name)
    assert [(entry.from_version, entry.candidate, entry.to_version) for entry in entries] == [
        (None, 1, 1),
        (1, 2, 2),
        (2, 3, 2),
    ]
    assert [sorted(entry.digests) for entry in entries] == [["1"], ["2"], ["3"]]
    assert entries[1].evidence["champion_fault"] == after_deletion.reasons[1]
    assert aliases(mlflow_url, model.name) == ledger.replay(entries) == Aliases(champion=2)

    assert train(as_of=AS_OF + 3 * WEEK, noise=0.98).action == "promote"
    client.delete_model_version_tag(model.name, "4", "learnt_until")

    without_tags = train(as_of=AS_OF + 4 * WEEK)

    assert without_tags.action == "keep"
    assert "version 4, has no tag `learnt_until` with a day (it is None)" in without_tags.reasons[0]
    assert "as of 2026-03-22, it may have learnt" in without_tags.reasons[0]
    assert train(as_of=AS_OF + 5 * WEEK).action == "promote"


def test_a_refused_version_is_not_evaluated_again_when_the_champion_cannot_be_used(
    train: Train, model: ModelSpec, mlflow_url: str, postgres: Any
) -> None:
    train(noise=0.0)
    assert train(noise=0.98).action == "keep"
    before = ledger.entries(postgres, model.name)
    MlflowClient(mlflow_url, mlflow_url).delete_model_version(model.name, "1")

    again = train(noise=0.98)

    assert again.action == "keep"
    assert again.reasons[0] == f"Version 2 was evaluated in run {before[-1].run_id!r}, which stands: keep."
    assert ledger.entries(postgres, model.name) == before
    assert train(as_of=AS_OF + WEEK, noise=0.98).action == "promote"


def test_the_ledger_counts_how_many_candidates_one_holdout_has_judged(train: Train) -> None:
    decisions = [train(noise=0.98, trials=trials) for trials in (1, 2, 3)]
    next_week = train(as_of=AS_OF + WEEK, noise=0.98)

    assert [decision.evidence.judgement for decision in decisions] == [1, 2, 3]
    assert decisions[2].evidence.gain_level == pytest.approx(0.05 / 9)
    assert decisions[0].evidence.holdout_digest == decisions[2].evidence.holdout_digest
    assert next_week.evidence.judgement == 1


def test_an_old_champion_is_refreshed_by_a_candidate_that_is_no_worse(
    train: Train, model: ModelSpec, mlflow_url: str, postgres: Any
) -> None:
    train()

    young = train(as_of=AS_OF + WEEK)
    old = train(as_of=AS_OF + 9 * WEEK)

    assert (young.action, old.action) == ("keep", "refresh")
    assert any("63 days older than the candidate" in reason for reason in old.reasons)
    assert aliases(mlflow_url, model.name) == Aliases(champion=3)
    assert ledger.champion_as_of(ledger.entries(postgres, model.name), AS_OF + 8 * WEEK) == 1


def test_a_candidate_that_would_end_an_ab_test_waits_for_a_person(
    train: Train, model: ModelSpec, mlflow_url: str, postgres: Any
) -> None:
    # given: the second version has a share of the keys
    train()
    train(as_of=AS_OF + WEEK)
    test = AbTest(share=0.2, salt="a test", first_day=AS_OF + WEEK, days=30, aim="lower")
    stated = {ab_test.STATED: test.model_dump(mode="json")}
    entry = ledger.Entry(
        model.name, "shadow", 2, 1, 1, AS_OF + WEEK, "admin", "It may be better.", stated, "manual"
    )
    ledger.record(postgres, entry)

    # when: a candidate comes that would refresh the champion
    decision = train(as_of=AS_OF + 9 * WEEK)

    # then
    assert decision.action == "propose"
    assert "Version 2 is compared with the champion in an A/B test on 30 days" in decision.reasons[0]
    assert aliases(mlflow_url, model.name) == Aliases(champion=1, challenger=2)


@pytest.mark.parametrize("gate", [{"leakage_threshold": ("roc_auc", 0.6)}, {"approval": "always"}])
def test_a_proposal_leaves_the_champion_until_a_person_answers(
    lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str, postgres: Any, gate: dict[str, Any]
) -> None:
    model = changed(small_model(f"returns_{uuid.uuid4().hex[:8]}"), gate=gate)
    staged = StagedTraining(model, AS_OF, stage(model, lake, run, tmp_path).digest)
    version = push_model(mlflow_url, lake, staged, run).version

    decision = run_gate(mlflow_url, lake, postgres, staged, version, run)

    assert decision.action == "propose"
    assert aliases(mlflow_url, model.name) == Aliases()
    [entry] = ledger.entries(postgres, model.name)
    assert (entry.action, entry.candidate, entry.to_version) == ("propose", version, None)
    stored = GateEvidence.model_validate(entry.evidence)
    assert [row.name for row in evaluate_gate(stored).checks if row.asks]


def test_a_candidate_of_another_training_than_the_staged_one_is_not_evaluated(
    train: Train, model: ModelSpec, lake: Lake, run: RunInfo, mlflow_url: str, postgres: Any
) -> None:
    train()

    with pytest.raises(ValueError, match="a later training replaced it"):
        run_gate(mlflow_url, lake, postgres, StagedTraining(model, AS_OF, "0" * 64), 2, run)
    assert len(ledger.entries(postgres, model.name)) == 1

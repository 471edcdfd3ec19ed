"""The evidence of an automatic rollback: champion and the version before it on the same outcomes of a lake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.lifecycle.modelling import model_files
from include.lifecycle.modelling.estimator_input import to_matrix
from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.monitoring import performance, version_before
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.promotion import registry
from include.lifecycle.promotion.automatic_rollback import AutomaticRollbackEvidence, decide
from include.lifecycle.promotion.ledger import Entry
from include.lifecycle.scoring.prediction_files import PARQUET
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from include.lifecycle.training.record import BASELINE
from include.models.churn import CHURN
from tests.integration.churn_history import day, features_of, labels_of, publish_history

SNAPSHOTS = [day(number) for number in range(0, 12)]
REPORTED, CHANGED_ON = day(45), day(10)
FIRST = Entry("churn", "promote", 1, None, 1, day(0), "gate", "", {}, "first", {"1": "ab"})
SECOND = replace(
    FIRST,
    candidate=2,
    from_version=1,
    to_version=2,
    effective_from=CHANGED_ON,
    run_id="second",
    digests={"2": "cd"},
)
HISTORY = [FIRST, SECOND]


@pytest.fixture
def good() -> Any:
    """A fitted estimator that knows something of who leaves."""
    frames, labels = zip(*((features_of(one), labels_of(one)) for one in SNAPSHOTS[:4]), strict=True)
    return CHURN.baseline(7).fit(to_matrix(pl.concat(frames), CHURN), [x for some in labels for x in some])


@pytest.fixture
def reported(lake: Lake, postgres: Any, run: RunInfo, tmp_path: Path, good: Any) -> Lake:
    """A report on twelve days: version 1 scored two of them, version 2, which knows nothing, the others."""
    publish_history(lake, tmp_path, SNAPSHOTS, until=REPORTED)
    model_files.dump(good, tmp_path / BASELINE, CHURN.trusted_types)
    lake.publish(CHURN.reference_prefix(2), day(0), [LocalFile(tmp_path / BASELINE)], run=run)
    for number, snapshot in enumerate(SNAPSHOTS):
        customers = features_of(snapshot).select("customer_id")
        noise = pl.Series([index % 97 / 97 for index in range(customers.height)]).shuffle(seed=number)
        rows = customers.with_columns(score=noise, model_version=pl.lit(1 if number < 2 else 2))
        rows.write_parquet(tmp_path / PARQUET)
        lake.publish(CHURN.predictions_prefix, snapshot, [LocalFile(tmp_path / PARQUET, rows.height)], run=run)
    performance.monitor(CHURN, lake, postgres, REPORTED, run, Reference(day(0), 2))
    return lake


def compared(lake: Lake, history: list[Entry] = HISTORY) -> AutomaticRollbackEvidence:
    return version_before.compare("http://mlflow", CHURN, lake, history, REPORTED)


def test_a_champion_that_knows_less_than_the_version_before_it_is_rolled_back(
    reported: Lake, good: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []
    monkeypatch.setattr(registry, "load", lambda *asked: loaded.append(asked) or good)

    evidence = compared(reported)

    [(url, name, version, _, digest)] = loaded
    assert (url, name, version, digest) == ("http://mlflow", "churn", 1, "ab")
    assert (evidence.champion, evidence.before, evidence.changed_on) == (2, 1, CHANGED_ON)
    # Of the days whose outcomes are known, those that the champion has scored.
    assert evidence.rows == 600 * len(SNAPSHOTS[2:11])
    assert evidence.before_score is not None
    assert evidence.champion_score is not None
    assert evidence.before_score > evidence.champion_score
    assert decide(evidence, CHURN.rollback).action == "rollback"
    younger = replace(SECOND, effective_from=day(44))
    assert decide(compared(reported, [FIRST, younger]), CHURN.rollback).action == "keep"


def test_a_version_before_that_knows_no_more_changes_nothing(
    reported: Lake, good: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ignorant:
        def predict_proba(self, matrix: Any) -> Any:
            return good.predict_proba(matrix)[::-1]

    monkeypatch.setattr(registry, "load", lambda *_: Ignorant())

    decision = decide(compared(reported), CHURN.rollback)

    assert decision.action == "keep"
    assert "is not above the margin" in decision.reasons[0]


def test_a_version_before_that_cannot_be_used_is_missing_evidence(
    reported: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> Any:
        raise UnusableModelError("It is gone.")

    monkeypatch.setattr(registry, "load", gone)

    evidence = compared(reported)

    assert evidence.problems == ("Version 1 cannot be used: It is gone.",)
    assert decide(evidence, CHURN.rollback).reasons == evidence.problems


def test_a_version_before_that_was_trained_on_other_features_is_missing_evidence(
    reported: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OfOtherFeatures:
        def predict_proba(self, matrix: Any) -> Any:
            raise ValueError("X has 12 features, but it expects 13.")

    monkeypatch.setattr(registry, "load", lambda *_: OfOtherFeatures())

    decision = decide(compared(reported), CHURN.rollback)

    assert decision.action == "keep"
    assert decision.reasons == ("Version 1 cannot be used: X has 12 features, but it expects 13.",)


def test_without_a_version_before_nothing_is_loaded(reported: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(registry, "load")

    assert compared(reported, [FIRST]).before is None


def test_a_champion_without_outcomes_is_missing_evidence(
    reported: Lake, good: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "load", lambda *_: good)
    third = replace(SECOND, candidate=3, from_version=2, to_version=3, run_id="third")

    evidence = compared(reported, [*HISTORY, third])

    assert evidence.problems == ("The outcomes of the champion's predictions have no rows.",)

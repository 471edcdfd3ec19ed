"""Training on a real lake: what is learnt from, what is staged, and that it is the same twice."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import skops.io

from include.lifecycle.modelling import tuning
from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.model_files import UntrustedModelError
from include.lifecycle.modelling.tasks.classification.metrics import measure
from include.lifecycle.storage.lake import Lake, Manifest
from include.lifecycle.training.record import RECORD, TrainingRecord
from include.lifecycle.training.snapshots import NothingToLearnError
from include.lifecycle.training.training import train
from include.lifecycle.training.training_set import TrainingSet, assemble, choose_days
from include.models.churn import CHURN
from tests.integration.churn_history import CHURNS, RUN, day, features_of, labels_of, publish_history, request
from tests.specs import changed
from tests.training_records import staged_record
from tests.unit.models.churn.customers import CONTRACTS

HORIZON = timedelta(CHURN.label.horizon_days)
SNAPSHOTS = [day(number) for number in range(0, 106, 7)]
AS_OF = day(105)

MakeLake = Callable[..., Lake]


@pytest.fixture(scope="module")
def make_lake(s3_client: Any, tmp_path_factory: pytest.TempPathFactory) -> MakeLake:
    def make(snapshots: list[date], until: date, **gaps: Any) -> Lake:
        bucket = f"lake-{uuid.uuid4().hex[:12]}"
        s3_client.create_bucket(Bucket=bucket)
        lake = Lake(s3_client, bucket)
        publish_history(lake, tmp_path_factory.mktemp("history"), snapshots, until, **gaps)
        return lake

    return make


@pytest.fixture(scope="module")
def history(make_lake: MakeLake) -> Lake:
    """Fifteen weeks, with the labels that have matured."""
    lake = make_lake(SNAPSHOTS, AS_OF)
    assemble(CHURN, lake, request(AS_OF))
    return lake


@pytest.fixture(scope="module")
def staged(history: Lake) -> Manifest:
    return train(CHURN, history, request(AS_OF, trials=4))


@pytest.fixture(scope="module")
def files(history: Lake, staged: Manifest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What is staged, by plain name."""
    paths = history.download(CHURN.staging_prefix, AS_OF, tmp_path_factory.mktemp("staged"))
    return {entry.plain_name: path for entry, path in zip(staged.files, paths, strict=True)}


@pytest.fixture(scope="module")
def training(files: dict[str, Path]) -> TrainingRecord:
    return TrainingRecord.read(files[RECORD])


@pytest.fixture(scope="module")
def young(make_lake: MakeLake) -> Lake:
    """Two days with features; the outcomes of one day, which only the second's labels need, never arrived."""
    lake = make_lake([day(0), day(1)], day(37), without=[day(36)])
    assemble(CHURN, lake, request(day(37)))
    return lake


def test_labels_of_matured_days_say_who_left(history: Lake, tmp_path: Path) -> None:
    matured = [snapshot for snapshot in SNAPSHOTS if snapshot + timedelta(35) <= AS_OF]

    assert history.days(CHURN.labels_prefix) == matured
    for snapshot in matured:
        labels = history.scan(CHURN.labels_prefix, [snapshot], tmp_path).select("customer_id", "label").collect()
        expected = features_of(snapshot).select("customer_id", label=pl.Series(labels_of(snapshot)))
        assert labels.equals(expected.sort("customer_id"))


def test_labels_do_not_depend_on_the_day_of_their_assembly(history: Lake, make_lake: MakeLake) -> None:
    earlier = make_lake(SNAPSHOTS, AS_OF)

    assemble(CHURN, earlier, request(day(70)))

    assert earlier.days(CHURN.labels_prefix)
    for snapshot in earlier.days(CHURN.labels_prefix):
        then, now = (lake.manifest(CHURN.labels_prefix, snapshot) for lake in (earlier, history))
        assert (then.digest, then.inputs) == (now.digest, now.inputs)


def test_a_training_looks_back_no_further_than_its_spec_says(history: Lake) -> None:
    model = changed(CHURN, split={"look_back_days": 50})

    assert list(choose_days(model, history, AS_OF).windows) == [day(56), day(63), day(70)]


def test_a_source_of_one_single_day_is_learnt_from_however_long_ago_that_was(make_lake: MakeLake) -> None:
    lake = make_lake([day(0)], until=day(0))

    assert list(choose_days(CHURN, lake, day(1000)).windows) == [day(0)]


def test_a_single_day_of_outcomes_within_the_look_back_has_not_said_all_where_there_were_others(
    make_lake: MakeLake,
) -> None:
    lake = make_lake([day(0), day(100)], until=day(101), without=[day(number) for number in range(1, 101)])
    model = changed(CHURN, split={"look_back_days": 50})

    with pytest.raises(NothingToLearnError, match=f"last outcomes of {day(101)}"):
        choose_days(model, lake, day(140))


def test_nothing_that_is_learnt_from_was_unknown_on_the_holdout_s_day(training: TrainingRecord) -> None:
    days, [fold] = training.days, training.folds

    assert training.split == training.validation_split == "time"
    assert days.holdout == (day(70),)
    assert max(days.refit) + HORIZON <= day(70)
    assert max(fold.train) + HORIZON <= min(fold.validation)
    assert set(fold.validation) <= set(days.refit)


def test_training_json_names_the_version_of_all_data_that_were_read(
    history: Lake, staged: Manifest, training: TrainingRecord
) -> None:
    days = [*training.days.refit, *training.days.holdout]
    prefixes = (CHURN.dataset.features_prefix, CHURN.labels_prefix)

    assert training.data == staged.inputs
    assert training.data == {
        f"{prefix}/dt={snapshot}": history.manifest(prefix, snapshot).digest
        for prefix in prefixes
        for snapshot in days
    }


def test_every_trial_is_kept_and_the_best_one_won(training: TrainingRecord) -> None:
    trials = training.trials

    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert {trial.candidate for trial in trials} == {"logistic_regression", "gradient_boosting"}
    winner = max(trials, key=lambda trial: trial.value)
    assert (training.candidate, training.params) == (winner.candidate, winner.params)


def test_the_staged_models_give_the_scores_and_metrics_of_the_holdout(
    files: dict[str, Path], training: TrainingRecord
) -> None:
    holdout = pl.read_parquet(files["holdout.parquet"])

    for file, scores, told in (
        ("model.skops", "candidate_score", training.metrics),
        ("baseline.skops", "baseline_score", training.baseline_metrics),
    ):
        estimator = skops.io.load(files[file], trusted=list(CHURN.trusted_types))
        assert (predict(estimator, holdout, CHURN) == holdout[scores].to_numpy()).all()
        measured = measure(holdout["label"].to_numpy(), holdout[scores].to_numpy())
        assert told == {f"holdout_{name}": value for name, value in measured.items()}
    assert training.metrics["holdout_average_precision"] > training.baseline_metrics["holdout_average_precision"]


def test_the_record_says_what_the_candidate_goes_by_and_what_is_usual(training: TrainingRecord) -> None:
    importance = training.importance

    assert importance is not None
    assert (importance.metric, tuple(importance.features)) == ("average_precision", CHURN.features)
    assert importance.rows == training.rows["holdout"]
    # Customers leave for their contract and their use; see `customers.risk`.
    best = sorted(importance.features, key=lambda name: importance.features[name].mean)[-2:]
    assert set(best) == {"contract", "data_trend"}
    assert CHURN.reasons is not None
    assert set(training.usual_values) == set(CHURN.reasons.words)
    assert set(training.usual_values["contract"].values) == set(CONTRACTS)


def test_each_behaviour_test_of_the_spec_was_asked_of_the_candidate(training: TrainingRecord) -> None:
    assert [result.name for result in training.behaviour_tests] == [test.name for test in CHURN.behaviour]
    assert all(result.was_run for result in training.behaviour_tests)


def test_training_again_changes_no_byte(history: Lake, staged: Manifest) -> None:
    before = {key: history.read_object(key) for key in history.keys("")}

    another = replace(request(AS_OF, trials=4), run=replace(RUN, run_id="another"))
    again = train(CHURN, history, another)

    assert again == staged
    assert {key: history.read_object(key) for key in history.keys("")} == before


def test_types_that_are_not_trusted_are_found_before_anything_is_searched(
    young: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    careful = CHURN.model_copy(update={"trusted_types": (), "name": "careful"})
    assemble(careful, young, request(day(37)))
    searched: list[Any] = []
    monkeypatch.setattr(tuning, "search", lambda *arguments: searched.append(arguments))

    with pytest.raises(UntrustedModelError, match="does not trust"):
        train(careful, young, request(day(37)))

    assert searched == []

    assert young.days(careful.staging_prefix) == []


def test_a_suspiciously_good_model_and_a_short_history_and_lost_outcomes_are_warned_of(young: Lake) -> None:
    doubtful = changed(CHURN, gate={"leakage_threshold": ("roc_auc", 0.501)})

    train(doubtful, young, request(day(37)))

    training = staged_record(young, CHURN.name, day(37))
    leak, split, gaps = training.warnings
    assert "too good to be true" in leak
    assert training.split == "key"
    assert "other rows (customer_id) of the same day" in split
    assert f"outcomes of 1 days are missing ({day(36)}), so 1 days" in gaps


def test_a_day_whose_labels_miss_outcomes_is_not_learnt_from(young: Lake, tmp_path: Path) -> None:
    every_day = changed(CHURN, split={"snapshot_every_days": 1})

    assemble(every_day, young, request(day(37)))

    assert list(TrainingSet.read(every_day, young, day(37), tmp_path).rows) == [day(0)]


def test_before_anything_has_matured_the_error_says_what_is_lacking(young: Lake) -> None:
    with pytest.raises(NothingToLearnError, match="outcomes are known 35 days after the features"):
        assemble(CHURN, young, request(day(34)))


def test_without_anybody_who_left_the_error_says_so(lake: Lake, tmp_path: Path) -> None:
    publish_history(lake, tmp_path, [day(0)], day(3))
    for number in range(4, 37):
        nobody = pl.DataFrame(schema={"customer_id": pl.String, "churned_on": pl.Date, "recorded_on": pl.Date})
        lake.publish_frame(CHURNS, day(number), nobody, run=RUN, scratch=tmp_path)
    assemble(CHURN, lake, request(day(36)))

    with pytest.raises(NothingToLearnError, match="has 0 rows with label 1"):
        train(CHURN, lake, request(day(36)))

"""What the churn model's estimators are fed with, what they can take, and what is stored of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import polars as pl
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_limits

from include.catalog import DATASETS, MODELS
from include.lifecycle.modelling import model_files
from include.lifecycle.modelling.estimator_input import predict, to_matrix
from include.lifecycle.modelling.model_files import UntrustedModelError
from include.lifecycle.modelling.tasks.classification import Classification
from include.lifecycle.modelling.tuning import fit
from include.lifecycle.specs import Candidate
from include.models.churn import CHURN
from tests.unit.models.churn.customers import customers, outcomes

CANDIDATES = {candidate.name: candidate for candidate in CHURN.candidates()}


def _fitted(candidate: Candidate, frame: pl.DataFrame) -> Any:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).ask()
    return fit(candidate.build(candidate.suggest(trial), 7), to_matrix(frame, CHURN), outcomes(frame))


def test_the_model_is_in_the_catalogue_with_its_dataset() -> None:
    assert MODELS["churn"] is CHURN
    assert DATASETS[CHURN.dataset.name] is CHURN.dataset


def test_features_reach_the_estimator_as_float64_and_text_in_the_model_s_order() -> None:
    frame = customers(3).select(pl.all().reverse()).with_columns(senior_citizen=pl.lit(1, pl.Int8))

    matrix = to_matrix(frame.select(reversed(frame.columns)), CHURN)

    assert tuple(matrix.columns) == CHURN.features
    assert {str(matrix[name].dtype) for name in CHURN.numeric} == {"float64"}
    assert {type(value) for name in CHURN.categorical for value in matrix[name]} == {str}


def test_missing_numbers_become_nan_and_missing_categories_a_category() -> None:
    frame = customers(1).with_columns(age=pl.lit(None, pl.Int64), contract=pl.lit(None, pl.String))

    matrix = to_matrix(frame, CHURN)

    assert np.isnan(matrix["age"][0])
    assert matrix["contract"][0] == "missing"


def test_a_frame_that_lacks_a_feature_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"lack \['tenure'\], which model 'churn' reads"):
        to_matrix(customers(1).drop("tenure"), CHURN)


def test_the_baseline_is_the_rate_of_the_customer_s_contract() -> None:
    frame = customers(3000)
    labels = outcomes(frame)

    baseline = fit(CHURN.baseline(7), to_matrix(frame, CHURN), labels)

    rates = frame.with_columns(label=labels).select(pl.col("label").mean().over("contract")).to_series()
    np.testing.assert_allclose(predict(baseline, frame, CHURN), rates, atol=1e-4)


@pytest.mark.parametrize("candidate", CANDIDATES.values(), ids=CANDIDATES)
def test_candidates_take_columns_without_a_value_and_categories_never_seen(candidate: Candidate) -> None:
    frame = customers(600).with_columns(age=pl.lit(None, pl.Float64), late_share_90d=pl.lit(None, pl.Float64))
    estimator = _fitted(candidate, frame)

    scores = predict(estimator, customers(50, seed=1).with_columns(contract=pl.lit("Weekly")), CHURN)

    assert ((scores > 0) & (scores < 1)).all()


@pytest.mark.parametrize("candidate", CANDIDATES.values(), ids=CANDIDATES)
def test_the_same_fit_is_stored_as_the_same_bytes_and_loads_with_the_same_scores(
    candidate: Candidate, tmp_path: Path
) -> None:
    frame = customers(600)
    estimators = [_fitted(candidate, frame) for _ in range(2)]

    for number, estimator in enumerate(estimators):
        model_files.dump(estimator, tmp_path / f"{number}.skops", CHURN.trusted_types)

    assert (tmp_path / "0.skops").read_bytes() == (tmp_path / "1.skops").read_bytes()
    loaded = skops.io.load(tmp_path / "0.skops", trusted=list(CHURN.trusted_types))
    assert (predict(loaded, frame, CHURN) == predict(estimators[1], frame, CHURN)).all()


def test_a_type_that_the_spec_does_not_trust_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(UntrustedModelError, match=r"contains \['.*customers'\], which its spec does not trust"):
        model_files.dump(FunctionTransformer(customers), tmp_path / "model.skops", CHURN.trusted_types)
    assert not (tmp_path / "model.skops").exists()


def test_fit_and_scores_are_the_same_to_the_last_bit_with_any_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    # Small or even ones show no difference without the limits.
    matrix = pd.DataFrame(rng.normal(size=(100_003, 45)))
    labels = (matrix[0].to_numpy() + rng.normal(size=len(matrix)) > 0).astype(int)

    fits, scores = [], []
    for threads in (1, 2):
        with threadpool_limits(threads):
            estimator = fit(LogisticRegression(), matrix, labels)
            fits.append(estimator.coef_.tobytes())
            scores.append(Classification(CHURN).predict(estimator, matrix).tobytes())

    assert fits[0] == fits[1]
    assert scores[0] == scores[1]

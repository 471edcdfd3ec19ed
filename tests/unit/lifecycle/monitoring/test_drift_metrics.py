"""The drift of a version as metrics in MLflow."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from typing import Any

import pytest

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.monitoring.drift_metrics import as_metrics, log_drift
from include.lifecycle.monitoring.drift_verdict import ColumnEvidence, DriftEvidence, DriftVerdict, decide
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.promotion import registry
from include.lifecycle.specs import DriftPolicy
from tests.specs import people_model

DAY = date(2026, 11, 22)
MODEL = people_model(numeric=(), categorical=())


def column(distance: float | None, threshold: float = 0.1) -> ColumnEvidence:
    return ColumnEvidence(
        method="wasserstein",
        threshold=threshold,
        distance=distance,
        exceeded=distance is not None and distance >= threshold,
        null_rate_reference=0.0,
        null_rate_current=0.0,
        reference_rows=1_000,
        current_rows=1_000,
    )


def verdict() -> DriftVerdict:
    columns = {"age": column(0.4, 0.2), "share, %": column(0.05), "empty": column(None), "calls": column(0.0)}
    evidence = DriftEvidence(
        reference_rows=1_000, current_rows=1_000, days=(DAY,), missing_days=(), score=column(0.25), columns=columns
    )
    return decide(evidence, DriftPolicy())


def test_distances_are_in_units_of_their_limits_under_names_that_mlflow_takes() -> None:
    assert as_metrics(verdict()) == {
        "drift/score": 2.5,
        "drift/age": 2.0,
        "drift/share_ _": 0.5,
        "drift/calls": 0.0,
        "drift_feature_share": 0.25,
    }


def test_the_step_is_the_number_of_days_since_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[tuple[Any, ...]] = []
    monkeypatch.setattr(registry, "log_metrics", lambda *given: logged.append(given))

    log_drift("http://mlflow", MODEL, Reference(DAY - timedelta(21), 3), DAY, verdict())

    assert logged == [("http://mlflow", "leaving", 3, as_metrics(verdict()), DAY, 21)]


def test_a_version_that_mlflow_has_lost_stops_no_report(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(*_: Any) -> None:
        raise UnusableModelError("Version 3 is not in MLflow any more.")

    monkeypatch.setattr(registry, "log_metrics", lost)

    with caplog.at_level(logging.ERROR):
        log_drift("http://mlflow", MODEL, Reference(DAY, 3), DAY, verdict())

    assert "Version 3 is not in MLflow any more." in caplog.text

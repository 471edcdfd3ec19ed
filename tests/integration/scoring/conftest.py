"""A fitted estimator, and features to score with it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from include.lifecycle.ingestion.feature_version import version_input
from include.lifecycle.modelling.estimator_input import to_matrix
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.integration.scoring.people import DAY, LEAVING, PEOPLE, ZeroForMissing, features


@pytest.fixture(scope="module")
def estimator() -> Any:
    """A fitted pipeline over the features of the model above."""
    matrix = to_matrix(features(), LEAVING).fillna({"visits": 0.0})
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["plan"]), remainder="passthrough")
    pipeline = make_pipeline(encode, ZeroForMissing(), LogisticRegression())
    return pipeline.fit(matrix, np.arange(len(matrix)) % 2)


@pytest.fixture
def publish_features(lake: Lake, run: RunInfo, tmp_path: Path) -> Any:
    def _publish(day: date = DAY, frame: pl.DataFrame | None = None) -> None:
        frame = features() if frame is None else frame
        version = version_input(PEOPLE)
        lake.publish_frame(PEOPLE.features_prefix, day, frame, run=run, scratch=tmp_path, inputs=version)

    return _publish

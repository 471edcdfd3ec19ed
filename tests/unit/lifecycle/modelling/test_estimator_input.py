"""What is missing is missing, whether a column says it as null or, being of floats, as NaN."""

from __future__ import annotations

import polars as pl
import pytest

from include.lifecycle.modelling.estimator_input import segment_names, to_matrix
from include.models.volatility import VOLATILITY
from tests.specs import changed

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "segments"),
    [
        pytest.param([9.5, NAN, None], ["9.5", "missing", "missing"], id="numbers"),
        pytest.param([9, None, 10], ["9", "missing", "10"], id="whole numbers"),
        pytest.param(["NaN", None, "n"], ["NaN", "missing", "n"], id="texts"),
        pytest.param([True, None, False], ["true", "missing", "false"], id="true and false"),
    ],
)
def test_a_missing_value_is_the_segment_and_the_category_of_missing_ones(
    values: list[object], segments: list[str]
) -> None:
    model = changed(VOLATILITY, numeric=(), categorical=("region",), segments={"by": "region"})
    frame = pl.DataFrame({"region": values})

    assert frame.select(segment_names(model, frame.schema)).to_series().to_list() == segments
    assert to_matrix(frame, model)["region"].to_list() == segments

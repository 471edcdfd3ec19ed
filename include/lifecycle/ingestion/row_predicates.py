"""A Great Expectations rule over several columns of a row."""

from __future__ import annotations

from typing import Any

import pandas as pd
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_condition_partial import (
    multicolumn_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_map_metric_provider import (
    MulticolumnMapMetricProvider,
)


class RowsSatisfy(MulticolumnMapMetricProvider):
    """Row by row, whether a `pandas.DataFrame.eval` predicate over several columns holds."""

    condition_metric_name = "multicolumn_values.satisfy"
    condition_domain_keys = (
        "batch_id",
        "table",
        "column_list",
        "row_condition",
        "condition_parser",
        "ignore_row_if",
    )
    condition_value_keys = ("predicate",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, predicate: str, **_: Any) -> Any:  # noqa: N805
        return column_list.eval(predicate)


class ExpectRowsToSatisfy(MulticolumnMapExpectation):
    """Expect a predicate over several columns to hold in each row.

    Great Expectations' own rule for pairs of values loops over the rows in Python; a predicate is evaluated on
    whole columns.
    """

    predicate: str
    map_metric = "multicolumn_values.satisfy"
    success_keys = ("mostly", "predicate")
    args_keys = ("column_list", "predicate")

"""The test kit: promises that every dataset and model must keep, for tests and for `make check-data`."""

from include.checks.datasets import (
    assert_point_in_time,
    assert_regrouping_changes_nothing,
    assert_rules_can_be_run,
)
from include.checks.examples import example_features, example_rows
from include.checks.models import (
    assert_behaviour_can_be_tested,
    assert_can_be_stored,
    assert_decisions_fit,
    assert_labels_fit,
)
from include.checks.promises import promises_of

__all__ = [
    "assert_behaviour_can_be_tested",
    "assert_can_be_stored",
    "assert_decisions_fit",
    "assert_labels_fit",
    "assert_point_in_time",
    "assert_regrouping_changes_nothing",
    "assert_rules_can_be_run",
    "example_features",
    "example_rows",
    "promises_of",
]

"""Row rules written as Great Expectations expectations: run once over many rows, answered row by row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

_FEW_VALUES = 1000
_ALL_ROWS = {
    "result_format": "COMPLETE",
    "return_unexpected_index_query": False,
    "partial_unexpected_count": 0,
    "exclude_unexpected_values": True,
}


class RuleError(ValueError):
    """A row rule is written wrongly, whatever the data are."""


def make_rules(rules: Callable[[], Sequence[Any]]) -> dict[str, Any]:
    """Rule id to expectation, with Great Expectations kept quiet.

    Raises
    ------
    RuleError
        If a rule lacks its `rule_id` or `why`, repeats an id, lets bad rows pass, or does not check single rows.
    """
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    row_rules = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    named: dict[str, Any] = {}
    for rule in rules():
        name, meta = type(rule).__name__, rule.meta or {}
        if not {"rule_id", "why"} <= meta.keys():
            raise RuleError(f"The rule {name} has meta={meta}; give it a `rule_id` and a `why`.")
        rule_id = meta["rule_id"]
        if rule_id in named:
            raise RuleError(f"Two rules are called {rule_id!r}; give each its own `rule_id`.")
        if not isinstance(rule, row_rules):
            raise RuleError(f"The rule {rule_id!r} is a {name}, which checks no single rows; use one that does.")
        if rule.mostly != 1:
            raise RuleError(
                f"The rule {rule_id!r} has mostly={rule.mostly}, which would let bad rows pass; leave it out and "
                "set the table's `max_bad_share`."
            )
        named[rule_id] = rule
    return named


def rule_columns(rule: Any) -> tuple[str, ...]:
    """The columns that an expectation looks at."""
    fields = rule.configuration.kwargs
    single = [fields[name] for name in ("column", "column_A", "column_B") if name in fields]
    return (*single, *fields.get("column_list", ()))


def broken_rows(frame: pl.DataFrame, rules: Mapping[str, Any]) -> dict[str, list[int]]:
    """Rule id to the positions, from 0, of the rows of `frame` that break it; rules that all meet are left out.

    Raises
    ------
    RuleError
        If a rule cannot be computed, e.g. because it names a column that is not there.
    """
    if frame.is_empty() or not rules:
        return {}
    results = _run(frame, list(rules.values()))
    return {
        result.expectation_config.meta["rule_id"]: _positions(result) for result in results if not result.success
    }


def _run(frame: pl.DataFrame, rules: list[Any]) -> Any:
    import great_expectations as gx
    import pandas as pd

    context = gx.get_context(mode="ephemeral", project_config=_quiet_project())
    own = [rule.copy() for rule in rules]  # a suite takes only what no other one has had
    asset = context.data_sources.add_pandas("frame").add_dataframe_asset("rows")
    validation = context.validation_definitions.add(
        gx.ValidationDefinition(
            name="validation",
            data=asset.add_batch_definition_whole_dataframe("all"),
            suite=context.suites.add(gx.ExpectationSuite(name="rules", expectations=own)),
        )
    )
    # Great Expectations copies the frame for each rule; copy-on-write makes that a third cheaper.
    with pd.option_context("mode.copy_on_write", True):
        batch = {"dataframe": _to_pandas(frame)}
        return validation.run(batch_parameters=batch, result_format=_ALL_ROWS).results


def _quiet_project() -> Any:
    """Everything in memory; no documents, progress bars or usage statistics."""
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )


def _to_pandas(frame: pl.DataFrame) -> Any:
    """The frame with texts of few values as categories: twice as fast to compare as Python strings.

    All of them share their categories, because pandas compares no others with each other.
    """
    counts = frame.select(pl.col(pl.String).approx_n_unique())
    few = [count.name for count in counts if count.item() <= _FEW_VALUES]
    values = pl.concat([pl.Series(dtype=pl.String), *(frame[name].unique() for name in few)])
    categories = pl.Enum(values.drop_nulls().unique().sort())
    return frame.with_columns(pl.col(few).cast(categories)).to_pandas()


def _positions(result: Any) -> list[int]:
    positions: list[int] | None = result.result.get("unexpected_index_list")
    if positions is None:
        rule_id = result.expectation_config.meta["rule_id"]
        raise RuleError(f"The rule {rule_id!r} cannot be computed; correct it. {_first_message(result)}")
    return positions


def _first_message(result: Any) -> str:
    errors = [error for error in result.exception_info.values() if isinstance(error, dict)]
    return next((str(error["exception_message"]) for error in errors), "It names no failing rows.")

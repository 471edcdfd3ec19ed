"""Specs of which a test needs a part, and specs with a few fields changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import polars as pl

from include.lifecycle.specs import DatasetSpec, GateSpec, LabelSpec, ModelSpec, Spec, TableSpec

AnySpec = TypeVar("AnySpec", bound=Spec)


def changed(spec: AnySpec, **changes: Any) -> AnySpec:
    """A copy with other values, which are not checked; a dictionary changes fields of the spec that it names."""
    values = {}
    for name, value in changes.items():
        present = getattr(spec, name)
        is_nested = isinstance(present, Spec) and isinstance(value, Mapping)
        values[name] = changed(present, **value) if is_nested else value
    return spec.model_copy(update=values)


def unused(*_: Any) -> Any:
    """Stands for each callable of a spec that a test does not get to."""
    raise AssertionError("The test does not need this part of the spec.")


def people_dataset(**changes: Any) -> DatasetSpec:
    """A dataset with one table, of which no callable is used."""
    fields: dict[str, Any] = {
        "name": "people",
        "title": "People",
        "description": "",
        "key": ("person",),
        "timezone": "UTC",
        "schedule": "@daily",
        "tables": (TableSpec(name="people", columns={"person": pl.String}, key=("person",), rules=unused),),
        "make_source": unused,
        "features": unused,
        "history_days": {"people": 0},
    }
    return DatasetSpec(**fields | changes)


def people_model(**changes: Any) -> ModelSpec:
    """A classification of people, of which no callable is used."""
    fields: dict[str, Any] = {
        "name": "leaving",
        "title": "Leaving",
        "description": "",
        "dataset": people_dataset(),
        "task": "classification",
        "label": LabelSpec(make=unused, table="people", horizon_days=30, delay_days=5),
        "candidates": unused,
        "baseline": unused,
        "gate": GateSpec(metric="average_precision"),
        "decide": unused,
        "trusted_types": (),
    }
    return ModelSpec(**fields | changes)

"""What the specs name is imported late, and is there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from include.catalog import DATASETS, MODELS
from include.lifecycle.deferred import Deferred
from include.lifecycle.specs import TableSpec

SPECS: Mapping[str, BaseModel] = {**DATASETS, **MODELS}


def _resolved(value: Any) -> Any:
    """A spec, and all within it, made again with the callables that it names."""
    if isinstance(value, Deferred):
        return value.resolve()
    if isinstance(value, BaseModel):
        return type(value)(**{name: _resolved(getattr(value, name)) for name in type(value).model_fields})
    if isinstance(value, Mapping):
        return {key: _resolved(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_resolved, value))
    return value


@pytest.mark.parametrize("name", SPECS)
def test_what_a_spec_names_is_there_and_takes_what_it_is_called_with(name: str) -> None:
    assert _resolved(SPECS[name]).name == name


def test_a_typo_in_a_name_is_found() -> None:
    sales = TableSpec(
        name="sales", columns={}, key=(), rules=Deferred("include.datasets.customers.rules:customer")
    )

    with pytest.raises(AttributeError, match="customer"):
        _resolved(sales)


def test_a_deferred_callable_is_called_with_what_it_is_given() -> None:
    assert Deferred("builtins:sorted")([2, 1], reverse=True) == [2, 1]


@pytest.mark.parametrize("name", ["", "sorted", "builtins:", ":sorted"])
def test_what_is_no_name_of_a_callable_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(ValueError, match=r"names no callable; write it as 'package\.module:function'"):
        Deferred(name)


def test_a_module_is_imported_by_the_first_call_and_not_before() -> None:
    code = (
        "import sys; from include.lifecycle.deferred import Deferred; named = Deferred('calendar:isleap'); "
        "assert 'calendar' not in sys.modules; assert named(2024); assert 'calendar' in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)

"""What the specs name is imported late, and is there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from include.catalog import DATASETS, MODELS
from include.lifecycle.deferred import Deferred


def _deferred(value: Any) -> Iterator[Deferred]:
    """All deferred callables within a spec."""
    if isinstance(value, Deferred):
        yield value
    elif isinstance(value, BaseModel):
        yield from _deferred([getattr(value, name) for name in type(value).model_fields])
    elif isinstance(value, Mapping):
        yield from _deferred(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _deferred(each)


NAMED = sorted({each.name for each in _deferred([*DATASETS.values(), *MODELS.values()])})


def test_the_catalog_defers_some_callables() -> None:
    assert "include.datasets.customers.rules:customers" in NAMED


@pytest.mark.parametrize("name", NAMED)
def test_each_callable_that_the_catalog_names_is_there(name: str) -> None:
    assert callable(Deferred(name).resolve())


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

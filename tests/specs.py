"""Specs with a few fields changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from include.lifecycle.specs import Spec

AnySpec = TypeVar("AnySpec", bound=Spec)


def changed(spec: AnySpec, **changes: Any) -> AnySpec:
    """A copy with other values, which are not checked; a dictionary changes fields of the spec that it names."""
    values = {}
    for name, value in changes.items():
        present = getattr(spec, name)
        is_nested = isinstance(present, Spec) and isinstance(value, Mapping)
        values[name] = changed(present, **value) if is_nested else value
    return spec.model_copy(update=values)

"""`docs/specs.md`: what each field of a spec means, made of the fields' own descriptions."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from include.lifecycle.specs import (
    AnyOrder,
    Candidate,
    DatasetSpec,
    DriftPolicy,
    Extreme,
    GateSegments,
    GateSpec,
    IntervalPolicy,
    Invariant,
    LabelSpec,
    ModelSpec,
    Monotonic,
    Profile,
    ReasonsSpec,
    RefitSpec,
    RetrainingSpec,
    RollbackPolicy,
    ScheduleSpec,
    SegmentsSpec,
    Spec,
    SplitSpec,
    TableSpec,
)

PAGE = Path("docs/specs.md")
SPECS: tuple[type[Spec], ...] = (
    DatasetSpec,
    TableSpec,
    ModelSpec,
    LabelSpec,
    SplitSpec,
    SegmentsSpec,
    Candidate,
    GateSpec,
    GateSegments,
    Monotonic,
    Invariant,
    AnyOrder,
    Extreme,
    Profile,
    IntervalPolicy,
    ReasonsSpec,
    DriftPolicy,
    RollbackPolicy,
    RefitSpec,
    ScheduleSpec,
    RetrainingSpec,
)
_INTRODUCTION = """# Specs

What a dataset and a model say of themselves, field by field. Written by
`python -m include.lifecycle.specs.reference` from the fields' descriptions; a test holds that it is up to date.
How to begin is in [your-own-data.md](your-own-data.md).
"""


def page() -> str:
    """The page, from `SPECS`."""
    return "\n".join([_INTRODUCTION, *(_section(spec) for spec in SPECS)])


def _section(spec: type[Spec]) -> str:
    rows = [_row(name, field) for name, field in spec.model_fields.items()]
    table = "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows])
    return f"## {spec.__name__}\n\n{inspect.getdoc(spec)}\n\n{table}\n"


def _row(name: str, field: FieldInfo) -> str:
    meaning = field.description or ""
    cells = (f"`{name}`", f"`{_type(field.annotation)}`", _default(field), meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _type(annotation: Any) -> str:
    """The type in few words: callables are explained by their meaning."""
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    if "Callable" in text:
        return "Mapping[str, function]" if "Mapping" in text.partition("Callable")[0] else "function"
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Za-z])", "", text)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if isinstance(field.default, Spec):
        return "its own defaults"
    has_text = " object at 0x" not in repr(field.default)
    return f"`{field.default}`" if has_text else f"`{type(field.default).__name__}()`"


if __name__ == "__main__":
    PAGE.write_text(page())

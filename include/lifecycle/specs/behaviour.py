"""Behaviour tests: what must hold of a model's scores whatever it has learnt, asked of each candidate once fitted.

The kinds are those of Ribeiro et al. (2020), "Beyond accuracy: behavioral testing of NLP models with CheckList":
minimum functionality, invariance and directional expectation; and scores of missing and extreme values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from include.lifecycle.specs.spec import Spec, takes

Rows = Annotated[Callable[[pl.DataFrame], pl.DataFrame], takes("sample")]
"""Rows to be scored, from a sample of the holdout: key, `dt`, numbers as float64, categories as text."""

_ROUNDING = 1e-9


class _Test(Spec):
    """What all tests have."""

    @property
    def columns(self) -> frozenset[str]:
        """The columns of the model's features that the test changes by their names."""
        return frozenset()


class Monotonic(_Test):
    """The score never moves the wrong way as columns go through values, in any row of the sample."""

    name: str = Field(description="How pages and the gate call the test.")
    steps: Mapping[str, tuple[Any, ...]] = Field(
        min_length=1, description="The values, by column; several columns take their values together."
    )
    direction: Literal["up", "down"] = Field("up", description="Where the score may go from step to step.")
    tolerance: float = Field(_ROUNDING, ge=0, description="A step this far the wrong way is none.")

    @model_validator(mode="after")
    def _steps_are_parallel(self) -> Self:
        lengths = {column: len(values) for column, values in self.steps.items()}
        if len(set(lengths.values())) > 1 or min(lengths.values()) < 2:
            raise ValueError(
                f"`steps` of {self.name!r} has so many values: {lengths}; give each column as many, at least 2."
            )
        return self

    @property
    def columns(self) -> frozenset[str]:
        """The columns of the model's features that the test changes."""
        return frozenset(self.steps)

    @property
    def asked(self) -> str:
        """What is asked, in a sentence."""
        way = "falls" if self.direction == "up" else "rises"
        ranges = ", ".join(
            f"{column} goes from {values[0]} to {values[-1]}" for column, values in self.steps.items()
        )
        return f"No score {way} by more than {self.tolerance:g} as {ranges}."


class Invariant(_Test):
    """Rows that differ in nothing that should matter have the same scores."""

    name: str = Field(description="How pages and the gate call the test.")
    before: Rows | None = Field(None, description="The rows; None: those of the sample.")
    after: Rows = Field(description="As many rows, in the same order, that should be scored the same.")
    tolerance: float = Field(_ROUNDING, ge=0, description="The largest difference of scores that is none.")

    @property
    def asked(self) -> str:
        """What is asked, in a sentence."""
        return f"No score differs by more than {self.tolerance:g}."


class AnyOrder(_Test):
    """A row's score depends neither on the order of the rows nor on which others are scored with it."""

    name: str = Field("order of the rows", description="How pages and the gate call the test.")
    tolerance: float = Field(_ROUNDING, ge=0, description="The largest difference of scores that is none.")

    @property
    def asked(self) -> str:
        """What is asked, in a sentence."""
        return f"Scored backwards, and in halves, no score differs by more than {self.tolerance:g}."


class Extreme(_Test):
    """Missing and extreme values, in one column and in all of them at once, still get a score that makes sense."""

    name: str = Field("missing and extreme values", description="How pages and the gate call the test.")
    values: Mapping[str, tuple[Any, ...]] = Field(
        min_length=1, description="What each column is set to, one after the other; None is a missing value."
    )
    low: float = Field(float("-inf"), description="No score may be lower.")
    high: float = Field(float("inf"), description="No score may be higher.")

    @property
    def columns(self) -> frozenset[str]:
        """The columns of the model's features that the test changes."""
        return frozenset(self.values)

    @property
    def asked(self) -> str:
        """What is asked, in a sentence."""
        return (
            f"With such values in any of {len(self.values)} columns, or in all, scores stay valid{_limits(self)}."
        )


class Profile(_Test):
    """Rows that people know get a score that people expect."""

    name: str = Field(description="Who or what it is, e.g. 'a loyal customer'.")
    rows: Rows = Field(description="The rows, e.g. `include.toolkit.behaviour.usual(contract='Two year')`.")
    low: float = Field(float("-inf"), description="No score may be lower.")
    high: float = Field(float("inf"), description="No score may be higher.")

    @property
    def asked(self) -> str:
        """What is asked, in a sentence."""
        return f"Scores are valid{_limits(self)}."


BehaviourTest = Monotonic | Invariant | AnyOrder | Extreme | Profile


def behaviour_faults(tests: Sequence[BehaviourTest], features: Sequence[str]) -> list[str]:
    """What is wrong with the tests of a model that reads these features, in sentences."""
    names = [test.name for test in tests]
    repeated = sorted({name for name in names if names.count(name) > 1})
    faults = [f"Several behaviour tests are called {repeated}; rename them."] if repeated else []
    unread = {test.name: sorted(test.columns - set(features)) for test in tests}
    faults += [
        f"The behaviour test {name!r} changes {columns}, which the model does not read; name columns of `numeric` "
        "or `categorical`."
        for name, columns in unread.items()
        if columns
    ]
    return faults


def _limits(test: Extreme | Profile) -> str:
    ends = {"at least": test.low, "at most": test.high}
    given = " and ".join(f"{words} {end:g}" for words, end in ends.items() if abs(end) != float("inf"))
    return f", {given}" if given else ""

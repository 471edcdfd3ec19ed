"""What a model predicts, and when it is known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from include.lifecycle.specs.spec import Spec, takes


class LabelSpec(Spec):
    """What is predicted, and when it is known."""

    make: Annotated[
        Callable[[date, pl.DataFrame, pl.LazyFrame], pl.DataFrame], takes("day", "features", "outcomes")
    ] = Field(
        description=(
            "Labels of a day from its features and the clean rows of `table` known so far: key columns and "
            "`label`, of values that the task asks for. Rows that must not be learnt from are left out."
        )
    )
    table: str = Field(description="The table of the dataset that says what happened.")
    horizon_days: int = Field(
        ge=1,
        description="The label says what happens within so many days of the dataset's calendar after the day.",
    )
    delay_days: int = Field(ge=0, description="Days of the calendar until what happened is known.")
    target_days: tuple[int, int] | None = Field(
        None,
        description=(
            "First and last day that a prediction is about, in days of the calendar after the features' day: "
            "(7, 7) is the one day a week ahead, (0, 0) the features' own day. None: (1, `horizon_days`), all of "
            "the horizon. The prediction files say it in `target_from` and `target_until`."
        ),
    )
    aim: Literal["lower", "higher"] | None = Field(
        None,
        description=(
            "Which mean label people act for, e.g. `lower` where 1 is a loss; an A/B test compares it. None: what "
            "people do does not change the label, so that such a test would say nothing."
        ),
    )
    counts_all_days: bool = Field(
        False, description="Whether `make` counts all days; a dataset with a calendar of fewer is refused then."
    )

    @model_validator(mode="after")
    def _target_lies_within_horizon(self) -> Self:
        if self.target_days and not 0 <= self.target_days[0] <= self.target_days[1] <= self.horizon_days:
            raise ValueError(
                f"`target_days` is {self.target_days} and `horizon_days` {self.horizon_days}; give the first day, "
                "from 0 on, and the last, the horizon's at most."
            )
        return self

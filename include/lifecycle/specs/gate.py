"""What a model's gate asks of a candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from include.lifecycle.specs.spec import Spec, takes

Approval = Literal["automatic", "when_close", "always"]
"""When a person is asked before a candidate becomes champion; a leak alarm always asks one."""


class GateSegments(Spec):
    """A column by whose values the gate looks at the holdout part by part."""

    by: str = Field(description="Column of the features, a text or a number. Missing values are a segment.")
    cuts: tuple[float, ...] = Field(
        (),
        description=(
            "Numbers at which the bands of a number begin, e.g. (30, 60) for under 30, 30 to under 60, and 60 and "
            "over. None: each value is a segment."
        ),
    )

    @model_validator(mode="after")
    def _cuts_rise(self) -> Self:
        if any(low >= high for low, high in pairwise(self.cuts)):
            raise ValueError(f"The `cuts` of {self.by!r} are {self.cuts}; give them in rising order, each once.")
        return self


class GateLimits(Spec):
    """What a candidate must hold to besides its gain; the ledger keeps it with the evidence."""

    segments: tuple[GateSegments, ...] = Field((), description="In which parts of the rows a loss is looked for.")
    max_segment_loss: float = Field(
        0.02,
        ge=0,
        description="No segment may lose more against the champion, beyond chance; in the unit of the gain.",
    )
    min_segment_rows: int = Field(
        200,
        ge=1,
        description=(
            "Segments with fewer rows in the holdout are shown, but stop no candidate; one that is to replace a "
            "champion is refused where none of a column's segments has so many."
        ),
    )
    max_calibration_error: float | None = Field(
        None,
        ge=0,
        description=(
            "A larger error, beyond chance, refuses, unless the champion's is larger still. The task says what is "
            "measured; None: no limit."
        ),
    )
    leakage_threshold: tuple[str, float] | None = Field(
        None,
        description=(
            "A metric, and the value above which it is too good to be true, so that a person is asked; None: no "
            "limit."
        ),
    )
    max_champion_age_days: int | None = Field(
        None,
        ge=1,
        description=(
            "A champion that was trained as of more days before the candidate may be refreshed by one that is not "
            "worse; None: never. At most `retraining.max_age_days`, after which it asks for a training."
        ),
    )
    refresh_margin: float = Field(
        0.01,
        ge=0,
        description="Not worse: the lower end of the gain's interval is above minus this.",
    )
    approval: Approval = Field(
        "automatic",
        description=(
            "Whether a person is asked before a candidate becomes champion: `automatic` never, `when_close` where "
            "the gain is not clear, `always`. A leak alarm asks in any case."
        ),
    )

    @model_validator(mode="after")
    def _segments_are_named_once(self) -> Self:
        names = [segment.by for segment in self.segments]
        if len(set(names)) < len(names):
            raise ValueError(f"`gate.segments` names {names}; name each column once.")
        return self


class GateSpec(GateLimits):
    """How candidate, champion and the naive estimators are compared."""

    metric: str = Field(description="The metric of the task that decides; higher is better.")
    min_gain: float = Field(
        0.001,
        ge=0,
        description=(
            "What the lower end of the interval of the candidate's gain over the champion must be above; a gain "
            "that is certain can still be worth nothing."
        ),
    )
    approval_hours: float = Field(
        72.0,
        gt=0,
        description=(
            "How long people have to answer where they are asked; then the champion stays. The next training "
            "waits until then, so choose less than lies between two of them."
        ),
    )
    references: Mapping[str, Annotated[Callable[[int], Any], takes("seed")]] = Field(
        {}, description="Naive estimators besides the baseline, by name, that a candidate must beat; from a seed."
    )

    def limits(self) -> GateLimits:
        """What of it the ledger keeps: all but the functions."""
        return GateLimits(**{name: getattr(self, name) for name in GateLimits.model_fields})

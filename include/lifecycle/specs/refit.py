"""Whether and how a new champion is fitted once more, on the holdout as well."""

from __future__ import annotations

from pydantic import Field

from include.lifecycle.specs.spec import Spec


class RefitSpec(Spec):
    """How far a refitted champion may be from the version that the gate judged, on the rows of the holdout."""

    max_mean_difference: float = Field(
        gt=0, description="Largest mean absolute difference of the two versions' scores, in their unit."
    )
    max_high_difference: float = Field(
        gt=0,
        description="Largest absolute difference of the scores that 99 % of the rows may reach, in that unit.",
    )
    max_calibration_increase: float = Field(
        ge=0, description="How much larger the calibration error may be; not asked where scores promise nothing."
    )

"""When a model is trained outside its schedule."""

from __future__ import annotations

from pydantic import Field

from include.lifecycle.specs.spec import Spec


class RetrainingSpec(Spec):
    """When the reports of a model ask for a training, and what it waits for.

    All ages are counted in days of the data, from the day of the newest report.
    """

    points: int = Field(
        4,
        ge=1,
        description=(
            "So many points ask for a training. A drift report gives 2 where the scores drifted, else 1 where the "
            "features did or a feature's share of missing values changed. Each week whose outcomes have become "
            "known since the champion was trained, and are worse than was estimated, gives 2. Predictions that "
            "are worse than the baseline by their outcomes give 4, and so do those of a week that are estimated "
            "to be worse than those of the holdout."
        ),
    )
    reports: int = Field(4, ge=1, description="So many of the newest drift reports count; none overlaps another.")
    report_days: int = Field(
        35, ge=1, description="Drift reports count that are at most so many days older than the newest one."
    )
    max_age_days: int | None = Field(
        120,
        ge=1,
        description=(
            "A champion that was trained longer ago asks for a training by its age, once in so many days while "
            "none replaces it; None: never."
        ),
    )
    cooldown_days: int = Field(
        14, ge=1, description="So many days lie between the newest training of the model and the next."
    )
    min_new_label_days: int = Field(
        5,
        ge=1,
        description="Days with predictions whose outcomes have become known since the champion was trained.",
    )
    max_attempts: int = Field(
        3, ge=1, description="After so many trainings that failed, a request is closed without one."
    )

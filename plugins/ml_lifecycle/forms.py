"""Fields that several forms have."""

from __future__ import annotations

from airflow.sdk import Param

from ml_lifecycle.days import Timeline


def day_field(title: str, description: str, timeline: Timeline) -> Param:
    """A day of the timeline that may be left empty."""
    bounds = f"From {timeline.first_day} to yesterday ({timeline.timezone})."
    return Param(None, type=["null", "string"], format="date", title=title, description=f"{description} {bounds}")

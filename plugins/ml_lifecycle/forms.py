"""Fields that several forms have."""

from __future__ import annotations

from airflow.sdk import Param


def day_field(title: str, description: str) -> Param:
    """A day that may be left empty."""
    return Param(None, type=["null", "string"], format="date", title=title, description=description)

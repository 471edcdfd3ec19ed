"""What the form of a run says, as the tasks use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def refuse_unknown_fields(context: Mapping[str, Any]) -> None:
    """Refuse what the run was triggered with and its form does not have, which Airflow would ignore.

    Raises
    ------
    ValueError
        Says which fields these are, and which there are.
    """
    given, dag = context["dag_run"].conf, context["dag"]
    if unknown := sorted(set(given or {}) - set(dag.params)):
        raise ValueError(
            f"The run was triggered with {unknown}, which the form of {dag.dag_id} does not have. Its fields are "
            f"{sorted(dag.params)}; trigger it again with these alone."
        )


def whole_number(form: Mapping[str, Any], field: str) -> int | None:
    """A field's whole number, which JSON may write as 7.0; None where it was left empty."""
    return None if form[field] is None else int(form[field])


def text(form: Mapping[str, Any], field: str) -> str:
    """A field's text without blanks around it; empty where there is none."""
    return (form[field] or "").strip()

"""Days that are scored again, because the version that had scored them was rolled back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from include.lifecycle.ingestion.feature_version import present_feature_days
from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.ab_test import begun_as_of
from include.lifecycle.scoring.prediction_files import challenger_input, predictions_table, version_input
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import Lake

if TYPE_CHECKING:
    from psycopg2 import extensions


def withdrawn(history: Sequence[ledger.Entry]) -> dict[int, str]:
    """By version whose last rollback wants its days scored again, that rollback in a sentence.

    `history` is a model's entries, oldest first.
    """
    last = {
        entry.from_version: entry
        for entry in history
        if entry.action == "rollback" and entry.from_version is not None
    }
    return {
        version: (
            f"Version {version} was rolled back to version {entry.to_version} by {entry.actor} in run "
            f"{entry.run_id}: {entry.reason}"
        )
        for version, entry in last.items()
        if entry.evidence.get("rescore")
    }


def days_to_rescore(
    model: ModelSpec, lake: Lake, connection: extensions.connection, history: Sequence[ledger.Entry]
) -> list[date]:
    """The days, oldest first, whose published predictions are of a version that may not score them any more.

    These have features of the present version of the code, and another version may score them.
    """
    versions = withdrawn(history)
    if not versions:
        return []
    due: set[date] = set()
    for name in (version_input(model), challenger_input(model)):
        loaded = warehouse.days_loaded_from(connection, predictions_table(model), name, list(map(str, versions)))
        due |= {day for day, version in loaded.items() if is_replaced(history, day, int(version))}
    if not due:
        return []
    with_features = set(present_feature_days(model.dataset, lake, min(due), max(due)))
    return sorted(with_features.intersection(due))


def is_replaced(history: Sequence[ledger.Entry], day: date, version: int) -> bool:
    """Whether a version may not score a day any more, as it was rolled back, and another one may.

    The versions of an A/B test may, whatever was before, and also score again what they had published by its end.
    """
    if any(version in (split.champion, split.challenger) for split in begun_as_of(history, day)):
        return False
    choices = ledger.choices_as_of(history, day)
    return bool(choices) and version not in choices

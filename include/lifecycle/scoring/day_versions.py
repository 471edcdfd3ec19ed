"""Which version scores a day: the one whose scores people have, else the champion of the day."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import TYPE_CHECKING

from include.lifecycle.promotion import ledger
from include.lifecycle.scoring.prediction_files import predictions_table, version_input, version_of
from include.lifecycle.scoring.rescoring import is_replaced
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import Lake

if TYPE_CHECKING:
    from psycopg2 import extensions


def kept_versions(
    model: ModelSpec,
    lake: Lake,
    connection: extensions.connection,
    history: Sequence[ledger.Entry],
    days: Collection[date],
) -> dict[date, int]:
    """Those of the days that have been published, each with its version, unless that may not score it any more.

    People have acted on what was published, so a day whose files or rows are lost is scored by the same version
    again, whichever is champion by now. One that was rolled back is not kept.

    Parameters
    ----------
    history : the model's entries in the ledger, oldest first.
    """
    published = published_versions(model, lake, connection, days)
    return {day: version for day, version in published.items() if not is_replaced(history, day, version)}


def published_versions(
    model: ModelSpec, lake: Lake, connection: extensions.connection, days: Collection[date]
) -> dict[date, int]:
    """The version that has scored each of the days, where that is known.

    The files say it; where they are lost, what the warehouse was loaded from, or its rows if these are of one
    version.
    """
    known: dict[date, int] = {}
    if not days:
        return known
    for day in lake.days(model.predictions_prefix, min(days), max(days)):
        manifest = lake.usable_manifest(model.predictions_prefix, day) if day in days else None
        if manifest is not None:
            known[day] = version_of(model, manifest)
    lost = [day for day in days if day not in known]
    if not lost:
        return known
    table = predictions_table(model)
    counts = warehouse.day_counts(connection, table, "model_version", min(lost))
    loaded = warehouse.loaded_inputs(connection, table, version_input(model), lost)
    for day in lost:
        found = [loaded[day]] if day in loaded else list(counts.get(day, ()))
        if len(found) == 1:
            known[day] = int(found[0])
    return known

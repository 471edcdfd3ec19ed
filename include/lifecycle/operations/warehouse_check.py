"""Is the warehouse loaded from the prediction files that the lake has now?

They part company where the database comes back from a backup that is older than the lake.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING

from include.lifecycle.scoring.prediction_files import predictions_table
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import Lake

if TYPE_CHECKING:
    from psycopg2 import extensions


def unloaded_days(
    lake: Lake, connection: extensions.connection, model: ModelSpec, published: Mapping[date, datetime]
) -> list[date]:
    """The days whose predictions on the lake are not what the warehouse has, oldest first.

    A manifest is read only where its time of writing leaves it open. One that cannot be read is damage of the
    lake, and says nothing about the warehouse.

    Parameters
    ----------
    published : when the manifest of the predictions of each day was written.
    """
    if not published:
        return []
    loads = warehouse.loads(connection, predictions_table(model), min(published))

    def is_loaded(day: date, written: datetime) -> bool:
        load = loads.get(day)
        if load is not None and load.written == written:
            return True
        manifest = lake.usable_manifest(model.predictions_prefix, day)
        return manifest is None or (load is not None and load.digest == manifest.digest)

    return [day for day, written in sorted(published.items()) if not is_loaded(day, written)]

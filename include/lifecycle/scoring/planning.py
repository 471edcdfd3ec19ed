"""Which days to score now, and with which version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING

from include.lifecycle.ingestion.feature_version import other_versions, present_feature_days
from include.lifecycle.look_back import Look, undone_days
from include.lifecycle.promotion import ab_test, ledger
from include.lifecycle.promotion.actions import CHAMPION_CHANGES
from include.lifecycle.scoring.day_versions import kept_versions
from include.lifecycle.scoring.prediction_files import (
    PredictionsError,
    features_input,
    predictions_table,
    version_of,
)
from include.lifecycle.scoring.rescoring import days_to_rescore
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import latest, warehouse
from include.lifecycle.storage.lake import Lake, Manifest

if TYPE_CHECKING:
    from psycopg2 import extensions


def plan(
    model: ModelSpec,
    lake: Lake,
    connection: extensions.connection,
    requested: tuple[date, date] | None,
    *,
    keeps_versions: bool = True,
) -> dict[date, int]:
    """The days to score now, oldest first, each with the version that scores it.

    That is the version that has scored the day before, so that what is lost comes back as it was, else the one
    that was champion for the day. Without `keeps_versions` it is always that champion.

    Without a request these are the days that have features and no predictions made from them, and for which there
    was a champion that had not seen their future: its scores would be hindsight passed off as history. How far
    back they are looked for, see `undone_days`; besides, these are the days that a rollback wants scored again. A
    requested range (both ends included) is scored whatever the lake has, days from before the first champion with
    the present one.

    Raises
    ------
    PredictionsError
        If none of the requested days has features, or if there has never been a champion.
    """
    entries = ledger.entries(connection, model.name)
    if requested is None:
        changes = (entry.effective_from for entry in entries if entry.action in CHAMPION_CHANGES)
        first = min(changes, default=date.max)
        again = days_to_rescore(model, lake, connection, entries)
        days = sorted({*_unscored(model, lake, connection, first), *again})
        champions = {day: ab_test.champion_as_of(entries, day) for day in days}
        planned = {day: version for day, version in champions.items() if version is not None}
    else:
        planned = _requested(model, lake, entries, *requested)
    return planned | (kept_versions(model, lake, connection, entries, planned) if keeps_versions else {})


def _requested(
    model: ModelSpec, lake: Lake, entries: Sequence[ledger.Entry], first: date, last: date
) -> dict[date, int]:
    """The days of a range that have features, each with its champion, or the present one if there was none yet."""
    days = present_feature_days(model.dataset, lake, first, last)
    if not days:
        raise PredictionsError(f"No day from {first} to {last} has features; run the ETL for these days first.")
    present = ledger.replay(entries).champion
    if present is None:
        raise PredictionsError(f"There is no champion to score {first} to {last} with; run the training first.")
    return {day: ab_test.champion_as_of(entries, day) or present for day in days}


def _unscored(model: ModelSpec, lake: Lake, connection: extensions.connection, first: date) -> list[date]:
    """Days from `first` on, oldest first, that have features and are not done."""
    named = latest.usable(lake, model.predictions_prefix)

    def look(since: date) -> Look:
        found = _found(model, lake, connection, since, named)
        return Look(found.built, found.unscored(), found.predicted)

    return undone_days(named.day if named else None, first, look)


@dataclass(frozen=True)
class _Found:
    """What there is from a day on: when features and predictions were written, and what the warehouse has loaded.

    `named` is what `latest.json` says.
    """

    model: ModelSpec
    lake: Lake
    built: Mapping[date, datetime]
    predicted: Mapping[date, datetime]
    loaded: Mapping[date, warehouse.Load]
    named: latest.Latest | None

    def unscored(self) -> list[date]:
        """The days with features of the present version that are not done, oldest first.

        A day is done when its predictions are made of the features that there are now, the warehouse was loaded
        from these predictions, and `latest.json` names these files or a later day. Manifests are read only of the
        newest day and of those where the times of writing leave it open.
        """
        newest = max(self.predicted, default=None)
        waiting = [day for day in sorted(self.built) if not self._is_done(day, is_newest=day == newest)]
        others = set(other_versions(self.model.dataset, self.lake, waiting)) if waiting else set()
        return [day for day in waiting if day not in others]

    def _is_done(self, day: date, *, is_newest: bool) -> bool:
        if day not in self.predicted or day not in self.loaded:
            return False

        @cache
        def predictions() -> Manifest | None:
            return self.lake.usable_manifest(self.model.predictions_prefix, day)

        if is_newest:
            manifest = predictions()
            if not (self.named and manifest and self.named.names(self.model.predictions_prefix, day, manifest)):
                return False
        if self.built[day] < self.predicted[day] == self.loaded[day].written:
            return True
        # Features whose manifest is damaged cannot be scored: they are left to the ETL, which rebuilds them.
        features = self.lake.usable_manifest(self.model.dataset.features_prefix, day)
        manifest = predictions()
        if features is None or manifest is None:
            return features is None
        is_of_features = manifest.inputs.get(features_input(self.model, day)) == features.digest
        return is_of_features and manifest.digest == self.loaded[day].digest


def _found(
    model: ModelSpec, lake: Lake, connection: extensions.connection, since: date, named: latest.Latest | None
) -> _Found:
    built, predicted = (
        lake.written(prefix, since) for prefix in (model.dataset.features_prefix, model.predictions_prefix)
    )
    loaded = warehouse.loads(connection, predictions_table(model), since)
    unnoted = {day: predicted[day] for day in predicted if day not in loaded}
    if unnoted:
        loaded |= _adopt_loads(model, lake, connection, unnoted)
    return _Found(model, lake, built, predicted, loaded, named)


def _adopt_loads(
    model: ModelSpec, lake: Lake, connection: extensions.connection, written: Mapping[date, datetime]
) -> dict[date, warehouse.Load]:
    """Note in `ml.loads` days that the warehouse took before it kept notes, so that they are not scored again.

    These are days of which it has as many rows, all of the same version, as the manifest says. `written` says when
    each manifest was.
    """
    table = predictions_table(model)
    counts = warehouse.day_counts(connection, table, "model_version", min(written))
    adopted: dict[date, warehouse.Load] = {}
    for day in written.keys() & counts.keys():
        manifest = lake.usable_manifest(model.predictions_prefix, day)
        if manifest is not None and counts[day] == {version_of(model, manifest): manifest.rows}:
            adopted[day] = warehouse.Load(manifest.digest, written[day])
            with connection, connection.cursor() as cursor:
                warehouse.note_load(cursor, table, day, adopted[day], manifest.model_dump_json())
    return adopted

"""Which partitions the lake lacks, though others of their day exist."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta

from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.operations.lake_listing import Partition
from include.lifecycle.operations.maintenance_policy import Catalog, Damage, Scope
from include.lifecycle.specs import DatasetSpec, ModelSpec
from include.lifecycle.storage.lake import Lake, LakeError, partition

log = logging.getLogger(__name__)

# What a day lacks may still come while others of its partitions are this young: an ETL of many days builds all
# features at its end.
DAY_IN_THE_MAKING = timedelta(hours=1)


def missing_partitions(
    lake: Lake, catalog: Catalog, partitions: Iterable[Partition], scope: Scope
) -> Iterator[Damage]:
    """A damage for each partition of the scope that does not exist at all, though others of its day do.

    `partitions` are those of the whole lake: what is missing under a prefix shows in what lies outside it.
    """
    days: dict[str, set[date]] = defaultdict(set)
    newest: dict[date, datetime] = {}
    for one in partitions:
        days[one.prefix].add(one.day)
        newest[one.day] = max(one.newest, newest.get(one.day, one.newest))
    expected = [
        place for dataset in catalog.datasets for place in _expected_of_dataset(lake, dataset, days, scope)
    ]
    expected += [place for model in catalog.models for place in _expected_of_model(lake, model, days, scope)]
    for prefix, day in expected:
        path = partition(prefix, day)
        is_over = day not in newest or scope.started_at - newest[day] > DAY_IN_THE_MAKING
        if day not in days[prefix] and is_over and scope.covers(path):
            problem = f"{lake.uri(path)} does not exist, though the day's other data do."
            yield Damage(prefix=prefix, day=day, problem=problem)


def _expected_of_dataset(
    lake: Lake, dataset: DatasetSpec, days: Mapping[str, set[date]], scope: Scope
) -> Iterator[tuple[str, date]]:
    """What each day must have of which anything exists: its validation page, and what that speaks of."""
    layers = (dataset.raw, dataset.clean, dataset.quarantine)
    prefixes = [layer(table.name) for table in dataset.tables for layer in layers]
    prefixes += [dataset.features_prefix, dataset.validation_prefix]
    first, last = scope.window
    known = set[date]().union(*(days.get(prefix, ()) for prefix in prefixes))
    for day in sorted(day for day in known if first <= day <= last):
        yield dataset.validation_prefix, day
        if any(day not in days.get(prefix, ()) for prefix in prefixes):
            yield from ((prefix, day) for prefix in _checked(lake, dataset, day))


def _checked(lake: Lake, dataset: DatasetSpec, day: date) -> Iterator[str]:
    """The prefixes that have a partition of a day by its verdict; none where that cannot be read.

    A table that could not be extracted has no raw partition, a rejected day no clean tables and no features.
    Where there is no verdict, the ETL is woken for it and rebuilds the rest of the day too.
    """
    try:
        verdict = DayVerdict.read(lake, dataset, day)
        read = lake.manifest(dataset.validation_prefix, day).inputs
    except LakeError as error:
        log.warning("What %s of %s must have is not known: %s", dataset.name, day, error)
        return
    tables = [table.name for table in dataset.tables if table.name in verdict.tables]
    yield from (dataset.raw(name) for name in tables if partition(dataset.raw(name), day) in read)
    yield from map(dataset.quarantine, tables)
    if verdict.accepted:
        yield from map(dataset.clean, tables)
        yield dataset.features_prefix


def _expected_of_model(
    lake: Lake, model: ModelSpec, days: Mapping[str, set[date]], scope: Scope
) -> Iterator[tuple[str, date]]:
    """Predictions for the days with features among those with predictions; features without rows have none.

    Without days in the scope, all of the history counts: the scoring itself looks for such days only as far back
    as LOOK_BACK, and a backfill may go further.
    """
    predicted, prefix = days.get(model.predictions_prefix, set()), model.dataset.features_prefix
    if not predicted:
        return
    asked = scope.days or (date.min, date.max)
    first, last = max(asked[0], min(predicted)), min(asked[1], max(predicted))
    for day in sorted(days.get(prefix, set()) - predicted):
        if first <= day <= last:
            features = lake.usable_manifest(prefix, day)
            if features is None or features.rows:
                yield model.predictions_prefix, day

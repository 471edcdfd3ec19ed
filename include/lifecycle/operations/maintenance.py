"""Maintenance: is every byte of the lake still what its manifest says, and which files may go?

`gather` looks at the lake and at what the warehouse was loaded from, `maintenance_policy.decide` says what to do
about what it found, `sweep` deletes, and `publish` reports. Nothing here knows where damage is: every partition of
the last days is checked, and a sample of the older ones that changes from day to day, so that each of them is
checked sooner or later.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.operations import maintenance_page
from include.lifecycle.operations.maintenance_policy import (
    REPORT,
    STAGING,
    VERSION,
    Catalog,
    Damage,
    Decision,
    Evidence,
    MaintenanceReport,
    Outcome,
    Scope,
    StrayFile,
    Training,
)
from include.lifecycle.operations.warehouse_check import unloaded_days
from include.lifecycle.reporting.pages import Verdict
from include.lifecycle.scoring.prediction_files import predictions_table
from include.lifecycle.specs import DatasetSpec, ModelSpec
from include.lifecycle.storage import latest, warehouse
from include.lifecycle.storage.lake import (
    MANIFEST,
    CorruptManifestError,
    Lake,
    LakeError,
    LocalFile,
    RunInfo,
    partition,
    partition_of,
)
from include.lifecycle.training.record import TrainingRecord

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

VERDICT = "verdict.json"
# Files younger than this at the start of the run may be waiting for their manifest.
IN_THE_MAKING = timedelta(minutes=2)
# What a day lacks may still come while others of its partitions are this young: an ETL of many days builds all
# features at its end.
DAY_IN_THE_MAKING = timedelta(hours=1)
_CONNECTIONS = 8
_RECORD = re.compile(r"(training|card)-(?P<hash>[0-9a-f]{16})\.json")
_SINGLES = re.compile(r"(predictions|portfolio|plans)/[^/]+/(latest|settings|settled)\.json")


@dataclass(frozen=True)
class _Partition:
    """The objects of a partition: size and time of writing by name."""

    prefix: str
    day: date
    objects: Mapping[str, tuple[int, datetime]]

    @property
    def newest(self) -> datetime:
        return max(written for _, written in self.objects.values())


def gather(
    lake: Lake, connection: extensions.connection, catalog: Catalog, scope: Scope, code_version: str
) -> Evidence:
    """Look at the lake and the warehouse: what is damaged or missing, and which files are unreferenced."""
    every, keys = _listed(lake)
    partitions = {path: one for path, one in every.items() if scope.covers(path)}
    certain, sampled = _chosen(partitions, scope)
    chosen = [*certain, *sampled]
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        checks = list(pool.map(lambda one: _check(lake, one, scope), chosen))
    damages = [damage for found, _ in checks for damage in found]
    damages += _missing(lake, catalog, every.values(), scope)
    damages += latest_damages(lake, catalog, scope)
    damages += _not_loaded(lake, connection, catalog, scope)
    is_asked = scope.prefix or scope.days
    return Evidence(
        partitions=len(partitions),
        checked=len(chosen),
        sampled=len(sampled),
        damages=tuple(sorted(damages, key=lambda damage: (damage.day, damage.prefix))),
        stray=tuple(file for _, files in checks for file in files),
        unknown=tuple(key for key in keys if scope.covers(key)),
        tried={} if is_asked else _tried(lake),
        code_version=code_version,
        trainings=tuple(_trainings(lake, catalog.models)) if damages else (),
    )


def sweep(lake: Lake, files: Sequence[StrayFile]) -> int:
    """Delete what `decide` chose and what is still unreferenced; returns the bytes that are freed.

    A manifest goes before the files that it names. A file that was written again, or is named by now, stays.
    """
    freed = 0
    for file in sorted(files, key=lambda file: not file.key.endswith(f"/{MANIFEST}")):
        present = [item for item in lake.objects(file.key) if item["Key"] == file.key]
        place = partition_of(file.key)
        if not present or present[0]["LastModified"] > file.written or place is None:
            continue
        manifest = lake.usable_manifest(place.prefix, place.day)
        is_named = manifest is not None and place.name in {entry.name for entry in manifest.files}
        if not is_named:
            lake.client.delete_object(Bucket=lake.bucket, Key=file.key)
            freed += file.bytes
    return freed


def remaining(
    lake: Lake, connection: extensions.connection, catalog: Catalog, scope: Scope, damages: Sequence[Damage]
) -> list[Damage]:
    """Those of the damages that are still there."""
    places = {(damage.prefix, damage.day): damage for damage in damages if not damage.table}
    broken = {damage.path: damage for damage in latest_damages(lake, catalog, scope)}
    still = [one for (prefix, day), one in places.items() if lake.intact(prefix, day) is None]
    still += [damage for path, damage in broken.items() if path not in {one.path for one in still}]
    known = {damage.path for damage in damages if damage.table}
    return [*still, *(one for one in _not_loaded(lake, connection, catalog, scope) if one.path in known)]


def publish(
    lake: Lake, scope: Scope, evidence: Evidence, decision: Decision, outcome: Outcome | None, run: RunInfo
) -> Verdict:
    """Publish the page and its figures as the scope's report of its last day.

    Without an outcome it is what was found and would be done: a dry run, or a run that is still at work.
    """
    verdict = maintenance_page.verdict_of(scope, evidence, decision, outcome)
    html = maintenance_page.render_maintenance(scope, verdict, evidence, decision, outcome)
    report = MaintenanceReport(verdict=verdict, scope=scope, evidence=evidence, decision=decision, outcome=outcome)
    with TemporaryDirectory() as folder:
        page, figures = Path(folder) / "index.html", Path(folder) / VERDICT
        page.write_text(html)
        figures.write_text(report.model_dump_json(indent=2, exclude={"evidence": {"trainings"}}))
        lake.publish(scope.report, scope.until, [LocalFile(page), LocalFile(figures)], run=run)
    return verdict


def read_report(lake: Lake, report: str, day: date) -> MaintenanceReport:
    """The figures of the page published for a day under the lake prefix `report`.

    Raises
    ------
    LakeError, ValidationError
        If there is none, if it is damaged, or if an earlier version of the code wrote it otherwise.
    """
    return MaintenanceReport.model_validate(lake.read_json(report, day, VERDICT))


def latest_damages(lake: Lake, catalog: Catalog, scope: Scope) -> list[Damage]:
    """A damage for each `latest.json` that does not name the newest day of its prefix as its manifest does."""
    found = []
    for maker in catalog.makers:
        if not maker.latest or not scope.covers(maker.prefix):
            continue
        newest = lake.newest(maker.prefix)
        named = latest.usable(lake, maker.prefix)
        if newest is not None and not (named and named.names(maker.prefix, *newest)):
            key = lake.uri(latest.key(maker.prefix))
            sentence = f"{key} does not name {newest[0]}, the newest day, with its files."
            found.append(Damage(prefix=maker.prefix, day=newest[0], problem=sentence))
    return found


def _listed(lake: Lake) -> tuple[dict[str, _Partition], list[str]]:
    """All partitions of the lake by path, and the keys that belong to none."""
    objects: dict[tuple[str, date], dict[str, tuple[int, datetime]]] = defaultdict(dict)
    unknown = []
    for item in lake.objects(""):
        place = partition_of(item["Key"])
        if place is not None:
            objects[place.prefix, place.day][place.name] = item["Size"], item["LastModified"]
        elif not _SINGLES.fullmatch(item["Key"]):
            unknown.append(item["Key"])
    return {partition(*place): _Partition(*place, found) for place, found in objects.items()}, unknown


def _chosen(partitions: Mapping[str, _Partition], scope: Scope) -> tuple[list[_Partition], list[_Partition]]:
    """The partitions to check: those of the days asked for, or the recent ones; and a sample of the others.

    A partition is recent if its day is, or if something was written to it lately.
    """
    if scope.days is not None:
        first, last = scope.days
        return [one for one in partitions.values() if first <= one.day <= last], []
    if scope.prefix:
        return list(partitions.values()), []
    window = timedelta(days=scope.recent_days)

    def is_recent(one: _Partition) -> bool:
        return one.day > scope.until - window or one.newest > scope.started_at - window

    def lottery(path: str) -> str:
        return hashlib.sha256(f"{scope.until} {path}".encode()).hexdigest()

    recent = [one for one in partitions.values() if is_recent(one)]
    older = sorted((path for path, one in partitions.items() if not is_recent(one)), key=lottery)
    return recent, [partitions[path] for path in older[: scope.sample]]


def _check(lake: Lake, one: _Partition, scope: Scope) -> tuple[list[Damage], list[StrayFile]]:
    """What is wrong with a partition, and which of its files are unreferenced."""
    path, age = partition(one.prefix, one.day), scope.started_at - one.newest
    if path.startswith(STAGING) and age > timedelta(days=scope.keep_days):
        # Also without a manifest: a sweep that was cut short has deleted that first.
        return [], _strays(one)
    try:
        manifest = lake.find_manifest(one.prefix, one.day)
    except CorruptManifestError as error:
        return [_damage(one, str(error))], []
    if manifest is None:
        files = "1 file" if len(one.objects) == 1 else f"{len(one.objects)} files"
        problem = f"{lake.uri(path)} has {files} and no manifest."
        return ([] if age < IN_THE_MAKING else [_damage(one, problem)]), []
    damages = [_damage(one, problem) for problem in lake.damaged(one.prefix, one.day, manifest).values()]
    return damages, _strays(one, but={MANIFEST, *(entry.name for entry in manifest.files)})


def _strays(one: _Partition, but: Collection[str] = ()) -> list[StrayFile]:
    """The files of a partition, but for those of these names."""
    path = partition(one.prefix, one.day)
    return [
        StrayFile(key=f"{path}/{name}", bytes=size, written=written)
        for name, (size, written) in one.objects.items()
        if name not in but
    ]


def _damage(one: _Partition, problem: str) -> Damage:
    return Damage(prefix=one.prefix, day=one.day, problem=problem)


def _missing(lake: Lake, catalog: Catalog, partitions: Iterable[_Partition], scope: Scope) -> Iterator[Damage]:
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
    """Predictions for the days with features among those with predictions; features without rows have none."""
    predicted, prefix = days.get(model.predictions_prefix, set()), model.dataset.features_prefix
    if not predicted:
        return
    first, last = max(scope.window[0], min(predicted)), min(scope.window[1], max(predicted))
    for day in sorted(days.get(prefix, set()) - predicted):
        if first <= day <= last:
            features = lake.usable_manifest(prefix, day)
            if features is None or features.rows:
                yield model.predictions_prefix, day


def _not_loaded(lake: Lake, connection: extensions.connection, catalog: Catalog, scope: Scope) -> Iterator[Damage]:
    """A damage for each day of the scope whose predictions are not what the warehouse has."""
    for model in catalog.models:
        prefix = model.predictions_prefix
        published = {
            day: written
            for day, written in lake.written(prefix, *scope.window).items()
            if scope.covers(partition(prefix, day))
        }
        for day in unloaded_days(lake, connection, model, published):
            table = f"{warehouse.SCHEMA}.{predictions_table(model)}"
            problem = f"{table} was not loaded from {lake.uri(partition(prefix, day))} as it is now."
            yield Damage(prefix=prefix, day=day, problem=problem, table=table)


def _tried(lake: Lake) -> Mapping[str, date]:
    """What the newest report says that could not be healed."""
    newest = lake.newest(REPORT)
    if newest is None:
        return {}
    try:
        return read_report(lake, REPORT, newest[0]).tried
    except (LakeError, ValidationError) as error:
        log.warning("What could not be healed before is not known: %s", error)
        return {}


def _trainings(lake: Lake, models: Iterable[ModelSpec]) -> Iterator[Training]:
    """The trainings whose record can still be read, from what is staged and what is kept of versions."""
    for model in models:
        kept = [
            (key, int(found[1]))
            for prefix in (f"references/{model.name}/", f"{model.report_prefix('model_card')}/")
            for key in lake.keys(prefix)
            if (place := partition_of(key)) and (found := VERSION.search(place.prefix))
        ]
        kept.sort(key=lambda item: item[1])
        staged = [(record, None) for record in _staged_records(lake, model, [key for key, _ in kept])]
        for record, version in [*staged, *((_record(lake, key), version) for key, version in kept)]:
            if record is not None:
                yield Training(
                    model=model.name,
                    as_of=record.as_of,
                    version=version,
                    seed=record.seed,
                    trials=record.trials_budget,
                    reason=record.reason,
                    code_version=record.code_version,
                    data=frozenset(record.data),
                )


def _staged_records(lake: Lake, model: ModelSpec, kept: Sequence[str]) -> Iterator[TrainingRecord]:
    """The record of what is staged, one for each day.

    Another training of the day leaves its files beside it. It is the record that the manifest names, or a copy of
    it among `kept`. Where the manifest cannot be read, it is the one written last: a training that replaces
    another writes all of its files.
    """
    records: dict[date, list[Any]] = defaultdict(list)
    for item in lake.objects(f"{model.staging_prefix}/dt="):
        place = partition_of(item["Key"])
        if place is not None and _RECORD.fullmatch(place.name):
            records[place.day].append(item)
    for day in sorted({*lake.days(model.staging_prefix), *records}):
        manifest = lake.usable_manifest(model.staging_prefix, day)
        if manifest is None:
            newest_first = sorted(records[day], key=lambda item: item["LastModified"], reverse=True)
            candidates = [item["Key"] for item in newest_first]
        else:
            named = [file.name for file in manifest.files if _RECORD.fullmatch(file.name)]
            own = [f"{partition(model.staging_prefix, day)}/{name}" for name in named]
            candidates = [*own, *(key for key in kept if key.rsplit("/", 1)[-1] in named)]
        readable = (record for key in candidates if (record := _record(lake, key)) is not None)
        yield from islice(readable, 1)


def _record(lake: Lake, key: str) -> TrainingRecord | None:
    """The record of a training in `training.json` or `card.json`, if the bytes are those its name promises."""
    name = _RECORD.fullmatch(key.rsplit("/", 1)[-1])
    body = lake.read_object(key) if name else None
    if name is None or body is None or hashlib.sha256(body).hexdigest()[:16] != name["hash"]:
        return None
    content = json.loads(body)
    try:
        return TrainingRecord.model_validate(content.get("training", content))
    except ValidationError as error:
        log.warning("%s is no record of a training that can be repeated: %s", lake.uri(key), error)
        return None

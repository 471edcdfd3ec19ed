"""Maintenance: are lake and warehouse what the manifests say, and which files may go?

`gather` looks at the lake and at what the warehouse was loaded from, `maintenance_policy.decide` says what to do
about what it found, `sweep` deletes, and `publish` reports. Nothing here knows where damage is: every partition of
the last days is checked, and a sample of the older ones that changes from day to day, so that each of them is
checked sooner or later.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pydantic import ValidationError

from include.lifecycle.operations import maintenance_page
from include.lifecycle.operations.lake_listing import Partition, choose, list_partitions
from include.lifecycle.operations.maintenance_policy import (
    REPORT,
    STAGING,
    Catalog,
    Damage,
    Decision,
    Evidence,
    MaintenanceReport,
    Outcome,
    Scope,
    StrayFile,
)
from include.lifecycle.operations.missing_partitions import missing_partitions
from include.lifecycle.operations.recorded_trainings import recorded_trainings
from include.lifecycle.operations.warehouse_check import unloaded_days
from include.lifecycle.reporting.pages import Verdict
from include.lifecycle.scoring.prediction_files import predictions_table
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

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

VERDICT = "verdict.json"
# Files younger than this at the start of the run may be waiting for their manifest.
IN_THE_MAKING = timedelta(minutes=2)
_CONNECTIONS = 8


def gather(
    lake: Lake, connection: extensions.connection, catalog: Catalog, scope: Scope, code_version: str
) -> Evidence:
    """Look at the lake and the warehouse: what is damaged or missing, and which files are unreferenced."""
    every, keys = list_partitions(lake)
    partitions = {path: one for path, one in every.items() if scope.covers(path)}
    certain, sampled = choose(partitions, scope)
    chosen = [*certain, *sampled]
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        checks = list(pool.map(lambda one: _check(lake, one, scope), chosen))
    damages = [damage for found, _ in checks for damage in found]
    damages += missing_partitions(lake, catalog, every.values(), scope)
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
        trainings=tuple(recorded_trainings(lake, catalog.models)) if damages else (),
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


def _check(lake: Lake, one: Partition, scope: Scope) -> tuple[list[Damage], list[StrayFile]]:
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


def _strays(one: Partition, but: Collection[str] = ()) -> list[StrayFile]:
    """The files of a partition, but for those of these names."""
    path = partition(one.prefix, one.day)
    return [
        StrayFile(key=f"{path}/{name}", bytes=size, written=written)
        for name, (size, written) in one.objects.items()
        if name not in but
    ]


def _damage(one: Partition, problem: str) -> Damage:
    return Damage(prefix=one.prefix, day=one.day, problem=problem)


def _not_loaded(lake: Lake, connection: extensions.connection, catalog: Catalog, scope: Scope) -> Iterator[Damage]:
    """A damage for each day of the scope whose predictions are not what the warehouse has.

    Rows of a day that somebody deleted from the table, or added to it, show in their number.
    """
    for model in catalog.models:
        prefix, name = model.predictions_prefix, predictions_table(model)
        table = f"{warehouse.SCHEMA}.{name}"
        published = {
            day: written
            for day, written in lake.written(prefix, *scope.window).items()
            if scope.covers(partition(prefix, day))
        }
        unloaded = unloaded_days(lake, connection, model, published)
        loaded = sorted(published.keys() - set(unloaded))
        changed = warehouse.days_of_other_size(connection, name, loaded)
        problems = dict.fromkeys(unloaded, "was not loaded from {} as it is now.")
        problems |= dict.fromkeys(changed, "has another number of rows than {}, from which it was loaded.")
        for day, problem in problems.items():
            sentence = f"{table} {problem.format(lake.uri(partition(prefix, day)))}"
            yield Damage(prefix=prefix, day=day, problem=sentence, table=table)


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

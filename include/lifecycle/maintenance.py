"""Maintenance: is every byte of the lake still what its manifest says, and what may go?

`gather` looks at the lake, `decide` says what to wake, what is lost and what to delete, `sweep` deletes,
`conclude` says what came of it. Nothing here knows where damage is: every partition of the last days is checked,
and a sample of the older ones that changes from day to day, so that all have their turn.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from pydantic import Field, ValidationError

from include.lifecycle import maintenance_page
from include.lifecycle.lake import (
    MANIFEST,
    CorruptManifestError,
    Lake,
    LakeError,
    LocalFile,
    Manifest,
    RunInfo,
    partition,
    partition_of,
)
from include.lifecycle.pages import Verdict
from include.lifecycle.specs import DatasetSpec, ModelSpec, Spec

log = logging.getLogger(__name__)

REPORT = "reports/lake/maintenance"
VERDICT = "verdict.json"
STAGING = "staging/"
# Files younger than this at the start of the run may be waiting for their manifest.
_IN_THE_MAKING = timedelta(minutes=2)
_CONNECTIONS = 8
_RECORD = re.compile(r"(training|card)-(?P<hash>[0-9a-f]{16})\.json")
_VERSION = re.compile(r"/version=(\d+)$")
_SINGLES = re.compile(r"(predictions|portfolio|plans)/[^/]+/(latest|settings|settled)\.json")


class Scope(Spec):
    """What to look at. Without days: the last `recent_days`, and `sample` older partitions.

    Attributes
    ----------
    until : the last day to look at; it also chooses the sample.
    started_at : start of the run, against which the age of files is measured.
    keep_days : so long unreferenced files and staged partitions stay before they are swept.
    """

    until: date
    started_at: datetime
    prefix: str = ""
    days: tuple[date, date] | None = None
    recent_days: int = Field(30, ge=1)
    sample: int = Field(200, ge=0)
    keep_days: int = Field(7, ge=1)


class Maker(Spec):
    """The DAG that makes the partitions whose prefix starts with `prefix`.

    `stage` orders the DAGs. `takes` is what its form takes: a range of days, one day, or what a training needs.
    `latest` says that a `latest.json` under the prefix names its newest day.
    """

    prefix: str
    dag_id: str
    stage: int
    takes: Literal["range", "day", "training"] = "range"
    latest: bool = False


class Training(Spec):
    """A training on record: what its DAG's form needs to do the same again, and the partitions that it read.

    `version` is the registered version whose card it is on, or None for what is staged.
    """

    model: str
    as_of: date
    version: int | None
    seed: int
    trials: int
    reason: str
    code_version: str
    data: frozenset[str]


class Damage(Spec):
    """What is wrong with a partition, in a sentence. `day` is that of the partition, `prefix` its lake prefix."""

    prefix: str
    day: date
    problem: str

    @property
    def path(self) -> str:
        """Lake path of the partition."""
        return partition(self.prefix, self.day)


class StrayFile(Spec):
    """An object of no use: no manifest names it, or its partition is staging whose time is over."""

    key: str
    bytes: int
    written: datetime


class Outcome(Spec):
    """What came of a run: `healed` and `remaining` damage, bytes freed, and what not to try again, since when."""

    healed: tuple[Damage, ...]
    remaining: tuple[Damage, ...]
    freed: int
    tried: Mapping[str, date]


class Evidence(Spec):
    """All that a decision rests on.

    Attributes
    ----------
    partitions, checked : how many there are, and of how many the bytes were compared with the manifest.
    unknown : keys that lie where nothing of the project lies; they are left alone.
    tried : damaged partitions that an earlier run could not heal, and since when.
    trainings : those on record. code_version : of the code at work.
    """

    partitions: int
    checked: int
    damages: tuple[Damage, ...]
    stray: tuple[StrayFile, ...]
    unknown: tuple[str, ...]
    tried: Mapping[str, date]
    trainings: tuple[Training, ...]
    code_version: str


class Wake(Spec):
    """A DAG to trigger, with the values of its form, and the damaged partitions that it makes."""

    dag_id: str
    stage: int
    form: Mapping[str, Any]
    heals: tuple[str, ...]


class Decision(Spec):
    """What to do. `lost`: the damaged partitions that no DAG is woken for, and why, by path."""

    wakes: tuple[Wake, ...]
    lost: Mapping[str, str]
    sweep: tuple[StrayFile, ...]


@dataclass(frozen=True)
class _Partition:
    """The objects of a partition: size and time of writing by name."""

    prefix: str
    day: date
    objects: Mapping[str, tuple[int, datetime]]

    @property
    def newest(self) -> datetime:
        return max(written for _, written in self.objects.values())


@dataclass(frozen=True)
class Catalog:
    """The datasets and models whose lake is looked at, and who makes what."""

    datasets: Sequence[DatasetSpec]
    models: Sequence[ModelSpec]
    makers: Sequence[Maker]

    def maker(self, prefix: str) -> Maker | None:
        """Who makes the partitions of a lake prefix."""
        fitting = [maker for maker in self.makers if f"{prefix}/".startswith(f"{maker.prefix}/")]
        return fitting[0] if fitting else None


def makers(datasets: Iterable[DatasetSpec], models: Iterable[ModelSpec]) -> list[Maker]:
    """Which DAG makes which prefix, from the specs."""
    found = []
    for dataset in datasets:
        tables = [f"{layer}/{dataset.name}" for layer in ("raw", "clean", "quarantine")]
        made = [*tables, dataset.features_prefix, dataset.validation_prefix]
        found += [Maker(prefix=prefix, dag_id=f"{dataset.name}_etl", stage=0) for prefix in made]
    for model in models:
        name = model.name
        learnt = [model.labels_prefix, model.training_rows_prefix, model.staging_prefix]
        learnt += [f"{model.staging_prefix}_segments"]
        learnt += [f"references/{name}", model.report_prefix("model_card")]
        judged = [model.report_prefix("drift"), model.report_prefix("performance")]
        found += [Maker(prefix=p, dag_id=f"{name}_training", stage=1, takes="training") for p in learnt]
        found.append(Maker(prefix=model.predictions_prefix, dag_id=f"{name}_scoring", stage=2, latest=True))
        found.append(Maker(prefix=f"{model.staging_prefix}_scores", dag_id=f"{name}_scoring", stage=2))
        found += [Maker(prefix=p, dag_id=f"{name}_monitoring", stage=4, takes="day") for p in judged]
    return found


def gather(lake: Lake, catalog: Catalog, scope: Scope, code_version: str) -> Evidence:
    """Look at the lake: what is damaged or missing, and which files no manifest names."""
    partitions, unknown = _listed(lake, scope)
    chosen = _chosen(partitions, scope)
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        checks = list(pool.map(lambda one: _check(lake, one, scope), chosen))
    damages = [damage for found, _ in checks for damage in found]
    damages += _missing_days(lake, catalog, partitions, scope)
    damages += latest_damages(lake, catalog, scope)
    is_asked = scope.prefix or scope.days
    return Evidence(
        partitions=len(partitions),
        checked=len(chosen),
        damages=tuple(sorted(damages, key=lambda damage: (damage.day, damage.prefix))),
        stray=tuple(file for _, files in checks for file in files),
        unknown=tuple(unknown),
        tried={} if is_asked else _tried(lake),
        trainings=tuple(_trainings(lake, catalog.models)) if damages else (),
        code_version=code_version,
    )


def decide(evidence: Evidence, catalog: Catalog, scope: Scope) -> Decision:
    """Which DAGs to wake for what is damaged, what cannot be made again, and which files to delete."""
    lost: dict[str, str] = {}
    days: dict[Maker, dict[date, set[str]]] = defaultdict(lambda: defaultdict(set))
    wakes: dict[str, Wake] = {}
    for damage in evidence.damages:
        maker = catalog.maker(damage.prefix)
        if maker is None:
            lost[damage.path] = "No DAG makes it; restore it from a backup, or delete it."
        elif damage.path in evidence.tried:
            since = evidence.tried[damage.path]
            lost[damage.path] = (
                f"{maker.dag_id} was run for it on {since} and did not help; look at that run, then check this "
                "prefix by the form, which tries again."
            )
        elif maker.takes == "training":
            wake = _training_wake(damage, maker, evidence)
            if isinstance(wake, str):
                lost[damage.path] = wake
            else:
                known = wakes.setdefault(wake.model_dump_json(exclude={"heals"}), wake)
                healed = tuple(sorted({*known.heals, damage.path}))
                wakes[wake.model_dump_json(exclude={"heals"})] = known.model_copy(update={"heals": healed})
        else:
            days[_by_dag(maker)][damage.day].add(damage.path)
    every = [*wakes.values(), *(wake for maker, found in days.items() for wake in _day_wakes(maker, found))]
    return Decision(
        wakes=tuple(sorted(every, key=lambda wake: (wake.stage, wake.dag_id, str(wake.form["day"])))),
        lost=lost,
        sweep=tuple(_sweepable(evidence, scope)),
    )


def sweep(lake: Lake, files: Sequence[StrayFile]) -> int:
    """Delete what `decide` chose and what is still of no use; returns the bytes that are freed.

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


def remaining(lake: Lake, catalog: Catalog, scope: Scope, damages: Sequence[Damage]) -> list[Damage]:
    """Those of the damages that are still there."""
    places = {(damage.prefix, damage.day): damage for damage in damages}
    broken = {damage.path: damage for damage in latest_damages(lake, catalog, scope)}
    still = [one for (prefix, day), one in places.items() if lake.intact(prefix, day) is None]
    return [*still, *(damage for path, damage in broken.items() if path not in {one.path for one in still})]


def conclude(
    evidence: Evidence, decision: Decision, remaining: Sequence[Damage], freed: int, until: date
) -> Outcome:
    """What was healed, what was not, and which partitions later runs do not try again by themselves."""
    still = {damage.path for damage in remaining}
    woken = {path for wake in decision.wakes for path in wake.heals}
    return Outcome(
        healed=tuple(damage for damage in evidence.damages if damage.path not in still),
        remaining=tuple(remaining),
        freed=freed,
        tried={path: evidence.tried.get(path, until) for path in sorted(still & (woken | evidence.tried.keys()))},
    )


def publish(
    lake: Lake, scope: Scope, evidence: Evidence, decision: Decision, outcome: Outcome | None, run: RunInfo
) -> Verdict:
    """Publish the page and its figures as `reports/lake/maintenance` of the scope's last day.

    Without an outcome it is what was found and would be done: a dry run, or a run that is still at work.
    """
    verdict = maintenance_page.verdict_of(evidence, decision, outcome)
    html = maintenance_page.render_maintenance(scope, verdict, evidence, decision, outcome)
    known = dict(outcome.tried if outcome else evidence.tried)
    record = {
        "verdict": vars(verdict),
        "scope": scope.model_dump(mode="json"),
        "evidence": evidence.model_dump(mode="json", exclude={"trainings"}),
        "decision": decision.model_dump(mode="json"),
        "outcome": outcome and outcome.model_dump(mode="json"),
        "tried": {path: str(day) for path, day in known.items()},
    }
    with TemporaryDirectory() as folder:
        page, figures = Path(folder) / "index.html", Path(folder) / VERDICT
        page.write_text(html)
        figures.write_text(json.dumps(record, indent=2))
        lake.publish(REPORT, scope.until, [LocalFile(page), LocalFile(figures)], run=run)
    return verdict


def latest_damages(lake: Lake, catalog: Catalog, scope: Scope) -> list[Damage]:
    """A damage for each `latest.json` that does not name the newest day of its prefix as its manifest does."""
    found = []
    for maker in catalog.makers:
        if not maker.latest or not f"{maker.prefix}/".startswith(scope.prefix):
            continue
        newest = lake.newest(maker.prefix)
        if newest is not None and not _names(lake, maker.prefix, *newest):
            key = lake.uri(f"{maker.prefix}/latest.json")
            sentence = f"{key} does not name {newest[0]}, the newest day, with its files."
            found.append(Damage(prefix=maker.prefix, day=newest[0], problem=sentence))
    return found


def _names(lake: Lake, prefix: str, day: date, manifest: Manifest) -> bool:
    try:
        latest = json.loads(lake.read_object(f"{prefix}/latest.json") or b"")
        return (latest["day"], latest["manifest"], latest["files"]) == (
            day.isoformat(),
            f"{partition(prefix, day)}/{MANIFEST}",
            [file.model_dump() for file in manifest.files],
        )
    except (ValueError, KeyError, TypeError):
        return False


def _listed(lake: Lake, scope: Scope) -> tuple[dict[str, _Partition], list[str]]:
    """All partitions under the scope's prefix by path, and the keys that belong to none."""
    objects: dict[tuple[str, date], dict[str, tuple[int, datetime]]] = defaultdict(dict)
    unknown = []
    for item in lake.objects(scope.prefix):
        place = partition_of(item["Key"])
        if place is not None:
            objects[place.prefix, place.day][place.name] = item["Size"], item["LastModified"]
        elif not _SINGLES.fullmatch(item["Key"]):
            unknown.append(item["Key"])
    return {partition(*place): _Partition(*place, found) for place, found in objects.items()}, unknown


def _chosen(partitions: Mapping[str, _Partition], scope: Scope) -> list[_Partition]:
    """The partitions to check: those of the days asked for, or the recent ones and a sample of the others.

    A partition is recent if its day is, or if something was written to it lately.
    """
    if scope.days is not None:
        first, last = scope.days
        return [one for one in partitions.values() if first <= one.day <= last]
    if scope.prefix:
        return list(partitions.values())
    window = timedelta(days=scope.recent_days)

    def is_recent(one: _Partition) -> bool:
        return one.day > scope.until - window or one.newest > scope.started_at - window

    def lottery(path: str) -> str:
        return hashlib.sha256(f"{scope.until} {path}".encode()).hexdigest()

    recent = [one for one in partitions.values() if is_recent(one)]
    older = sorted((path for path, one in partitions.items() if not is_recent(one)), key=lottery)
    return [*recent, *(partitions[path] for path in older[: scope.sample])]


def _check(lake: Lake, one: _Partition, scope: Scope) -> tuple[list[Damage], list[StrayFile]]:
    """What is wrong with a partition, and which of its files are of no use."""
    path = partition(one.prefix, one.day)
    try:
        manifest = lake.find_manifest(one.prefix, one.day)
    except CorruptManifestError as error:
        return [_damage(one, str(error))], []
    if manifest is None:
        in_the_making = scope.started_at - one.newest < _IN_THE_MAKING
        problem = f"{lake.uri(path)} has {len(one.objects)} files and no manifest."
        return ([] if in_the_making else [_damage(one, problem)]), []
    is_over = path.startswith(STAGING) and scope.started_at - one.newest > timedelta(days=scope.keep_days)
    needed = set() if is_over else {MANIFEST, *(entry.name for entry in manifest.files)}
    stray = [
        StrayFile(key=f"{path}/{name}", bytes=size, written=written)
        for name, (size, written) in one.objects.items()
        if name not in needed
    ]
    if is_over:
        return [], stray
    return [_damage(one, problem) for problem in lake.damaged(one.prefix, one.day, manifest).values()], stray


def _damage(one: _Partition, problem: str) -> Damage:
    return Damage(prefix=one.prefix, day=one.day, problem=problem)


def _missing_days(
    lake: Lake, catalog: Catalog, partitions: Mapping[str, _Partition], scope: Scope
) -> Iterator[Damage]:
    """A damage for each partition that is not there at all, though others of its day or its neighbours are."""
    days: dict[str, set[date]] = defaultdict(set)
    for one in partitions.values():
        days[one.prefix].add(one.day)
    first, last = scope.days or (scope.until - timedelta(days=scope.recent_days - 1), scope.until)
    expected = [pair for dataset in catalog.datasets for pair in _expected_of_dataset(dataset, days)]
    expected += [pair for model in catalog.models for pair in _expected_of_model(lake, model, days)]
    for prefix, wanted in expected:
        for day in sorted(wanted - days[prefix]):
            if first <= day <= last and prefix.startswith(scope.prefix):
                problem = f"{lake.uri(partition(prefix, day))} does not exist, though the day's other data do."
                yield Damage(prefix=prefix, day=day, problem=problem)


def _expected_of_dataset(dataset: DatasetSpec, days: Mapping[str, set[date]]) -> Iterator[tuple[str, set[date]]]:
    """Prefixes and the days that each must have. A rejected day has no clean tables and no features."""
    tables = [table.name for table in dataset.tables]
    raw, clean, quarantine = (
        [prefix for name in tables if days.get(prefix := layer(name))]
        for layer in (dataset.raw, dataset.clean, dataset.quarantine)
    )
    passed = set[date]().union(*(days[prefix] for prefix in clean), days.get(dataset.features_prefix, ()))
    judged = passed.union(*(days[p] for p in (*raw, *quarantine)), days.get(dataset.validation_prefix, ()))
    between = set(dataset.calendar.days(min(judged), max(judged))) if judged else set()
    yield from ((prefix, judged) for prefix in (*raw, *quarantine))
    yield from ((prefix, passed) for prefix in (*clean, dataset.features_prefix))
    yield dataset.validation_prefix, judged | between


def _expected_of_model(
    lake: Lake, model: ModelSpec, days: Mapping[str, set[date]]
) -> Iterator[tuple[str, set[date]]]:
    """The days with features among those with predictions; a day whose features have no rows has none."""
    predicted = days.get(model.predictions_prefix, set())
    if not predicted:
        return
    prefix = model.dataset.features_prefix
    between = {day for day in days.get(prefix, ()) if min(predicted) <= day <= max(predicted)}
    manifests = {day: lake.usable_manifest(prefix, day) for day in between - predicted}
    yield model.predictions_prefix, {day for day, found in manifests.items() if found is None or found.rows}


def _by_dag(maker: Maker) -> Maker:
    """The same for all prefixes of a DAG."""
    return maker.model_copy(update={"prefix": "", "latest": False})


def _day_wakes(maker: Maker, found: Mapping[date, set[str]]) -> Iterator[Wake]:
    """A wake for each run of consecutive days, or for each day where the form takes one."""
    runs: list[list[date]] = []
    for day in sorted(found):
        follows = maker.takes == "range" and runs and day - runs[-1][-1] == timedelta(days=1)
        if follows:
            runs[-1].append(day)
        else:
            runs.append([day])
    for days in runs:
        form = {"day": str(days[0])} | ({"last_day": str(days[-1])} if maker.takes == "range" else {})
        heals = tuple(sorted(path for day in days for path in found[day]))
        yield Wake(dag_id=maker.dag_id, stage=maker.stage, form=form, heals=heals)


def _training_wake(damage: Damage, maker: Maker, evidence: Evidence) -> Wake | str:
    """The training to do again, or why none would bring the partition back."""
    name = maker.dag_id.removesuffix("_training")
    version = _VERSION.search(damage.prefix)
    known = [training for training in evidence.trainings if training.model == name]
    if damage.prefix.startswith("labels/"):
        later = sorted((one for one in known if one.as_of > damage.day), key=lambda one: one.as_of, reverse=True)
        fitting = [one for one in later if damage.path in one.data] or later
        reason = "No training on record has read it: the next training that needs it makes it again."
    else:
        fitting = [training for training in known if training.as_of == damage.day]
        if version is not None:
            own = [training for training in fitting if training.version == int(version[1])]
            fitting = own or [training for training in fitting if training.version is None]
        reason = f"No record of a training as of {damage.day} is left; restore it from a backup."
    same_code = [training for training in fitting if training.code_version == evidence.code_version]
    if not same_code:
        made_by = fitting[-1].code_version if fitting else None
        if made_by is None:
            return reason
        return (
            f"It was made by code {made_by}; the code at work, {evidence.code_version}, would make another model, "
            "so it is not made again. Restore it from a backup."
        )
    again = same_code[-1]
    form = {"day": str(again.as_of), "trials": again.trials, "seed": again.seed, "reason": again.reason}
    return Wake(dag_id=maker.dag_id, stage=maker.stage, form=form, heals=(damage.path,))


def _sweepable(evidence: Evidence, scope: Scope) -> Iterator[StrayFile]:
    """What is older than the limit; what is staged stays while a version's own files are damaged."""
    needs_staging = any(damage.prefix.startswith(("references/", "reports/")) for damage in evidence.damages)
    for file in evidence.stray:
        if scope.started_at - file.written <= timedelta(days=scope.keep_days):
            continue
        if not (needs_staging and file.key.startswith(STAGING)):
            yield file


def _tried(lake: Lake) -> dict[str, date]:
    """What the newest report says that could not be healed."""
    newest = lake.newest(REPORT)
    if newest is None:
        return {}
    try:
        known = lake.read_json(REPORT, newest[0], VERDICT)["tried"]
    except (LakeError, KeyError):
        return {}
    return {path: date.fromisoformat(day) for path, day in known.items()}


def _trainings(lake: Lake, models: Iterable[ModelSpec]) -> Iterator[Training]:
    """The trainings whose record can still be read, from what is staged and what is kept of versions."""
    for model in models:
        kept = (f"references/{model.name}/", f"{model.report_prefix('model_card')}/")
        for prefix in (f"{model.staging_prefix}/dt=", *kept):
            for key in lake.keys(prefix):
                record = _record(lake, key)
                place = partition_of(key)
                if record is None or place is None:
                    continue
                version = _VERSION.search(place.prefix)
                try:
                    yield Training(
                        model=model.name,
                        as_of=record["as_of"],
                        version=int(version[1]) if version else None,
                        seed=record["seed"],
                        trials=record["trials_budget"],
                        reason=record["reason"],
                        code_version=record["code_version"],
                        data=frozenset(record["data"]),
                    )
                except (KeyError, ValidationError) as error:
                    log.warning("%s is no record of a training that can be done again: %s", lake.uri(key), error)


def _record(lake: Lake, key: str) -> Any:
    """The record of a training in `training.json` or `card.json`, if the bytes are those its name promises."""
    name = _RECORD.fullmatch(key.rsplit("/", 1)[-1])
    body = lake.read_object(key) if name else None
    if name is None or body is None or hashlib.sha256(body).hexdigest()[:16] != name["hash"]:
        return None
    content = json.loads(body)
    return content.get("training", content)

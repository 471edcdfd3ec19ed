"""Maintenance, decided: which damage some DAG can rebuild, what is lost, and which files may go.

`makers` knows which DAG makes what, `decide` turns the evidence that `maintenance.gather` found into a decision,
`conclude` says what came of it. Nothing here reads the lake.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from pydantic import Field, field_validator

from include.lifecycle.reporting.pages import Verdict
from include.lifecycle.specs import DatasetSpec, ModelSpec, Spec
from include.lifecycle.storage.lake import partition

REPORT = "reports/lake/maintenance"
STAGING = "staging/"
VERSION = re.compile(r"/version=(\d+)$")


class Scope(Spec):
    """What to look at. Without days: the last `recent_days`, and `sample` older partitions.

    Attributes
    ----------
    until : the last day to look at; it also chooses the sample.
    prefix : the lake prefix to look at, without slashes at its ends; empty for the whole lake.
    started_at : start of the run, against which the age of files is measured.
    keep_days : so long unreferenced files and staged partitions stay before they are swept.
    dry_run : only say what would be done.
    """

    until: date
    started_at: datetime
    prefix: str = ""
    days: tuple[date, date] | None = None
    recent_days: int = Field(30, ge=1)
    sample: int = Field(200, ge=0)
    keep_days: int = Field(7, ge=1)
    dry_run: bool = False

    @field_validator("prefix")
    @classmethod
    def _without_outer_slashes(cls, prefix: str) -> str:
        return prefix.strip("/ ")

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the lake, as by the schedule, and not what somebody asked for."""
        return not (self.prefix or self.days or self.dry_run)

    @property
    def report(self) -> str:
        """Lake prefix of the report: what somebody asked for does not replace the report on the whole lake."""
        return REPORT if self.is_whole else "reports/lake/maintenance_on_demand"

    @property
    def window(self) -> tuple[date, date]:
        """The first and the last day to look at closely."""
        return self.days or (self.until - timedelta(days=self.recent_days - 1), self.until)

    def covers(self, path: str) -> bool:
        """Whether a lake path lies under the prefix."""
        return not self.prefix or f"{path}/".startswith(f"{self.prefix}/")


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
    """A training on record: what its DAG's form needs to repeat it, and the partitions that it read.

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
    """What is wrong with a partition, in a sentence.

    Attributes
    ----------
    prefix, day : the partition.
    table : the warehouse's table that lacks the partition as it is now; empty where the partition itself is
        damaged or missing.
    """

    prefix: str
    day: date
    problem: str
    table: str = ""

    @property
    def path(self) -> str:
        """Lake path of the partition."""
        return partition(self.prefix, self.day)


class StrayFile(Spec):
    """An unreferenced file: no manifest names it, or its partition is staged and has expired."""

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
    sampled : how many of these were drawn from the older ones.
    unknown : keys that lie where nothing of the project lies; they are left alone.
    tried : damaged partitions that an earlier run could not heal, and since when.
    code_version : of the code at work. trainings : those on record.
    """

    partitions: int
    checked: int
    sampled: int
    damages: tuple[Damage, ...]
    stray: tuple[StrayFile, ...]
    unknown: tuple[str, ...]
    tried: Mapping[str, date]
    code_version: str
    trainings: tuple[Training, ...] = ()


class Wake(Spec):
    """A DAG to trigger, with the values of its form, and the damaged partitions that it rebuilds."""

    dag_id: str
    stage: int
    form: Mapping[str, Any]
    heals: tuple[str, ...]


class Decision(Spec):
    """What to do. `lost`: the damaged partitions that no DAG is woken for, and why, by path."""

    wakes: tuple[Wake, ...]
    lost: Mapping[str, str]
    sweep: tuple[StrayFile, ...]


class MaintenanceReport(Spec):
    """What a run found, decided and achieved. Without an outcome nothing was done yet, or it was a dry run."""

    verdict: Verdict
    scope: Scope
    evidence: Evidence
    decision: Decision
    outcome: Outcome | None

    @property
    def damages(self) -> tuple[Damage, ...]:
        """What is damaged now: what the run did not heal, or what it found where it healed nothing yet."""
        return self.evidence.damages if self.outcome is None else self.outcome.remaining

    @property
    def tried(self) -> Mapping[str, date]:
        """The damaged partitions that could not be healed, by path, and since when."""
        return self.outcome.tried if self.outcome else self.evidence.tried


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
        learnt = [model.labels_prefix, model.training_rows_prefix, model.staging_prefix, model.staged_refit_prefix]
        learnt += [model.staged_segments_prefix, f"references/{name}", model.report_prefix("model_card")]
        judged = [model.report_prefix("drift"), model.report_prefix("performance")]
        found += [Maker(prefix=p, dag_id=f"{name}_training", stage=1, takes="training") for p in learnt]
        # Before the predictions, whose prefix it begins with.
        found.append(Maker(prefix=f"{model.predictions_prefix}/shadow", dag_id=f"{name}_shadow", stage=3))
        found.append(Maker(prefix=model.predictions_prefix, dag_id=f"{name}_scoring", stage=2, latest=True))
        found.append(Maker(prefix=model.staged_scores_prefix, dag_id=f"{name}_scoring", stage=2))
        found += [Maker(prefix=p, dag_id=f"{name}_monitoring", stage=4, takes="day") for p in judged]
    return found


def decide(evidence: Evidence, catalog: Catalog, scope: Scope) -> Decision:
    """Which DAGs to wake for what is damaged, what cannot be rebuilt, and which files to delete."""
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
        wakes=tuple(sorted(every, key=_order)),
        lost=lost,
        sweep=tuple(_sweepable(evidence, scope)),
    )


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
    """The training to repeat, or why none would rebuild the partition."""
    name = maker.dag_id.removesuffix("_training")
    version = VERSION.search(damage.prefix)
    known = [training for training in evidence.trainings if training.model == name]
    if damage.prefix.startswith("labels/"):
        later = sorted((one for one in known if one.as_of > damage.day), key=lambda one: one.as_of, reverse=True)
        fitting = [one for one in later if damage.path in one.data] or later
        reason = "No training on record has read it: the next training that needs it rebuilds it."
    else:
        fitting = [training for training in known if training.as_of == damage.day]
        wanted = int(version[1]) if version else None
        own = [training for training in fitting if training.version == wanted]
        staged = [training for training in fitting if training.version is None]
        fitting = own or (fitting if version is None else staged)
        reason = f"No record of a training as of {damage.day} is left; restore it from a backup."
    same_code = [training for training in fitting if training.code_version == evidence.code_version]
    if not same_code:
        made_by = fitting[-1].code_version if fitting else None
        if made_by is None:
            return reason
        return (
            f"It was built by code {made_by}; the code at work, {evidence.code_version}, would give another "
            "model, so it is not rebuilt. Restore it from a backup."
        )
    again = same_code[-1]
    form = {"day": str(again.as_of), "trials": again.trials, "seed": again.seed, "reason": again.reason}
    return Wake(dag_id=maker.dag_id, stage=maker.stage, form=form, heals=(damage.path,))


def _order(wake: Wake) -> tuple[int, str, str, bool]:
    """Older stages first. The trainings of a day share their staging, so the one that was staged comes last."""
    heals_staging = any(path.startswith(STAGING) for path in wake.heals)
    return wake.stage, wake.dag_id, str(wake.form["day"]), heals_staging


def _sweepable(evidence: Evidence, scope: Scope) -> Iterator[StrayFile]:
    """What is older than the limit; what is staged stays while a version's own files are damaged."""
    needs_staging = any(damage.prefix.startswith(("references/", "reports/")) for damage in evidence.damages)
    for file in evidence.stray:
        if scope.started_at - file.written <= timedelta(days=scope.keep_days):
            continue
        if not (needs_staging and file.key.startswith(STAGING)):
            yield file

"""Features of clean days: which are to be built, and building them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from include.lifecycle.ingestion.clean_tables import CleanTables, history
from include.lifecycle.ingestion.feature_version import feature_version, note_other_versions, other_versions
from include.lifecycle.ingestion.planning import chunks
from include.lifecycle.specs import DatasetSpec, Spec
from include.lifecycle.storage.lake import CorruptFileError, Lake, LakeError, RunInfo, partition

log = logging.getLogger(__name__)

LOOK_BACK_DAYS = 400
"""So far back a run looks for features that others have left outdated."""


class DamagedInputsError(LakeError):
    """Features were not built, since a partition that they look at is damaged."""


class FeaturesToBuild(Spec):
    """The days to build features of, oldest first, each in one of three lists, by the reason.

    Attributes
    ----------
    validated : days that the run has validated.
    changed : days that look at partitions which were replaced since, by this run or another.
    renewed : days whose features other code made, or the same with other settings.
    version : the version of the present code and settings.
    """

    validated: tuple[date, ...]
    changed: tuple[date, ...] = ()
    renewed: tuple[date, ...] = ()
    version: str

    @property
    def days(self) -> list[date]:
        """All of them, oldest first."""
        return sorted({*self.validated, *self.changed, *self.renewed})

    @property
    def by_reason(self) -> dict[str, tuple[date, ...]]:
        """The days by why they are built, those that people wait for first; without reasons that hold for none."""
        reasons = {
            "validated": self.validated,
            "inputs changed": self.changed,
            f"renewed by code version {self.version[:8]}": self.renewed,
        }
        return {reason: days for reason, days in reasons.items() if days}

    def chunks(self, size: int) -> list[tuple[str, list[date]]]:
        """At most `size` days at a time with the reason, each chunk of one reason."""
        return [(reason, some) for reason, days in self.by_reason.items() for some in chunks(days, size)]


def features_to_build(dataset: DatasetSpec, lake: Lake, validated: Sequence[date], until: date) -> FeaturesToBuild:
    """The days that were validated, those whose inputs have changed, and those of another version.

    Inputs that runs changed which ended between the two are looked for over `LOOK_BACK_DAYS` before `until`, and
    versions over the whole history, once after the code has changed; see `feature_version`.
    """
    since = min([*validated, until - timedelta(days=LOOK_BACK_DAYS)])
    others = other_versions(dataset, lake)
    note_other_versions(dataset, lake, others)
    suspects = sorted({*_with_younger_inputs(dataset, lake, since), *others} - set(validated))
    clean = CleanTables.pin(dataset, lake, suspects)
    buildable = _buildable(clean, suspects)
    renewed = [day for day in buildable if day in set(others)]
    found = FeaturesToBuild(
        validated=tuple(sorted(validated)),
        changed=tuple(_outdated(clean, [day for day in buildable if day not in set(others)])),
        renewed=tuple(renewed),
        version=feature_version(dataset),
    )
    for reason, days in found.by_reason.items():
        log.info("Features of %d days of %s, %s to %s: %s.", len(days), dataset.name, days[0], days[-1], reason)
    return found


def build_features(dataset: DatasetSpec, lake: Lake, days: Sequence[date], run: RunInfo) -> None:
    """Build and publish the features of clean days, each from its own rows and those of its history.

    A day of the history that the lake lacks is passed over; `inputs` in the manifest name the partitions that were
    read, and the version of the code. Where another run changes one of them meanwhile, the features of that day
    are built again.

    Raises
    ------
    PartitionNotFoundError
        If one of `days` is not clean.
    DamagedInputsError
        If a partition that some of the days look at is damaged; the features of the other days are published.
    """
    pending, faults = sorted(days), dict[date, str]()
    while pending:
        clean = CleanTables.pin(dataset, lake, pending)
        _refuse_days_that_are_not_clean(clean, pending)
        readable, damaged = _split_by_fault(clean, pending)
        unreadable = _publish_features(clean, readable, run)
        faults |= damaged | unreadable
        pending = clean.replaced([day for day in readable if day not in unreadable])
    if faults:
        named, reasons = ", ".join(map(str, sorted(faults))), " ".join(dict.fromkeys(faults.values()))
        raise DamagedInputsError(f"The features of {named} were not built. {reasons}")


def _refuse_days_that_are_not_clean(clean: CleanTables, days: Sequence[date]) -> None:
    for day in filter(clean.lacks, days):
        for table in clean.dataset.tables:
            if not table.optional:
                clean.lake.manifest(clean.dataset.clean(table.name), day)


def _split_by_fault(clean: CleanTables, days: Sequence[date]) -> tuple[list[date], dict[date, str]]:
    """The days all of whose inputs can be read, and by other day why not."""
    faults = {day: fault for day in days if (fault := clean.fault(day)) is not None}
    for day, fault in faults.items():
        log.warning("The features of %s stay as they are: %s", day, fault)
    return [day for day in days if day not in faults], faults


def _publish_features(clean: CleanTables, days: Sequence[date], run: RunInfo) -> dict[date, str]:
    """Build and publish days, where a file is damaged those that can be; by other day what is damaged."""
    if not days:
        return {}
    try:
        with TemporaryDirectory() as folder:
            _publish_together(clean, days, run, Path(folder))
    except CorruptFileError as error:
        if len(days) == 1:
            log.warning("The features of %s stay as they are: %s", days[0], error)
            return {days[0]: str(error)}
        middle = len(days) // 2
        return _publish_features(clean, days[:middle], run) | _publish_features(clean, days[middle:], run)
    return {}


def _publish_together(clean: CleanTables, days: Sequence[date], run: RunInfo, scratch: Path) -> None:
    dataset = clean.dataset
    for day, features in dataset.features(days, clean.scan(days, scratch)):
        inputs = clean.inputs(day)
        clean.lake.publish_frame(dataset.features_prefix, day, features, run=run, scratch=scratch, inputs=inputs)


def _buildable(clean: CleanTables, days: Sequence[date]) -> list[date]:
    """Those of `days` that are clean, all of whose inputs can be read, and whose validation was not cut short."""
    there = [day for day in days if not clean.lacks(day)]
    if len(there) < len(days):
        lost = len(days) - len(there)
        log.warning("The features of %d days stay as they are: their clean tables are gone.", lost)
    readable, _ = _split_by_fault(clean, there)
    half = _half_published(clean, readable)
    return [day for day in readable if day not in half]


def _outdated(clean: CleanTables, days: Sequence[date]) -> list[date]:
    """Those of `days` whose features were built from other partitions than there are now."""
    built, _ = clean.lake.pin_readable(clean.dataset.features_prefix, days)
    manifests = built.manifests
    return [day for day in days if day not in manifests or manifests[day].inputs != clean.inputs(day)]


def _with_younger_inputs(dataset: DatasetSpec, lake: Lake, since: date) -> list[date]:
    """Days from `since` on that look at a clean partition written as late as their features, or later."""
    built = lake.written(dataset.features_prefix, since)
    cleaned = {
        table: lake.written(dataset.clean(table), _earlier(since, days))
        for table, days in dataset.history_days.items()
    }

    def has_younger_input(day: date, written: datetime) -> bool:
        return any(
            other in days and days[other] >= written
            for table, days in cleaned.items()
            for other in history(dataset, table, day)
        )

    return [day for day, written in sorted(built.items()) if has_younger_input(day, written)]


def _half_published(clean: CleanTables, days: Sequence[date]) -> set[date]:
    """Days whose validation was cut short when it had published clean tables, and not its verdict."""
    dataset, lake = clean.dataset, clean.lake
    verdicts, _ = lake.pin_readable(dataset.validation_prefix, days)
    half = set[date]()
    for table in dataset.tables:
        raws, _ = lake.pin_readable(dataset.raw(table.name), verdicts.days)
        for day, raw in raws.manifests.items():
            path, made = partition(dataset.raw(table.name), day), clean.pinned[table.name].manifests.get(day)
            if made and made.inputs.get(path) == raw.digest != verdicts.manifests[day].inputs.get(path):
                log.warning("The features of %s stay as they are: its validation was cut short; do it again.", day)
                half.add(day)
    return half


def _earlier(day: date, days: int) -> date:
    return date.min + max(day - date.min - timedelta(days=days), timedelta(0))

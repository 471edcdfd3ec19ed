"""The version of features: which code, with which settings, made them.

It stands among the inputs of each partition of features. A partition with another version, or with none, as the
first releases wrote them, is renewed by the ETL; training and scoring pass it over until then.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterable
from datetime import date

from pydantic import ValidationError

from include.lifecycle.ingestion.source_digest import source_digest
from include.lifecycle.specs import DatasetSpec, Spec
from include.lifecycle.storage.lake import Lake, Manifest

log = logging.getLogger(__name__)


class FeaturesNotRenewedError(ValueError):
    """The newest features are of other code: the ETL, which renews the oldest days first, is not done yet."""


class _Noted(Spec):
    """The note that all features but those of `others` are of the version."""

    version: str
    others: tuple[date, ...]


def feature_version(dataset: DatasetSpec) -> str:
    """Digest of the code that makes the dataset's features, and of how far back they look."""
    settings = json.dumps(dict(dataset.history_days), sort_keys=True)
    return hashlib.sha256(f"{source_digest(dataset.features)}\0{settings}".encode()).hexdigest()


def version_input(dataset: DatasetSpec) -> dict[str, str]:
    """The version, as `inputs` in the manifest of features name it."""
    return {f"code/{dataset.name}/features": feature_version(dataset)}


def is_of_present_version(dataset: DatasetSpec, features: Manifest) -> bool:
    """Whether the present code made these features, with the present settings."""
    return version_input(dataset).items() <= features.inputs.items()


def present_feature_days(
    dataset: DatasetSpec, lake: Lake, since: date = date.min, until: date = date.max
) -> list[date]:
    """The days, oldest first, that have features of the present version.

    That costs a listing, and a manifest for each day that the last ETL run found to be of another version; where
    the code has changed since, all manifests are looked at.
    """
    present, _ = _days_by_version(dataset, lake, since, until)
    return present


def renewed_feature_days(
    dataset: DatasetSpec, lake: Lake, since: date = date.min, until: date = date.max
) -> list[date]:
    """As `present_feature_days`, for whoever must not take a part of the history for all of it.

    Raises
    ------
    FeaturesNotRenewedError
        If the newest features are of another version.
    """
    present, others = _days_by_version(dataset, lake, since, until)
    newest = max(others, default=date.min)
    if others and newest > max(present, default=date.min):
        raise FeaturesNotRenewedError(
            f"The features of {len(others)} days of {dataset.name}, {newest} the newest, were made by other code "
            f"than today's, or cannot be read. {dataset.name}_etl renews them: run it, then clear this task."
        )
    return present


def _days_by_version(dataset: DatasetSpec, lake: Lake, since: date, until: date) -> tuple[list[date], set[date]]:
    """The days with features of the present version, oldest first, and those with others."""
    days = lake.days(dataset.features_prefix, since, until)
    others = set(other_versions(dataset, lake, days))
    if others:
        log.warning(
            "The features of %d days of %s, %s to %s, are of other code, so they are passed over; run %s_etl.",
            len(others),
            dataset.name,
            min(others),
            max(others),
            dataset.name,
        )
    return [day for day in days if day not in others], others


def other_versions(dataset: DatasetSpec, lake: Lake, days: Collection[date] | None = None) -> list[date]:
    """Those of `days`, or of all with features, whose features are not of the present version, oldest first.

    Features whose manifest cannot be read are of no version.
    """
    noted = _noted(dataset, lake)
    if noted is None or noted.version != feature_version(dataset):
        suspects = list(lake.days(dataset.features_prefix) if days is None else days)
    else:
        suspects = [day for day in noted.others if days is None or day in days]
    found, _ = lake.pin_readable(dataset.features_prefix, suspects)
    present = {day for day, manifest in found.manifests.items() if is_of_present_version(dataset, manifest)}
    return sorted(set(suspects) - present)


def note_other_versions(dataset: DatasetSpec, lake: Lake, others: Iterable[date]) -> None:
    """Note that all features but those of `others` are of the present version, so that nobody looks again."""
    noted = _Noted(version=feature_version(dataset), others=tuple(others))
    if noted != _noted(dataset, lake):
        lake.write_object(_key(dataset), noted.model_dump_json().encode())


def _noted(dataset: DatasetSpec, lake: Lake) -> _Noted | None:
    try:
        return _Noted.model_validate_json(lake.read_object(_key(dataset)) or b"")
    except ValidationError:
        return None


def _key(dataset: DatasetSpec) -> str:
    return f"plans/{dataset.name}/feature_version.json"

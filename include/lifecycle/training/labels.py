"""Labels: what followed each day, published once that is known and read by training and monitoring alike."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import polars as pl

from include.lifecycle.ingestion.source_digest import source_digest
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import CorruptFileError, Lake, Manifest, Pinned, RunInfo
from include.lifecycle.storage.manifests import json_sha256
from include.lifecycle.storage.pinned import CONNECTIONS

log = logging.getLogger(__name__)

Windows = Mapping[date, Sequence[date]]
"""By day, the days of outcomes that its labels are made of."""


def publish_labels(
    model: ModelSpec, lake: Lake, windows: Windows, features: Pinned, run: RunInfo, scratch: Path
) -> Pinned:
    """The labels of some days as they are published; those that are missing or of other inputs are made first.

    A label says what was known when it matured, whatever became known later: the labels of a day do not depend on
    the day on which they are made. Labels that the present code made of the same features and outcomes are taken
    as they are, unless their file is damaged; to tell, the manifests of all of these are read.

    Parameters
    ----------
    features : the features of all days of `windows`.
    """
    published, _ = lake.pin_readable(model.labels_prefix, windows)
    known = sorted({other for window in windows.values() for other in window})
    outcomes = lake.pin(model.dataset.clean(model.label.table), known)
    version = {f"code/{model.name}/labels": label_version(model)}
    inputs = {
        day: features.only([day]).inputs | outcomes.only(window).inputs | version
        for day, window in windows.items()
    }
    present = [day for day, manifest in published.manifests.items() if manifest.inputs == inputs[day]]
    labels = _undamaged(published.only(present), scratch)
    missing = [day for day in windows if day not in labels]
    frames = outcomes.only(sorted({other for day in missing for other in windows[day]})).frames(scratch)
    for day in missing:
        of_day = pl.read_parquet(features.download(day, scratch))
        so_far = pl.concat([frames[other] for other in windows[day]])
        made = model.label.make(day, of_day, so_far).sort(model.dataset.key)
        labels[day] = lake.publish_frame(
            model.labels_prefix, day, made, run=run, scratch=scratch, inputs=inputs[day]
        )
    return Pinned(lake, model.labels_prefix, {day: labels[day] for day in windows})


def label_version(model: ModelSpec) -> str:
    """Digest of the code that makes the model's labels, what it is given, and the key by which they are sorted."""
    return json_sha256([source_digest(model.label.make), model.dataset.key])


def _undamaged(labels: Pinned, scratch: Path) -> dict[date, Manifest]:
    """The manifests of those labels whose files can be read; these are in `scratch` then."""

    def is_readable(day: date) -> bool:
        try:
            labels.download(day, scratch)
        except CorruptFileError as error:
            log.warning("It is written again: %s", error)
            return False
        return True

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        found = zip(labels.days, pool.map(is_readable, labels.days), strict=True)
        return {day: labels.manifests[day] for day, can_be_read in found if can_be_read}

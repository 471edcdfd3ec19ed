"""Labels: what followed each day, published once that is known and read by training and monitoring alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import polars as pl

from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, Manifest, Pinned, RunInfo, partition
from include.lifecycle.storage.pinned import CONNECTIONS

Windows = Mapping[date, Sequence[date]]
"""By day, the days of outcomes that its labels are made of."""


def publish_labels(
    model: ModelSpec, lake: Lake, windows: Windows, features: Pinned, run: RunInfo, scratch: Path
) -> Pinned:
    """The labels of some days as they are published; those that are missing or of other inputs are made first.

    A label says what was known when it matured, whatever became known later: the labels of a day do not depend on
    the day on which they are made. Labels that were written after all that they are made of are taken as they are;
    of the others, manifests are compared.

    Parameters
    ----------
    features : the features of all days of `windows`.
    """
    labels = _published(model, lake, windows)
    newer = _newer_than_inputs(model, lake, windows, labels)
    doubtful = [day for day in windows if day not in newer]
    known = sorted({other for day in doubtful for other in windows[day]})
    outcomes = lake.pin(model.dataset.clean(model.label.table), known)
    for day in doubtful:
        window = outcomes.only(windows[day])
        inputs = features.only([day]).inputs | window.inputs
        if day not in labels or labels[day].inputs != inputs:
            frame = pl.read_parquet(features.download(day, scratch))
            made = model.label.make(day, frame, window.scan(scratch)).sort(model.dataset.key)
            labels[day] = lake.publish_frame(
                model.labels_prefix, day, made, run=run, scratch=scratch, inputs=inputs
            )
    return Pinned(lake, model.labels_prefix, {day: labels[day] for day in windows})


def _published(model: ModelSpec, lake: Lake, windows: Windows) -> dict[date, Manifest]:
    if not windows:
        return {}
    days = sorted(windows.keys() & set(lake.days(model.labels_prefix, min(windows), max(windows))))
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        found = zip(days, pool.map(lambda day: lake.usable_manifest(model.labels_prefix, day), days), strict=True)
        return {day: manifest for day, manifest in found if manifest is not None}


def _newer_than_inputs(
    model: ModelSpec, lake: Lake, windows: Windows, labels: Mapping[date, Manifest]
) -> set[date]:
    """The days whose labels name all that they are to be made of, and were written after it."""
    if not labels:
        return set()
    features, outcomes = model.dataset.features_prefix, model.dataset.clean(model.label.table)
    asked = sorted({*labels, *(other for day in labels for other in windows[day])})
    made, built, arrived = (
        lake.written(prefix, asked[0], asked[-1]) for prefix in (model.labels_prefix, features, outcomes)
    )

    def is_newer(day: date) -> bool:
        paths = {partition(features, day), *(partition(outcomes, other) for other in windows[day])}
        times = [built.get(day), *(arrived.get(other) for other in windows[day])]
        return labels[day].inputs.keys() == paths and all(time and time < made[day] for time in times)

    return {day for day in labels if is_newer(day)}

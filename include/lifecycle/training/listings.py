"""What a listing said of the partitions that a day is made of: whether they are still those that were read.

The lake is listed before anything is read. What the listing said of a day is noted, as a mark, among the inputs of
what is made. Where a later listing gives the same mark, all that the day was made of is what it was then, whoever
replaced what meanwhile, and the day can be carried on without being read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, Pinned, partition
from include.lifecycle.storage.manifests import json_sha256
from include.lifecycle.training.labels import Windows

_MARKS = "listed/"


@dataclass(frozen=True)
class Listing:
    """What the lake said, before anything was read, of the partitions that some days are made of.

    Attributes
    ----------
    windows : by day, the days of outcomes that it depends on.
    prefixes : those of which each day has a partition of its own.
    outcomes : the prefix of the outcomes.
    stamps : by path of a partition, what was said of it, see `Lake.stamps`.
    """

    lake: Lake
    windows: Windows
    prefixes: Sequence[str]
    outcomes: str
    stamps: Mapping[str, str]

    def marks(self, method: str) -> dict[date, str]:
        """By day, a digest of all that was said of it, and of the method by which its rows are made.

        A day that lacks one of its partitions has none.
        """
        marks = {}
        for day, window in self.windows.items():
            paths = [partition(prefix, day) for prefix in self.prefixes]
            paths += [partition(self.outcomes, known) for known in window]
            if all(path in self.stamps for path in paths):
                marks[day] = json_sha256([method, [(path, self.stamps[path]) for path in paths]])
        return marks

    def with_published(self, labels: Pinned) -> Listing:
        """The same listing, with what is said now of labels that were published after it.

        Labels that somebody has replaced since they were pinned are left out: their days get no mark.
        """
        now = _stamps(self.lake, labels.prefix, labels.days)
        path_of = {day: partition(labels.prefix, day) for day in labels.days}
        doubtful = [day for day, path in path_of.items() if now.get(path) != self.stamps.get(path)]
        found, _ = self.lake.pin_readable(labels.prefix, doubtful)
        replaced = {path_of[day] for day in doubtful if found.manifests.get(day) != labels.manifests[day]}
        others = {path: stamp for path, stamp in self.stamps.items() if path not in labels.inputs}
        pinned = {path: now[path] for path in path_of.values() if path in now and path not in replaced}
        return replace(self, stamps=others | pinned)


def list_partitions(model: ModelSpec, lake: Lake, windows: Windows, *further: str) -> Listing:
    """What the lake says of features, labels, outcomes and what `further` prefixes have of some days.

    It is to be asked before any of these is read.
    """
    prefixes = (model.dataset.features_prefix, model.labels_prefix, *further)
    outcomes = model.dataset.clean(model.label.table)
    stamps = _stamps(lake, outcomes, [known for window in windows.values() for known in window])
    for prefix in prefixes:
        stamps |= _stamps(lake, prefix, list(windows))
    return Listing(lake, windows, prefixes, outcomes, stamps)


def noted(marks: Mapping[date, str]) -> dict[str, str]:
    """Marks as the inputs in a manifest name them."""
    return {f"{_MARKS}{day}": mark for day, mark in marks.items()}


def marked_days(inputs: Mapping[str, str], marks: Mapping[date, str]) -> list[date]:
    """The days of `marks` of which a manifest's inputs have noted the same mark."""
    return [day for day, mark in marks.items() if inputs.get(f"{_MARKS}{day}") == mark]


def without_marks(inputs: Mapping[str, str]) -> dict[str, str]:
    """The inputs in a manifest that are not marks."""
    return {path: digest for path, digest in inputs.items() if not path.startswith(_MARKS)}


def _stamps(lake: Lake, prefix: str, days: Sequence[date]) -> dict[str, str]:
    """By path of a partition from the first to the last of the days, what the lake says of it."""
    if not days:
        return {}
    return {partition(prefix, day): stamp for day, stamp in lake.stamps(prefix, min(days), max(days)).items()}

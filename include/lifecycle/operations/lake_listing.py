"""What lies in the lake, as its partitions, and which of these a run of maintenance checks."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from include.lifecycle.operations.maintenance_policy import Scope
from include.lifecycle.storage.lake import Lake, partition, partition_of

_SINGLES = re.compile(r"(predictions|portfolio|plans)/[^/]+/(latest|settings|settled|feature_version)\.json")


@dataclass(frozen=True)
class Partition:
    """The objects of a partition: size and time of writing by name."""

    prefix: str
    day: date
    objects: Mapping[str, tuple[int, datetime]]

    @property
    def newest(self) -> datetime:
        """When something was last written to it."""
        return max(written for _, written in self.objects.values())


def list_partitions(lake: Lake) -> tuple[dict[str, Partition], list[str]]:
    """All partitions of the lake by path, and the keys that belong to none."""
    objects: dict[tuple[str, date], dict[str, tuple[int, datetime]]] = defaultdict(dict)
    unknown = []
    for item in lake.objects(""):
        place = partition_of(item["Key"])
        if place is not None:
            objects[place.prefix, place.day][place.name] = item["Size"], item["LastModified"]
        elif not _SINGLES.fullmatch(item["Key"]):
            unknown.append(item["Key"])
    return {partition(*place): Partition(*place, found) for place, found in objects.items()}, unknown


def choose(partitions: Mapping[str, Partition], scope: Scope) -> tuple[list[Partition], list[Partition]]:
    """The partitions to check: those of the days asked for, or the recent ones; and a sample of the others.

    A partition is recent if its day is, or if something was written to it lately.
    """
    if scope.days is not None:
        first, last = scope.days
        return [one for one in partitions.values() if first <= one.day <= last], []
    if scope.prefix:
        return list(partitions.values()), []
    window = timedelta(days=scope.recent_days)

    def is_recent(one: Partition) -> bool:
        return one.day > scope.until - window or one.newest > scope.started_at - window

    def lottery(path: str) -> str:
        return hashlib.sha256(f"{scope.until} {path}".encode()).hexdigest()

    recent = [one for one in partitions.values() if is_recent(one)]
    older = sorted((path for path, one in partitions.items() if not is_recent(one)), key=lottery)
    return recent, [partitions[path] for path in older[: scope.sample]]

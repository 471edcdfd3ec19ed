"""Summaries: what the lake's partitions say of themselves, kept in `ml.summaries` for the pages.

A page that asked the lake would take a request per partition; here it takes a query. The lake stays the truth:
what is lost or wrong here is made again from it by `refresh`, which reads only what has changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from psycopg2.extras import execute_values

from include.lifecycle.shown import visible
from include.lifecycle.storage.lake import Lake, LakeError, Manifest, partition
from include.lifecycle.storage.migrations import migrate
from include.lifecycle.storage.pinned import CONNECTIONS
from include.lifecycle.storage.warehouse import locked

if TYPE_CHECKING:
    from psycopg2 import extensions

# Texts, as JSON in Python may say NaN, which PostgreSQL's JSON may not.
MIGRATIONS = (
    """
create table ml.summaries (
    prefix text not null,
    dt date not null,
    stamp text not null,
    manifest text,
    records text not null,
    fault text,
    primary key (prefix, dt)
);
create table ml.summarised (
    prefix text primary key,
    checked_at timestamptz not null
);
""",
)


@dataclass(frozen=True)
class Kept:
    """A prefix of the lake, and which JSON files of its partitions are kept beside their manifests."""

    prefix: str
    records: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """A partition as it was when it was looked at last.

    Attributes
    ----------
    records : content of each JSON file that is kept, by its plain name.
    fault : why the partition could not be read, in a sentence; `manifest` is None and `records` empty then.
    """

    prefix: str
    day: date
    manifest: Manifest | None
    records: Mapping[str, Any]
    fault: str | None = None


@dataclass(frozen=True)
class Summaries:
    """The summaries as pages read them, a query each time."""

    connection: extensions.connection

    def newest(self, prefix: str) -> Summary | None:
        """The newest day of a prefix."""
        found = self._select(prefix, "order by dt desc limit 1")
        return found[0] if found else None

    def between(self, prefix: str, since: date, until: date = date.max) -> list[Summary]:
        """The days of a prefix from `since` to `until`, oldest first."""
        return self._select(prefix, "and dt between %s and %s order by dt", since, until)

    def checked_at(self, prefixes: Iterable[str]) -> datetime | None:
        """When the prefix that was looked at longest ago was looked at; None where one of them never was."""
        asked = sorted(set(prefixes))
        with self._ready, self._ready.cursor() as cursor:
            cursor.execute(
                "select count(*), min(checked_at) from ml.summarised where prefix = any(%s)",
                (asked,),
            )
            [(count, earliest)] = cursor.fetchall()
        return earliest if count == len(asked) else None

    def _select(self, prefix: str, which: str, *values: object) -> list[Summary]:
        with self._ready, self._ready.cursor() as cursor:
            cursor.execute(
                f"select dt, manifest, records, fault from ml.summaries where prefix = %s {which}",
                (prefix, *values),
            )
            return [
                Summary(
                    prefix, day, manifest and Manifest.model_validate_json(manifest), json.loads(records), fault
                )
                for day, manifest, records, fault in cursor
            ]

    @cached_property
    def _ready(self) -> extensions.connection:
        migrate(self.connection, "summaries", MIGRATIONS)
        return self.connection


def refresh(lake: Lake, connection: extensions.connection, kept: Kept, since: date = date.min) -> int:
    """Bring the summaries of a prefix from `since` on to what the lake has; returns how many days had changed.

    One at a time refreshes a prefix, so that none writes what it had read before another's.
    """
    migrate(connection, "summaries", MIGRATIONS)
    with locked(connection, f"ml.summaries {kept.prefix}") as cursor:
        cursor.execute("select dt, stamp from ml.summaries where prefix = %s and dt >= %s", (kept.prefix, since))
        known = dict(cursor.fetchall())
        present = {
            day: hashlib.sha256(f"{kept.records} {stamp}".encode()).hexdigest()
            for day, stamp in lake.stamps(kept.prefix, since).items()
        }
        changed = [day for day, stamp in present.items() if known.get(day) != stamp]
        gone = sorted(known.keys() - present.keys())
        rows = [_row(summary, present[summary.day]) for summary in _read(lake, kept, changed)]
        execute_values(cursor, _WRITE, rows)
        cursor.execute("delete from ml.summaries where prefix = %s and dt = any(%s)", (kept.prefix, gone))
        cursor.execute(_CHECKED, (kept.prefix,))
    return len(changed) + len(gone)


_WRITE = """
insert into ml.summaries (prefix, dt, stamp, manifest, records, fault) values %s
on conflict (prefix, dt) do update set
    stamp = excluded.stamp, manifest = excluded.manifest, records = excluded.records, fault = excluded.fault
"""
_CHECKED = """
insert into ml.summarised (prefix, checked_at) values (%s, clock_timestamp())
on conflict (prefix) do update set checked_at = excluded.checked_at
"""


def _read(lake: Lake, kept: Kept, days: Iterable[date]) -> Iterable[Summary]:
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(lambda day: _summary(lake, kept, day), days))


def _summary(lake: Lake, kept: Kept, day: date) -> Summary:
    try:
        pinned = lake.pin(kept.prefix, [day])
        records = {name: pinned.read_json(day, name) for name in kept.records}
    except LakeError as error:
        return Summary(kept.prefix, day, None, {}, str(error))
    except ValueError as error:
        where = lake.uri(partition(kept.prefix, day))
        return Summary(kept.prefix, day, None, {}, f"A record of {where} is no JSON: {error}")
    return Summary(kept.prefix, day, pinned.manifests[day], records)


def _row(summary: Summary, stamp: str) -> tuple[Any, ...]:
    manifest = summary.manifest and summary.manifest.model_dump_json()
    fault = summary.fault and visible(summary.fault)
    return summary.prefix, summary.day, stamp, manifest, json.dumps(summary.records), fault

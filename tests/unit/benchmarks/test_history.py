"""The benchmark of a week counts what it says, on a lake that is what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from benchmarks.history import HISTORIES, STAGES, TABLE_WIDTH, _table
from benchmarks.made_history import LAST, WEEK
from benchmarks.s3_folder import KINDS, Cost, FolderClient, Meter
from benchmarks.scheduled_week import due
from benchmarks.scoring import BUCKET, lake_at, services
from include.lifecycle.storage.lake import Lake, RunInfo

RUN = RunInfo("test_run", datetime(2026, 1, 2, tzinfo=UTC), "test")
PREFIX = "features/customers"
DAYS = [date(2026, 1, 1) + timedelta(number) for number in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Lake]:
    """A lake through the server, of what was published into the server's folder."""
    with services(folder) as (endpoint, _):
        written = Lake(FolderClient(folder / "s3"), BUCKET)
        for day in DAYS:
            frame = pl.DataFrame({"customer_id": ["C1"], "tenure": [day.day]})
            written.publish_frame(PREFIX, day, frame, run=RUN, scratch=folder)
        yield lake_at(endpoint)


def test_a_history_made_in_the_folder_is_what_the_server_gives(served: Lake, folder: Path) -> None:
    made = Lake(FolderClient(folder / "s3"), BUCKET)

    for lake in (served, made):
        assert lake.days(PREFIX) == DAYS
        assert lake.days(PREFIX, DAYS[1], DAYS[1]) == [DAYS[1]]
        assert lake.days("features/customer") == []
        assert all(lake.intact(PREFIX, day) for day in DAYS)
        assert lake.usable_manifest(PREFIX, DAYS[-1] + timedelta(1)) is None
    times = [list(lake.written(PREFIX).values()) for lake in (served, made)]
    assert times[0] == times[1]
    assert served.keys("") == made.keys("")


def test_requests_are_counted_by_stage_and_kind(served: Lake, tmp_path: Path) -> None:
    meter = Meter(served.client)

    with meter.stage("training"):
        served.scan(PREFIX, DAYS, tmp_path)
    with meter.stage("scoring"):
        served.days(PREFIX)
        served.write_object("predictions/latest.json", b"{}")

    assert meter.costs["training"].requests == {"GET manifest": 3, "GET file": 3}
    assert meter.costs["scoring"].requests == {"LIST": 1, "PUT": 1}
    assert meter.costs["scoring"].total == 2


def test_the_week_follows_the_history_and_has_five_sessions() -> None:
    assert WEEK[0] == LAST + timedelta(1)
    assert len(WEEK) == 7
    assert [len(due(day)) for day in WEEK] == [2, 2, 2, 2, 2, 1, 1]
    assert min(HISTORIES) * 40 < max(HISTORIES) < min(HISTORIES) * 41


def test_the_table_has_each_stage_and_is_not_cut() -> None:
    cost = Cost(Counter(dict.fromkeys(KINDS, 1756)), processor=108.2, passed=115.7)
    shown = StringIO()

    Console(width=TABLE_WIDTH, file=shown).print(_table({days: dict.fromkeys(STAGES, cost) for days in HISTORIES}))

    text = shown.getvalue()
    assert all(f"│ {stage} " in text for stage in (*STAGES, "week"))
    assert "…" not in text

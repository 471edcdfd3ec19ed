"""The summaries are a projection of the lake: whatever happens to either, a refresh makes them the same again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.lifecycle.overview.summaries import Kept, Summaries, Summary, refresh
from include.lifecycle.storage.lake import MANIFEST, Lake, LocalFile, RunInfo, partition

PREFIX = "reports/churn/drift"
KEPT = Kept(PREFIX, ("verdict.json",))
DAY = date(2026, 3, 1)

Publish = Callable[[date, Any], None]


@pytest.fixture
def publish(lake: Lake, run: RunInfo, tmp_path: Path) -> Publish:
    def publish_day(day: date, verdict: Any) -> None:
        file = tmp_path / "verdict.json"
        file.write_text(json.dumps(verdict))
        lake.publish(PREFIX, day, [LocalFile(file)], run=run)

    return publish_day


def after(days: int) -> date:
    return DAY + timedelta(days)


def delete(lake: Lake, day: date) -> None:
    for key in lake.keys(f"{partition(PREFIX, day)}/"):
        lake.client.delete_object(Bucket=lake.bucket, Key=key)


def of_lake(lake: Lake) -> list[Summary]:
    """What the summaries must be, read from the lake day by day."""
    return [
        Summary(
            PREFIX, day, lake.manifest(PREFIX, day), {"verdict.json": lake.read_json(PREFIX, day, "verdict.json")}
        )
        for day in lake.days(PREFIX)
    ]


def all_of(postgres: Any) -> list[Summary]:
    return Summaries(postgres).between(PREFIX, date.min)


def test_days_that_came_changed_and_went_are_seen_and_nothing_else_is_read(
    lake: Lake, postgres: Any, publish: Publish
) -> None:
    # given
    for number in range(3):
        publish(after(number), {"verdict": number})
    assert refresh(lake, postgres, KEPT) == 3
    assert refresh(lake, postgres, KEPT) == 0

    # when
    publish(after(1), {"verdict": "another"})
    publish(after(3), {"verdict": 3})
    delete(lake, after(0))

    # then
    assert refresh(lake, postgres, KEPT) == 3
    assert all_of(postgres) == of_lake(lake)
    assert [summary.records["verdict.json"]["verdict"] for summary in all_of(postgres)] == ["another", 2, 3]


def test_a_refresh_of_the_last_days_leaves_the_older_ones_alone(
    lake: Lake, postgres: Any, publish: Publish
) -> None:
    publish(after(0), {"verdict": 0})
    publish(after(5), {"verdict": 5})

    assert refresh(lake, postgres, KEPT, since=after(5)) == 1
    assert [summary.day for summary in all_of(postgres)] == [after(5)]
    assert refresh(lake, postgres, KEPT) == 1
    assert refresh(lake, postgres, KEPT, since=after(5)) == 0
    assert [summary.day for summary in all_of(postgres)] == [after(0), after(5)]


def test_a_day_that_cannot_be_read_says_why_until_it_is_whole(lake: Lake, postgres: Any, publish: Publish) -> None:
    # given
    for number in range(3):
        publish(after(number), {"verdict": number})
    [file] = lake.manifest(PREFIX, after(1)).files
    lake.write_object(f"{partition(PREFIX, after(1))}/{file.name}", b"{}")
    lake.write_object(f"{partition(PREFIX, after(2))}/{MANIFEST}", b"\0not JSON")

    # when
    refresh(lake, postgres, KEPT)

    # then
    whole, damaged, unreadable = all_of(postgres)
    assert whole.fault is None
    assert damaged.manifest is None
    assert damaged.records == {}
    assert file.name in str(damaged.fault)
    assert MANIFEST in str(unreadable.fault)

    # when
    publish(after(1), {"verdict": 1})
    publish(after(2), {"verdict": 2})

    # then
    assert refresh(lake, postgres, KEPT) == 2
    assert all_of(postgres) == of_lake(lake)


def test_what_is_kept_may_change_and_all_days_are_read_again(lake: Lake, postgres: Any, publish: Publish) -> None:
    publish(DAY, {"verdict": 0})
    refresh(lake, postgres, Kept(PREFIX))
    assert Summaries(postgres).newest(PREFIX) == Summary(PREFIX, DAY, lake.manifest(PREFIX, DAY), {})

    assert refresh(lake, postgres, KEPT) == 1
    assert all_of(postgres) == of_lake(lake)


def test_a_page_is_as_fresh_as_the_prefix_that_was_looked_at_longest_ago(lake: Lake, postgres: Any) -> None:
    summaries = Summaries(postgres)
    assert summaries.checked_at([PREFIX]) is None
    refresh(lake, postgres, KEPT)
    first = summaries.checked_at([PREFIX])
    refresh(lake, postgres, Kept("reports/other"))

    assert first is not None
    assert summaries.checked_at([PREFIX, "reports/other"]) == first
    assert summaries.checked_at([PREFIX, "never looked at"]) is None


# A day's verdict, or None for one that is deleted; numbers that JSON in PostgreSQL does not know among them.
verdicts = st.none() | st.text(max_size=3) | st.sampled_from([0.5, float("nan"), float("-inf"), "\0", "é"])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.dictionaries(st.integers(0, 4), verdicts, min_size=1), min_size=1, max_size=3))
def test_whatever_changed_since_the_summaries_are_what_the_lake_says(
    lake: Lake, postgres: Any, publish: Publish, steps: list[dict[int, Any]]
) -> None:
    for step in steps:
        for number, verdict in step.items():
            if verdict is None:
                delete(lake, after(number))
            else:
                publish(after(number), {"verdict": verdict})
        refresh(lake, postgres, KEPT)

        assert repr(all_of(postgres)) == repr(of_lake(lake))

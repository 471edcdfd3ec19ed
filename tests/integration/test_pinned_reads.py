"""What was read is what is recorded, whenever somebody replaces a partition."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from include.lifecycle.storage.lake import (
    Lake,
    LocalFile,
    MissingFileError,
    NoSuchFileError,
    PartitionNotFoundError,
    RunInfo,
)
from tests.requests_made import requests_made

PREFIX = "clean/things"
DAYS = [date(2026, 3, 1), date(2026, 3, 2)]


@pytest.fixture
def publish(lake: Lake, run: RunInfo, tmp_path: Path) -> Callable[[date, int], str]:
    """Publishes a day of one row, and returns its digest."""

    def publish(day: date, value: int) -> str:
        frame = pl.DataFrame({"x": [value]})
        return lake.publish_frame(PREFIX, day, frame, run=run, scratch=tmp_path).digest

    return publish


@pytest.mark.parametrize("request_number", range(1, 5))
def test_what_is_read_is_what_the_inputs_name_whenever_a_day_is_replaced(
    lake: Lake, tmp_path: Path, publish: Callable[[date, int], str], request_number: int
) -> None:
    old = {value: publish(day, value) for day, value in zip(DAYS, (1, 2), strict=True)}
    new: dict[int, str] = {}

    def replace() -> None:
        new.update({value: publish(day, value) for day, value in zip(DAYS, (10, 20), strict=True)})

    with requests_made(lake, request_number, replace):
        pinned = lake.pin(PREFIX, DAYS)
        rows = pinned.scan(tmp_path / "read").collect()

    digests = old | new
    assert new
    assert pinned.inputs == {f"{PREFIX}/dt={day}": digests[x] for x, day in rows.iter_rows()}


@pytest.mark.parametrize("folder", ["run=7", "dt=2020-01-01", "x[1]*", "a b%20"])
def test_a_scan_tells_the_days_apart_whatever_the_folder_above_is_called(
    lake: Lake, tmp_path: Path, publish: Callable[[date, int], str], folder: str
) -> None:
    for day, value in zip(DAYS, (1, 2), strict=True):
        publish(day, value)

    rows = lake.pin(PREFIX, DAYS).scan(tmp_path / folder)

    assert rows.collect_schema() == {"x": pl.Int64, "dt": pl.Date}
    assert rows.collect().rows() == [(1, DAYS[0]), (2, DAYS[1])]


def test_a_scan_opens_only_the_files_of_the_days_that_are_asked_for(
    lake: Lake, tmp_path: Path, publish: Callable[[date, int], str]
) -> None:
    for day, value in zip(DAYS, (1, 2), strict=True):
        publish(day, value)
    rows = lake.pin(PREFIX, DAYS).scan(tmp_path / "read")
    for file in tmp_path.glob(f"read/**/dt={DAYS[1]}/*.parquet"):
        file.write_bytes(b"damaged")

    assert rows.filter(dt=DAYS[0]).collect().rows() == [(1, DAYS[0])]


def test_a_read_makes_two_requests_of_a_day_with_one_file(
    lake: Lake, tmp_path: Path, publish: Callable[[date, int], str]
) -> None:
    for day in DAYS:
        publish(day, 1)

    with requests_made(lake) as made:
        lake.pin(PREFIX, DAYS).scan(tmp_path / "read").collect()

    assert [name for name, _ in made] == ["GetObject"] * 4


def test_a_pinned_file_is_that_of_before_also_after_it_was_replaced(
    lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    file = tmp_path / "verdict.json"
    file.write_text("[1]")
    lake.publish(PREFIX, DAYS[0], [LocalFile(file)], run=run)
    pinned = lake.pin(PREFIX, DAYS[:1])
    file.write_text("[2]")
    lake.publish(PREFIX, DAYS[0], [LocalFile(file)], run=run)

    [read] = pinned.download(DAYS[0], tmp_path / "read", "verdict.json")

    assert pinned.read_json(DAYS[0], "verdict.json") == [1]
    assert read.read_text() == "[1]"
    with pytest.raises(NoSuchFileError, match=f"{PREFIX}/dt={DAYS[0]}.*index.html"):
        pinned.read_json(DAYS[0], "index.html")


def test_a_pinned_file_that_was_removed_is_missing_and_no_other_is_read(
    lake: Lake, tmp_path: Path, publish: Callable[[date, int], str]
) -> None:
    publish(DAYS[0], 1)
    pinned = lake.pin(PREFIX, DAYS[:1])
    [file] = pinned.manifests[DAYS[0]].files
    publish(DAYS[0], 2)
    lake.client.delete_object(Bucket=lake.bucket, Key=f"{PREFIX}/dt={DAYS[0]}/{file.name}")

    with pytest.raises(MissingFileError):
        pinned.scan(tmp_path / "read")


def test_some_of_the_pinned_days_are_the_same_manifests(
    lake: Lake, tmp_path: Path, publish: Callable[[date, int], str]
) -> None:
    first, _ = (publish(day, 1) for day in DAYS)
    pinned = lake.pin(PREFIX, DAYS)
    publish(DAYS[0], 2)

    some = pinned.only(DAYS[:1])

    assert pinned.days == DAYS
    assert some.inputs == {f"{PREFIX}/dt={DAYS[0]}": first}
    assert some.scan(tmp_path / "read").collect()["x"].to_list() == [1]
    with pytest.raises(PartitionNotFoundError, match="No days were asked"):
        pinned.only([]).scan(tmp_path)


def test_days_that_are_alike_are_one_scan_in_the_order_in_which_they_were_asked_for(
    lake: Lake, tmp_path: Path, publish: Callable[[date, int], str]
) -> None:
    days = [date(2026, 3, day) for day in (3, 1, 2)]
    for day in days:
        publish(day, day.day)

    rows = lake.pin(PREFIX, days).scan(tmp_path / "read")

    assert rows.explain().count("SCAN") == 1
    assert rows.collect().rows() == [(day.day, day) for day in days]
    assert rows.filter(pl.col("dt") == days[1]).collect().rows() == [(1, days[1])]


def test_days_whose_columns_have_other_types_are_read_together(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    days = [date(2026, 3, day) for day in (1, 2, 3)]
    for day, value in zip(days, (1, 2.5, 3), strict=True):
        lake.publish_frame(PREFIX, day, pl.DataFrame({"x": [value]}), run=run, scratch=tmp_path)

    rows = lake.pin(PREFIX, days).scan(tmp_path / "read").collect()

    assert rows.rows() == list(zip((1.0, 2.5, 3.0), days, strict=True))
    assert rows.schema == {"x": pl.Float64, "dt": pl.Date}


def test_each_day_has_a_frame_of_its_own_with_the_day_in_it(
    lake: Lake, tmp_path: Path, publish: Callable[[date, int], str]
) -> None:
    for day, value in zip(DAYS, (1, 2), strict=True):
        publish(day, value)

    frames = lake.pin(PREFIX, DAYS).frames(tmp_path / "read")

    assert {day: frame.collect().rows() for day, frame in frames.items()} == {
        day: [(value, day)] for day, value in zip(DAYS, (1, 2), strict=True)
    }

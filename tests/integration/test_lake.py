"""The lake keeps its promises on a real S3 server."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyarrow.parquet import ParquetFile

from include.lifecycle.batches import BATCH_ROWS
from include.lifecycle.lake import (
    CorruptFileError,
    CorruptManifestError,
    Lake,
    LocalFile,
    MissingFileError,
    NoSuchFileError,
    PartitionNotFoundError,
    RunInfo,
)

DAY = date(2026, 3, 1)
PREFIX = "features/things"


def _publish(lake: Lake, run: RunInfo, scratch: Path, values: list[int], **more: Any) -> str:
    return lake.publish_frame(PREFIX, DAY, pl.DataFrame({"x": values}), run=run, scratch=scratch, **more).digest


def _objects(lake: Lake) -> dict[str, tuple[str, str]]:
    pages = lake.client.list_objects_v2(Bucket=lake.bucket).get("Contents", ())
    return {item["Key"]: (item["ETag"], str(item["LastModified"])) for item in pages}


def test_what_was_published_is_read_back(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    _publish(lake, run, tmp_path, [3, 1, 2])

    frame = lake.scan(PREFIX, [DAY], tmp_path / "read").collect()

    assert frame.to_dict(as_series=False) == {"x": [3, 1, 2], "dt": [DAY] * 3}
    assert lake.days(PREFIX) == [DAY]


def test_a_row_group_is_a_batch_so_that_who_reads_batches_decodes_each_row_once(
    lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    _publish(lake, run, tmp_path, list(range(2 * BATCH_ROWS + 1)))

    [file] = lake.download(PREFIX, DAY, tmp_path / "read")

    groups = ParquetFile(file).metadata
    sizes = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
    assert sizes == [BATCH_ROWS, BATCH_ROWS, 1]


def test_days_are_listed_from_the_one_asked_for_on(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    days = [DAY, DAY + timedelta(days=1), DAY + timedelta(days=2)]
    for day in days:
        lake.publish_frame(PREFIX, day, pl.DataFrame({"x": [1]}), run=run, scratch=tmp_path)

    assert lake.days(PREFIX) == days
    assert lake.days(PREFIX, since=days[1]) == days[1:]
    assert lake.days(PREFIX, since=days[2] + timedelta(days=1)) == []


def test_publishing_the_same_content_again_writes_nothing(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    _publish(lake, run, tmp_path, [1, 2], inputs={"raw/things/dt=2026-03-01": "abc"})
    before = _objects(lake)

    later = replace(run, run_id="another", started_at=datetime(2027, 1, 1, tzinfo=UTC))
    _publish(lake, later, tmp_path, [1, 2], inputs={"raw/things/dt=2026-03-01": "abc"})

    assert _objects(lake) == before


def test_the_digest_is_the_content_and_not_the_run(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    first = _publish(lake, run, tmp_path, [1, 2])
    other = _publish(lake, run, tmp_path, [1, 3])
    again = _publish(lake, replace(run, run_id="another"), tmp_path, [1, 2])

    assert first == again != other


def test_files_without_a_manifest_are_no_partition(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    _publish(lake, run, tmp_path, [1])
    lake.client.delete_object(Bucket=lake.bucket, Key=f"{PREFIX}/dt={DAY}/manifest.json")

    assert lake.days(PREFIX) == []
    with pytest.raises(PartitionNotFoundError, match=r"has no manifest"):
        lake.download(PREFIX, DAY, tmp_path / "read")


def test_a_changed_file_is_refused(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    _publish(lake, run, tmp_path, [1])
    name = lake.manifest(PREFIX, DAY).files[0].name
    lake.write_object(f"{PREFIX}/dt={DAY}/{name}", b"something else")

    with pytest.raises(CorruptFileError, match=name):
        lake.download(PREFIX, DAY, tmp_path / "read")


@dataclass(frozen=True)
class DiesBeforeManifest(Lake):
    """A lake whose writer is gone when only the manifest is missing."""

    def write_object(self, key: str, body: bytes) -> None:
        raise KeyboardInterrupt


def test_a_writer_that_dies_before_the_manifest_leaves_the_old_state(
    lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    _publish(lake, run, tmp_path, [1])

    with pytest.raises(KeyboardInterrupt):
        _publish(DiesBeforeManifest(lake.client, lake.bucket), run, tmp_path, [1, 2])

    assert lake.scan(PREFIX, [DAY], tmp_path / "old").collect()["x"].to_list() == [1]
    _publish(lake, run, tmp_path, [1, 2])
    assert lake.scan(PREFIX, [DAY], tmp_path / "new").collect()["x"].to_list() == [1, 2]


def test_a_file_is_found_by_its_plain_name(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    page = tmp_path / "verdict.json"
    page.write_text('{"accepted": true}')
    lake.publish("reports/things/validation", DAY, [LocalFile(page)], run=run)

    assert lake.read_json("reports/things/validation", DAY, "verdict.json") == {"accepted": True}
    with pytest.raises(NoSuchFileError, match="verdict"):
        lake.manifest("reports/things/validation", DAY).file("index.html")


def _of_the_same_length(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:]


def _delete(lake: Lake, key: str) -> None:
    lake.client.delete_object(Bucket=lake.bucket, Key=key)


def _damage(change: Callable[[bytes], bytes]) -> Callable[[Lake, str], None]:
    return lambda lake, key: lake.write_object(key, change(lake.read_object(key) or b""))


DAMAGES: dict[str, Callable[[Lake, str], None]] = {
    "deleted": _delete,
    "cut off": _damage(lambda body: body[:7]),
    "changed": _damage(_of_the_same_length),
    "empty": _damage(lambda _: b""),
}


@pytest.mark.parametrize("what", ["the file", "the manifest"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_publishing_again_repairs_what_is_damaged(
    lake: Lake, run: RunInfo, tmp_path: Path, damage: str, what: str
) -> None:
    _publish(lake, run, tmp_path, [1, 2], inputs={"raw/things/dt=2026-03-01": "abc"})
    manifest = lake.manifest(PREFIX, DAY)
    before = {key: lake.read_object(key) for key in lake.keys("")}
    name = manifest.files[0].name if what == "the file" else "manifest.json"
    DAMAGES[damage](lake, f"{PREFIX}/dt={DAY}/{name}")

    assert lake.intact(PREFIX, DAY) is None
    _publish(lake, run, tmp_path, [1, 2], inputs={"raw/things/dt=2026-03-01": "abc"})

    assert {key: lake.read_object(key) for key in lake.keys("")} == before
    assert lake.intact(PREFIX, DAY) == manifest


def test_a_repair_keeps_the_manifest_that_survived(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    _publish(lake, run, tmp_path, [1, 2])
    manifest = lake.manifest(PREFIX, DAY)
    _delete(lake, f"{PREFIX}/dt={DAY}/{manifest.files[0].name}")

    later = replace(run, run_id="repair", started_at=datetime(2027, 1, 1, tzinfo=UTC))
    _publish(lake, later, tmp_path, [1, 2])

    assert lake.intact(PREFIX, DAY) == manifest


def test_a_missing_file_is_named_in_a_sentence(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    _publish(lake, run, tmp_path, [1])
    name = lake.manifest(PREFIX, DAY).files[0].name
    _delete(lake, f"{PREFIX}/dt={DAY}/{name}")

    with pytest.raises(MissingFileError, match=rf"{name} is missing, though its manifest names it"):
        lake.download(PREFIX, DAY, tmp_path / "read")


@pytest.mark.parametrize(
    "file_name", ["../x.parquet", "a/b.parquet", "/etc/passwd", "..", "", "a\\b", "a\0b", "manifest.json"]
)
def test_a_manifest_that_names_a_file_elsewhere_is_refused(
    lake: Lake, run: RunInfo, tmp_path: Path, file_name: str
) -> None:
    _publish(lake, run, tmp_path, [1])
    key = f"{PREFIX}/dt={DAY}/manifest.json"
    content = json.loads(lake.read_object(key) or b"")
    content["files"][0]["name"] = file_name
    lake.write_object(key, json.dumps(content).encode())

    with pytest.raises(
        CorruptManifestError, match=r"manifest\.json cannot be read as a manifest \(files\.0\.name"
    ):
        lake.download(PREFIX, DAY, tmp_path / "read")


@pytest.mark.parametrize("path", ["../secrets", "/raw/things", "raw/../../x", "raw//x", "raw\\x"])
def test_a_manifest_whose_inputs_lie_outside_the_lake_is_refused(
    lake: Lake, run: RunInfo, tmp_path: Path, path: str
) -> None:
    _publish(lake, run, tmp_path, [1])
    key = f"{PREFIX}/dt={DAY}/manifest.json"
    content = json.loads(lake.read_object(key) or b"")
    lake.write_object(key, json.dumps({**content, "inputs": {path: "abc"}}).encode())

    with pytest.raises(CorruptManifestError, match="no path of a partition"):
        lake.manifest(PREFIX, DAY)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"files": []}'])
def test_half_a_manifest_is_named_in_a_sentence(lake: Lake, body: bytes) -> None:
    lake.write_object(f"{PREFIX}/dt={DAY}/manifest.json", body)

    with pytest.raises(CorruptManifestError, match=rf"{PREFIX}/dt={DAY}/manifest\.json cannot be read"):
        lake.manifest(PREFIX, DAY)


@pytest.mark.parametrize("day", ["2026-13-45", "20260301", "2026-3-1"])
def test_a_folder_that_is_no_day_is_passed_over_by_name(
    lake: Lake, run: RunInfo, tmp_path: Path, caplog: pytest.LogCaptureFixture, day: str
) -> None:
    _publish(lake, run, tmp_path, [1])
    lake.write_object(f"{PREFIX}/dt={day}/manifest.json", b"{}")

    with caplog.at_level(logging.WARNING):
        assert lake.days(PREFIX) == [DAY]

    assert f"dt={day}/manifest.json is passed over" in caplog.text

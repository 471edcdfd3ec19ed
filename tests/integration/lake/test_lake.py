"""The lake keeps its promises on a real S3 server."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from pyarrow.parquet import ParquetFile
from pydantic import ValidationError

from include.lifecycle.storage.batches import BATCH_ROWS
from include.lifecycle.storage.lake import (
    Lake,
    LocalFile,
    MissingFileError,
    NoSuchFileError,
    PartitionNotFoundError,
    RunInfo,
    partition_of,
)
from include.lifecycle.storage.objects import read_times_fast
from tests.damage import delete, flip
from tests.integration.lake.things import DAY, PREFIX, publish


def objects(lake: Lake) -> dict[str, tuple[str, str]]:
    pages = lake.client.list_objects_v2(Bucket=lake.bucket).get("Contents", ())
    return {item["Key"]: (item["ETag"], str(item["LastModified"])) for item in pages}


def test_what_was_published_is_read_back(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    publish(lake, run, tmp_path, [3, 1, 2])

    frame = lake.scan(PREFIX, [DAY], tmp_path / "read").collect()

    assert frame.to_dict(as_series=False) == {"x": [3, 1, 2], "dt": [DAY] * 3}
    assert lake.days(PREFIX) == [DAY]


def test_a_row_group_is_a_batch_so_that_who_reads_batches_decodes_each_row_once(
    lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    publish(lake, run, tmp_path, list(range(2 * BATCH_ROWS + 1)))

    [file] = lake.download(PREFIX, DAY, tmp_path / "read")

    groups = ParquetFile(file).metadata
    sizes = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
    assert sizes == [BATCH_ROWS, BATCH_ROWS, 1]
    assert groups.row_group(0).column(0).statistics is None


def test_days_are_listed_from_the_one_asked_for_on(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    days = [DAY, DAY + timedelta(days=1), DAY + timedelta(days=2)]
    for day in days:
        lake.publish_frame(PREFIX, day, pl.DataFrame({"x": [1]}), run=run, scratch=tmp_path)

    assert lake.days(PREFIX) == days
    assert lake.days(PREFIX, since=days[1]) == days[1:]
    assert lake.days(PREFIX, since=days[2] + timedelta(days=1)) == []
    assert lake.days(PREFIX, until=days[1]) == days[:2]
    assert list(lake.written(PREFIX)) == days


def test_a_stamp_changes_with_any_file_of_the_day_also_within_the_second_that_a_server_tells(
    lake: Lake, run: RunInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects_of = Lake.objects

    def within_a_second(*asked: Any, **more: Any) -> Iterator[Any]:
        return (item | {"LastModified": run.started_at} for item in objects_of(*asked, **more))

    monkeypatch.setattr(Lake, "objects", within_a_second)
    publish(lake, run, tmp_path, [1, 2])
    stamps = [lake.stamps(PREFIX)]
    for name in (lake.manifest(PREFIX, DAY).files[0].name, "manifest.json"):
        flip(lake, f"{PREFIX}/dt={DAY}/{name}")
        stamps.append(lake.stamps(PREFIX))

    assert lake.stamps(PREFIX) == stamps[-1]
    assert len({stamp[DAY] for stamp in stamps}) == len(stamps)
    delete(lake, f"{PREFIX}/dt={DAY}/manifest.json")
    assert lake.stamps(PREFIX) == {}


def test_the_oldest_and_the_newest_day_are_those_with_a_manifest(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    days = [DAY + timedelta(days=number) for number in range(4)]
    for day in days[1:3]:
        lake.publish_frame(PREFIX, day, pl.DataFrame({"x": [day.day]}), run=run, scratch=tmp_path)
    lake.write_object(f"{PREFIX}/dt={days[0]}/half-written.parquet", b"")
    lake.write_object(f"{PREFIX}/dt={days[0]}/of_another/dt={days[0]}/manifest.json", b"{}")
    newest = lake.manifest(PREFIX, days[2])
    before = lake.manifest(PREFIX, days[1])

    assert lake.days(PREFIX) == days[1:3]
    assert lake.oldest(PREFIX) == days[1]
    assert lake.newest(PREFIX) == (days[2], newest)
    assert lake.newest(PREFIX, since=days[3]) is None
    assert lake.oldest("features/others") is None
    lake.write_object(f"{PREFIX}/dt={days[2]}/manifest.json", b"{")
    assert lake.newest(PREFIX) == (days[1], before)
    assert [lake.has_manifest(PREFIX, day) for day in days] == [False, True, True, False]


def test_digests_name_what_was_read_and_a_missing_day_is_refused(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    later = DAY + timedelta(days=1)
    first = publish(lake, run, tmp_path, [1])
    second = lake.publish_frame(PREFIX, later, pl.DataFrame({"x": [2]}), run=run, scratch=tmp_path).digest

    assert lake.digests(PREFIX, [later, DAY]) == {
        "features/things/dt=2026-03-02": second,
        "features/things/dt=2026-03-01": first,
    }
    with pytest.raises(PartitionNotFoundError):
        lake.digests(PREFIX, [DAY, DAY - timedelta(days=1)])


def test_no_days_are_no_frame(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(PartitionNotFoundError, match=r"No days were asked of s3://.*/features/things"):
        lake.scan(PREFIX, [], tmp_path)


def test_a_manifest_says_what_the_partition_holds(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    for name, content in {"a.csv": "1", "b.csv": "", "c.html": "<p>"}.items():
        (tmp_path / name).write_text(content)
    files = [LocalFile(tmp_path / "a.csv", 3), LocalFile(tmp_path / "b.csv", 5), LocalFile(tmp_path / "c.html")]
    inputs = {"raw/things/dt=2026-03-01": "abc"}

    manifest = lake.publish(PREFIX, DAY, files, run=run, schema={"x": pl.Int64, "a": pl.String}, inputs=inputs)

    assert manifest == lake.manifest(PREFIX, DAY)
    assert (manifest.rows, manifest.schema_, manifest.inputs) == (5, {"x": "Int64", "a": "String"}, inputs)
    assert [file.bytes for file in manifest.files] == [1, 0, 3]
    with pytest.raises(ValidationError):
        manifest.rows = 6  # type: ignore[misc]
    body = lake.read_object(f"{PREFIX}/dt={DAY}/manifest.json") or b""
    assert body.startswith(b'{\n  "files": [\n    {')
    assert lake.publish("pages", DAY, files[2:], run=run).rows == 0
    assert lake.publish("empty", DAY, [], run=run).rows == 0


def test_the_digest_is_the_hash_of_files_and_schema_in_the_order_of_their_names(
    lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("1")
    one = hashlib.sha256(b"1").hexdigest()

    manifest = lake.publish(
        PREFIX, DAY, [LocalFile(tmp_path / "a.csv", 3)], run=run, schema={"x": pl.Int64, "a": pl.String}
    )

    files = f'[{{"bytes": 1, "name": "a-{one[:16]}.csv", "rows": 3, "sha256": "{one}"}}]'
    content = f'{{"files": {files}, "schema": {{"a": "String", "x": "Int64"}}}}'
    assert manifest.digest == hashlib.sha256(content.encode()).hexdigest()


@contextmanager
def _requests(lake: Lake) -> Iterator[list[tuple[str, str]]]:
    """Operation and content type of each request that is made."""
    made: list[tuple[str, str]] = []

    def record(model: Any, params: Any, **_: Any) -> None:
        made.append((model.name, params["headers"].get("Content-Type", "")))

    lake.client.meta.events.register("before-call.s3", record)
    yield made
    lake.client.meta.events.unregister("before-call.s3", record)


def _publish_bytes(lake: Lake, run: RunInfo, folder: Path, count: int, name: str = "model.skops") -> Path:
    """A published file of so many bytes, and where it is."""
    file = folder / name
    file.write_bytes(bytes(count))
    lake.publish(PREFIX, DAY, [LocalFile(file)], run=run)
    return file


def test_up_to_8_mib_a_file_takes_one_request_and_beyond_it_is_sent_in_parts(
    lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    with _requests(lake) as small:
        _publish_bytes(lake, run, tmp_path, 2**23)
        lake.download(PREFIX, DAY, tmp_path / "small")
    with _requests(lake) as large:
        file = _publish_bytes(lake, run, tmp_path, 2**23 + 1)
        [read] = lake.download(PREFIX, DAY, tmp_path / "large")

    octets, text = "application/octet-stream", "application/json"
    assert [made for made in small if made[0] == "PutObject"] == [("PutObject", octets), ("PutObject", text)]
    assert "HeadObject" not in dict(small)
    assert ("CreateMultipartUpload", octets) in large
    assert "HeadObject" in dict(large)
    assert read.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("count", [10, 2**23 + 1])
def test_a_missing_file_of_any_size_is_a_missing_file(
    lake: Lake, run: RunInfo, tmp_path: Path, count: int
) -> None:
    _publish_bytes(lake, run, tmp_path, count)
    key = f"{PREFIX}/dt={DAY}/{lake.manifest(PREFIX, DAY).files[0].name}"
    delete(lake, key)

    with pytest.raises(MissingFileError):
        lake.download(PREFIX, DAY, tmp_path / "read")
    assert lake.save(key, tmp_path / "saved", count) is False


class _Nothing(io.BytesIO):
    """The empty body of an answer."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def test_a_file_that_may_not_be_read_is_not_called_missing(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    def forbid(request: Any, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, 403, {}, _Nothing())

    _publish_bytes(lake, run, tmp_path, 2**23 + 1)
    lake.client.meta.events.register("before-send.s3.HeadObject", forbid)
    try:
        with pytest.raises(ClientError, match="403"):
            lake.download(PREFIX, DAY, tmp_path / "read")
    finally:
        lake.client.meta.events.unregister("before-send.s3.HeadObject", forbid)


def test_what_was_downloaded_is_not_fetched_again(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    publish(lake, run, tmp_path, [1])
    first = lake.download(PREFIX, DAY, tmp_path / "read")
    delete(lake, f"{PREFIX}/dt={DAY}/{first[0].name}")

    assert lake.download(PREFIX, DAY, tmp_path / "read") == first


def test_what_lies_in_no_partition_has_no_place_in_one() -> None:
    assert partition_of("features/things/manifest.json") is None


def test_publishing_the_same_content_again_writes_nothing(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    publish(lake, run, tmp_path, [1, 2], inputs={"raw/things/dt=2026-03-01": "abc"})
    before = objects(lake)

    later = replace(run, run_id="another", started_at=datetime(2027, 1, 1, tzinfo=UTC))
    publish(lake, later, tmp_path, [1, 2], inputs={"raw/things/dt=2026-03-01": "abc"})

    assert objects(lake) == before


def test_the_digest_is_the_content_and_not_the_run(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    first = publish(lake, run, tmp_path, [1, 2])
    other = publish(lake, run, tmp_path, [1, 3])
    again = publish(lake, replace(run, run_id="another"), tmp_path, [1, 2])

    assert first == again != other


def test_files_without_a_manifest_are_no_partition(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    publish(lake, run, tmp_path, [1])
    lake.client.delete_object(Bucket=lake.bucket, Key=f"{PREFIX}/dt={DAY}/manifest.json")

    assert lake.days(PREFIX) == []
    with pytest.raises(PartitionNotFoundError, match=r"has no manifest"):
        lake.download(PREFIX, DAY, tmp_path / "read")


@dataclass(frozen=True)
class DiesBeforeManifest(Lake):
    """A lake whose writer is gone when only the manifest is missing."""

    def write_object(self, key: str, body: bytes) -> None:
        raise KeyboardInterrupt


def test_a_writer_that_dies_before_the_manifest_leaves_the_old_state(
    lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    publish(lake, run, tmp_path, [1])

    with pytest.raises(KeyboardInterrupt):
        publish(DiesBeforeManifest(lake.client, lake.bucket), run, tmp_path, [1, 2])

    assert lake.scan(PREFIX, [DAY], tmp_path / "old").collect()["x"].to_list() == [1]
    publish(lake, run, tmp_path, [1, 2])
    assert lake.scan(PREFIX, [DAY], tmp_path / "new").collect()["x"].to_list() == [1, 2]


def test_a_file_is_found_by_its_plain_name(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    page = tmp_path / "verdict.json"
    page.write_text('{"accepted": true}')
    lake.publish("reports/things/validation", DAY, [LocalFile(page)], run=run)

    assert lake.read_json("reports/things/validation", DAY, "verdict.json") == {"accepted": True}
    with pytest.raises(NoSuchFileError, match="verdict"):
        lake.manifest("reports/things/validation", DAY).file("index.html")
    for read in (
        lambda: lake.read_json("reports/things/validation", DAY, "index.html"),
        lambda: lake.download("reports/things/validation", DAY, tmp_path / "read", "index.html"),
    ):
        with pytest.raises(NoSuchFileError, match=f"reports/things/validation/dt={DAY}.*index.html"):
            read()


def test_a_manifest_says_whether_rows_or_the_lines_of_unparsed_text_were_counted(
    lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text("<html></html>")
    (tmp_path / "bills.csv").write_text("id\n1\n2\n")
    page, text = LocalFile(tmp_path / "page.html"), LocalFile(tmp_path / "bills.csv", lines=3)

    unparsed = lake.publish("raw/things/bills", DAY, [page, text], run=run)
    of_pages = lake.publish("reports/things/pages", DAY, [page], run=run)
    publish(lake, run, tmp_path, [1])

    assert unparsed.counted == "lines"
    assert of_pages.counted == lake.manifest(PREFIX, DAY).counted == "rows"


def test_clients_of_a_session_read_the_times_of_a_listing_without_guessing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    lake.write_object("a", b"")
    session = boto3.Session(aws_access_key_id="accesskey", aws_secret_access_key="secretkey123")
    monkeypatch.setattr("botocore.parsers.DEFAULT_TIMESTAMP_PARSER", pytest.fail)
    read_times_fast(session)
    client = session.client("s3", endpoint_url=lake.client.meta.endpoint_url, region_name="us-east-1")

    # when
    [listed] = Lake(client, lake.bucket).objects("")

    # then
    assert listed["LastModified"].utcoffset() == timedelta()

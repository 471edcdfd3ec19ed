"""What is damaged on the lake is refused in a sentence, and repaired by publishing again; on a real S3 server."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.lifecycle.storage.lake import (
    CorruptFileError,
    CorruptManifestError,
    Lake,
    LocalFile,
    MissingFileError,
    RunInfo,
)
from tests.damage import delete, flip
from tests.integration.lake.things import DAY, PREFIX, publish


def test_a_damaged_file_is_not_left_in_the_scratch_folder(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    publish(lake, run, tmp_path, [1])
    DAMAGES["changed"](lake, f"{PREFIX}/dt={DAY}/{lake.manifest(PREFIX, DAY).files[0].name}")
    with pytest.raises(CorruptFileError):
        lake.download(PREFIX, DAY, tmp_path / "read")

    publish(lake, run, tmp_path, [1])

    assert lake.scan(PREFIX, [DAY], tmp_path / "read").collect()["x"].to_list() == [1]


def test_a_damaged_or_missing_json_file_is_refused(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text("[1]")
    lake.publish(PREFIX, DAY, [LocalFile(tmp_path / "verdict.json")], run=run)
    key = f"{PREFIX}/dt={DAY}/{lake.manifest(PREFIX, DAY).files[0].name}"

    lake.write_object(key, b"[2]")
    with pytest.raises(CorruptFileError):
        lake.read_json(PREFIX, DAY, "verdict.json")
    delete(lake, key)
    with pytest.raises(MissingFileError):
        lake.read_json(PREFIX, DAY, "verdict.json")


def test_a_changed_file_is_refused(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    publish(lake, run, tmp_path, [1])
    name = lake.manifest(PREFIX, DAY).files[0].name
    lake.write_object(f"{PREFIX}/dt={DAY}/{name}", b"something else")

    with pytest.raises(CorruptFileError, match=name):
        lake.download(PREFIX, DAY, tmp_path / "read")


def _damage(change: Callable[[bytes], bytes]) -> Callable[[Lake, str], None]:
    return lambda lake, key: lake.write_object(key, change(lake.read_object(key) or b""))


DAMAGES: dict[str, Callable[[Lake, str], None]] = {
    "deleted": delete,
    "cut off": _damage(lambda body: body[:7]),
    "changed": flip,
    "empty": _damage(lambda _: b""),
}


@pytest.mark.parametrize("what", ["the file", "the manifest"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_publishing_again_repairs_what_is_damaged(
    lake: Lake, run: RunInfo, tmp_path: Path, damage: str, what: str
) -> None:
    publish(lake, run, tmp_path, [1, 2], inputs={"raw/things/dt=2026-03-01": "abc"})
    manifest = lake.manifest(PREFIX, DAY)
    before = {key: lake.read_object(key) for key in lake.keys("")}
    name = manifest.files[0].name if what == "the file" else "manifest.json"
    DAMAGES[damage](lake, f"{PREFIX}/dt={DAY}/{name}")

    assert lake.intact(PREFIX, DAY) is None
    publish(lake, run, tmp_path, [1, 2], inputs={"raw/things/dt=2026-03-01": "abc"})

    assert {key: lake.read_object(key) for key in lake.keys("")} == before
    assert lake.intact(PREFIX, DAY) == manifest


def test_a_repair_keeps_the_manifest_that_survived(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    publish(lake, run, tmp_path, [1, 2])
    manifest = lake.manifest(PREFIX, DAY)
    delete(lake, f"{PREFIX}/dt={DAY}/{manifest.files[0].name}")

    later = replace(run, run_id="repair", started_at=datetime(2027, 1, 1, tzinfo=UTC))
    publish(lake, later, tmp_path, [1, 2])

    assert lake.intact(PREFIX, DAY) == manifest


def test_a_missing_file_is_named_in_a_sentence(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    publish(lake, run, tmp_path, [1])
    name = lake.manifest(PREFIX, DAY).files[0].name
    delete(lake, f"{PREFIX}/dt={DAY}/{name}")

    with pytest.raises(MissingFileError, match=rf"{name} is missing, though its manifest names it"):
        lake.download(PREFIX, DAY, tmp_path / "read")


@pytest.mark.parametrize(
    "file_name", ["../x.parquet", "a/b.parquet", "/etc/passwd", "..", "", "a\\b", "a\0b", "manifest.json"]
)
def test_a_manifest_that_names_a_file_elsewhere_is_refused(
    lake: Lake, run: RunInfo, tmp_path: Path, file_name: str
) -> None:
    publish(lake, run, tmp_path, [1])
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
    publish(lake, run, tmp_path, [1])
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


def test_a_manifest_of_another_shape_is_bad_as_a_whole(lake: Lake) -> None:
    lake.write_object(f"{PREFIX}/dt={DAY}/manifest.json", b"[]")

    with pytest.raises(CorruptManifestError, match=r"\(the whole of it: "):
        lake.manifest(PREFIX, DAY)


@pytest.mark.parametrize("day", ["2026-13-45", "20260301", "2026-3-1"])
def test_a_folder_that_is_no_day_is_passed_over_by_name(
    lake: Lake, run: RunInfo, tmp_path: Path, caplog: pytest.LogCaptureFixture, day: str
) -> None:
    publish(lake, run, tmp_path, [1])
    lake.write_object(f"{PREFIX}/dt={day}/manifest.json", b"{}")

    with caplog.at_level(logging.WARNING):
        assert lake.days(PREFIX) == [DAY]

    assert f"dt={day}/manifest.json is passed over" in caplog.text


def test_what_is_readable_is_pinned_and_of_each_other_day_a_sentence_says_why_not(
    lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    absent, damaged = DAY + timedelta(days=1), DAY + timedelta(days=2)
    publish(lake, run, tmp_path, [1])
    lake.write_object(f"{PREFIX}/dt={damaged}/manifest.json", b"no manifest")

    pinned, faults = lake.pin_readable(PREFIX, [damaged, DAY, absent])

    assert pinned.inputs == lake.pin(PREFIX, [DAY]).inputs
    assert pinned.scan(tmp_path / "read").collect()["x"].to_list() == [1]
    assert set(faults) == {absent, damaged}
    assert f"{PREFIX}/dt={absent} has no manifest" in faults[absent]
    assert f"{PREFIX}/dt={damaged}/manifest.json" in faults[damaged]

"""What the features of a day are made of, and when they are built again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.lifecycle.ingestion.clean_tables import CleanTables
from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.feature_version import feature_version
from include.lifecycle.ingestion.features import (
    LOOK_BACK_DAYS,
    DamagedInputsError,
    build_features,
    features_to_build,
)
from include.lifecycle.ingestion.planning import plan
from include.lifecycle.ingestion.validation import validate, validate_chunks
from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.storage.lake import (
    MANIFEST,
    Lake,
    PartitionNotFoundError,
    RunInfo,
    partition,
)
from tests.damage import DAMAGES, damage
from tests.requests_made import requests_made
from tests.unit.lifecycle.ingestion.shops import (
    D1,
    D2,
    D3,
    D4,
    D5,
    GOOD,
    SHOPS,
    SOURCE,
    WEEK,
    Killed,
    Shops,
    World,
    make_features,
    new_lake,
    run_etl,
)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_raw_table_that_is_damaged_rejects_its_day_and_no_other(world: World, kind: str) -> None:
    extracted = extract(SHOPS, world.lake, SOURCE, [D1, D2, D3], world.run)
    damage(world.lake, (SHOPS.raw("sales"), D2), kind)

    verdicts = validate_chunks(SHOPS, world.lake, [extracted], world.run)

    assert [verdict.accepted for verdict in verdicts] == [True, False, True]
    assert list(verdicts[1].tables) == ["sales"]
    assert verdicts[1] == DayVerdict.read(world.lake, SHOPS, D2)


BAD: Mapping[str, str | Exception] = {
    "no bytes": "",
    "no rows": "shop,amount\n",
    "no column": "shop\nnorth\n",
    "bad rows": "shop,amount\nnorth,many\n",
    "two headers": "shop,shop\nnorth,1\n",
    "an error of the source": ValueError("the file is no table"),
    "no file": FileNotFoundError("sales.csv"),
}


@given(bad=st.dictionaries(st.sampled_from(WEEK), st.sampled_from(sorted(BAD))))
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
def test_wherever_bad_days_lie_exactly_the_good_ones_get_clean_tables_and_features(
    bad: dict[date, str], s3_client: Any, run: RunInfo, tmp_path: Path
) -> None:
    world = World(new_lake(s3_client), run, tmp_path)
    found = {day: BAD[kind] for day, kind in bad.items()}
    source = Shops(
        {day: text if isinstance(text := found.get(day, GOOD), str) else "" for day in WEEK},
        errors={day: error for day, error in found.items() if isinstance(error, Exception)},
    )
    good = [day for day in WEEK if day not in bad]

    verdicts = run_etl(world, source, plan(SHOPS, world.lake, source, None, WEEK[-1]))

    assert [verdict.day for verdict in verdicts if verdict.accepted] == good
    assert all(verdict.problems for verdict in verdicts if not verdict.accepted)
    assert world.lake.days(SHOPS.clean("sales")) == good
    assert world.lake.days(SHOPS.features_prefix) == good
    assert world.lake.days(SHOPS.validation_prefix) == WEEK
    assert plan(SHOPS, world.lake, source, None, WEEK[-1]) == []

    corrected = Shops(dict.fromkeys(WEEK, GOOD))
    for day in bad:
        run_etl(world, corrected, plan(SHOPS, world.lake, corrected, (day, day), WEEK[-1]))
    assert world.lake.days(SHOPS.features_prefix) == WEEK
    assert world.features(WEEK[-1])["days"] == 3


def test_features_see_their_history_and_nothing_else(world: World) -> None:
    digests = {day: world.clean(day, 10**number).digest for number, day in enumerate((D1, D2, D3, D4, D5))}

    (manifest,) = world.build(D4)

    assert world.features(D4) == {
        "shop": "north",
        "amount": 1000,
        "total": 1110,
        "days": 3,
        "opinions": 0,
        "dt": D4,
    }
    assert manifest.inputs == {
        **{f"clean/shops/sales/dt={day}": digests[day] for day in (D2, D3, D4)},
        "code/shops/features": feature_version(SHOPS),
    }


def test_days_of_the_history_that_are_not_there_are_passed_over(world: World) -> None:
    world.clean(D1, 1)
    world.clean(D3, 100)

    world.build(D1, D3)

    assert world.features(D1)["total"] == 1
    assert world.features(D3)["total"] == 101


def test_building_again_changes_nothing_and_building_together_is_building_alone(world: World) -> None:
    for day in (D1, D2, D3):
        world.clean(day, day.day)

    together = world.build(D1, D2, D3)

    assert [manifest for day in (D1, D2, D3) for manifest in world.build(day)] == together


def test_a_later_day_changes_no_byte_of_a_days_features(world: World) -> None:
    world.clean(D1, 1)
    (before,) = world.build(D1)
    world.clean(D2, 5)

    (after,) = world.build(D1)

    assert after == before


def test_a_day_that_is_not_clean_has_no_features(world: World) -> None:
    world.clean(D1, 1)

    with pytest.raises(PartitionNotFoundError, match="dt=2026-03-02"):
        world.build(D2)


def test_a_redone_day_makes_the_later_days_that_look_at_it_outdated(world: World) -> None:
    for day in (D1, D2, D3, D4):
        world.clean(day, day.day)
    world.build(D1, D2, D3, D4)
    assert list(features_to_build(SHOPS, world.lake, [], D5).changed) == []

    world.clean(D1, 100)

    assert list(features_to_build(SHOPS, world.lake, [], D5).changed) == [D1, D2, D3]
    world.build(D1, D2, D3)
    assert list(features_to_build(SHOPS, world.lake, [], D5).changed) == []


def test_validated_days_renew_the_features_that_look_at_them_however_old_they_are(world: World) -> None:
    for day in (D1, D2, D4):
        world.clean(day, day.day)
    world.build(D1, D2, D4)
    world.clean(D1, 100)
    much_later = D4 + timedelta(days=LOOK_BACK_DAYS + 1)

    assert features_to_build(SHOPS, world.lake, [D1], much_later).days == [D1, D2]
    assert features_to_build(SHOPS, world.lake, [], much_later).days == []


def test_features_made_before_a_day_came_in_are_outdated(world: World) -> None:
    world.clean(D2, 2)
    world.build(D2)
    world.clean(D1, 1)

    assert list(features_to_build(SHOPS, world.lake, [], D5).changed) == [D2]


def test_a_damaged_manifest_stops_the_features_of_the_days_that_look_at_it_alone(world: World) -> None:
    days = [D1 + timedelta(days=number) for number in range(4)]
    for number, day in enumerate(days):
        world.clean(day, number)
    reach = SHOPS.history_days["sales"]
    world.lake.write_object(f"{partition(SHOPS.clean('sales'), days[0])}/{MANIFEST}", b"{")

    with pytest.raises(DamagedInputsError, match=f"The features of {days[0]}"):
        world.build(*days)

    assert reach < 3
    assert world.lake.days(SHOPS.features_prefix) == days[reach + 1 :]


@pytest.mark.parametrize("kind", ["a file deleted", "a file changed"])
def test_a_damaged_clean_file_stops_the_features_of_the_days_that_look_at_it_alone(
    world: World, kind: str
) -> None:
    days = [date(2026, 3, day) for day in range(1, 10)]
    for day in days:
        world.clean(day, day.day)
    damage(world.lake, (SHOPS.clean("sales"), days[2]), kind)

    with pytest.raises(DamagedInputsError, match=r"of 2026-03-03, 2026-03-04, 2026-03-05 were not built"):
        build_features(SHOPS, world.lake, days, world.run)

    assert world.lake.days(SHOPS.features_prefix) == [*days[:2], *days[5:]]


def test_a_day_of_which_half_is_published_keeps_its_features_until_it_is_checked_again(world: World) -> None:
    # given
    run_etl(world, SOURCE, [D1, D2])
    before = world.lake.manifest(SHOPS.features_prefix, D2)
    corrected = Shops({**SOURCE.sales, D2: "shop,amount\nnorth, 7\n"})
    extracted = extract(SHOPS, world.lake, corrected, [D2], world.run)
    # quarantine and clean tables are written, and not the report
    cut = Lake(Killed(world.lake.client, after=4), world.lake.bucket)
    with contextlib.suppress(KeyboardInterrupt):
        validate_chunks(SHOPS, cut, [extracted], world.run)
    assert world.lake.manifest(SHOPS.clean("sales"), D2).inputs != before.inputs

    # when, then
    assert features_to_build(SHOPS, world.lake, [], D5).days == []
    validate_chunks(SHOPS, world.lake, [extracted], world.run)
    assert features_to_build(SHOPS, world.lake, [], D5).days == [D2]


def test_features_of_a_day_that_another_run_changes_meanwhile_are_made_once_more(world: World) -> None:
    world.clean(D1, 1)
    world.clean(D2, 2)

    def change_the_past(days: Sequence[date], tables: Mapping[str, pl.LazyFrame]) -> Iterator[Any]:
        features = list(make_features(days, tables))
        world.clean(D1, 100)
        return iter(features)

    build_features(SHOPS.model_copy(update={"features": change_the_past}), world.lake, [D2], world.run)

    assert world.features(D2)["total"] == 102


def _damaged(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:]


@pytest.mark.parametrize("what", ["files", "manifests"])
@pytest.mark.parametrize("how", ["deleted", "changed"])
def test_redoing_a_day_repairs_all_that_the_etl_made_of_it(
    s3_client: Any, run: RunInfo, what: str, how: str
) -> None:
    lake, days = new_lake(s3_client), [D1, D2, D3, D4]

    def redo(some: list[date]) -> None:
        extract(SHOPS, lake, SOURCE, some, run)
        validate(SHOPS, lake, some, run)
        build_features(SHOPS, lake, features_to_build(SHOPS, lake, some, D4).days, run)

    def look() -> None:
        """What a later run notes."""
        plan(SHOPS, lake, SOURCE, None, D4)
        features_to_build(SHOPS, lake, [], D4)

    redo(days)
    look()
    before = {key: lake.read_object(key) or b"" for key in lake.keys("")}
    hit = [key for key in before if f"/dt={D3}/" in key and key.endswith("manifest.json") == (what == "manifests")]
    assert len(hit) >= 5
    for key in [*hit, *(key for key in before if key.startswith("plans/"))]:
        if how == "deleted":
            lake.client.delete_object(Bucket=lake.bucket, Key=key)
        else:
            lake.write_object(key, _damaged(before[key]))

    redo([D3])
    look()

    assert {key: lake.read_object(key) or b"" for key in lake.keys("")} == before


def test_a_damaged_day_does_not_stop_the_redoing_of_another(s3_client: Any, run: RunInfo) -> None:
    lake, days = new_lake(s3_client), [D1, D2, D3, D4]
    extract(SHOPS, lake, SOURCE, days, run)
    validate(SHOPS, lake, days, run)
    build_features(SHOPS, lake, days, run)
    for prefix in (SHOPS.clean("sales"), SHOPS.validation_prefix, SHOPS.raw("sales"), SHOPS.quarantine("sales")):
        lake.write_object(f"{prefix}/dt={D3}/manifest.json", b"{")

    changed = Shops({**SOURCE.sales, D1: "shop,amount\nnorth, 2\n"})
    extract(SHOPS, lake, changed, [D1], run)
    validate(SHOPS, lake, [D1], run)

    assert features_to_build(SHOPS, lake, [D1], D4).days == [D1, D2]


@pytest.mark.parametrize("looks_again", [True, False])
def test_what_features_were_made_of_is_what_is_recorded_whenever_a_day_is_replaced(
    world: World, monkeypatch: pytest.MonkeyPatch, looks_again: bool
) -> None:
    amounts = {world.clean(day, amount).digest: amount for day, amount in ((D1, 1), (D2, 10), (D3, 100))}
    if not looks_again:
        monkeypatch.setattr(CleanTables, "replaced", lambda *_: [])
    with requests_made(world.lake) as all_requests:
        world.build(D3)

    for number in range(1, len(all_requests) + 1):

        def replace_a_day(amount: int = number) -> None:
            amounts[world.clean(D2, 1000 * amount).digest] = 1000 * amount

        with requests_made(world.lake, number, replace_a_day):
            build_features(SHOPS, world.lake, [D3], world.run)

        read = world.lake.manifest(SHOPS.features_prefix, D3).inputs
        assert world.features(D3)["total"] == sum(amounts.get(digest, 0) for digest in read.values())

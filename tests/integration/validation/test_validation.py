"""From raw to clean on a real lake: what is published for good days, bad days and broken ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.lifecycle.ingestion import raw_tables
from include.lifecycle.ingestion.csv_records import Records, read_records
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.ingestion.verdicts import DayVerdict, UnreadableVerdictError
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from tests.integration.validation.shop import MONDAY, ORDERS, SHOP, TABLES, TUESDAY, VISITS, page, validate_day


def rows(lake: Lake, prefix: str, day: date, folder: Path) -> pl.DataFrame:
    return lake.scan(prefix, [day], folder).drop("dt").collect()


def published(lake: Lake) -> Mapping[str, bytes | None]:
    return {key: lake.read_object(key) for key in lake.keys("") if not key.startswith("raw/")}


def test_a_good_day_becomes_clean(lake: Lake, land: Any, run: RunInfo, tmp_path: Path) -> None:
    land(MONDAY, orders=ORDERS, visits=VISITS)

    verdict = validate_day(lake, MONDAY, run)

    assert verdict.accepted
    assert list(verdict.tables) == ["orders", "visits"]
    clean = rows(lake, SHOP.clean("visits"), MONDAY, tmp_path)
    assert clean.rows(named=True) == [{"visitor": "v1", "pages": 3}, {"visitor": "v2", "pages": 5}]
    raw = lake.manifest(SHOP.raw("visits"), MONDAY)
    assert lake.manifest(SHOP.clean("visits"), MONDAY).inputs == {"raw/shop/visits/dt=2026-03-02": raw.digest}


def test_bad_rows_are_set_aside_and_the_day_goes_on(lake: Lake, land: Any, run: RunInfo, tmp_path: Path) -> None:
    land(MONDAY, orders=ORDERS + "o21,many\n", visits=VISITS)

    verdict = validate_day(lake, MONDAY, run)

    orders = verdict.tables["orders"]
    assert verdict.accepted
    assert (orders.rows, orders.good, orders.quarantined) == (21, 20, 1)
    quarantined = rows(lake, SHOP.quarantine("orders"), MONDAY, tmp_path)
    assert quarantined.select("amount", "raw_row", "broken_rules").row(0) == ("many", 22, "orders.type.amount")
    assert rows(lake, SHOP.clean("orders"), MONDAY, tmp_path).height == 20
    assert lake.read_json(SHOP.validation_prefix, MONDAY, "verdict.json") == verdict.model_dump(mode="json")


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        (
            {"orders": ORDERS.replace(",1", ",-1")},
            "orders has 55 % bad rows, and the limit is 10 %; 11 of its 20 rows break orders.amount.range.",
        ),
        (
            {"orders": "order_id\no1\no2\n"},
            "orders lacks the column amount, so none of its 2 rows can be checked.",
        ),
        ({"orders": "order_id,amount\n"}, "orders has 0 rows, and the minimum is 2."),
        ({"orders": ""}, "orders has no header: the file is empty."),
        ({}, "orders was not extracted."),
        (
            {"orders": ORDERS.encode("utf-16-le")},
            "orders has NUL characters in its header, line 1, as UTF-16 without a byte order mark has; "
            "save it as UTF-8.",
        ),
        (
            {"orders": ORDERS.replace("o03", '"o03').replace("o15", 'o15"')},
            "orders has 65 % bad rows, and the limit is 10 %; 1 of its 8 rows break orders.schema.lines. "
            "The bad rows take 13 of its 20 lines.",
        ),
    ],
)
def test_a_poisoned_day_publishes_nothing_clean(
    tables: dict[str, str], problem: str, lake: Lake, land: Any, run: RunInfo
) -> None:
    land(MONDAY, visits=VISITS, **tables)
    land(TUESDAY, orders=ORDERS, visits=VISITS)

    poisoned, good = validate(SHOP, lake, [MONDAY, TUESDAY], run)

    assert (poisoned.accepted, poisoned.problems, poisoned.stale) == (False, (problem,), False)
    assert good.accepted
    assert [lake.days(SHOP.clean(table)) for table in TABLES] == [[TUESDAY], [TUESDAY], []]
    assert all(table.rows == table.good + table.quarantined for table in poisoned.tables.values())


def test_a_day_of_which_the_source_counted_other_rows_than_its_file_has_is_rejected(
    lake: Lake, land: Any, run: RunInfo
) -> None:
    land(MONDAY, counted=20, orders=ORDERS)
    land(MONDAY, counted=3, visits=VISITS)

    verdict = validate_day(lake, MONDAY, run)

    assert verdict.problems == (
        "visits does not add up: the source counted 3 rows, and its file has 2. "
        "Extract this day again; if it stays so, find out what the source loses.",
    )
    assert (verdict.tables["orders"].counted, verdict.tables["orders"].lines) == (20, 20)


def test_a_day_whose_reader_loses_a_line_is_rejected(
    lake: Lake, land: Any, run: RunInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lossy(*given: Any) -> Records:
        records = read_records(*given)
        return replace(records, rows=records.rows[:-1])

    monkeypatch.setattr(raw_tables, "read_records", lossy)
    land(MONDAY, orders=ORDERS, visits=VISITS)

    verdict = validate_day(lake, MONDAY, run)

    assert not verdict.accepted
    assert [problem.split(",")[0] for problem in verdict.problems] == [
        "orders does not add up: its file has 20 lines of data",
        "visits does not add up: its file has 2 lines of data",
    ]


def test_the_lines_that_a_broken_record_takes_in_are_bad_rows(
    lake: Lake, land: Any, run: RunInfo, tmp_path: Path
) -> None:
    orders = "order_id,amount\n" + "".join(f"o{number:03d},{number % 90}\n" for number in range(100))
    land(MONDAY, orders=orders.replace("o096", '"o096'), visits=VISITS)

    verdict = validate_day(lake, MONDAY, run)

    found = verdict.tables["orders"]
    assert verdict.accepted
    assert (found.rows, found.good, found.quarantined) == (97, 96, 1)
    assert (found.lines, found.good_lines, found.quarantined_lines, found.bad_share) == (100, 96, 4, 0.04)
    [row] = rows(lake, SHOP.quarantine("orders"), MONDAY, tmp_path).rows(named=True)
    assert (row["raw_row"], row["raw_lines"], row["broken_rules"]) == (98, 4, "orders.schema.quotes")
    assert row["raw_line"] == "\n".join(orders.splitlines()[97:]).replace("o096", '"o096')


def test_a_day_that_turns_bad_keeps_its_clean_rows_and_says_so(lake: Lake, land: Any, run: RunInfo) -> None:
    land(MONDAY, orders=ORDERS, visits=VISITS)
    validate_day(lake, MONDAY, run)
    before = lake.manifest(SHOP.clean("orders"), MONDAY)
    land(MONDAY, orders="order_id,amount\n")

    verdict = validate_day(lake, MONDAY, run)

    assert (verdict.accepted, verdict.stale) == (False, True)
    assert lake.manifest(SHOP.clean("orders"), MONDAY) == before
    assert "an earlier extract" in page(lake, MONDAY)


def test_an_unexpected_column_warns(lake: Lake, land: Any, run: RunInfo, tmp_path: Path) -> None:
    land(MONDAY, orders=ORDERS, visits="visitor,pages,browser\nv1,3,old\nv2,x,new\n" + "v3,1,new\n" * 20)

    verdict = validate_day(lake, MONDAY, run)

    assert verdict.tables["visits"].warnings == (
        "visits also has the column browser, which nothing reads; raw data have it.",
    )
    assert rows(lake, SHOP.quarantine("visits"), MONDAY, tmp_path)["browser"][0] == "new"


def test_columns_that_nobody_expected_are_named_in_visible_characters_and_not_all(
    lake: Lake, land: Any, run: RunInfo
) -> None:
    others = ["\u202eresworb", *(f"x{number}" for number in range(30))]
    land(MONDAY, orders=ORDERS, visits=f"visitor,pages,{','.join(others)}\nv1,3{',' * len(others)}\n")

    [warning] = validate_day(lake, MONDAY, run).tables["visits"].warnings

    assert warning == (
        "visits also has the columns \\u202eresworb, x0, x1, x2, x3 and 26 more, which nothing reads; "
        "raw data have it."
    )


def test_the_same_day_gives_the_same_bytes_alone_in_company_and_again(lake: Lake, land: Any, run: RunInfo) -> None:
    land(MONDAY, orders=ORDERS + "o01,5\n", visits=VISITS)
    land(TUESDAY, orders=ORDERS, visits="visitor,pages,browser\nv1,3,old\nv2,5,new\n")
    validate_day(lake, MONDAY, run)
    alone = published(lake)
    later = replace(run, run_id="later", started_at=datetime(2026, 5, 1, tzinfo=UTC))

    validate(SHOP, lake, [MONDAY, TUESDAY], later)

    assert {key: body for key, body in published(lake).items() if "2026-03-02" in key} == alone


def test_a_replay_of_a_day_adds_no_row_to_quarantine(lake: Lake, land: Any, run: RunInfo, tmp_path: Path) -> None:
    land(MONDAY, orders=ORDERS + "o21,many\no01,5\n", visits=VISITS)
    validate_day(lake, MONDAY, run)
    once = rows(lake, SHOP.quarantine("orders"), MONDAY, tmp_path / "once")
    later = replace(run, run_id="later", started_at=datetime(2026, 5, 1, tzinfo=UTC))

    verdict = validate_day(lake, MONDAY, later)

    again = rows(lake, SHOP.quarantine("orders"), MONDAY, tmp_path / "again")
    assert again["raw_row"].to_list() == once["raw_row"].to_list() == [2, 22, 23]
    assert verdict.tables["orders"].quarantined == 3


def test_days_done_again_in_their_chunks_give_the_same_bytes(lake: Lake, land: Any, run: RunInfo) -> None:
    days = [MONDAY + timedelta(days=number) for number in range(8)]
    for number, day in enumerate(days):
        rows = 300 if number == 4 else 100 + number
        land(
            day,
            orders="order_id,amount\n" + "".join(f"o{order},{order % 90}\n" for order in range(rows)),
            visits=VISITS,
        )

    def redo() -> None:
        validate(SHOP, lake, days[:4], run)
        validate(SHOP, lake, days[4:], run)

    redo()
    once = published(lake)
    redo()

    assert published(lake) == once
    assert lake.read_json(SHOP.validation_prefix, days[4], "verdict.json")["accepted"] is False
    assert lake.read_json(SHOP.validation_prefix, days[7], "verdict.json")["tables"]["orders"][
        "usual_bad_share"
    ] == [0, 0]


def test_a_lasting_change_of_the_number_of_rows_rejects_three_days_which_pass_when_asked_for_again(
    lake: Lake, land: Any, run: RunInfo
) -> None:
    days = [MONDAY + timedelta(days=number) for number in range(10)]
    verdicts = []
    for number, day in enumerate(days):
        count = (100 if number < 5 else 250) + number
        land(day, orders="order_id,amount\n" + "".join(f"o{order},1\n" for order in range(count)), visits=VISITS)
        verdicts += validate(SHOP, lake, [day], run)

    assert [verdict.day for verdict in verdicts if not verdict.accepted] == days[5:8]
    assert "days the next ones will be accepted." in page(lake, days[5])
    again = validate(SHOP, lake, days[5:8], replace(run, run_id="another_run"))
    assert [verdict.accepted for verdict in again] == [True, True, True]


def test_an_optional_table_is_missed_only_after_its_first_day(lake: Lake, land: Any, run: RunInfo) -> None:
    wednesday = TUESDAY + timedelta(days=1)
    for day in (MONDAY, TUESDAY, wednesday):
        land(day, orders=ORDERS, visits=VISITS)
    land(TUESDAY, refunds="order_id\no1\n")

    verdicts = validate(SHOP, lake, [MONDAY, TUESDAY, wednesday], run)

    assert [verdict.problems for verdict in verdicts] == [(), (), ("refunds was not extracted.",)]


def test_a_verdict_of_an_earlier_version_is_read_and_one_without_tables_is_not(
    lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    table = {"rows": 20, "good": 18, "quarantined": 2, "rules": {}, "problems": [], "warnings": [], "gone": 1}
    for day, content in (
        (MONDAY, {"day": "2026-03-02", "accepted": True, "stale": False, "tables": {"orders": table}}),
        (TUESDAY, {"accepted": True}),
    ):
        (tmp_path / "verdict.json").write_text(json.dumps(content))
        lake.publish(SHOP.validation_prefix, day, [LocalFile(tmp_path / "verdict.json")], run=run)

    assert DayVerdict.read(lake, SHOP, MONDAY).tables["orders"].bad_share == 0.1
    with pytest.raises(UnreadableVerdictError, match="shop on 2026-03-03 cannot be read"):
        DayVerdict.read(lake, SHOP, TUESDAY)


@pytest.mark.parametrize("writes", range(11))
def test_a_run_that_is_killed_between_any_two_writes_is_completed_by_the_next(
    writes: int, lake: Lake, land: Any, run: RunInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(MONDAY, orders=ORDERS + "o21,many\n", visits=VISITS)
    left = iter(range(writes))

    def killed(write: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*arguments: Any) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            write(*arguments)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "upload", killed(Lake.upload))
        patch.setattr(Lake, "write_object", killed(Lake.write_object))
        with pytest.raises(KeyboardInterrupt):
            validate_day(lake, MONDAY, run)
    assert not lake.days(SHOP.validation_prefix)

    verdict = validate_day(lake, MONDAY, run)

    assert verdict.accepted
    assert [lake.days(SHOP.clean(table)) for table in TABLES] == [[MONDAY], [MONDAY], []]
    assert lake.days(SHOP.validation_prefix) == [MONDAY]

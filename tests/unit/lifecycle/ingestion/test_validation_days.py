"""Which days validation rejects, and that these stop no other."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from include.lifecycle.ingestion import row_rules, validation
from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.row_rules import RuleError
from include.lifecycle.ingestion.validation import validate, validate_chunks
from include.lifecycle.ingestion.validation_page import render_validation
from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.specs import DatasetSpec
from include.lifecycle.storage.lake import (
    MANIFEST,
    Lake,
    RunInfo,
    partition,
)
from tests.unit.lifecycle.ingestion.shops import (
    D1,
    D2,
    D3,
    D4,
    GOOD,
    MANY,
    SHOPS,
    SOURCE,
    WEEK,
    Killed,
    Shops,
    World,
    days_of_many,
    new_lake,
    run_etl,
    shops_of,
    shops_with,
)


def test_chunks_are_checked_the_oldest_first(world: World) -> None:
    extracted = [extract(SHOPS, world.lake, SOURCE, chunk, world.run) for chunk in ([D1, D2, D3], [D4])]

    verdicts = validate_chunks(SHOPS, world.lake, extracted[::-1], world.run)

    assert [verdict.day for verdict in verdicts] == [D1, D2, D3, D4]


def _ruled_by(*rules: Any) -> DatasetSpec:
    """The shops, whose sales have rules."""
    sales, opinions = SHOPS.tables
    own = sales.model_copy(update={"rules": lambda: [rule.copy() for rule in rules]})
    return SHOPS.model_copy(update={"tables": (own, opinions)})


def _amounts_are_positive(column: str = "amount") -> Any:
    import great_expectations.expectations as gxe

    meta = {"rule_id": "sales.amount.positive", "why": "Nobody pays to sell."}
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, meta=meta)


@pytest.mark.parametrize(
    "error", [RuleError("not to be computed"), TypeError("no order"), OverflowError("too large")]
)
def test_a_day_whose_rows_cannot_be_checked_is_rejected_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    source = Shops({day: f"shop,amount\nnorth,{day.day}\n" for day in (D1, D2, D3)}, records=1)
    extracted = extract(SHOPS, world.lake, source, [D1, D2, D3], world.run)
    to_pandas = row_rules._to_pandas

    def fail_on_the_second(frame: pl.DataFrame) -> Any:
        if D2.day in frame["amount"]:
            raise error
        return to_pandas(frame)

    monkeypatch.setattr(row_rules, "_to_pandas", fail_on_the_second)

    verdicts = validate_chunks(_ruled_by(_amounts_are_positive()), world.lake, [extracted], world.run)

    assert [verdict.accepted for verdict in verdicts] == [True, False, True]
    assert verdicts[1].problems == (f"sales could not be checked: {error}.",)
    assert (verdicts[1].tables["sales"].lines, verdicts[1].tables["sales"].counted) == (1, 1)
    report = world.lake.manifest(SHOPS.validation_prefix, D2)
    assert list(report.inputs) == [partition(SHOPS.raw("sales"), D2)]


def test_a_rule_on_a_column_that_is_not_there_fails_the_task_and_rejects_no_day(world: World) -> None:
    extracted = extract(SHOPS, world.lake, SOURCE, [D1, D2, D3], world.run)

    with pytest.raises(RuleError, match=r"sales\.amount\.positive"):
        validate_chunks(_ruled_by(_amounts_are_positive("amuont")), world.lake, [extracted], world.run)

    assert world.lake.days(SHOPS.validation_prefix) == []


def test_a_day_of_which_no_page_can_be_made_is_rejected_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    extracted = extract(SHOPS, world.lake, SOURCE, [D1, D2, D3], world.run)

    def fail_on_the_second(dataset: DatasetSpec, lake: Lake, verdict: DayVerdict, tables: Any) -> str:
        if verdict.day == D2 and verdict.accepted:
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        return render_validation(dataset, lake, verdict, tables)

    monkeypatch.setattr(validation, "render_validation", fail_on_the_second)

    verdicts = validate_chunks(SHOPS, world.lake, [extracted], world.run)

    assert [verdict.accepted for verdict in verdicts] == [True, False, True]
    assert "surrogates not allowed" in verdicts[1].problems[0]
    assert verdicts[1] == DayVerdict.read(world.lake, SHOPS, D2)


def test_a_file_that_might_not_fit_into_memory_rejects_its_day_unread(world: World) -> None:
    source = Shops({D1: GOOD, D2: GOOD + "south,2\n" * 50, D3: GOOD})
    sales, opinions = SHOPS.tables
    small = SHOPS.model_copy(update={"tables": (sales.model_copy(update={"max_bytes": 200}), opinions)})
    extracted = extract(small, world.lake, source, [D1, D2, D3], world.run)

    verdicts = validate_chunks(small, world.lake, [extracted], world.run)

    assert [verdict.accepted for verdict in verdicts] == [True, False, True]
    assert verdicts[1].problems == ("sales has 420 bytes, and the table's limit (`max_bytes`) is 200.",)
    assert verdicts[1].tables["sales"].lines == 51


@given(
    rows=st.lists(st.sampled_from([100, 200, 1000]), min_size=12, max_size=12),
    corrected=st.lists(st.sampled_from([100, 200, 1000]), min_size=12, max_size=12),
    redone=st.tuples(st.integers(0, 11), st.integers(0, 11)).map(sorted),
    cut_after=st.integers(0, 60),
)
@example(rows=[200] * 12, corrected=[200] * 4 + [1000] * 8, redone=[4, 11], cut_after=60)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_a_redoing_that_is_cut_short_and_tried_again_judges_as_one_that_was_not(
    rows: list[int], corrected: list[int], redone: list[int], cut_after: int, s3_client: Any, run: RunInfo
) -> None:
    days = [date(2026, 3, day) for day in range(1, 13)]
    again, first, last = replace(run, run_id="again"), *redone

    def redo(tries: int) -> list[DayVerdict]:
        lake = new_lake(s3_client)
        extract(SHOPS, lake, shops_of(days, rows), days, run)
        validate(SHOPS, lake, days, run)
        some = days[first : last + 1]
        found = [extract(SHOPS, lake, shops_of(days, corrected), chunk, again) for chunk in (some[:1], some[1:])]
        for _ in range(tries - 1):
            cut = Lake(Killed(lake.client, after=cut_after), lake.bucket)
            with contextlib.suppress(KeyboardInterrupt):
                validate_chunks(SHOPS, cut, found, again)
        return validate_chunks(SHOPS, lake, found, again)

    assert redo(tries=2) == redo(tries=1)


def test_days_that_nobody_can_read_make_no_number_of_rows_usual(world: World) -> None:
    days = [date(2026, 3, day) for day in range(1, 9)]
    good = {day: shops_with(1000, day) for day in days[:4]}
    half, garbage = {days[4]: shops_with(400, days[4])}, dict.fromkeys(days[5:], "<html>\n" + "<p>\n" * 400)
    extracted = extract(SHOPS, world.lake, Shops(good | half | garbage), days, world.run)

    verdicts = validate_chunks(SHOPS, world.lake, [extracted], world.run)

    assert [verdict.day for verdict in verdicts if verdict.accepted] == days[:4]


@pytest.mark.parametrize("files", [0, 2])
def test_a_raw_manifest_of_another_partition_rejects_its_day_and_no_other(world: World, files: int) -> None:
    extracted = extract(SHOPS, world.lake, SOURCE, [D1, D2, D3], world.run)
    manifest = world.lake.manifest(SHOPS.raw("sales"), D2)
    other = manifest.model_copy(update={"files": (*manifest.files, *manifest.files)[:files]})
    key = f"{partition(SHOPS.raw('sales'), D2)}/{MANIFEST}"
    world.lake.write_object(key, other.model_dump_json().encode())

    verdicts = validate_chunks(SHOPS, world.lake, [extracted], world.run)

    assert [verdict.accepted for verdict in verdicts] == [True, False, True]
    assert f"names {files} files" in verdicts[1].problems[0]


def test_a_number_of_rows_that_lasts_is_usual_in_a_run_that_has_all_its_days(world: World) -> None:
    days = [date(2026, 3, day) for day in range(1, 13)]
    once, for_good = [200] * 4 + [1000] + [200] * 7, [200] * 4 + [1000] * 8

    rejected = []
    for rows in (once, for_good):
        extracted = extract(SHOPS, world.lake, shops_of(days, rows), days, world.run)
        verdicts = validate_chunks(SHOPS, world.lake, [extracted], world.run)
        rejected.append([verdict.day for verdict in verdicts if not verdict.accepted])

    assert rejected == [[days[4]], []]


@pytest.mark.parametrize("error", [RuleError("The rule cannot be computed."), ConnectionError("no route")])
def test_a_wrong_rule_and_an_outage_reject_no_day(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    extracted = extract(SHOPS, world.lake, SOURCE, [D1, D2], world.run)
    monkeypatch.setattr(validation, "make_rules", fail)

    with pytest.raises(type(error)):
        validate_chunks(SHOPS, world.lake, [extracted], world.run)

    assert world.lake.days(SHOPS.validation_prefix) == []


def test_half_a_file_cut_at_a_row_end_is_a_rejected_day(world: World) -> None:
    half = "".join(MANY.replace(",1", ",61").splitlines(keepends=True)[:91])

    verdicts = run_etl(world, days_of_many(d6=half), WEEK)

    assert [verdict.day.day for verdict in verdicts if not verdict.accepted] == [6]
    assert verdicts[4].problems == (
        "sales has 90 rows; the median of the last 4 days is 200, and 100 to 400 are allowed.",
    )


def test_yesterdays_file_as_todays_is_a_rejected_day_and_the_right_file_passes(world: World) -> None:
    source = days_of_many()
    repeated = days_of_many(d5=source.sales[date(2026, 3, 4)])

    verdicts = run_etl(world, repeated, WEEK)

    assert [verdict.day.day for verdict in verdicts if not verdict.accepted] == [5]
    assert verdicts[3].problems == ("sales has the same 200 rows as on 2026-03-04.",)
    assert [verdict.accepted for verdict in run_etl(world, source, [date(2026, 3, 5)])] == [True]


def test_a_day_is_compared_with_days_before_it_only_in_whatever_order_days_are_done(world: World) -> None:
    source = days_of_many()

    for day in reversed(WEEK):
        assert [verdict.accepted for verdict in run_etl(world, source, [day])] == [True]

    assert all(verdict.accepted for verdict in run_etl(world, source, WEEK))

"""What the ETL extracts."""

from __future__ import annotations

import psycopg2
import psycopg2.errors
import pytest
from polars.exceptions import PolarsError

from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.records import ExtractedDays
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.storage.lake import (
    LocalFile,
)
from tests.damage import damage
from tests.unit.lifecycle.ingestion.shops import (
    D1,
    D2,
    D3,
    SHOPS,
    SOURCE,
    Shops,
    World,
    run_etl,
)


def test_a_damaged_raw_table_that_the_source_has_no_more_is_a_fault_of_its_day_alone(world: World) -> None:
    path = world.scratch / "opinions.csv"
    path.write_text("shop\nnorth\n")
    world.lake.publish(SHOPS.raw("opinions"), D2, [LocalFile(path, 1)], run=world.run)
    damage(world.lake, (SHOPS.raw("opinions"), D2), "the manifest changed")

    extracted = extract(SHOPS, world.lake, SOURCE, [D1, D2, D3], world.run)

    assert list(extracted.faults) == [D2]
    assert world.lake.days(SHOPS.raw("sales")) == [D1, D2, D3]


def test_tables_are_extracted_byte_for_byte_and_missing_ones_left_out(world: World) -> None:
    raw = 'shop,amount\n north ,"1,5"\nsouth,\n'
    assert extract(SHOPS, world.lake, Shops({D1: raw}), [D1], world.run) == ExtractedDays(days=(D1,))

    (file,) = world.lake.download("raw/shops/sales", D1, world.scratch)
    assert file.read_text() == raw
    manifest = world.lake.manifest("raw/shops/sales", D1)
    assert (manifest.rows, manifest.counted) == (2, "lines")
    assert world.lake.days("raw/shops/opinions") == []


def test_the_manifest_has_the_rows_that_the_source_counted_whatever_the_file_has(world: World) -> None:
    source = Shops({D1: "shop,amount\nnorth,1\n"}, records=3)

    extract(SHOPS, world.lake, source, [D1], world.run)

    manifest = world.lake.manifest("raw/shops/sales", D1)
    assert (manifest.rows, manifest.counted) == (3, "rows")


@pytest.mark.parametrize("content", ["", "\ufeff", "\x00", '"', 'shop,amount\n"north,1\n'])
def test_no_file_is_too_broken_to_be_extracted(content: str, world: World) -> None:
    source = Shops({D1: content})

    extract(SHOPS, world.lake, source, [D1], world.run)

    (file,) = world.lake.download("raw/shops/sales", D1, world.scratch)
    assert file.read_text() == content


def test_an_empty_day_is_extracted_as_no_rows(world: World) -> None:
    extract(SHOPS, world.lake, Shops({D1: "shop,amount\n"}), [D1], world.run)

    assert world.lake.manifest("raw/shops/sales", D1).rows == 0


def test_two_sources_are_not_mixed_on_one_day(world: World) -> None:
    file = world.scratch / "table.csv"
    file.write_text("shop\nnorth\n")
    world.lake.publish(SHOPS.raw("opinions"), D1, [LocalFile(file, 1)], run=world.run)

    extracted = extract(SHOPS, world.lake, SOURCE, [D1, D2], world.run)

    assert set(extracted.faults) == {D1}
    assert "not in the source, but the lake has rows of it" in extracted.faults[D1]["opinions"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no date in line 3."),
        FileNotFoundError("sales.csv"),
        PolarsError("bad bytes"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        psycopg2.DataError("date out of range"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_day_that_the_source_cannot_give_stops_no_other_and_says_why(error: Exception, world: World) -> None:
    source = Shops(dict.fromkeys((D1, D2, D3), "shop,amount\nnorth,1\n"), errors={D2: error})

    extracted = extract(SHOPS, world.lake, source, [D1, D2, D3], world.run)

    assert world.lake.days("raw/shops/sales") == [D1, D3]
    assert extracted.faults == {D2: {"sales": f"could not be extracted: {str(error).removesuffix('.')}"}}
    verdicts = validate(SHOPS, world.lake, [D1, D2, D3], world.run, extracted.faults)
    assert [verdict.accepted for verdict in verdicts] == [True, False, True]
    assert verdicts[1].problems == (f"sales {extracted.faults[D2]['sales']}.",)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("refused"),
        psycopg2.OperationalError("gone"),
        psycopg2.errors.InsufficientPrivilege("permission denied for table usage_daily"),
        psycopg2.errors.UndefinedTable("market.prices does not exist"),
        TypeError("a bad deploy"),
        KeyError("amount"),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_outage_a_missing_grant_and_a_fault_of_the_code_are_no_verdict_on_the_day(
    error: Exception, world: World
) -> None:
    with pytest.raises(type(error)):
        extract(SHOPS, world.lake, Shops({D1: ""}, errors={D1: error}), [D1], world.run)


def test_what_cannot_be_extracted_again_keeps_its_clean_rows_and_is_called_stale(world: World) -> None:
    source = Shops({D1: "shop,amount\nnorth,1\n"})
    run_etl(world, source, [D1])

    [verdict] = run_etl(world, Shops(source.sales, errors={D1: ValueError("no date")}), [D1])

    assert (verdict.accepted, verdict.stale) == (False, True)
    assert world.features(D1)["amount"] == 1

"""What the steps of a run hand on, and what it owes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.records import ExtractedDays, ValidatedDays, shortfall, validated_days
from include.lifecycle.ingestion.validation import validate_chunks
from tests.damage import damage
from tests.unit.lifecycle.ingestion.shops import (
    D1,
    D2,
    D3,
    GOOD,
    SHOPS,
    SOURCE,
    Shops,
    World,
    run_etl,
)


def test_a_validation_that_failed_leaves_the_run_red_also_where_all_days_have_an_older_verdict(
    world: World,
) -> None:
    run_etl(world, SOURCE, [D1, D2])
    extracted = [extract(SHOPS, world.lake, SOURCE, [D1, D2], replace(world.run, run_id="redo"))]

    validated = validated_days(SHOPS, world.lake, extracted, None)

    assert validated.accepted == (D1, D2)
    assert shortfall([D1, D2], extracted, validated) == [
        "Validation did not end well, so a verdict may be from before; its log says why."
    ]
    assert shortfall([], [], validated_days(SHOPS, world.lake, [], None)) == []


def test_what_a_run_owes_is_said_in_a_sentence_each() -> None:
    extracted = [
        ExtractedDays(days=(D1, D2), source_faults=("TSLA has no file.",)),
        ExtractedDays(days=(D3,), source_faults=("TSLA has no file.",)),
    ]
    validated = ValidatedDays(accepted=(D1,), rejected={D2: ("sales is empty.", "So are opinions.")})

    assert shortfall([D1, D2, D3], extracted, validated) == [
        "2026-03-02 was rejected: sales is empty. So are opinions.",
        "Correct the source, then trigger this DAG with the days that were rejected.",
        "Without a verdict, because a task failed: 2026-03-03. The next run takes up those that are new; trigger "
        "this DAG with the others.",
        "TSLA has no file.",
    ]
    assert shortfall([D1], [extracted[0]], ValidatedDays(accepted=(D1,))) == ["TSLA has no file."]
    assert shortfall([D1], [ExtractedDays(days=(D1,))], ValidatedDays(accepted=(D1,))) == []


@pytest.mark.parametrize("change", [None, "raw", "verdict"])
def test_where_validation_failed_the_verdicts_count_that_are_of_the_raw_tables_there_are(
    world: World, change: str | None
) -> None:
    bad = Shops({D1: GOOD, D2: "shop,amount\nnorth,many\n", D3: GOOD})
    extracted = extract(SHOPS, world.lake, bad, [D1, D2, D3], world.run)
    validate_chunks(SHOPS, world.lake, [extracted], world.run)
    later = replace(world.run, run_id="later")
    if change == "raw":
        extract(SHOPS, world.lake, SOURCE, [D2], later)
    elif change == "verdict":
        damage(world.lake, (SHOPS.validation_prefix, D2), "the manifest changed")

    found = validated_days(SHOPS, world.lake, [extracted], None)

    assert found.accepted == (D1, D3)
    assert list(found.rejected) == ([] if change else [D2])


def test_a_day_that_could_not_be_extracted_again_counts_by_its_verdict_whatever_the_lake_has(world: World) -> None:
    run_etl(world, SOURCE, [D1, D2])
    silent = replace(SOURCE, errors={D2: ValueError("no table")})
    extracted = extract(SHOPS, world.lake, silent, [D1, D2], world.run)
    validate_chunks(SHOPS, world.lake, [extracted], world.run)

    found = validated_days(SHOPS, world.lake, [extracted], None)

    assert (found.accepted, list(found.rejected)) == ((D1,), [D2])

"""Which days the ETL works on."""

from __future__ import annotations

from datetime import date

import pytest

from include.lifecycle.ingestion.planning import StaleSourceError, chunks, plan
from include.lifecycle.storage.lake import (
    Lake,
)
from tests.damage import damage
from tests.unit.lifecycle.ingestion.shops import (
    D1,
    D2,
    D3,
    D4,
    D5,
    GOOD,
    SHOPS,
    SOURCE,
    Shops,
    World,
    run_etl,
)


def test_the_plan_is_every_day_of_the_source_at_first(lake: Lake) -> None:
    assert plan(SHOPS, lake, SOURCE, None, until=D5) == [D1, D2, D3, D4]


def test_the_plan_ends_with_until(lake: Lake) -> None:
    assert plan(SHOPS, lake, SOURCE, None, until=D2) == [D1, D2]


def test_days_before_the_first_or_after_the_last_that_may_be_are_named_and_ignored(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    strays = (date.min, date(1999, 12, 31), D5, date(9999, 12, 31))
    source = Shops(dict.fromkeys((*strays, D1), "shop,amount\n"))

    assert plan(SHOPS, lake, source, None, until=D4) == [D1]
    assert ", ".join(map(str, strays)) in caplog.text


def test_the_plan_leaves_out_what_is_done_and_what_was_rejected(world: World) -> None:
    world.clean(D1, 1)
    world.verdict(D1, accepted=True)
    world.build(D1)
    world.verdict(D2, accepted=False)

    assert plan(SHOPS, world.lake, SOURCE, None, until=D5) == [D3, D4]


def test_the_plan_takes_up_a_day_whose_run_was_cut_short_before_the_features(world: World) -> None:
    world.clean(D1, 1)
    world.verdict(D1, accepted=True)

    assert D1 in plan(SHOPS, world.lake, SOURCE, None, until=D5)


@pytest.mark.parametrize("kind", ["a file deleted", "a file changed", "the manifest changed"])
def test_a_rejected_day_whose_verdict_is_damaged_is_validated_again(world: World, kind: str) -> None:
    world.verdict(D2, accepted=False)
    damage(world.lake, (SHOPS.validation_prefix, D2), kind)

    assert D2 in plan(SHOPS, world.lake, SOURCE, None, until=D5)


def test_a_rejected_day_with_an_earlier_good_state_is_left_alone(world: World) -> None:
    world.clean(D1, 1)
    world.build(D1)
    world.verdict(D1, accepted=False)

    assert D1 not in plan(SHOPS, world.lake, SOURCE, None, until=D5)


def test_the_newest_days_are_read_again_for_corrections_but_not_rejected_ones(
    world: World,
) -> None:
    for day in (D1, D2, D3, D4):
        world.clean(day, 1)
        world.verdict(day, accepted=day != D3)
    world.build(D1, D2, D3, D4)

    corrected = SHOPS.model_copy(update={"revisit_days": 3})

    assert plan(corrected, world.lake, SOURCE, None, until=D5) == [D2, D4]


def test_requested_days_are_redone_whatever_the_lake_has(world: World) -> None:
    world.clean(D1, 1)
    world.build(D1)
    world.verdict(D2, accepted=False)

    assert plan(SHOPS, world.lake, SOURCE, (D1, D2), until=D5) == [D1, D2]
    assert plan(SHOPS, world.lake, SOURCE, (D4, D5), until=D5) == [D4]


def test_a_day_cut_short_is_taken_up_however_many_later_days_are_done(world: World) -> None:
    for day in (D1, D3, D4):
        world.clean(day, 1)
    world.build(D1, D3, D4)
    for _ in range(2):
        assert plan(SHOPS, world.lake, SOURCE, None, until=D5) == [D2]


def test_days_once_dealt_with_are_not_looked_for_again(world: World) -> None:
    for day in (D1, D2, D4):
        world.clean(day, 1)
    world.build(D1, D2, D4)
    assert plan(SHOPS, world.lake, SOURCE, None, until=D5) == [D3]
    world.lake.client.delete_object(Bucket=world.lake.bucket, Key=f"{SHOPS.features_prefix}/dt={D1}/manifest.json")

    assert plan(SHOPS, world.lake, SOURCE, None, until=D5) == [D3]
    assert plan(SHOPS, world.lake, SOURCE, (D1, D1), until=D5) == [D1]


def test_a_source_that_has_another_day_in_place_of_one_is_looked_through_again(world: World) -> None:
    run_etl(world, SOURCE, [D1, D3, D4])
    assert plan(SHOPS, world.lake, Shops(dict.fromkeys((D1, D3, D4), GOOD)), None, D5) == []

    renamed = Shops(dict.fromkeys((D2, D3, D4), GOOD))

    assert plan(SHOPS, world.lake, renamed, None, D5) == [D2]


def test_a_source_that_has_got_an_older_day_is_looked_through_again(world: World) -> None:
    later = Shops({day: SOURCE.sales[day] for day in (D2, D3, D4)})
    for day in (D2, D3, D4):
        world.clean(day, 1)
    world.build(D2, D3, D4)
    assert plan(SHOPS, world.lake, later, None, until=D5) == []

    assert plan(SHOPS, world.lake, SOURCE, None, until=D5) == [D1]


@pytest.mark.parametrize(
    ("source", "until", "sentence"),
    [
        (SOURCE, D5, "has no day from 2026-03-05 to 2026-03-05: it has 2026-03-01 to 2026-03-04"),
        (Shops({D5: ""}), D4, "it has none yet"),
    ],
    ids=["the source ends before", "the day is not over"],
)
def test_a_request_for_days_that_are_not_there_says_which_there_are(
    lake: Lake, source: Shops, until: date, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        plan(SHOPS, lake, source, (D5, D5), until=until)


def test_chunks_keep_all_days_in_order() -> None:
    assert chunks([D1, D2, D3, D4, D5], 2) == [[D1, D2], [D3, D4], [D5]]
    assert chunks([], 2) == []


def test_a_source_whose_faults_leave_it_no_day_is_not_passed_over(world: World) -> None:
    with pytest.raises(ValueError, match=r"has no day\. TSLA has no file\."):
        plan(SHOPS, world.lake, Shops({}, lacks=("TSLA has no file.",)), None, until=D5)


def test_a_source_that_has_stopped_delivering_is_not_passed_over_in_silence(world: World) -> None:
    world.clean(D1, 1)
    world.build(D1)

    with pytest.raises(StaleSourceError, match=r"to 2026-03-01\. By 2026-03-05 .* at most 3 days"):
        plan(SHOPS, world.lake, Shops({D1: ""}, max_lag_days=3), None, until=D5)
    with pytest.raises(StaleSourceError, match="it has none yet"):
        plan(SHOPS, world.lake, Shops({}, max_lag_days=3), None, until=D5)


def test_a_source_within_its_lag_or_without_one_may_have_nothing_new(world: World) -> None:
    world.clean(D1, 1)
    world.build(D1)

    assert plan(SHOPS, world.lake, Shops({D1: ""}, max_lag_days=4), None, until=D5) == []
    assert plan(SHOPS, world.lake, Shops({D1: ""}), None, until=D5) == []
    assert plan(SHOPS, world.lake, Shops({D1: "", D2: ""}, max_lag_days=1), None, until=D5) == [D2]

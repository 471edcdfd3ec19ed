"""Which days the ETL works on, what it extracts, and what the features of a day are made of."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg2
import psycopg2.errors
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polars.exceptions import PolarsError

from include.lifecycle.ingestion import row_rules, validation
from include.lifecycle.ingestion.etl import (
    LOOK_BACK_DAYS,
    DamagedInputsError,
    ExtractedDays,
    JudgedDays,
    StaleSourceError,
    build_features,
    chunks,
    extract,
    features_to_build,
    judged_days,
    outdated_features,
    plan,
    shortfall,
)
from include.lifecycle.ingestion.row_rules import RuleError
from include.lifecycle.ingestion.validation import validate, validate_chunks
from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.specs import DatasetSpec, Extracted, Source, TableSpec
from include.lifecycle.storage.lake import (
    MANIFEST,
    Lake,
    LocalFile,
    Manifest,
    PartitionNotFoundError,
    RunInfo,
    partition,
)
from tests.damage import DAMAGES, damage

D1, D2, D3, D4, D5 = (date(2026, 3, day) for day in range(1, 6))


def _features(days: Sequence[date], tables: Mapping[str, pl.LazyFrame]) -> Iterator[tuple[date, pl.DataFrame]]:
    for day in days:
        yield day, _features_of_day(day, tables)


def _features_of_day(day: date, tables: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """A shop's takings of the day, of the days in its history, and how many opinions there are."""
    is_history = pl.col("dt").is_between(day - timedelta(days=2), day)
    sales, opinions = tables["sales"].filter(is_history).collect(), tables["opinions"].collect()
    assert opinions.schema == {"shop": pl.String, "dt": pl.Date}
    today = sales.filter(pl.col("dt") == day).select("shop", "amount")
    known = sales.group_by("shop").agg(total=pl.col("amount").sum(), days=pl.len())
    return today.join(known, on="shop").with_columns(opinions=pl.lit(opinions.height)).sort("shop")


SHOPS = DatasetSpec(
    name="shops",
    title="Shops",
    description="What shops take in.",
    key=("shop",),
    timezone="UTC",
    schedule="@daily",
    tables=(
        TableSpec(name="sales", columns={"shop": pl.String, "amount": pl.Int64}, key=("shop",), rules=list),
        TableSpec(name="opinions", columns={"shop": pl.String}, key=("shop",), rules=list, optional=True),
    ),
    make_source=lambda settings, connect: Shops({}),
    features=_features,
    history_days={"sales": 2, "opinions": 0},
)


@dataclass(frozen=True)
class Shops:
    """A source that has the given sales and no opinions."""

    sales: Mapping[date, str]
    max_lag_days: int | None = None
    records: int | None = None
    errors: Mapping[date, Exception] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()

    def days(self) -> list[date]:
        return sorted(self.sales)

    def faults(self) -> list[str]:
        return list(self.lacks)

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        if table != "sales":
            return None
        if day in self.errors:
            raise self.errors[day]
        file.write_text(self.sales[day])
        return Extracted(records=self.records)


SOURCE = Shops(dict.fromkeys((D1, D2, D3, D4), "shop,amount\nnorth, 1\n"))


def new_lake(s3_client: Any) -> Lake:
    """An empty lake of its own."""
    bucket = f"lake-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=bucket)
    return Lake(s3_client, bucket)


def run_etl(world: World, source: Source, days: Sequence[date]) -> list[DayVerdict]:
    """What the DAG does with some days."""
    extracted = extract(SHOPS, world.lake, source, days, world.run)
    verdicts = validate_chunks(SHOPS, world.lake, [extracted], world.run)
    accepted = [verdict.day for verdict in verdicts if verdict.accepted]
    build_features(SHOPS, world.lake, features_to_build(SHOPS, world.lake, accepted, D5), world.run)
    return verdicts


@pytest.fixture
def world(lake: Lake, run: RunInfo, tmp_path: Path) -> World:
    return World(lake, run, tmp_path)


@dataclass(frozen=True)
class World:
    """Puts into the lake what the steps before would have put there."""

    lake: Lake
    run: RunInfo
    scratch: Path

    def clean(self, day: date, amount: int) -> Manifest:
        frame = pl.DataFrame({"shop": ["north"], "amount": [amount]})
        return self.lake.publish_frame(SHOPS.clean("sales"), day, frame, run=self.run, scratch=self.scratch)

    def verdict(self, day: date, *, accepted: bool) -> None:
        file = self.scratch / "verdict.json"
        file.write_text(DayVerdict(day=day, accepted=accepted, tables={}).model_dump_json())
        self.lake.publish(SHOPS.validation_prefix, day, [LocalFile(file)], run=self.run)

    def build(self, *days: date) -> list[Manifest]:
        build_features(SHOPS, self.lake, days, self.run)
        return [self.lake.manifest(SHOPS.features_prefix, day) for day in days]

    def features(self, day: date) -> dict[str, int]:
        frame = self.lake.scan(SHOPS.features_prefix, [day], self.scratch / "read").collect()
        return frame.row(0, named=True)


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
def test_a_rejected_day_whose_verdict_is_damaged_is_judged_again(world: World, kind: str) -> None:
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


def test_a_damaged_raw_table_that_the_source_has_no_more_is_a_fault_of_its_day_alone(world: World) -> None:
    path = world.scratch / "opinions.csv"
    path.write_text("shop\nnorth\n")
    world.lake.publish(SHOPS.raw("opinions"), D2, [LocalFile(path, 1)], run=world.run)
    damage(world.lake, (SHOPS.raw("opinions"), D2), "the manifest changed")

    extracted = extract(SHOPS, world.lake, SOURCE, [D1, D2, D3], world.run)

    assert list(extracted.faults) == [D2]
    assert world.lake.days(SHOPS.raw("sales")) == [D1, D2, D3]


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


def test_a_validation_that_failed_leaves_the_run_red_also_where_all_days_have_an_older_verdict(
    world: World,
) -> None:
    run_etl(world, SOURCE, [D1, D2])
    extracted = [extract(SHOPS, world.lake, SOURCE, [D1, D2], replace(world.run, run_id="redo"))]

    judged = judged_days(SHOPS, world.lake, extracted, None)

    assert judged.accepted == (D1, D2)
    assert shortfall([D1, D2], extracted, judged) == [
        "Validation did not end well, so a verdict may be from before; its log says why."
    ]
    assert shortfall([], [], judged_days(SHOPS, world.lake, [], None)) == []


def test_what_a_run_owes_is_said_in_a_sentence_each() -> None:
    extracted = [
        ExtractedDays(days=(D1, D2), source_faults=("TSLA has no file.",)),
        ExtractedDays(days=(D3,), source_faults=("TSLA has no file.",)),
    ]
    judged = JudgedDays(accepted=(D1,), rejected={D2: ("sales is empty.", "So are opinions.")})

    assert shortfall([D1, D2, D3], extracted, judged) == [
        "2026-03-02 was rejected: sales is empty. So are opinions.",
        "Correct the source, then trigger this DAG with the days that were rejected.",
        "Without a verdict, because a task failed: 2026-03-03. The next run takes up those that are new; trigger "
        "this DAG with the others.",
        "TSLA has no file.",
    ]
    assert shortfall([D1], [extracted[0]], JudgedDays(accepted=(D1,))) == ["TSLA has no file."]
    assert shortfall([D1], [ExtractedDays(days=(D1,))], JudgedDays(accepted=(D1,))) == []


def test_chunks_are_judged_the_oldest_first(world: World) -> None:
    extracted = [extract(SHOPS, world.lake, SOURCE, chunk, world.run) for chunk in ([D1, D2, D3], [D4])]

    verdicts = validate_chunks(SHOPS, world.lake, extracted[::-1], world.run)

    assert [verdict.day for verdict in verdicts] == [D1, D2, D3, D4]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_raw_table_that_is_damaged_rejects_its_day_and_no_other(world: World, kind: str) -> None:
    extracted = extract(SHOPS, world.lake, SOURCE, [D1, D2, D3], world.run)
    damage(world.lake, (SHOPS.raw("sales"), D2), kind)

    verdicts = validate_chunks(SHOPS, world.lake, [extracted], world.run)

    assert [verdict.accepted for verdict in verdicts] == [True, False, True]
    assert list(verdicts[1].tables) == ["sales"]
    assert verdicts[1] == DayVerdict.read(world.lake, SHOPS, D2)


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
def test_a_day_whose_rows_cannot_be_judged_is_rejected_and_no_other(
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
    assert verdicts[1].problems == (f"sales could not be judged: {error}.",)
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
    render = validation.render_validation

    def fail_on_the_second(dataset: DatasetSpec, lake: Lake, verdict: DayVerdict, tables: Any) -> str:
        if verdict.day == D2 and verdict.accepted:
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        return render(dataset, lake, verdict, tables)

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
        extract(SHOPS, lake, _shops_of(days, rows), days, run)
        validate(SHOPS, lake, days, run)
        some = days[first : last + 1]
        found = [extract(SHOPS, lake, _shops_of(days, corrected), chunk, again) for chunk in (some[:1], some[1:])]
        for _ in range(tries - 1):
            cut = Lake(_Killed(lake.client, after=cut_after), lake.bucket)
            with contextlib.suppress(KeyboardInterrupt):
                validate_chunks(SHOPS, cut, found, again)
        return validate_chunks(SHOPS, lake, found, again)

    assert redo(tries=2) == redo(tries=1)


@dataclass
class _Killed:
    """A client whose process is killed before it writes another object."""

    client: Any
    after: int

    def __getattr__(self, name: str) -> Any:
        if name in ("put_object", "upload_file", "upload_fileobj"):
            self.after -= 1
            if self.after < 0:
                raise KeyboardInterrupt
        return getattr(self.client, name)


def _shops_of(days: Sequence[date], rows: Sequence[int]) -> Shops:
    return Shops({day: _shops(count, day) for day, count in zip(days, rows, strict=True)})


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

    found = judged_days(SHOPS, world.lake, [extracted], None)

    assert found.accepted == (D1, D3)
    assert list(found.rejected) == ([] if change else [D2])


def test_a_day_that_could_not_be_extracted_again_counts_by_its_verdict_whatever_the_lake_has(world: World) -> None:
    run_etl(world, SOURCE, [D1, D2])
    silent = replace(SOURCE, errors={D2: ValueError("no table")})
    extracted = extract(SHOPS, world.lake, silent, [D1, D2], world.run)
    validate_chunks(SHOPS, world.lake, [extracted], world.run)

    found = judged_days(SHOPS, world.lake, [extracted], None)

    assert (found.accepted, list(found.rejected)) == ((D1,), [D2])


def test_days_that_nobody_can_read_make_no_number_of_rows_usual(world: World) -> None:
    days = [date(2026, 3, day) for day in range(1, 9)]
    good = {day: _shops(1000, day) for day in days[:4]}
    half, garbage = {days[4]: _shops(400, days[4])}, dict.fromkeys(days[5:], "<html>\n" + "<p>\n" * 400)
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
        extracted = extract(SHOPS, world.lake, _shops_of(days, rows), days, world.run)
        verdicts = validate_chunks(SHOPS, world.lake, [extracted], world.run)
        rejected.append([verdict.day for verdict in verdicts if not verdict.accepted])

    assert rejected == [[days[4]], []]


def _shops(rows: int, day: date) -> str:
    return "shop,amount\n" + "".join(f"shop {row},{day.day}\n" for row in range(rows))


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


def test_a_source_whose_faults_leave_it_no_day_is_not_passed_over(world: World) -> None:
    with pytest.raises(ValueError, match=r"has no day\. TSLA has no file\."):
        plan(SHOPS, world.lake, Shops({}, lacks=("TSLA has no file.",)), None, until=D5)


WEEK = [date(2026, 3, day) for day in range(2, 9)]
GOOD = "shop,amount\nnorth,1\n"
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
    assert manifest.inputs == {f"clean/shops/sales/dt={day}": digests[day] for day in (D2, D3, D4)}


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
    assert outdated_features(SHOPS, world.lake) == []

    world.clean(D1, 100)

    assert outdated_features(SHOPS, world.lake) == [D1, D2, D3]
    world.build(D1, D2, D3)
    assert outdated_features(SHOPS, world.lake) == []


def test_validated_days_renew_the_features_that_look_at_them_however_old_they_are(world: World) -> None:
    for day in (D1, D2, D4):
        world.clean(day, day.day)
    world.build(D1, D2, D4)
    world.clean(D1, 100)
    much_later = D4 + timedelta(days=LOOK_BACK_DAYS + 1)

    assert features_to_build(SHOPS, world.lake, [D1], much_later) == [D1, D2]
    assert features_to_build(SHOPS, world.lake, [], much_later) == []


def test_features_made_before_a_day_came_in_are_outdated(world: World) -> None:
    world.clean(D2, 2)
    world.build(D2)
    world.clean(D1, 1)

    assert outdated_features(SHOPS, world.lake) == [D2]


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


def test_a_day_of_which_half_is_published_keeps_its_features_until_it_is_judged_again(world: World) -> None:
    # given
    run_etl(world, SOURCE, [D1, D2])
    before = world.lake.manifest(SHOPS.features_prefix, D2)
    corrected = Shops(SOURCE.sales | {D2: "shop,amount\nnorth, 7\n"})
    extracted = extract(SHOPS, world.lake, corrected, [D2], world.run)
    # quarantine and clean tables are written, and not the report
    cut = Lake(_Killed(world.lake.client, after=4), world.lake.bucket)
    with contextlib.suppress(KeyboardInterrupt):
        validate_chunks(SHOPS, cut, [extracted], world.run)
    assert world.lake.manifest(SHOPS.clean("sales"), D2).inputs != before.inputs

    # when, then
    assert outdated_features(SHOPS, world.lake) == [D2]
    assert features_to_build(SHOPS, world.lake, [], D5) == []
    validate_chunks(SHOPS, world.lake, [extracted], world.run)
    assert features_to_build(SHOPS, world.lake, [], D5) == [D2]


def test_features_of_a_day_that_another_run_changes_meanwhile_are_made_once_more(world: World) -> None:
    world.clean(D1, 1)
    world.clean(D2, 2)

    def change_the_past(days: Sequence[date], tables: Mapping[str, pl.LazyFrame]) -> Iterator[Any]:
        features = list(_features(days, tables))
        world.clean(D1, 100)
        return iter(features)

    build_features(SHOPS.model_copy(update={"features": change_the_past}), world.lake, [D2], world.run)

    assert world.features(D2)["total"] == 102


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


MANY = "shop,amount\n" + "".join(f"s{number:03d},{number}\n" for number in range(200))


def days_of_many(**others: str) -> Shops:
    """Two hundred rows on each day of the week, another amount each day; days given otherwise, as `d4`."""
    texts = {day: MANY.replace(",1", f",{day.day}1") for day in WEEK}
    return Shops(texts | {date(2026, 3, int(name[1:])): text for name, text in others.items()})


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
        build_features(SHOPS, lake, features_to_build(SHOPS, lake, some, D4), run)

    redo(days)
    plan(SHOPS, lake, SOURCE, None, D4)
    before = {key: lake.read_object(key) or b"" for key in lake.keys("")}
    hit = [key for key in before if f"/dt={D3}/" in key and key.endswith("manifest.json") == (what == "manifests")]
    assert len(hit) >= 5
    for key in [*hit, *(key for key in before if key.startswith("plans/"))]:
        if how == "deleted":
            lake.client.delete_object(Bucket=lake.bucket, Key=key)
        else:
            lake.write_object(key, _damaged(before[key]))

    redo([D3])
    plan(SHOPS, lake, SOURCE, None, D4)

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

    assert features_to_build(SHOPS, lake, [D1], D4) == [D1, D2]

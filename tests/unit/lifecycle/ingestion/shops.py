"""Shops whose sales the ETL brings in, and a lake that the steps before would have left."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.features import (
    build_features,
    features_to_build,
)
from include.lifecycle.ingestion.validation import validate_chunks
from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.specs import DatasetSpec, Extracted, Source, TableSpec
from include.lifecycle.storage.lake import (
    Lake,
    LocalFile,
    Manifest,
    RunInfo,
)

D1, D2, D3, D4, D5 = (date(2026, 3, day) for day in range(1, 6))


GOOD = "shop,amount\nnorth,1\n"


WEEK = [date(2026, 3, day) for day in range(2, 9)]


def make_features(days: Sequence[date], tables: Mapping[str, pl.LazyFrame]) -> Iterator[tuple[date, pl.DataFrame]]:
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
    features=make_features,
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
    build_features(SHOPS, world.lake, features_to_build(SHOPS, world.lake, accepted, D5).days, world.run)
    return verdicts


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


@dataclass
class Killed:
    """A client whose process is killed before it writes another object."""

    client: Any
    after: int

    def __getattr__(self, name: str) -> Any:
        if name in ("put_object", "upload_file", "upload_fileobj"):
            self.after -= 1
            if self.after < 0:
                raise KeyboardInterrupt
        return getattr(self.client, name)


def shops_of(days: Sequence[date], rows: Sequence[int]) -> Shops:
    return Shops({day: shops_with(count, day) for day, count in zip(days, rows, strict=True)})


def shops_with(rows: int, day: date) -> str:
    return "shop,amount\n" + "".join(f"shop {row},{day.day}\n" for row in range(rows))


MANY = "shop,amount\n" + "".join(f"s{number:03d},{number}\n" for number in range(200))


def days_of_many(**others: str) -> Shops:
    """Two hundred rows on each day of the week, another amount each day; days given otherwise, as `d4`."""
    texts = {day: MANY.replace(",1", f",{day.day}1") for day in WEEK}
    return Shops(texts | {date(2026, 3, int(name[1:])): text for name, text in others.items()})

"""Damage to any kind of partition heals: by the DAG of its day, and by maintenance without being told where."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from itertools import cycle

import pytest

from include.datasets.customers import CUSTOMERS
from include.lifecycle.operations.maintenance import IN_THE_MAKING
from include.lifecycle.storage.lake import MANIFEST, Lake, partition, partition_of
from include.lifecycle.training.listings import without_marks
from include.models.churn import CHURN
from tests.damage import DAMAGES, damage, delete
from tests.e2e.conftest import START, World

FIRST_LIFE = {"day": START.isoformat(), "trials": 2, "seed": 7, "reason": "first life"}
VERSION = "version=1"


def run_every_dag(company: World) -> None:
    """What makes the partitions of START, one stage after the other."""
    day = START.isoformat()
    runs = [
        company.run("customers_etl", day=day),
        company.run("churn_training", **FIRST_LIFE),
        company.run("churn_scoring", day=day),
        company.run("churn_monitoring", day=day),
    ]
    company.wait_until_quiet("churn_scoring")
    assert [run.state for run in runs] == ["success"] * 4, [run.tasks for run in runs]


def kinds(lake: Lake) -> list[tuple[str, date]]:
    """A partition of each kind that the DAGs of START make."""
    found: dict[tuple[str, date], None] = {}
    for key in lake.keys(""):
        place = partition_of(key)
        own_version = "version=" not in key or VERSION in key
        if place is not None and place.day == START and own_version and "/lake/" not in key:
            found[place.prefix, START] = None
    return [*found, (CHURN.labels_prefix, lake.days(CHURN.labels_prefix)[-1])]


def whole(lake: Lake) -> dict[str, object]:
    """The bytes of each file, and of each manifest the content that it stands for, whenever that was written."""
    content: dict[str, object] = {}
    for key in lake.keys(""):
        place = partition_of(key)
        if place is not None and place.name == MANIFEST and not key.startswith("reports/lake/"):
            manifest = lake.manifest(place.prefix, place.day)
            content[key] = manifest.digest, without_marks(manifest.inputs)
            for file in manifest.files:
                name = f"{partition(place.prefix, place.day)}/{file.name}"
                content[name] = lake.read_object(name)
    latest = f"{CHURN.predictions_prefix}/latest.json"
    return {**content, latest: lake.read_object(latest)}


@pytest.fixture(scope="module")
def lived_in(company: World) -> World:
    """The company with a partition of each kind that a day can have."""
    run_every_dag(company)
    prefixes = {prefix for prefix, _ in kinds(company.lake)}
    layers = (CUSTOMERS.raw, CUSTOMERS.clean, CUSTOMERS.quarantine)
    assert prefixes >= {layer(table.name) for table in CUSTOMERS.tables for layer in layers}
    assert prefixes >= {CUSTOMERS.features_prefix, CUSTOMERS.validation_prefix, CHURN.predictions_prefix}
    assert prefixes >= {CHURN.labels_prefix, CHURN.staging_prefix, CHURN.reference_prefix(1)}
    assert prefixes >= {CHURN.report_prefix(kind) for kind in ("drift", "performance")}
    return company


def wait_until_settled(lake: Lake, places: list[tuple[str, date]]) -> None:
    """Wait until no file is so young that maintenance takes it for one that waits for its manifest."""
    written = [
        item["LastModified"]
        for place in places
        for item in lake.objects(f"{partition(*place)}/")
        if not item["Key"].endswith(MANIFEST)
    ]
    youngest = (datetime.now(UTC) - max(written)).total_seconds()
    time.sleep(max(0, IN_THE_MAKING.total_seconds() + 5 - youngest))


def test_maintenance_finds_and_heals_all_of_it_without_being_told_where(lived_in: World) -> None:
    lived_in.switch_on("maintenance")
    before, places = whole(lived_in.lake), kinds(lived_in.lake)
    wanted = list(zip(places, cycle(DAMAGES), strict=False))
    wait_until_settled(lived_in.lake, [place for place, kind in wanted if kind == "the manifest deleted"])
    for place, kind in wanted:
        damage(lived_in.lake, place, kind)

    run = lived_in.run("maintenance")

    assert run.state == "success", run.tasks
    assert [partition(*place) for place in places if lived_in.lake.intact(*place) is None] == []
    after = whole(lived_in.lake)
    assert {key for key in before if after.get(key) != before[key]} == set()
    [day] = lived_in.lake.days("reports/lake/maintenance")
    verdict = lived_in.lake.read_json("reports/lake/maintenance", day, "verdict.json")
    assert {found["prefix"] for found in verdict["evidence"]["damages"]} >= {prefix for prefix, _ in places}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_to_each_kind_of_partition_heals_when_the_dags_of_the_day_run(lived_in: World, kind: str) -> None:
    before = whole(lived_in.lake)
    for place in kinds(lived_in.lake):
        damage(lived_in.lake, place, kind)
    delete(lived_in.lake, f"{CHURN.predictions_prefix}/latest.json")

    run_every_dag(lived_in)

    after = whole(lived_in.lake)
    assert {key for key in before if after.get(key) != before[key]} == set()
    assert after.keys() == before.keys()

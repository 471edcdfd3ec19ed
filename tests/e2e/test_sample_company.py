"""The churn model's whole life at the sample company, through the real scheduler.

The tests of this module build on each other: one company lives through them, in the order of the file, and goes on
to live in the modules whose names begin like this one's.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from datetime import date, timedelta

import polars as pl
import psycopg2
import pytest

from include.samples.poison import PoisonKind, poison, restore
from tests.e2e.conftest import START, YESTERDAY, World, pass_days

ASSETS = ("customers_features", "churn_champion", "churn_predictions")
PUBLISHED = ("clean/", "quarantine/", "features/", "labels/", "predictions/", "reports/")


def test_the_first_life_ends_with_a_prediction_for_every_customer(company: World) -> None:
    manifest = company.lake.manifest("predictions/churn", START)
    features = company.lake.manifest("features/customers", START)
    assert manifest.rows == features.rows > 2000
    for entry in manifest.files:
        body = company.lake.read_object(f"predictions/churn/dt={START}/{entry.name}")
        assert body is not None
        assert hashlib.sha256(body).hexdigest() == entry.sha256
    [(rows,)] = company.query("warehouse", "select count(*) from ml.churn_predictions where dt = %s", START)
    assert rows == manifest.rows


def test_events_say_what_is_new(company: World) -> None:
    events = company.api.get("/assets/events", limit=100)["asset_events"]
    said = {name: [event["extra"] for event in events if event["name"] == name] for name in ASSETS}

    assert any(START.isoformat() in extra["days"] for extra in said["customers_features"])
    [champion] = said["churn_champion"]
    assert (champion["day"], champion["version"], champion["verdict"]) == (START.isoformat(), 1, "promote")
    assert {(1, START.isoformat())} <= {
        (extra["version"], day) for extra in said["churn_predictions"] for day in extra["days"]
    }


def test_the_monitoring_gives_a_verdict(company: World) -> None:
    assert company.run("churn_monitoring", day=START.isoformat()).state == "success"

    verdict = company.lake.read_json("reports/churn/drift", START, "verdict.json")
    assert verdict["verdict"] == "not enough evidence"
    assert "a verdict needs 500" in verdict["reason"]
    [(rows,)] = company.query("warehouse", "select count(*) from ml.drift where dt = %s", START)
    assert rows == len(verdict["columns"]) + 1


def test_running_every_dag_again_for_the_same_day_changes_no_byte(company: World) -> None:
    before = company.published(*PUBLISHED)

    day = START.isoformat()
    runs = [
        company.run("customers_etl", day=day),
        company.run("churn_training", trials=2, day=day, reason="first life"),
        company.run("churn_scoring", day=day),
        company.run("churn_monitoring", day=day),
    ]
    company.wait_until_quiet("churn_scoring")

    assert [run.state for run in runs] == ["success"] * 4
    assert company.published(*PUBLISHED) == before


def test_another_training_of_the_same_day_leaves_the_monitoring_of_the_version_at_work_in_place(
    company: World,
) -> None:
    assert company.run("churn_training", trials=2, seed=8, day=START.isoformat()).state == "success"
    company.wait_until_quiet("churn_scoring")

    cards = company.lake.keys("reports/churn/model_card/version=")
    assert len({key.split("/")[3] for key in cards if key.endswith("manifest.json")}) == 2
    assert company.run("churn_monitoring", day=START.isoformat()).state == "success"


@pytest.mark.parametrize(
    ("kind", "day", "until", "form", "said"),
    [
        ("half_broken", START + timedelta(days=1), START + timedelta(days=2), {}, "limit"),
        ("empty", START + timedelta(days=3), START + timedelta(days=3), {}, "rows"),
        (
            "missing_column",
            START + timedelta(days=3),
            START + timedelta(days=3),
            {"day": f"{START + timedelta(days=3)}"},
            "call_minutes",
        ),
    ],
    ids=["half_broken", "empty", "missing_column"],
)
def test_a_poisoned_day_makes_the_run_red_and_stops_no_other_day(
    company: World, kind: PoisonKind, day: date, until: date, form: dict[str, str], said: str
) -> None:
    pass_days(company, until)
    with closing(psycopg2.connect(company.settings.postgres_dsn("company"))) as connection:
        poison(connection, day, kind)
        try:
            run = company.run("customers_etl", **form)
        finally:
            restore(connection)

    assert run.state == "failed"
    assert (run.tasks["validate"], run.tasks["report_rejections"]) == ("success", "failed")
    instances = {
        instance["task_id"]: instance for instance in company.api.task_instances("customers_etl", run.run_id)
    }
    log = " ".join(company.api.log_lines(instances["report_rejections"], last=60))
    assert f"{day} was rejected" in log
    assert said in log
    note = company.api.get(f"/dags/customers_etl/dagRuns/{run.run_id}")["note"]
    assert f"report_rejections: Customers is incomplete. {day} was rejected" in note
    label = f"{day} to {until}" if until > day else f"{day}"
    assert instances["extract"]["rendered_map_index"] == label
    if until > day:
        company.wait_for_predictions("churn", until)
    company.wait_until_quiet("churn_scoring")
    assert day not in company.lake.days("features/customers")
    assert day not in company.lake.days("predictions/churn")
    assert (until in company.lake.days("features/customers")) == (until > day)
    verdict = company.lake.read_json("reports/customers/validation", day, "verdict.json")
    problems = " ".join(problem for table in verdict["tables"].values() for problem in table["problems"])
    assert not verdict["accepted"]
    assert said in problems


def test_the_next_good_day_passes_and_is_scored(company: World) -> None:
    assert company.run("sample_world").state == "success"

    run = company.run("customers_etl")
    assert run.state == "success", run.tasks
    company.wait_for_predictions("churn", YESTERDAY)

    features = company.lake.days("features/customers")
    assert YESTERDAY in features
    assert START + timedelta(days=1) not in features
    scores = company.query("warehouse", "select score from ml.churn_predictions where dt = %s", YESTERDAY)
    assert pl.Series([score for (score,) in scores]).is_between(0, 1).all()
    assert len(scores) == company.lake.manifest("features/customers", YESTERDAY).rows


def test_a_corrected_day_passes_once_it_is_named(company: World) -> None:
    day = START + timedelta(days=1)

    assert company.run("customers_etl", day=day.isoformat()).state == "success"
    company.wait_for_predictions("churn", day)

    assert day in company.lake.days("features/customers")
    assert company.lake.read_json("reports/customers/validation", day, "verdict.json")["accepted"]

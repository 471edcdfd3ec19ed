"""Changed code of features, deployed into a running stack: the next scheduled run renews them, and nothing else.

The tests build on each other, in the order of the file; the company goes on with the changed code.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import pytest

from include.datasets.customers import CUSTOMERS
from include.lifecycle.ingestion.feature_version import version_input
from include.lifecycle.scoring.prediction_files import features_input
from include.lifecycle.storage.lake import Manifest
from include.models.churn import CHURN
from tests.e2e.conftest import Finished, World
from tests.training_records import staged_record

ETL = "customers_etl"
FEATURES_FILE = "include/datasets/customers/features.py"
AS_IT_WAS = "pl.col(name) / (count * _THOUSANDTHS)"
ROUNDED = "(pl.col(name) / (count * _THOUSANDTHS)).round()"
[VERSION] = version_input(CUSTOMERS)
UNTOUCHED = (
    *(
        layer(table.name)
        for layer in (CUSTOMERS.raw, CUSTOMERS.clean, CUSTOMERS.quarantine)
        for table in CUSTOMERS.tables
    ),
    CUSTOMERS.validation_prefix,
)


@dataclass(frozen=True)
class Renewal:
    """The features before and after the run that renewed them, and all else that it might have written again."""

    run: Finished
    before: dict[date, Manifest]
    after: dict[date, Manifest]
    written_before: dict[str, datetime]
    written_after: dict[str, datetime]

    @property
    def newest(self) -> date:
        return max(self.after)


def features(world: World) -> dict[date, Manifest]:
    """The manifest of each day's features."""
    prefix = CUSTOMERS.features_prefix
    return dict(world.lake.pin(prefix, world.lake.days(prefix)).manifests)


def written(world: World, *prefixes: str) -> dict[str, datetime]:
    """When each object under the prefixes was written."""
    return {item["Key"]: item["LastModified"] for prefix in prefixes for item in world.lake.objects(f"{prefix}/")}


def deploy(world: World) -> None:
    """Compute the usage differently, in whole megabytes and minutes, as a person would: by editing the file."""
    file = world.settings.project_dir / FEATURES_FILE
    code = file.read_text()
    assert code.count(AS_IT_WAS) == 1, f"{FEATURES_FILE} reads otherwise now: name another line to change."
    file.write_text(code.replace(AS_IT_WAS, ROUNDED))


def let_its_hour_come(world: World, dag_id: str) -> Finished:
    """Wait for a run that the scheduler makes by itself, as if the DAG's hour had come again.

    Airflow makes the run of an interval that has none, once it has read the DAG's file.
    """
    world.wait_until_quiet(dag_id)
    world.query("airflow", "delete from dag_run where dag_id = %s and run_type = 'scheduled'", dag_id)
    (world.settings.dags_dir / "etl.py").touch()
    return world.wait(dag_id, world.wait_for_scheduled_run(dag_id))


@pytest.fixture(scope="module")
def renewal(company: World) -> Renewal:
    """The scheduled run after the change."""
    company.wait_until_quiet("churn_scoring")
    before, written_before = features(company), written(company, *UNTOUCHED)
    deploy(company)
    run = let_its_hour_come(company, ETL)
    return Renewal(run, before, features(company), written_before, written(company, *UNTOUCHED))


def test_the_features_of_all_days_have_a_new_version_and_other_bytes(renewal: Renewal) -> None:
    before, after = renewal.before, renewal.after

    assert renewal.run.state == "success", renewal.run.tasks
    assert after.keys() == before.keys()
    assert len(after) > 100
    [former] = {manifest.inputs[VERSION] for manifest in before.values()}
    [present] = {manifest.inputs[VERSION] for manifest in after.values()}
    assert present != former == version_input(CUSTOMERS)[VERSION]
    assert {day for day in before if after[day].digest == before[day].digest} == set()


def test_nothing_is_extracted_or_validated_again(renewal: Renewal) -> None:
    assert {renewal.run.tasks[task] for task in ("extract", "validate", "report_rejections")} == {"skipped"}
    assert renewal.written_before
    assert renewal.written_after == renewal.written_before


def test_the_run_says_why_and_how_many_days(company: World, renewal: Renewal) -> None:
    days = sorted(renewal.after)
    version = renewal.after[days[0]].inputs[VERSION]
    why = f"renewed by code version {version[:8]}"
    instances = company.api.task_instances(ETL, renewal.run.run_id)

    labels = [each["rendered_map_index"] for each in instances if each["task_id"] == "build_features"]
    assert labels
    assert all(label.endswith(why) for label in labels)
    [finds] = [each for each in instances if each["task_id"] == "find_features"]
    log = " ".join(company.api.log_lines(finds, last=100))
    assert f"Features of {len(days)} days of customers, {days[0]} to {days[-1]}: {why}." in log


def test_the_newest_day_is_scored_again_from_the_new_features(company: World, renewal: Renewal) -> None:
    newest = renewal.newest
    made_of = renewal.after[newest]

    company.wait_for_predictions("churn", newest, made_of.digest)

    predictions = company.lake.manifest(CHURN.predictions_prefix, newest)
    assert predictions.inputs[features_input(CHURN, newest)] == made_of.digest
    assert predictions.rows == made_of.rows


def test_the_next_training_learns_from_the_new_features(company: World, renewal: Renewal) -> None:
    newest = renewal.newest

    trained = company.run("churn_training", trials=2, day=newest.isoformat(), reason="other features")

    assert trained.state == "success", trained.tasks
    present = {features_input(CHURN, day): manifest.digest for day, manifest in renewal.after.items()}
    read = staged_record(company.lake, "churn", newest).data
    learnt_from = {name: digest for name, digest in read.items() if name.startswith(CUSTOMERS.features_prefix)}
    assert learnt_from
    assert learnt_from.items() <= present.items()


def test_a_further_run_renews_nothing(company: World) -> None:
    prefixes = (CUSTOMERS.features_prefix, *UNTOUCHED)
    before = written(company, *prefixes)

    run = company.run(ETL)

    assert run.state == "success", run.tasks
    assert run.tasks["build_features"] == "skipped"
    assert written(company, *prefixes) == before

"""`<dataset>_etl`: extract, validate, quarantine, clean, features. One DAG per dataset."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from airflow.sdk import DAG, Asset, dag, get_current_context, task
from airflow.timetables.interval import CronDataIntervalTimetable

from include.catalog import DATASETS
from include.lifecycle.specs import DatasetSpec
from ml_lifecycle.days import requested_range, yesterday
from ml_lifecycle.defaults import DEFAULTS, HEAVY_POOL
from ml_lifecycle.forms import day_field

DOC = """
Brings **{title}** from the source to features, day by day.

- **In:** the source chosen in the Airflow variable `{name}_source`.
- **Out:** `raw/{name}/`, `clean/{name}/`, `quarantine/{name}/`, `features/{name}/` on the lake, and a validation
  page for each day. New features wake the scoring DAGs.
- **Which days:** those that the source has and the lake lacks. Name a day or a range in the form, or start a
  backfill, to redo days. Features of later days that an older day has changed are made anew as well.
- **When it fails:** `validate` red means that a day broke a rule for the whole table, and nothing after it ran.
  The button *Validation page*, under the task's *Details*, opens the page that says why. Mend the source, then
  trigger this DAG with that day. Rows that broke a rule alone are in `quarantine/{name}/` and stop nothing.
  `find_days` red means that the source has stopped delivering, or lacks the day asked for.
  `extract` red after its retries means that the source or the lake is out of reach: clear the task once it is
  back.
"""


def etl(dataset: DatasetSpec) -> DAG:
    """The daily DAG of a dataset."""

    @dag(
        dag_id=f"{dataset.name}_etl",
        dag_display_name=f"{dataset.title}: ETL",
        description=f"Extract, validate and build features of {dataset.title.lower()}, day by day.",
        doc_md=DOC.format(title=dataset.title, name=dataset.name),
        schedule=CronDataIntervalTimetable(dataset.schedule, timezone=dataset.timezone),
        start_date=datetime(2020, 1, 1),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        tags=["etl", dataset.name],
        params={
            "day": day_field(
                "Day", "Redo this day. Empty: the days that the source has and the lake lacks.", dataset
            ),
            "last_day": day_field(
                "Last day", "Redo all days from `day` to this one. Empty: `day` alone.", dataset
            ),
        },
    )
    def build() -> None:
        @task
        def find_days() -> list[list[str]]:
            """The days to work on, in chunks."""
            from include.lifecycle.etl import chunks, plan
            from ml_lifecycle.hooks import lake, source

            context = get_current_context()
            until = yesterday(context, dataset.timezone)
            requested = requested_range(context, dataset)
            with source(dataset) as origin:
                days = plan(dataset, lake(), origin, requested, until)
            return [[day.isoformat() for day in chunk] for chunk in chunks(days, dataset.chunk_days)]

        @task(map_index_template="{{ days_label }}")
        def extract(days: list[str]) -> list[str]:
            """Store the source's tables as they are."""
            from include.lifecycle.etl import extract as extract_day
            from ml_lifecycle.hooks import lake, source
            from ml_lifecycle.runs import label_days, run_info

            store, run = lake(), run_info()
            with source(dataset) as origin:
                for day in label_days(days):
                    extract_day(dataset, store, origin, day, run)
            return days

        @task(map_index_template="{{ days_label }}", pool=HEAVY_POOL)
        def validate(days: list[str]) -> list[str]:
            """Split good rows from bad ones, and stop where a day breaks a rule for the whole table."""
            from include.lifecycle.validation import validate as validate_days
            from ml_lifecycle.hooks import lake
            from ml_lifecycle.runs import label_days, report_verdicts, run_info

            report_verdicts(dataset, validate_days(dataset, lake(), label_days(days), run_info()))
            return days

        @task
        def find_features(validated: Sequence[list[str]]) -> list[list[str]]:
            """The days whose features are to be made: those validated, and those that an older day has changed."""
            from include.lifecycle.etl import chunks, features_to_make
            from ml_lifecycle.hooks import lake

            until = yesterday(get_current_context(), dataset.timezone)
            known = [date.fromisoformat(day) for chunk in validated for day in chunk]
            days = features_to_make(dataset, lake(), known, until)
            return [[day.isoformat() for day in chunk] for chunk in chunks(days, dataset.chunk_days)]

        @task(
            map_index_template="{{ days_label }}",
            pool=HEAVY_POOL,
            outlets=[Asset(f"{dataset.name}_features")],
        )
        def build_features(days: list[str]) -> None:
            """Make the point-in-time features of each day."""
            from include.lifecycle.etl import build_features as build_days
            from ml_lifecycle.hooks import lake
            from ml_lifecycle.runs import label_days, run_info

            build_days(dataset, lake(), label_days(days), run_info())

        extracted = extract.expand(days=find_days())
        validated = validate.expand(days=extracted)
        build_features.expand(days=find_features(validated))

    return build()


for dataset in DATASETS.values():
    etl(dataset)

"""`<dataset>_etl`: extract, validate, quarantine, clean, features. One DAG per dataset."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from airflow.sdk import DAG, TriggerRule, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from airflow.timetables.interval import CronDataIntervalTimetable

from include.catalog import DATASETS
from include.lifecycle.specs import DatasetSpec
from ml_lifecycle import assets
from ml_lifecycle.days import requested_range, yesterday
from ml_lifecycle.defaults import DEFAULTS, HEAVY
from ml_lifecycle.forms import day_field
from ml_lifecycle.schedules import in_words

DOC = """
Brings **{title}** from the source to features, day by day.

- **In:** the source chosen in the Airflow variable `{name}_source`.
- **Out:** `raw/{name}/`, `clean/{name}/`, `quarantine/{name}/`, `features/{name}/` on the lake, and a validation
  page for each day. New features wake the scoring DAGs.
- **When it runs:** {schedule}, by hand, or in a backfill.
- **Which days:** those that the source has and that lack features, except rejected ones. Name a day or a range in
  the form, or start a backfill, to redo days. Features of later days that an older day has changed are rebuilt as
  well.
- **When the code of the features changes:** the next run renews the features of all days, and extracts and
  validates nothing again. The labels of `build_features` say which days, and why. Training and scoring pass over
  days that are not yet renewed.
- **When it fails:** `report_rejections` red names the days that were rejected, and why; all other days of the run
  have their features. The button *Validation page*, under the task's *Details*, opens the page of the first of
  them. Correct the source, then trigger this DAG with that day. It also names what the source lacks on every day,
  such as a symbol without a file. Rows that broke a rule alone are in `quarantine/{name}/` and stop nothing.
  `find_days` red means that the source has stopped delivering, lacks the day asked for, or does not exist.
  `extract` red after its retries means that the source or the lake is out of reach; `validate` red, that the lake
  is, or that a rule is written wrongly. The next run makes up for days that are new; trigger this DAG with the
  others.
"""


def _label(days: str) -> str:
    """A template for the label of a mapped task in the UI: its first and last day."""
    return f"{{{{ {days}[0] }}}}{{% if {days} | length > 1 %}} to {{{{ {days}[-1] }}}}{{% endif %}}"


def etl(dataset: DatasetSpec) -> DAG:
    """The daily DAG of a dataset."""
    features_asset = assets.features(dataset.name)

    @dag(
        dag_id=f"{dataset.name}_etl",
        dag_display_name=f"{dataset.title}: ETL",
        description=f"Extract, validate and build features of {dataset.title.lower()}, day by day.",
        doc_md=DOC.format(
            title=dataset.title, name=dataset.name, schedule=in_words(dataset.schedule, dataset.timezone)
        ),
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
                "Last day", "Redo all days from Day to this one. Empty: that day alone.", dataset
            ),
        },
    )
    def build() -> None:
        @task
        def find_days() -> list[list[str]]:
            """The days to work on, in chunks."""
            from include.lifecycle.ingestion.planning import chunks, plan
            from ml_lifecycle.hooks import lake, source

            context = get_current_context()
            until = yesterday(context, dataset.timezone)
            requested = requested_range(context, dataset)
            with source(dataset) as origin:
                days = plan(dataset, lake(), origin, requested, until)
            return [[day.isoformat() for day in chunk] for chunk in chunks(days, dataset.chunk_days)]

        @task(map_index_template=_label("task.op_kwargs['days']"))
        def extract(days: list[str]) -> dict[str, Any]:
            """Store the source's tables as they are; a day that the source cannot give stops no other."""
            from include.lifecycle.ingestion.extraction import extract as extract_days
            from ml_lifecycle.hooks import lake, source
            from ml_lifecycle.runs import run_info

            with source(dataset) as origin:
                wanted = [date.fromisoformat(day) for day in days]
                return extract_days(dataset, lake(), origin, wanted, run_info()).model_dump(mode="json")

        # Not mapped, as each day is compared with those before it, also where a try of the task is killed.
        @task(**HEAVY, trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
        def validate(extracted: Sequence[dict[str, Any]]) -> dict[str, Any]:
            """Split good rows from bad ones, and reject the days on which a whole table is wrong."""
            from include.lifecycle.ingestion.records import ExtractedDays
            from include.lifecycle.ingestion.validation import validate_chunks
            from ml_lifecycle.hooks import lake
            from ml_lifecycle.runs import run_info, show_verdicts

            found = [ExtractedDays.model_validate(some) for some in extracted]
            verdicts = validate_chunks(dataset, lake(), found, run_info())
            return show_verdicts(dataset, verdicts).model_dump(mode="json")

        @task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
        def report_rejections(
            planned: list[list[str]],
            extracted: Sequence[dict[str, Any]],
            validated: dict[str, Any] | None,
        ) -> None:
            """Make the run red where a day was rejected, after all others had their turn, and say why."""
            from include.lifecycle.ingestion.records import ExtractedDays, validated_days
            from ml_lifecycle.hooks import lake
            from ml_lifecycle.runs import fail_on_shortfall
            from ml_lifecycle.summaries import refresh_dataset

            days = [date.fromisoformat(day) for chunk in planned for day in chunk]
            refresh_dataset(dataset, days)
            found = [ExtractedDays.model_validate(some) for some in extracted]
            fail_on_shortfall(dataset, days, found, validated_days(dataset, lake(), found, validated))

        # Also where `validate` failed, so that the days which it had come to have their features, and where there
        # is nothing to validate, as changed code renews the features of days that are there.
        @task(trigger_rule=TriggerRule.ALL_DONE)
        def find_features(
            planned: list[list[str]], extracted: Sequence[dict[str, Any]], validated: dict[str, Any] | None
        ) -> list[dict[str, Any]]:
            """The days to build features of: accepted ones, those with changed inputs, and those of other code."""
            from include.lifecycle.ingestion.features import features_to_build
            from include.lifecycle.ingestion.records import ExtractedDays, validated_days
            from ml_lifecycle.hooks import lake

            found = [ExtractedDays.model_validate(some) for some in extracted] if planned else []
            until = yesterday(get_current_context(), dataset.timezone)
            accepted = validated_days(dataset, lake(), found, validated).accepted
            wanted = features_to_build(dataset, lake(), accepted, until).chunks(dataset.chunk_days)
            if not planned and not wanted:
                raise AirflowSkipException("There is no day to work on.")
            return [{"days": [day.isoformat() for day in days], "why": why} for why, days in wanted]

        @task(
            **HEAVY,
            map_index_template=_label("task.op_kwargs['days']") + ", {{ task.op_kwargs['why'] }}",
            outlets=[features_asset],
        )
        def build_features(days: list[str], why: str) -> None:
            """Build the point-in-time features of each day."""
            from include.lifecycle.ingestion.features import build_features as build_days
            from ml_lifecycle.hooks import lake
            from ml_lifecycle.runs import run_info
            from ml_lifecycle.summaries import refresh_dataset

            wanted = [date.fromisoformat(day) for day in days]
            build_days(dataset, lake(), wanted, run_info())
            refresh_dataset(dataset, wanted)
            get_current_context()["outlet_events"][features_asset].extra = {"days": [*days]}

        planned = find_days()
        extracted = extract.expand(days=planned)
        validated = validate(extracted)
        report_rejections(planned, extracted, validated)
        build_features.expand_kwargs(find_features(planned, extracted, validated))

    return build()


for dataset in DATASETS.values():
    etl(dataset)

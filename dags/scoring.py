"""`<model>_scoring`: predictions for the days that have features and none yet. One DAG per model."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, Asset, dag, get_current_context, task, task_group

from include.catalog import MODELS
from include.lifecycle.specs import ModelSpec
from ml_lifecycle.days import requested_range
from ml_lifecycle.defaults import DEFAULTS, HEAVY_POOL
from ml_lifecycle.forms import day_field
from ml_lifecycle.operators import PublishPredictionsOperator

DOC = """
Scores every row of **{dataset}** with the champion of **{title}**, and publishes the prediction files.

- **In:** `features/{dataset}/` and the champion's version of the registered model `{name}`.
- **Out:** `predictions/{name}/dt=.../` as Parquet and CSV, `predictions/{name}/latest.json`, and the warehouse
  table `ml.{name}_predictions`. New predictions wake whoever waits for the asset `{name}_predictions`.
- **When it runs:** woken by new features or a new champion, or by hand.
- **Which days:** it scores the days that have features and no
  predictions, but none that the champion has seen the future of. Name a day in the form to score it all the same.
- **When it fails:** `score` red names the model or the features that do not fit; readers still see the previous
  state. `publish` red after its retries means that the lake or the warehouse is out of reach: clear the task.
"""


def scoring(model: ModelSpec) -> DAG:
    """The scoring DAG of a model."""

    @dag(
        dag_id=f"{model.name}_scoring",
        dag_display_name=f"{model.title}: scoring",
        description=f"Score new days with the champion of {model.title.lower()} and publish the files.",
        doc_md=DOC.format(title=model.title, name=model.name, dataset=model.dataset.name),
        schedule=Asset(f"{model.dataset.name}_features") | Asset(f"{model.name}_champion"),
        start_date=datetime(2020, 1, 1),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        tags=["scoring", model.name],
        params={
            "day": day_field(
                "Day",
                "Score this day, with its own champion, or the present one if there was none yet. Empty: the days "
                "that lack predictions.",
                model.dataset,
            ),
            "last_day": day_field(
                "Last day", "Score all days from `day` to this one. Empty: `day` alone.", model.dataset
            ),
        },
    )
    def build() -> None:
        @task
        def find_days() -> list[dict[str, str]]:
            """The days to score, each with the version that was champion for it."""
            from include.lifecycle import scoring
            from ml_lifecycle.hooks import WarehouseHook, lake

            requested = requested_range(get_current_context(), model.dataset)
            with WarehouseHook().connection() as connection:
                jobs = scoring.plan(model, lake(), connection, requested)
            return [{"day": day.isoformat(), "version": str(version)} for day, version in jobs.items()]

        @task(pool=HEAVY_POOL, map_index_template="{{ days_label }}")
        def score(job: dict[str, str]) -> str:
            """Score a day with its version; returns the day."""
            from include.lifecycle import intervals, ledger, registry, scoring
            from ml_lifecycle.hooks import MlflowHook, WarehouseHook, lake
            from ml_lifecycle.runs import label_days, run_info

            [day] = label_days([job["day"]])
            version = int(job["version"])
            url = MlflowHook().tracking_uri
            with WarehouseHook().connection() as connection:
                digest = ledger.digest_of(ledger.entries(connection, model.name), version)
            estimator = registry.load(url, model.name, version, model.trusted_types, digest)
            interval = intervals.from_tags(registry.version_tags(url, model.name, version))
            with WarehouseHook().connection() as connection:
                scoring.score(model, lake(), day, estimator, version, run_info(), interval, connection)
            return day.isoformat()

        @task_group
        def one_day(job: dict[str, str]) -> None:
            PublishPredictionsOperator(
                task_id="publish",
                map_index_template="{{ task.day }}",
                model=model.name,
                day=score(job),
                outlets=[Asset(f"{model.name}_predictions")],
            )

        one_day.expand(job=find_days())

    return build()


for model in MODELS.values():
    scoring(model)

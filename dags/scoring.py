"""`<model>_scoring`: predictions for the days that have features and none yet. One DAG per model."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from airflow.sdk import DAG, Asset, dag, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowFailException

from include.catalog import MODELS
from include.lifecycle.specs import ModelSpec
from ml_lifecycle.days import requested_range
from ml_lifecycle.defaults import DEFAULTS, HEAVY_POOL
from ml_lifecycle.forms import day_field
from ml_lifecycle.operators import SCORED, PublishPredictionsOperator

DOC = """
Scores every row of **{dataset}** with the champion of **{title}**, and publishes the prediction files.

- **In:** `features/{dataset}/` and the champion's version of the registered model `{name}`.
- **Out:** `predictions/{name}/dt=.../` as Parquet and CSV, `predictions/{name}/latest.json`, and the warehouse
  table `ml.{name}_predictions`. New predictions wake whoever waits for the asset `{name}_predictions`.
- **When it runs:** woken by new features or a new champion, or by hand.
- **Which days:** it scores the days that have features and no
  predictions, but none that the champion has seen the future of. Name a day in the form to score it all the same.
- **A champion that cannot be used** (deleted, damaged, replaced) is notified and recorded in the ledger: the
  version that it replaced scores the day, if that had not seen the day's future. Without one, `score` fails.
- **When it fails:** `score` red names the model, or the days whose features do not fit; readers still see their
  previous state, the other days are published. `publish` red names the days that it lacks; red after its retries
  it means that the lake or the warehouse is out of reach: clear the task.
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
        def find_days() -> list[dict[str, Any]]:
            """The days to score, in chunks of one version: the champion of the day, or one that it replaced."""
            from include.lifecycle import fallback, ledger, registry, scoring
            from include.lifecycle.notifications import notify
            from ml_lifecycle.hooks import MlflowHook, WarehouseHook, lake, notification_webhook

            context, url = get_current_context(), MlflowHook().tracking_uri
            requested = requested_range(context, model.dataset)
            with WarehouseHook().connection() as connection:
                planned = scoring.plan(model, lake(), connection, requested)
                history = ledger.entries(connection, model.name)
                found = fallback.assign(
                    planned,
                    history,
                    lambda version: registry.fault(url, model, version, ledger.digest_of(history, version)),
                    context["dag_run"].run_id,
                    on_demand=requested is not None,
                )
                for entry in found.entries:
                    notify(f"{model.title}: {entry.reason}", notification_webhook())
                    ledger.record(connection, entry)
            jobs = fallback.jobs(found.versions, model.dataset.chunk_days)
            return [{"version": job.version, "days": [day.isoformat() for day in job.days]} for job in jobs]

        @task(pool=HEAVY_POOL, map_index_template="{{ days_label }}")
        def score(job: dict[str, Any]) -> None:
            """Score days with one version, which is loaded once."""
            from include.lifecycle import intervals, ledger, registry, scoring
            from ml_lifecycle.hooks import MlflowHook, WarehouseHook, lake
            from ml_lifecycle.runs import label_days, run_info

            version = job["version"]
            days = label_days(job["days"], f"version {version}")
            scored: list[str] = []

            def note(day: date) -> None:
                scored.append(day.isoformat())
                get_current_context()["ti"].xcom_push(SCORED, scored)

            get_current_context()["ti"].xcom_push(SCORED, scored)
            url = MlflowHook().tracking_uri
            with WarehouseHook().connection() as connection:
                digest = ledger.digest_of(ledger.entries(connection, model.name), version)
                estimator = registry.load(url, model.name, version, model.trusted_types, digest)
                interval = intervals.from_tags(registry.version_tags(url, model.name, version))
                scorer = scoring.Scorer(estimator, version, interval)
                errors = scoring.score_days(model, lake(), connection, days, scorer, run_info(), note)
            if errors:
                raise AirflowFailException(" ".join(f"{day}: {error}" for day, error in errors.items()))

        @task_group
        def chunk(job: dict[str, Any]) -> None:
            # Days that were scored are published though others of the chunk were not.
            PublishPredictionsOperator(
                task_id="publish",
                map_index_template="{{ days_label }}",
                model=model.name,
                job=job,
                scored=score(job)[SCORED],
                outlets=[Asset(f"{model.name}_predictions")],
                trigger_rule="all_done",
            )

        chunk.expand(job=find_days())

    return build()


for model in MODELS.values():
    scoring(model)

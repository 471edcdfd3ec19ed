"""`<model>_scoring`: predictions for the days that have features and none yet. One DAG per model."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any

from airflow.sdk import DAG, Param, TriggerRule, dag, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowFailException

from include.catalog import MODELS
from include.lifecycle.look_back import LOOK_BACK
from include.lifecycle.specs import ModelSpec
from ml_lifecycle import assets
from ml_lifecycle.days import requested_range
from ml_lifecycle.defaults import DEFAULTS, HEAVY, deadline
from ml_lifecycle.forms import day_field
from ml_lifecycle.operators import OUTCOME, SCORED, UNSCORED, PublishPredictionsOperator

DOC = """
Scores every row of **{dataset}** with the champion of **{title}**, and publishes the prediction files.

- **In:** `features/{dataset}/` and the champion's version of the registered model `{name}`.
- **Out:** `predictions/{name}/dt=.../` as Parquet and CSV, `predictions/{name}/latest.json`, and the warehouse
  table `ml.{name}_predictions`. `dt` is the day of the features; which days a row is about, its `target_from` and
  `target_until` say. New predictions wake whoever waits for the asset `{name}_predictions`.
- **When it runs:** woken by new features or a new champion, or by hand.
- **Which days:** it scores the days that have features and no predictions, but none that the champion has seen
  the future of. It looks back {look_back} days from the newest published day, and through all of the history where
  the oldest of these days lacks predictions. Name a day in the form to score it all the same. A day whose files or
  rows are lost is scored by the version that had scored it, whichever is champion by now. Days of a version that
  was rolled back are scored again where the rollback asks for it; their manifest says why.
- **An A/B test** (see `{name}_shadow`): the rows of the challenger's keys are of its version, as their
  `model_version` says, and `latest.json` names both. Where the challenger cannot be used, the champion scores all
  rows; the task's log and the day's manifest say why.
- **A champion that cannot be used** (deleted, damaged, replaced) is notified and recorded in the ledger: the
  version that it replaced scores the day, if that had not seen the day's future. Without one, nothing is scored.
- **Deadline:** people are notified of a run that has not ended {deadline_hours:g} hours after it was queued.
- **When it fails:** `report_unscored` red names each day that could not be scored or published, and why; readers
  of these still see their previous state, all other days are published and announced. `score` or `publish` red
  after its retries means that the lake, the warehouse or MLflow is out of reach: clear the task.
"""


def scoring(model: ModelSpec) -> DAG:
    """The scoring DAG of a model."""

    @dag(
        dag_id=f"{model.name}_scoring",
        dag_display_name=f"{model.title}: scoring",
        description=f"Score new days with the champion of {model.title.lower()} and publish the files.",
        doc_md=DOC.format(
            title=model.title,
            name=model.name,
            dataset=model.dataset.name,
            deadline_hours=model.schedule.deadline_hours,
            look_back=LOOK_BACK.days,
        ),
        schedule=assets.features(model.dataset.name) | assets.champion(model.name),
        start_date=datetime(2020, 1, 1),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        deadline=deadline(model.schedule.deadline_hours),
        tags=["scoring", model.name],
        params={
            "day": day_field(
                "Day",
                "Score this day, with the version that has scored it before, else the champion of that day, or "
                "the present one if there was none yet. Empty: the days that lack predictions.",
                model.dataset,
            ),
            "last_day": day_field(
                "Last day", "Score all days from Day to this one. Empty: that day alone.", model.dataset
            ),
            "rescore": Param(
                False,
                type="boolean",
                title="Score again",
                description=(
                    "Days that another version has scored are scored again, with the champion of that day. People "
                    "may have acted on what was published."
                ),
            ),
        },
    )
    def build() -> None:
        @task
        def find_days() -> list[dict[str, Any]]:
            """The days to score, in chunks of one version: the day's own, its champion, or one before that."""
            from include.lifecycle.promotion import fallback, ledger, registry, repair
            from include.lifecycle.reporting.notifications import Notification
            from include.lifecycle.scoring import planning
            from include.lifecycle.scoring.prediction_files import PARQUET
            from include.lifecycle.storage import latest
            from ml_lifecycle.hooks import MlflowHook, WarehouseHook, lake, notify
            from ml_lifecycle.runs import run_info, run_links

            context, url = get_current_context(), MlflowHook().tracking_uri
            requested = requested_range(context, model.dataset)
            with WarehouseHook().connection() as connection:
                repair.repair(url, connection, model.name, run_info(), "scoring")
                latest.restore(lake(), connection, model.predictions_prefix, PARQUET)
                keeps = not context["params"]["rescore"]
                planned = planning.plan(model, lake(), connection, requested, keeps_versions=keeps)
                history = ledger.entries(connection, model.name)
                found = fallback.assign(
                    planned,
                    history,
                    lambda version: registry.fault(url, model, version, ledger.digest_of(history, version)),
                    context["dag_run"].run_id,
                    on_demand=requested is not None,
                )
                for entry in found.entries:
                    notify(Notification(f"{model.title}: champion not usable", entry.reason, run_links()))
                    ledger.record(connection, entry)
            jobs = fallback.jobs(found.versions, model.dataset.chunk_days)
            return [{"version": job.version, "days": [day.isoformat() for day in job.days]} for job in jobs]

        @task(**HEAVY, map_index_template="{{ days_label }}")
        def score(job: dict[str, Any]) -> dict[str, Any]:
            """Score days with one version, which is loaded once; a day that cannot be scored stops no other."""
            from include.lifecycle.modelling.model_files import UnusableModelError
            from include.lifecycle.promotion import ledger
            from include.lifecycle.scoring import rescoring, scorers, scoring
            from ml_lifecycle.hooks import MlflowHook, WarehouseHook, lake
            from ml_lifecycle.runs import label_days, run_info

            instance, version = get_current_context()["ti"], job["version"]
            days = label_days(job["days"], f"version {version}")
            scored: list[str] = []
            unscored: dict[str, str] = {}
            instance.xcom_push(SCORED, scored)
            with WarehouseHook().connection() as connection:
                url, history = MlflowHook().tracking_uri, ledger.entries(connection, model.name)
                digest = ledger.digest_of(history, version)
                try:
                    loaded = scorers.load_scorer(url, lake(), model, version, digest)
                except UnusableModelError as error:
                    return {SCORED: [], UNSCORED: dict.fromkeys(job["days"], str(error))}
                scorer = replace(
                    loaded,
                    withdrawn=rescoring.withdrawn(history),
                    challengers=scorers.challengers_of(url, lake(), model, history, version),
                )
                for day, fault in scoring.score_days(model, lake(), connection, days, scorer, run_info()):
                    if fault is not None:
                        unscored[day.isoformat()] = fault
                        continue
                    scored.append(day.isoformat())
                    instance.xcom_push(SCORED, scored)
            return {SCORED: scored, UNSCORED: unscored}

        @task_group
        def chunk(job: dict[str, Any]) -> None:
            result = score(job)
            # Days that were scored before the task died are published all the same.
            PublishPredictionsOperator(
                task_id="publish",
                execution_timeout=HEAVY["execution_timeout"],
                map_index_template="{{ days_label }}",
                model=model.name,
                job=job,
                scored=result[SCORED],
                unscored=result[UNSCORED],
                outlets=[assets.predictions(model.name)],
                trigger_rule="all_done",
            )

        # Not with "min one success": that rule skips the task where a chunk had nothing to publish.
        @task(trigger_rule=TriggerRule.ALL_DONE)
        def report_unscored(jobs: list[dict[str, Any]] | None) -> None:
            """Make the run red where a day is not published, after all others had their turn, and say why."""
            from include.lifecycle.scoring.publishing import unpublished_days
            from ml_lifecycle.summaries import refresh_model

            if jobs is None:
                raise AirflowFailException("No day was scored; the log of `find_days` says why.")
            found = get_current_context()["ti"].xcom_pull(["chunk.publish"], key=OUTCOME)
            outcomes = [outcome for outcome in found if outcome]
            planned = [day for job in jobs for day in job["days"]]
            refresh_model(model, map(date.fromisoformat, planned))
            published = {day for outcome in outcomes for day in outcome["published"]}
            errors = {day: error for outcome in outcomes for day, error in outcome["errors"].items()}
            sentences = unpublished_days(planned, published, errors)
            if sentences:
                raise AirflowFailException(
                    f"{model.title}: {len(sentences)} of {len(planned)} days are not published, the others are. "
                    f"{' '.join(sentences)}"
                )

        jobs = find_days()
        chunk.expand(job=jobs) >> report_unscored(jobs)

    return build()


for model in MODELS.values():
    scoring(model)

"""`<model>_monitoring`: has the world moved away, and how good were the predictions? One DAG per model."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, TriggerRule, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from include.catalog import MODELS
from include.lifecycle.specs import ModelSpec
from ml_lifecycle import assets
from ml_lifecycle.days import run_day
from ml_lifecycle.defaults import DEFAULTS, HEAVY
from ml_lifecycle.forms import day_field
from ml_lifecycle.schedules import from_next_time, in_words

if TYPE_CHECKING:
    from include.lifecycle.monitoring.reference import Reference

DOC = """
Compares last week's features and scores of **{title}** with the training of the version that made the newest
predictions, measures the predictions whose outcomes have become known, and estimates those of the last week.

- **In:** `features/{dataset}/` and `predictions/{name}/` of the last {window} days, and that training's holdout.
- **Out:** `reports/{name}/drift/dt=.../` (page, Evidently's report, verdict), a row per column and week in the
  warehouse table `ml.drift`, and metrics of the version in MLflow; `reports/{name}/performance/dt=.../` (page,
  verdict, outcomes), a row per measure in `ml.performance`.
- **When it runs:** {schedule}, on the week that ended the day before.
- **The verdicts** are *drift*, *no drift* or *not enough evidence*, and *as expected*, *worse*, *intervals off* or
  *not enough evidence*. `notify_drift` and `notify_performance` write them to the log, and send them to the
  services of the connection `notifications` if there is one.{rollback}
- **Retraining:** `decide_retraining` reads the last reports, and decides *train*, *wait* or *block*, with reasons,
  by the model's `retraining` settings; a champion that cannot be used asks on its own. *train* makes a request in
  `ml.retraining`, and `wake_training` wakes `{name}_training`; it is skipped where no request waits for an answer.
- **When it fails:** `report` and `performance` are skipped before there are predictions. Red, they name what is
  missing or replaced: run the DAG that they name, then clear them. A week without enough features or scores does
  not fail: its verdict is *not enough evidence*, and the page says what to run.
"""

ROLLBACK_DOC = """
- **Automatic rollback:** `roll_back_if_worse` scores the outcomes of the champion's predictions with the version
  before it, too. Where that is better by more than {margin:g} beyond chance, it becomes champion again, people are
  notified and the scoring is woken. Its log and the ledger say why, or why not."""


def monitoring(model: ModelSpec) -> DAG:
    """The monitoring DAG of a model."""
    retraining_asset = assets.retraining(model.name)

    @dag(
        dag_id=f"{model.name}_monitoring",
        dag_display_name=f"{model.title}: monitoring",
        description=f"Weekly drift report of {model.title.lower()}.",
        doc_md=DOC.format(
            title=model.title,
            name=model.name,
            dataset=model.dataset.name,
            window=model.drift.window_days,
            schedule=in_words(model.schedule.monitoring, model.dataset.timezone),
            rollback="" if model.rollback is None else ROLLBACK_DOC.format(margin=model.rollback.margin),
        ),
        schedule=from_next_time(model.schedule.monitoring, model.dataset.timezone),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        tags=["monitoring", model.name],
        params={
            "day": day_field("Day", "Last day of the week to report on. Empty: yesterday.", model.dataset),
        },
    )
    def build() -> None:
        @task(**HEAVY)
        def report() -> dict[str, str]:
            """Measure the drift of each column and publish the report."""
            from include.lifecycle.monitoring import drift, drift_verdict
            from include.lifecycle.monitoring.drift_metrics import log_drift
            from ml_lifecycle.hooks import MlflowHook

            verdict, reference = measured(drift.monitor)
            day = run_day(get_current_context(), model.dataset)
            log_drift(MlflowHook().tracking_uri, model, reference, day, verdict)
            return shown(drift_verdict.KIND, verdict.verdict, verdict.reason)

        @task(**HEAVY)
        def performance() -> dict[str, str]:
            """Measure the predictions whose outcomes have become known, and publish the report."""
            from include.lifecycle.monitoring import ab_test_section, performance, performance_verdict

            verdict, _ = measured(performance.monitor)
            reason = f"{verdict.reason} {ab_test_section.advice(model, verdict.ab_test)}".strip()
            return shown(performance_verdict.KIND, f"performance {verdict.verdict}", reason)

        def measured(monitor: Callable[..., Any]) -> tuple[Any, Reference]:
            """What `monitor` says of the version at work, and that; skipped before there are predictions."""
            from include.lifecycle.monitoring.reference import find_reference
            from ml_lifecycle.hooks import MlflowHook, WarehouseHook, lake
            from ml_lifecycle.runs import run_info

            day = run_day(get_current_context(), model.dataset)
            reference = find_reference(MlflowHook().tracking_uri, model, lake())
            if reference is None:
                raise AirflowSkipException(
                    f"{model.title} has no predictions yet; {model.name}_scoring makes them."
                )
            with WarehouseHook().connection() as connection:
                return monitor(model, lake(), connection, day, run_info(), reference), reference

        def shown(kind: str, verdict: str, reason: str) -> dict[str, str]:
            """What the notification says, with a link to the report."""
            from ml_lifecycle.links import show_report
            from ml_lifecycle.summaries import refresh_model

            day = run_day(get_current_context(), model.dataset)
            refresh_model(model, [day])
            page = show_report(model.report_prefix(kind), day)
            return {"page": page, "day": day.isoformat(), "verdict": verdict, "reason": reason}

        @task
        def notify_verdict(verdict: dict[str, str]) -> None:
            """Notify of the verdict, with a link to its page."""
            from include.lifecycle.reporting.notifications import Notification
            from ml_lifecycle.hooks import notify
            from ml_lifecycle.runs import run_links

            title = f"{model.title}, {verdict['day']}: {verdict['verdict']}"
            notify(Notification(title, verdict["reason"], run_links(verdict["page"])))

        @task(**HEAVY, outlets=[assets.champion(model.name)])
        def roll_back_if_worse(verdict: dict[str, str]) -> None:
            """Roll back if the version before the champion did better on the same outcomes; wakes the scoring."""
            from ml_lifecycle import rollbacks

            done = rollbacks.roll_back_if_worse(model, date.fromisoformat(verdict["day"]))
            if done is None:
                raise AirflowSkipException("The champion stays; the log says why.")
            get_current_context()["outlet_events"][assets.champion(model.name)].extra = done

        # Also where both reports failed: nothing else may say that the champion cannot be used.
        @task(trigger_rule=TriggerRule.ALL_DONE)
        def decide_retraining() -> dict[str, Any]:
            """Decide whether the reports ask for a training, and record the request."""
            from ml_lifecycle import retraining

            return retraining.decide(model)

        @task(outlets=[retraining_asset])
        def wake_training(decision: dict[str, Any]) -> None:
            """Wake the training while a request is not answered; skipped where none waits."""
            if decision["open_request"] is None:
                raise AirflowSkipException(" ".join([f"{decision['action']}:", *decision["reasons"]]))
            get_current_context()["outlet_events"][retraining_asset].extra = decision

        drift_report, performance_report = report(), performance()
        notify_verdict.override(task_id="notify_drift")(drift_report)
        notify_verdict.override(task_id="notify_performance")(performance_report)
        decision = decide_retraining()
        [drift_report, performance_report] >> decision
        wake_training(decision)
        if model.rollback is not None:
            roll_back_if_worse(performance_report)

    return build()


for model in MODELS.values():
    monitoring(model)

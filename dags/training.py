"""`<model>_training`: labels, training, push to MLflow, gate, approval. One DAG per model."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from include.catalog import MODELS
from include.lifecycle.promotion.actions import CHAMPION_CHANGES
from include.lifecycle.specs import ModelSpec
from ml_lifecycle import assets
from ml_lifecycle.defaults import DEFAULTS, HEAVY, TRAINING
from ml_lifecycle.forms import approval_form, training_form
from ml_lifecycle.operators import ApproveVersionOperator, PushModelOperator
from ml_lifecycle.schedules import from_next_time_or, in_words

DOC = """
Trains **{title}**, registers it in MLflow, and lets the gate decide whether it becomes the champion.

- **In:** `features/{dataset}/` and the matured outcomes in `clean/{dataset}/{label_table}/`.
- **Out:** `labels/{name}/`, the staged model in `staging/{name}/`, a version of the registered model `{name}` in
  MLflow, an entry in the ledger (`ml.ledger`), and the version's card in `reports/{name}/model_card/`. A new
  champion wakes the scoring DAG, which uses it from then on.
- **When it runs:** {schedule}, by hand, or when `{name}_monitoring` asks for it. `take_request` says why: a run
  answers the request that is open (`ml.retraining`), and one that is woken where none is open is skipped.
  `close_request` notes what came of it; after a failure the request stays open for the next run.
- **The gate:** a candidate becomes champion only if it beats the naive baseline and the present champion on the
  same holdout and passes every other check of its model, which the card lists; an old champion is also replaced by
  one that is no worse, where the model says so. Otherwise the champion stays, and the ledger says why. Where there
  is no champion yet, the baseline becomes it. A version is evaluated once: another seed or day makes another
  version.
- **Approval:** {approval} Then `approve` waits for an answer, which is under *Required Actions*; after
  {approval_hours:g} hours without one the champion stays. The next training waits until then. `settle` records who
  answered and what they wrote. Where nobody need be asked, `approve` is skipped.
- **Refit:** {refit}
- **When it fails:** {segments}`build_labels` red says which settings or data do not allow a training, and
  `train` red says what the data lacks. `push` red after its retries means that MLflow is out
  of reach: clear that task alone, the trained model waits on the lake.
"""

APPROVAL_DOC = {
    "automatic": "a new champion needs none, unless the leak alarm rings or the form says so.",
    "when_close": "a person is asked where the gain is close to what is required, where the leak alarm rings, and "
    "where the form says so.",
    "always": "a person must agree to each new champion.",
}

REFIT_DOC = """`refit` fits a new champion once more, on the holdout as well and with the same hyperparameters,
  as a version of its own. It takes its parent's place, and scores, where the checks on the card say that it is the
  same model; otherwise the judged version stays, and the run is green. The next candidate is compared with the
  parent. `refit` red leaves the judged version champion without waking the scoring: clear that task alone."""

NO_REFIT_DOC = "none: the version that the gate judged is the one that scores."

SEGMENTS_DOC = """`fit_segments` red names what could not be fitted on its own; the training goes on without it,
  the run ends green, and the model card says so. `batch_segments` red stops the training. """


def training(model: ModelSpec) -> DAG:
    """The training DAG of a model."""
    champion_asset = assets.champion(model.name)

    @dag(
        dag_id=f"{model.name}_training",
        dag_display_name=f"{model.title}: training",
        description=f"Train and register {model.title.lower()}, and evaluate the gate.",
        doc_md=DOC.format(
            title=model.title,
            name=model.name,
            dataset=model.dataset.name,
            label_table=model.label.table,
            schedule=in_words(model.schedule.training, model.dataset.timezone),
            approval=APPROVAL_DOC[model.gate.approval],
            approval_hours=model.gate.approval_hours,
            refit=REFIT_DOC if model.refit else NO_REFIT_DOC,
            segments=SEGMENTS_DOC if model.segments.per_task else "",
        ),
        schedule=from_next_time_or(assets.retraining(model.name), model.schedule.training, model.dataset.timezone),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        tags=["training", model.name],
        params=training_form(model.dataset),
    )
    def build() -> None:
        @task
        def take_request() -> dict[str, Any]:
            """Find out as of which day to train, and why; skipped where an event came for nothing."""
            from ml_lifecycle import retraining

            return retraining.take(model)

        @task
        def build_labels(as_of: str) -> str:
            """Publish the labels that have matured, and the training set; returns the as-of day."""
            from include.lifecycle.training.training_set import assemble
            from ml_lifecycle.hooks import lake
            from ml_lifecycle.trainings import training_request

            assemble(model, lake(), training_request(date.fromisoformat(as_of)))
            return as_of

        @task(**HEAVY)
        def batch_segments(as_of: str) -> list[dict[str, Any]]:
            """Stage what each batch of segments is learnt from; returns the batches."""
            from include.lifecycle.training.segment_training import stage_batches
            from ml_lifecycle.hooks import lake
            from ml_lifecycle.trainings import training_request

            batches = stage_batches(model, lake(), training_request(date.fromisoformat(as_of)))
            return [
                {"number": number, "count": len(batches), "segments": segments}
                for number, segments in enumerate(batches)
            ]

        @task(**TRAINING, map_index_template="{{ batch_label }}")
        def fit_segments(as_of: str, batch: dict[str, Any]) -> None:
            """Tune and fit each segment of a batch on its own."""
            from include.lifecycle.training.segment_training import fit_batch
            from ml_lifecycle.hooks import lake
            from ml_lifecycle.runs import label_batch
            from ml_lifecycle.trainings import training_request

            label_batch(batch["number"], batch["count"], batch["segments"])
            fit_batch(model, lake(), training_request(date.fromisoformat(as_of)), batch["number"])

        @task(**TRAINING)
        def train(as_of: str, reason: str) -> str:
            """Tune, calibrate and evaluate the candidates, and stage the best; returns the stage's digest."""
            from include.lifecycle.training import training
            from ml_lifecycle.hooks import lake
            from ml_lifecycle.trainings import training_request

            return training.train(model, lake(), training_request(date.fromisoformat(as_of), reason)).digest

        @task
        def evaluate_gate(as_of: str, pushed: dict[str, Any]) -> dict[str, Any]:
            """Compare the candidate with the baseline and the champion on the same rows; returns the verdict."""
            from ml_lifecycle import trainings

            return trainings.evaluate_gate(model, date.fromisoformat(as_of), pushed)

        @task
        def publish_card(as_of: str, pushed: dict[str, Any], verdict: dict[str, Any]) -> str:
            """Publish the version's model card with the gate's verdict on it, and show that in MLflow."""
            from ml_lifecycle import trainings

            return trainings.publish_card(model, date.fromisoformat(as_of), pushed["version"])

        @task(trigger_rule="none_failed_min_one_success")
        def settle(
            as_of: str, pushed: dict[str, Any], verdict: dict[str, Any], answer: dict[str, Any] | None
        ) -> dict[str, Any]:
            """Record the answer to a proposal and act on it; returns the verdict that stands then."""
            from ml_lifecycle import approvals

            return approvals.settle(model, date.fromisoformat(as_of), pushed, verdict, answer)

        @task(**TRAINING)
        def refit(as_of: str, pushed: dict[str, Any], verdict: dict[str, Any]) -> dict[str, Any]:
            """Fit a new champion on the holdout as well; it takes its parent's place if it passes its checks."""
            from ml_lifecycle import trainings

            return trainings.refit(model, date.fromisoformat(as_of), pushed, verdict)

        @task(outlets=[champion_asset])
        def announce_champion(verdict: dict[str, Any]) -> None:
            """Wake those who wait for another champion; skipped where the champion stays."""
            if verdict["verdict"] not in CHAMPION_CHANGES:
                stays = f"Version {verdict['version']} stays" if verdict["version"] else "There is still no"
                raise AirflowSkipException(f"{stays} champion.")
            get_current_context()["outlet_events"][champion_asset].extra = verdict

        @task
        def close_request(request: str | None, verdict: dict[str, Any] | None) -> str:
            """Note in the request what came of it; a failed training opens it again."""
            from ml_lifecycle import retraining

            if request is None:
                raise AirflowSkipException("This training answers no request.")
            return retraining.close(model, request, verdict)

        asked = take_request()
        as_of = build_labels(asked["as_of"])
        trained = train(as_of, asked["reason"])
        if model.segments.per_task:
            # Segments that could not be fitted stop nothing, batches that could not be made stop the training.
            batches = batch_segments(as_of)
            fits_ended = EmptyOperator(task_id="fits_ended", trigger_rule="all_done")
            fit_segments.partial(as_of=as_of).expand(batch=batches) >> fits_ended >> trained
            batches >> trained
        push = PushModelOperator(task_id="push", model=model.name, as_of=as_of, staged_digest=trained)
        verdict = evaluate_gate(as_of, push.output)
        approve = ApproveVersionOperator(
            task_id="approve",
            model=model.name,
            verdict=verdict,
            pushed=push.output,
            as_of=as_of,
            params=approval_form(),
            response_timeout=timedelta(hours=model.gate.approval_hours),
            execution_timeout=None,
        )
        publish_card(as_of, push.output, verdict) >> approve
        settled = settle(as_of, push.output, verdict, approve.output)
        # Who scores is announced once, in the end.
        refitted = refit(as_of, push.output, settled) if model.refit else settled
        announced = announce_champion(refitted)
        # A teardown runs whatever became of the others, and what becomes of it does not colour the run.
        closed = close_request(asked["request"], settled).as_teardown()
        announced >> closed

    return build()


for model in MODELS.values():
    training(model)

"""The hand-overs of the lifecycle: models to MLflow, proposals to a person, predictions to who uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from ml_lifecycle.links import MlflowVersionLink, PredictionFileLink, prediction_file

if TYPE_CHECKING:
    from airflow.sdk import Context

SCORED = "scored"
"""XCom key of the days of a job whose scores are staged."""
UNSCORED = "unscored"
"""XCom key of the days of a job that could not be scored, each with the reason."""
OUTCOME = "outcome"
"""XCom key of what became of a job: the days that were published, and why others were not."""


class PushModelOperator(BaseOperator):
    """
    Push a staged training to MLflow: its run, its trials, its plots, and a registered version of the model.

    A retry finishes what an interrupted try began; nothing is trained again and nothing is registered twice.

    :param model: name of the model in the catalog. (templated)
    :param as_of: day as of which the model was trained, `YYYY-MM-DD`. (templated)
    :param staged_digest: digest of the staged training's manifest. (templated)
    :return: dictionary with keys name, version, run_id and staged_digest.
    """

    template_fields: Sequence[str] = ("model", "as_of", "staged_digest")
    operator_extra_links = (MlflowVersionLink(),)
    ui_color = "#d9e8f6"

    def __init__(self, *, model: str, as_of: str, staged_digest: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.as_of = as_of
        self.staged_digest = staged_digest

    def execute(self, context: Context) -> dict[str, Any]:
        """Push the model."""
        from include.catalog import MODELS
        from include.lifecycle.promotion.push import push_model
        from include.lifecycle.promotion.staged_training import StagedTraining
        from ml_lifecycle.hooks import LakeHook, MlflowHook
        from ml_lifecycle.runs import run_info

        mlflow = MlflowHook()
        staged = StagedTraining(MODELS[self.model], date.fromisoformat(self.as_of), self.staged_digest)
        pushed = push_model(mlflow.tracking_uri, LakeHook().lake(), staged, run_info())
        context["ti"].xcom_push(MlflowVersionLink.xcom_key, mlflow.version_url(pushed.name, pushed.version))
        self.log.info("Model %s has version %d (run %s).", pushed.name, pushed.version, pushed.run_id)
        return {
            "name": pushed.name,
            "version": pushed.version,
            "run_id": pushed.run_id,
            "staged_digest": self.staged_digest,
        }


class ApproveVersionOperator(ApprovalOperator):
    """
    Ask a person whether a version becomes champion where the gate proposes it; skipped where nobody need be asked.

    An answer, also a rejection, ends the task in success, and what comes after records it. No answer in time
    counts as a rejection. Whoever may answer approvals may answer this one.

    :param model: name of the model in the catalog. (templated)
    :param verdict: what the gate decided, of which the key verdict is read. (templated)
    :param pushed: what the push returned, of which the key version is read. (templated)
    :param as_of: day as of which the model was trained, `YYYY-MM-DD`. (templated)
    :return: dictionary with keys chosen_options, params_input, responded_at and responded_by_user.
    """

    template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "model", "verdict", "pushed", "as_of")
    ui_color = "#fbe7c6"

    def __init__(
        self, *, model: str, verdict: dict[str, Any], pushed: dict[str, Any], as_of: str, **kwargs: Any
    ) -> None:
        super().__init__(subject="A new champion", defaults=self.REJECT, **kwargs)
        self.model = model
        self.verdict = verdict
        self.pushed = pushed
        self.as_of = as_of

    def execute(self, context: Context) -> None:
        """Notify people of the question, and wait for the answer."""
        from include.catalog import MODELS
        from ml_lifecycle import approvals

        if self.verdict["verdict"] != "propose":
            raise AirflowSkipException("Nobody need be asked: the gate has decided.")
        question = approvals.ask(MODELS[self.model], date.fromisoformat(self.as_of), self.pushed["version"])
        if question is None:
            raise AirflowSkipException("Nobody need be asked: the first answer to this proposal stands.")
        self.subject, self.body = question.subject, question.body
        super().execute(context)

    def skip(self, *_: Any, **__: Any) -> None:
        """Skip nothing: Airflow's own skips what follows a rejection, which is to be recorded here."""


class PublishPredictionsOperator(BaseOperator):
    """
    Publish staged scores of some days: prediction files on the lake, `latest.json`, and the warehouse table.

    A day that breaks the contract of the predictions stops no other and fails nothing: the XCom `outcome` names
    it, with the reason, beside the days that were published. The asset event of the outlet says which version,
    days and rows were published; the task is skipped, without an event, where there are none.

    :param model: name of the model in the catalog. (templated)
    :param job: dictionary with keys version and days (`YYYY-MM-DD`): what was to be scored. (templated)
    :param scored: those of the days whose scores are staged; None if scoring did not begin. (templated)
    :param unscored: the other days, with the reason; None if scoring did not end. (templated)
    :return: list of dictionaries that describe what was published for each day.
    """

    template_fields: Sequence[str] = ("model", "job", "scored", "unscored")
    operator_extra_links = (PredictionFileLink(),)
    ui_color = "#dff2e1"

    def __init__(
        self,
        *,
        model: str,
        job: dict[str, Any],
        scored: Sequence[str] | None,
        unscored: Mapping[str, str] | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.job = job
        self.scored = scored
        self.unscored = unscored

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Publish the predictions."""
        from include.catalog import MODELS
        from include.lifecycle.scoring import publishing
        from ml_lifecycle.hooks import LakeHook, WarehouseHook
        from ml_lifecycle.runs import label_days, run_info

        label_days(self.job["days"], f"version {self.job['version']}")
        staged = [date.fromisoformat(day) for day in self.scored or ()]
        with WarehouseHook().connection() as connection:
            published, errors = publishing.publish_days(
                MODELS[self.model], LakeHook().lake(), connection, staged, run_info()
            )
        days = [day["day"] for day in published]
        unpublished = {**(self.unscored or {}), **{day.isoformat(): error for day, error in errors.items()}}
        context["ti"].xcom_push(OUTCOME, {"published": days, "errors": unpublished})
        if not published:
            raise AirflowSkipException("No day could be published; `report_unscored` says why.")
        context["ti"].xcom_push(PredictionFileLink.xcom_key, prediction_file(self.model, max(days)))
        rows = sum(day["rows"] for day in published)
        for asset in self.outlets:
            extra = {"version": self.job["version"], "days": days, "rows": rows}
            context["outlet_events"][asset].extra = extra
        return published

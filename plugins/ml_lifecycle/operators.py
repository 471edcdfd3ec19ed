"""The two hand-overs of the lifecycle: a trained model to MLflow, predictions to those who use them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from ml_lifecycle.links import MlflowVersionLink

if TYPE_CHECKING:
    from airflow.sdk import Context


class PushModelOperator(BaseOperator):
    """
    Push a staged training to MLflow: its run, its trials, its pictures, and a registered version of the model.

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
        from include.lifecycle import registry
        from ml_lifecycle.hooks import LakeHook, MlflowHook
        from ml_lifecycle.runs import run_info

        mlflow = MlflowHook()
        pushed = registry.push(
            mlflow.tracking_uri,
            MODELS[self.model],
            LakeHook().lake(),
            date.fromisoformat(self.as_of),
            self.staged_digest,
            run_info(),
        )
        context["ti"].xcom_push(MlflowVersionLink.xcom_key, mlflow.version_url(pushed.name, pushed.version))
        self.log.info("Model %s has version %d (run %s).", pushed.name, pushed.version, pushed.run_id)
        return {
            "name": pushed.name,
            "version": pushed.version,
            "run_id": pushed.run_id,
            "staged_digest": self.staged_digest,
        }


class PublishPredictionsOperator(BaseOperator):
    """
    Publish a day's staged scores: prediction files on the lake, `latest.json`, and the warehouse table.

    :param model: name of the model in the catalog. (templated)
    :param day: day that the predictions are for, `YYYY-MM-DD`. (templated)
    :return: dictionary that describes what was published.
    """

    template_fields: Sequence[str] = ("model", "day")
    ui_color = "#dff2e1"

    def __init__(self, *, model: str, day: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.day = day

    def execute(self, context: Context) -> dict[str, Any]:
        """Publish the predictions."""
        from include.catalog import MODELS
        from include.lifecycle import scoring
        from ml_lifecycle.hooks import LakeHook, WarehouseHook
        from ml_lifecycle.runs import run_info

        with WarehouseHook().connection() as connection:
            return scoring.publish(
                MODELS[self.model], LakeHook().lake(), connection, date.fromisoformat(self.day), run_info()
            )

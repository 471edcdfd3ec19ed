"""`<model>_shadow`: a challenger scores beside the champion, apart from what is published. One DAG per model."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, dag, task

from include.catalog import MODELS
from include.lifecycle.promotion.shadow_policy import SHORTEST_REASON
from include.lifecycle.specs import ModelSpec
from ml_lifecycle.defaults import DEFAULTS

DOC = """
Makes a version of **{title}** challenger, withdraws it, or makes it champion.

- **In:** the form, the ledger (`ml.ledger`), and the version of the registered model `{name}` in MLflow.
- **Out:** an entry in the ledger with who asked for it and why, the alias `challenger` in MLflow, and a
  notification.
- **When it runs:** by hand alone.
- **Which version:** one that the gate has judged, also one that it refused, but not the champion. A second
  challenger takes the place of the first.
- **When it fails:** `change` red says what is wrong with the request; trigger the DAG anew. Red after its
  retries it means that MLflow or the warehouse is out of reach: clear it.
"""

ACTIONS = {
    "shadow": "Score in shadow: the version becomes challenger",
    "withdraw": "Withdraw: there is no challenger any more",
}


def shadow(model: ModelSpec) -> DAG:
    """The shadow DAG of a model."""

    @dag(
        dag_id=f"{model.name}_shadow",
        dag_display_name=f"{model.title}: shadow",
        description=f"Set a challenger beside the champion of {model.title.lower()}.",
        doc_md=DOC.format(title=model.title, name=model.name),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        tags=["shadow", model.name],
        params={
            "action": Param(
                "shadow",
                type="string",
                enum=[*ACTIONS],
                values_display=ACTIONS,
                title="Action",
                description="What is to happen.",
            ),
            "version": Param(
                None,
                type=["null", "integer"],
                minimum=1,
                title="Version",
                description="The version that is to score in shadow. Empty: the present challenger.",
            ),
            "reason": Param(
                None,
                type=["null", "string"],
                minLength=SHORTEST_REASON,
                maxLength=500,
                title="Reason",
                description=f"Why, in {SHORTEST_REASON} to 500 characters; it is kept in the ledger. Required.",
            ),
        },
    )
    def build() -> None:
        @task
        def change() -> dict[str, Any]:
            """Do what the form asks for, in the ledger and in MLflow."""
            from ml_lifecycle import shadows

            return shadows.change(model)

        change()

    return build()


for model in MODELS.values():
    shadow(model)

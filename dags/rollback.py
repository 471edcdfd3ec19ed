"""`<model>_rollback`: a former champion comes back, because a person asks for it. One DAG per model."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from include.catalog import MODELS
from include.lifecycle.promotion.actions import SHORTEST_REASON
from include.lifecycle.specs import ModelSpec
from ml_lifecycle import assets
from ml_lifecycle.defaults import DEFAULTS
from ml_lifecycle.forms import text_field, version_field

DOC = """
Makes a former champion of **{title}** champion again.

- **In:** the form, the ledger (`ml.ledger`), and the version of the registered model `{name}` in MLflow.
- **Out:** an entry `rollback` in the ledger with who asked for it and why, aliases and tags in MLflow, and a
  notification. The scoring DAG is woken and uses the version from then on.
- **When it runs:** by hand alone. As it opens, the form asks for a dry run, which changes nothing: the run's note
  and the log of `plan` say what would change.
- **Which version:** one that was champion before. The days that it is for are those that it was for then; earlier
  ones, whose future it has seen, keep theirs. A version that a later training promotes replaces it as any other.
- **Scoring again:** with `Score again` on, the days whose published predictions are of the version that goes are
  scored with the one that comes. Their manifests say why, under `rescored:/{name}`.
- **When it fails:** `plan` red says what is wrong with the request and which versions may be chosen; trigger the
  DAG again. `roll_back` red after its retries means that MLflow or the warehouse is out of reach: clear it.
  `docs/runbooks/rollback.md` says when to roll back and how to see that it worked.
"""


def rollback(model: ModelSpec) -> DAG:
    """The rollback DAG of a model."""
    champion_asset = assets.champion(model.name)

    @dag(
        dag_id=f"{model.name}_rollback",
        dag_display_name=f"{model.title}: rollback",
        description=f"Make a former champion of {model.title.lower()} champion again.",
        doc_md=DOC.format(title=model.title, name=model.name),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        tags=["rollback", model.name],
        params={
            "version": version_field(
                "The former champion that comes back. Empty: the one that the present one replaced."
            ),
            "reason": text_field(
                "Reason",
                f"What is wrong with the present champion, in {SHORTEST_REASON} to 500 characters; it is kept in "
                "the ledger. Required unless this is a dry run.",
                shortest=SHORTEST_REASON,
            ),
            "rescore": Param(
                False,
                type="boolean",
                title="Score again",
                description="Score the days again that the present champion has scored.",
            ),
            "dry_run": Param(
                True,
                type="boolean",
                title="Dry run",
                description="Say what would change and which days would be scored again, and change nothing.",
            ),
        },
    )
    def build() -> None:
        @task
        def plan() -> dict[str, Any]:
            """Decide on the request; returns what changes, and the days that are scored again."""
            from ml_lifecycle import rollbacks

            return rollbacks.plan(model)

        @task(outlets=[champion_asset])
        def roll_back(planned: dict[str, Any]) -> dict[str, Any]:
            """Record the rollback and show it in MLflow; wakes the scoring. Skipped in a dry run."""
            from ml_lifecycle import rollbacks

            context = get_current_context()
            if context["params"]["dry_run"]:
                raise AirflowSkipException(planned["summary"])
            done = rollbacks.roll_back(model, planned)
            context["outlet_events"][champion_asset].extra = done
            return done

        roll_back(plan())

    return build()


for model in MODELS.values():
    rollback(model)

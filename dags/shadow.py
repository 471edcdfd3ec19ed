"""`<model>_shadow`: a challenger scores beside the champion, apart from what is published. One DAG per model."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import DAG, Param, TriggerRule, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from include.catalog import MODELS
from include.lifecycle.look_back import LOOK_BACK
from include.lifecycle.promotion.actions import SHORTEST_REASON
from include.lifecycle.specs import ModelSpec
from ml_lifecycle import assets
from ml_lifecycle.defaults import DEFAULTS, HEAVY
from ml_lifecycle.forms import day_field, text_field, version_field

DOC = """
A version of **{title}** that is challenger scores the champion's days in shadow, from the same features and
apart from what is published. The form makes a version challenger, withdraws it, or makes it champion.

- **In:** the form, the ledger (`ml.ledger`), `features/{dataset}/`, the days of `predictions/{name}/`, and the
  version of the registered model `{name}` in MLflow.
- **Out:** `predictions/{name}/shadow/version=.../dt=.../`, which no consumer is told of: neither `latest.json`
  nor the warehouse has them. For what the form asks: an entry in the ledger with who asked for it and why, the
  alias `challenger` in MLflow, and a notification.
- **When it runs:** woken by new predictions, or by hand. Without a challenger it is skipped. It is paused until
  somebody has triggered it for the first time.
- **Which version:** one that the gate has judged, also one that it refused, but not the champion. A second
  challenger takes the place of the first.
- **Which days:** those with predictions that the challenger has not scored, newest first, back {look_back} days
  from the newest, but none that it has seen the future of. Name a day in the form to score it again.
- **A/B test:** with a share, the challenger decides about that share of the keys from the first day on that has no
  features yet, in what is published; `model_version` says whose a row is. Share and horizon are stated once, in
  the ledger. The performance report compares the outcomes of both sides once, at the horizon, and its verdict
  stands. The share remains until somebody promotes or withdraws the challenger, or another version becomes
  champion; before the horizon that ends the test without a verdict.
- **Promotion:** only where the newest performance report compares the challenger with the present champion on
  enough outcomes, its gain is above 0 beyond chance, and the gate has not refused it for anything but its gain. In
  an A/B test its verdict, *better*, takes the place of the gain.
  `wake_scoring` then wakes `{name}_scoring`.
- **When it fails:** the champion's predictions are published already and are not affected. `change` red says
  what is wrong with the request; trigger the DAG again. `score` red names each day that the challenger could not
  score, or says why the version cannot be used: train another one, or withdraw it. Either red after its retries
  means that the lake, MLflow or the warehouse is out of reach: clear it.
"""

ACTIONS = {
    "score": "No change: score what the challenger has not scored",
    "shadow": "Score in shadow: the version becomes challenger",
    "withdraw": "Withdraw: there is no challenger any more",
    "promote": "Promote: the challenger becomes champion",
}


def shadow(model: ModelSpec) -> DAG:
    """The shadow DAG of a model."""
    champion_asset = assets.champion(model.name)

    @dag(
        dag_id=f"{model.name}_shadow",
        dag_display_name=f"{model.title}: shadow",
        description=f"Set a challenger beside the champion of {model.title.lower()}.",
        doc_md=DOC.format(
            title=model.title, name=model.name, dataset=model.dataset.name, look_back=LOOK_BACK.days
        ),
        schedule=assets.predictions(model.name),
        start_date=datetime(2020, 1, 1),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        tags=["shadow", model.name],
        params={
            "action": Param(
                "score",
                type="string",
                enum=[*ACTIONS],
                values_display=ACTIONS,
                title="Action",
                description="What is to happen.",
            ),
            "version": version_field("The version that is to score in shadow. Empty: the present challenger."),
            "reason": text_field(
                "Reason",
                f"Why, in {SHORTEST_REASON} to 500 characters; it is kept in the ledger. Required for a change.",
                shortest=SHORTEST_REASON,
            ),
            "share": Param(
                0,
                type="number",
                minimum=0,
                maximum=0.5,
                title="Share",
                description="Of a new challenger: the share of the keys that it decides about, in an A/B test, "
                "e.g. 0.2. 0: none, it scores in shadow alone. It cannot be changed later.",
            ),
            "test_days": Param(
                28,
                type="integer",
                minimum=1,
                maximum=366,
                title="Horizon",
                description="Of an A/B test: on so many days whose outcomes are known it is decided, once.",
            ),
            "day": day_field(
                "Day", "Let the challenger score this day again. Empty: what it lacks.", model.dataset
            ),
            "last_day": day_field(
                "Last day", "Score all days from Day to this one again. Empty: that day alone.", model.dataset
            ),
        },
    )
    def build() -> None:
        @task
        def change() -> dict[str, Any]:
            """Do what the form asks for, in the ledger and in MLflow; skipped where it asks for no change."""
            from ml_lifecycle import shadows

            if get_current_context()["params"]["action"] == "score":
                raise AirflowSkipException("No change was asked for.")
            return shadows.change(model)

        # Also where no change was asked for, but not where one failed. What serves consumers goes first where it
        # waits for the same pool.
        @task(**HEAVY, trigger_rule=TriggerRule.NONE_FAILED, priority_weight=1, weight_rule="absolute")
        def score() -> dict[str, Any]:
            """Score the days that the challenger has not scored, apart from what is published."""
            from ml_lifecycle import shadows

            return shadows.score(model)

        @task(outlets=[champion_asset])
        def wake_scoring(done: dict[str, Any]) -> None:
            """Announce a challenger that became champion, and wake the scoring; skipped after other changes."""
            if done["verdict"] != "promote":
                raise AirflowSkipException("The champion stays.")
            get_current_context()["outlet_events"][champion_asset].extra = done

        done: Any = change()
        wake_scoring(done)
        done >> score()

    return build()


for model in MODELS.values():
    shadow(model)

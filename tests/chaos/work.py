"""What runs while something breaks: each stage of the lifecycle, made to do again what it had done undisturbed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from include.datasets.customers import CUSTOMERS
from include.lifecycle.storage import warehouse
from include.models.churn import CHURN
from include.portfolio.inputs import PORTFOLIO, REPORT
from tests.chaos.stack import Stack

PREDICTIONS = "churn_predictions"
LAYERS = (CUSTOMERS.raw, CUSTOMERS.clean, CUSTOMERS.quarantine)
TABLES = [layer(table.name) for layer in LAYERS for table in CUSTOMERS.tables]


@dataclass(frozen=True)
class Work:
    """A run of a DAG on some days, of which one task is disturbed.

    Attributes
    ----------
    makes : prefixes of what the run makes; it is deleted first.
    of : prefix of what it works on, the newest `count` days of it before the newest `skip`.
    shows : prefix that the task fills; it is disturbed when that has a day and lacks another.
    after : seconds of work before it is disturbed.
    form : fields of the form besides the days.
    """

    dag_id: str
    task_id: str
    makes: tuple[str, ...]
    of: str
    count: int
    shows: str | None = None
    after: float = 0.0
    form: Mapping[str, Any] = field(default_factory=dict)
    skip: int = 0

    def days(self, stack: Stack) -> list[date]:
        known = stack.lake.days(self.of)
        return known[: len(known) - self.skip][-self.count :]

    def start(self, stack: Stack, days: list[date]) -> str:
        """Trigger the run; returns its id."""
        last = {"last_day": days[-1].isoformat()} if len(days) > 1 else {}
        return stack.api.trigger(self.dag_id, {"day": days[0].isoformat(), **last, **self.form})

    def undo(self, stack: Stack, days: list[date]) -> None:
        """Make it so that nothing of the work is done."""
        for prefix in self.makes:
            stack.forget(prefix, days)
        if CHURN.predictions_prefix in self.makes:
            both = min(days), max(days)
            with stack.database("warehouse") as connection, connection, connection.cursor() as cursor:
                cursor.execute(f"delete from ml.{PREDICTIONS} where dt between %s and %s", both)
                cursor.execute(
                    f"delete from ml.{warehouse.LOADS} where table_name = %s and dt between %s and %s",
                    (PREDICTIONS, *both),
                )

    def has_begun(self, stack: Stack, days: list[date]) -> bool:
        """Whether the task has made some of the days, and not all."""
        if self.shows is None:
            return True
        return 0 < len(stack.lake.days(self.shows, days[0], days[-1])) < len(days)


_ETL_MAKES = (*TABLES, CUSTOMERS.validation_prefix, CUSTOMERS.features_prefix)
_SCORING_MAKES = (CHURN.staged_scores_prefix, CHURN.predictions_prefix)
_MONITORING_MAKES = (CHURN.report_prefix("performance"), CHURN.report_prefix("drift"))
_SOURCE_DAYS, _FEATURES = CUSTOMERS.raw(CUSTOMERS.tables[0].name), CUSTOMERS.features_prefix


def _etl(task_id: str, shows: str) -> Work:
    # Days amid the history, on which the features of later days build.
    return Work("customers_etl", task_id, _ETL_MAKES, _SOURCE_DAYS, 30, shows, skip=30)


def _scoring(task_id: str, shows: str) -> Work:
    return Work("churn_scoring", task_id, _SCORING_MAKES, _FEATURES, 30, shows)


def new_training(task_id: str, seed: int, after: float = 0.0) -> Work:
    """A training of a seed of its own, which makes a version that there is not yet."""
    form = {"trials": 4, "seed": seed, "reason": "chaos"}
    return Work("churn_training", task_id, (), _FEATURES, 1, after=after, form=form)


EXTRACT = _etl("extract", CUSTOMERS.raw(CUSTOMERS.tables[0].name))
VALIDATE = _etl("validate", CUSTOMERS.validation_prefix)
FEATURES = _etl("build_features", CUSTOMERS.features_prefix)
# As of a day of its own: other trainings replace what is staged of theirs.
TRAIN = Work(
    "churn_training",
    "train",
    (CHURN.training_rows_prefix, CHURN.staging_prefix),
    _FEATURES,
    1,
    after=3,
    form={"trials": 4, "seed": 7, "reason": "chaos"},
    skip=1,
)
SCORE = _scoring("chunk.score", CHURN.staged_scores_prefix)
PUBLISH = _scoring("chunk.publish", CHURN.predictions_prefix)
BUILD_PORTFOLIO = Work("portfolio", "build", (REPORT, PORTFOLIO), "features/market", 4, PORTFOLIO)
REPORT_DRIFT = Work("churn_monitoring", "report", _MONITORING_MAKES, _FEATURES, 1, after=0.5)

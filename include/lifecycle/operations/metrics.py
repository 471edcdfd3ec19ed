"""The metrics of the project: their names, labels and meaning. `docs/metrics.md` is made from this list.

All are figures of the present state, so that a scrape is right whatever happened to the tasks before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Metric:
    """A gauge: `meaning` is one sentence, with the unit where the name does not end with it."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """A value of a metric."""

    metric: Metric
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.labels) != set(self.metric.labels):
            raise ValueError(
                f"{self.metric.name} has the labels {list(self.metric.labels)}, not {sorted(self.labels)}; "
                "correct either."
            )


_TABLE = ("dataset", "table")

ROWS_READ = Metric("ml_rows_read", "Rows of the newest validated day, as extracted.", _TABLE)
ROWS_GOOD = Metric("ml_rows_good", "Those of them that passed validation.", _TABLE)
ROWS_QUARANTINED = Metric("ml_rows_quarantined", "Those of them that broke a rule.", _TABLE)
QUARANTINE_SHARE = Metric(
    "ml_quarantine_share", "Share of that day's lines that are in quarantine, 0 to 1.", _TABLE
)
QUARANTINE_LIMIT = Metric("ml_quarantine_share_limit", "The share above which a day is rejected, 0 to 1.", _TABLE)
QUARANTINE_UNUSUAL = Metric(
    "ml_quarantine_unusual", "1 where the share is far above those of recent days, else 0.", _TABLE
)
DAY_ACCEPTED = Metric(
    "ml_day_accepted", "1 where the newest validated day was accepted, 0 rejected.", ("dataset",)
)
SOURCE_LAG = Metric(
    "ml_source_lag_days", "Days from the newest validated day to yesterday where the dataset lives.", ("dataset",)
)
SOURCE_LAG_LIMIT = Metric(
    "ml_source_lag_limit_days",
    "The lag above which a source counts as silent; absent for one that never gets new days.",
    ("dataset",),
)
SOURCE_ENDED = Metric(
    "ml_source_ended", "1 where the source never gets new days, such as a file of one day, else 0.", ("dataset",)
)
FEATURES_LAG = Metric("ml_features_lag_days", "As `ml_source_lag_days`, of the newest features.", ("dataset",))

PREDICTIONS_ROWS = Metric("ml_predictions_rows", "Rows of the newest prediction file.", ("model",))
PREDICTIONS_AGE = Metric("ml_predictions_age_seconds", "Since the newest prediction file was written.", ("model",))
PREDICTIONS_OVERDUE = Metric(
    "ml_predictions_overdue_seconds",
    "Since the deadline of the day that follows the newest prediction file; 0 where it has not passed.",
    ("model", "dataset"),
)
DAYS_WITHOUT_PREDICTIONS = Metric(
    "ml_days_without_predictions",
    "Days of the last 30 that have features, and a champion to score them with, and no predictions.",
    ("model",),
)
DAYS_NOT_LOADED = Metric(
    "ml_days_not_loaded",
    "Days of the last 30 whose prediction files are not what the warehouse's table has.",
    ("model",),
)
SCORING_SPEED = Metric(
    "ml_scoring_rows_per_second", "Rows per second of task time in the newest run that published.", ("model",)
)

CHAMPION = Metric("ml_champion_version", "The version in force; 0 where there is none.", ("model",))
CHAMPION_AGE = Metric("ml_champion_age_seconds", "Since the champion came into force.", ("model",))
CHAMPION_TRAINING_AGE = Metric(
    "ml_champion_training_age_days", "Days since the day as of which the champion was trained.", ("model",)
)
CHAMPION_USABLE = Metric(
    "ml_champion_usable",
    "1 where the champion's model file can be loaded and is the one that was trained, else 0; tried every hour.",
    ("model",),
)

DRIFT_SCORE = Metric(
    "ml_drift_score",
    "Distance of the champion's scores from its training's, in units of the limit: above 1 is drift.",
    ("model",),
)
DRIFT_SHARE = Metric("ml_drift_feature_share", "Share of the features that have drifted, 0 to 1.", ("model",))
DRIFT_VERDICT = Metric(
    "ml_drift_verdict", "1 for the verdict of the newest drift report, 0 for the others.", ("model", "verdict")
)
DRIFT_AGE = Metric("ml_drift_report_age_days", "Days since the day of the newest drift report.", ("model",))
PERFORMANCE = Metric(
    "ml_performance", "A measure of the champion's predictions whose outcomes are known.", ("model", "measure")
)
PERFORMANCE_BASELINE = Metric(
    "ml_performance_baseline", "The same measure of the naive baseline on the same rows.", ("model", "measure")
)
PERFORMANCE_VERDICT = Metric(
    "ml_performance_verdict",
    "1 for the verdict of the newest performance report, 0 for the others.",
    ("model", "verdict"),
)

DAMAGED = Metric("ml_damaged_partitions", "Partitions that the newest maintenance found and did not heal.")
MAINTENANCE_AGE = Metric("ml_maintenance_age_days", "Days since the day of the newest maintenance.")
BACKUP_AGE = Metric("ml_backup_age_seconds", "Seconds since the newest backup; infinite where there is none.")

HEARTBEAT_AGE = Metric(
    "ml_airflow_heartbeat_age_seconds",
    "Since the last heartbeat of the liveliest process of a kind: scheduler, dag_processor, triggerer.",
    ("component",),
)
TASKS = Metric("ml_airflow_tasks", "Task instances that are queued, run, or await an answer.", ("state",))
OLDEST_QUEUED = Metric("ml_airflow_oldest_queued_seconds", "How long the oldest queued task has waited; else 0.")
RUN_FAILED = Metric("ml_dag_run_failed", "1 where the newest finished run of a DAG failed, else 0.", ("dag_id",))
RUN_END = Metric("ml_dag_run_end_timestamp_seconds", "When the newest finished run of a DAG ended.", ("dag_id",))
STAGE_SECONDS = Metric(
    "ml_stage_seconds",
    "Task time of a stage in the newest finished run of its DAG, all mapped tasks together.",
    ("dag_id", "task_id"),
)

SERVICE_UP = Metric("ml_service_up", "1 where the exporter reached a service, else 0.", ("service",))
COLLECTED = Metric(
    "ml_collected_timestamp_seconds", "When the exporter last looked at everything; 0 where it cannot."
)
COLLECT_SECONDS = Metric("ml_collect_seconds", "How long that took.")
DISK_FREE = Metric("ml_disk_free_bytes", "What is free of a disk.", ("disk",))
DISK_SIZE = Metric("ml_disk_size_bytes", "The size of a disk.", ("disk",))

GROUPS: Mapping[str, tuple[Metric, ...]] = {
    "Data": (
        ROWS_READ,
        ROWS_GOOD,
        ROWS_QUARANTINED,
        QUARANTINE_SHARE,
        QUARANTINE_LIMIT,
        QUARANTINE_UNUSUAL,
        DAY_ACCEPTED,
        SOURCE_LAG,
        SOURCE_LAG_LIMIT,
        SOURCE_ENDED,
        FEATURES_LAG,
    ),
    "Predictions": (
        PREDICTIONS_ROWS,
        PREDICTIONS_AGE,
        PREDICTIONS_OVERDUE,
        DAYS_WITHOUT_PREDICTIONS,
        DAYS_NOT_LOADED,
        SCORING_SPEED,
    ),
    "Champions": (CHAMPION, CHAMPION_AGE, CHAMPION_TRAINING_AGE, CHAMPION_USABLE),
    "Monitoring": (
        DRIFT_SCORE,
        DRIFT_SHARE,
        DRIFT_VERDICT,
        DRIFT_AGE,
        PERFORMANCE,
        PERFORMANCE_BASELINE,
        PERFORMANCE_VERDICT,
    ),
    "Lake": (DAMAGED, MAINTENANCE_AGE, BACKUP_AGE),
    "Airflow": (HEARTBEAT_AGE, TASKS, OLDEST_QUEUED, RUN_FAILED, RUN_END, STAGE_SECONDS),
    "The exporter and its machine": (SERVICE_UP, COLLECTED, COLLECT_SECONDS, DISK_FREE, DISK_SIZE),
}

_PAGE = """# Metrics

What the exporter shows Prometheus (`docs/decisions/0008-metrics-come-from-state.md` says why it is made so).
Written by `python -m include.lifecycle.operations.metrics`; a test holds that it is up to date. All are gauges,
and figures of the present state: a task that was lost makes none of them wrong. A figure that cannot be known is
absent.

{groups}"""


def every() -> tuple[Metric, ...]:
    """All metrics, in the order of the page."""
    return tuple(metric for metrics in GROUPS.values() for metric in metrics)


def page() -> str:
    """`docs/metrics.md`."""
    groups = (f"## {title}\n\n{_table(metrics)}" for title, metrics in GROUPS.items())
    return _PAGE.format(groups="\n".join(groups))


def _table(metrics: Iterable[Metric]) -> str:
    lines = ["| metric | labels | meaning |", "|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {labels} | {metric.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path("docs/metrics.md").write_text(page())

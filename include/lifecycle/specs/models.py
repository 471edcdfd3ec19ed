"""What a model says of itself: what it predicts, how it is judged, and what people do with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Annotated, Any, Self

import polars as pl
from pydantic import Field, model_validator

from include.lifecycle.calendars import EveryDay
from include.lifecycle.specs.behaviour import BehaviourTest, behaviour_faults
from include.lifecycle.specs.datasets import DatasetSpec
from include.lifecycle.specs.gate import GateSpec
from include.lifecycle.specs.label import LabelSpec
from include.lifecycle.specs.reasons import ReasonsSpec
from include.lifecycle.specs.refit import RefitSpec
from include.lifecycle.specs.retraining import RetrainingSpec
from include.lifecycle.specs.spec import Cron, Spec, takes


class Candidate(Spec):
    """An estimator worth trying: its search space and how it is built."""

    name: str = Field(description="How the model card and MLflow call it.")
    suggest: Annotated[Callable[[Any], dict[str, Any]], takes("trial")] = Field(
        description="Hyperparameters of a trial, asked of an `optuna.Trial`."
    )
    build: Annotated[Callable[[dict[str, Any], int], Any], takes("params", "seed")] = Field(
        description="An unfitted scikit-learn classifier or regressor from hyperparameters and a seed."
    )
    per_segment: bool = Field(
        False, description="Tuned and fitted for each value of `segments.by` on its own, in mapped tasks."
    )


class IntervalPolicy(Spec):
    """How wide the range around a predicted number is that shall hold the outcome.

    The range is the prediction plus and minus a multiple of `scale`. The multiple is the quantile of what the
    walk-forward predictions missed by, in units of `scale` (split conformal prediction: Lei et al. 2018,
    "Distribution-free predictive inference for regression", with their locally weighted residuals).
    """

    scale: str = Field(description="Feature column to which errors are proportional; positive.")
    coverage: float = Field(0.8, gt=0, lt=1, description="Share of outcomes that the range shall hold.")


class DriftPolicy(Spec):
    """When the distance between two samples counts as drift."""

    numeric_method: str = Field("wasserstein", description="Evidently's name of the distance of numbers.")
    numeric_threshold: float = Field(0.1, gt=0, description="In standard deviations of the reference.")
    categorical_method: str = Field("jensenshannon", description="Evidently's name of the distance of texts.")
    categorical_threshold: float = Field(0.1, gt=0, le=1, description="A larger distance of texts is drift.")
    min_rows: int = Field(500, ge=1, description="Fewer rows on either side give no verdict.")
    all_days_of_a_key: bool = Field(
        False,
        description="Whether a key counts on each day of the window, as its days differ, or on one of them alone.",
    )
    sample_rows: int = Field(20_000, ge=500, description="Rows drawn per side before distances are measured.")
    max_null_change: float = Field(
        0.1, gt=0, le=1, description="A larger change of the share of missing values is drift of the column."
    )
    max_share: float = Field(0.5, gt=0, le=1, description="A larger share of drifted features is drift.")
    max_estimated_loss: float = Field(
        0.02,
        ge=0,
        description=(
            "Before outcomes are known: how far the upper end of the estimated metric may lie below the estimate "
            "on the holdout; further below, the estimate is worse."
        ),
    )
    window_days: int = Field(7, ge=1, description="Days before and including the report's day that are compared.")
    seasonal_weeks: int | None = Field(
        None,
        ge=1,
        description=(
            "The window is compared with so many weeks around the same days a year ago as well, and has drifted "
            "only if it lies far from these, too, where they have features; None: with the training alone."
        ),
    )
    outcome_days: int = Field(
        180, ge=1, description="Days before the report's day whose predictions are judged by their outcomes."
    )


class SplitSpec(Spec):
    """Which days a training learns from, and on which it is judged."""

    snapshot_every_days: int = Field(
        6,
        ge=1,
        description=(
            "Days between the snapshots that training uses. Where there are data every day, no multiple of 7: all "
            "snapshots would be of one weekday, and what differs between weekdays would never be seen."
        ),
    )
    look_back_days: int = Field(
        365,
        ge=1,
        description=(
            "Snapshots lie within so many days before the day as of which is trained, so that a training costs no "
            "more as the history grows."
        ),
    )
    holdout_share: float | None = Field(
        None, gt=0, lt=1, description="Share of the snapshots, the newest, that judge; None: the newest one alone."
    )
    folds: int = Field(1, ge=1, description="Walk-forward folds that hyperparameters are chosen by.")
    max_rows: int = Field(100_000, ge=100, description="So many rows at most are in a part of the split.")


class RollbackPolicy(Spec):
    """When the version before the champion comes back by itself, as it did better on the same outcomes."""

    margin: float = Field(
        ge=0,
        description=(
            "What the lower end of the 95 % interval of its gain over the champion must be above, in the unit of "
            "the gate's gain."
        ),
    )
    cooldown_days: int = Field(
        28, ge=0, description="Nothing happens within so many days of data of a new champion."
    )
    min_rows: int = Field(500, ge=1, description="Nothing happens with fewer outcomes of the champion.")


class SegmentsSpec(Spec):
    """The parts of the rows that are looked at, or learnt from, one by one."""

    by: str | None = Field(
        None,
        description=(
            "Column of the features by whose values the holdout is measured one by one, a text or a number; it "
            "need be neither key, `numeric` nor `categorical`. Missing values are a segment."
        ),
    )
    per_task: int | None = Field(
        None,
        ge=1,
        description=(
            "Mapped tasks fit so many segments each; `by` is then a `categorical` column, by which a model of "
            "segments chooses who answers. None: no candidate is fitted on each segment alone."
        ),
    )


class ScheduleSpec(Spec):
    """When a model is trained and monitored, and how long a day's predictions may take."""

    training: Cron = Field(
        "0 4 1 * *",
        description=(
            "Cron expression, in the dataset's time zone, of the training; its reports ask for one in between, "
            "where trainings are further apart than `retraining.cooldown_days`."
        ),
    )
    monitoring: Cron = Field("0 6 * * 1", description="Cron expression, in that time zone, of the monitoring.")
    deadline_hours: float = Field(
        4.0,
        gt=0,
        description="A day's predictions are due so many hours after the first scheduled run of the ETL after it.",
    )


class ModelSpec(Spec):
    """A model: what it predicts, from which features, how it is judged and what people do with it."""

    name: str = Field(description="How folders, DAGs and the registered model in MLflow are called.")
    title: str = Field(description="How people call it: in the UI and on pages.")
    description: str = Field(description="What it predicts, from what, and what the baseline says.")
    dataset: DatasetSpec = Field(description="Whose features it reads.")
    task: str = Field(description="A module of `include.lifecycle.modelling.tasks`, e.g. classification.")
    numeric: tuple[str, ...] = Field(description="Feature columns read as float64; missing is NaN.")
    categorical: tuple[str, ...] = Field(description="Feature columns read as text; missing is a category.")
    label: LabelSpec = Field(description="What is predicted, and when it is known.")
    split: SplitSpec = Field(SplitSpec(), description="Which days a training learns from.")
    segments: SegmentsSpec = Field(SegmentsSpec(), description="The parts that are looked at one by one.")
    candidates: Annotated[Callable[[], tuple[Candidate, ...]], takes()] = Field(
        description="The estimators worth trying; imported only when they are asked for."
    )
    baseline: Annotated[Callable[[int], Any], takes("seed")] = Field(
        description="The unfitted naive estimator, from a seed."
    )
    gate: GateSpec = Field(description="How a candidate becomes champion.")
    behaviour: tuple[BehaviourTest, ...] = Field(
        (), description="What must hold of a candidate's scores; the gate refuses one that fails a test."
    )
    interval: IntervalPolicy | None = Field(None, description="The range given with a predicted number.")
    decide: Annotated[Callable[[pl.DataFrame], pl.DataFrame], takes("scores")] = Field(
        description=(
            "Adds to a frame with key, features and `score` (and `score_low`, `score_high` and `coverage` where "
            "there is an interval) the columns a person acts on."
        )
    )
    reasons: ReasonsSpec | None = Field(
        None, description="Which rows are given reasons; None: the prediction files have no such columns."
    )
    trusted_types: tuple[str, ...] = Field(description="skops types that a stored model may contain.")
    drift: DriftPolicy = Field(DriftPolicy(), description="When a difference counts as drift.")
    rollback: RollbackPolicy | None = Field(
        None, description="When a rollback happens by itself; None: only a person rolls back."
    )
    refit: RefitSpec | None = Field(
        None, description="How a new champion is fitted on the holdout as well; None: it never is."
    )
    schedule: ScheduleSpec = Field(ScheduleSpec(), description="When it is trained and monitored.")
    retraining: RetrainingSpec = Field(
        RetrainingSpec(), description="When it is trained outside its schedule, as its reports ask for it."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        self.dataset.table(self.label.table)
        both = set(self.numeric) & set(self.categorical)
        if both:
            raise ValueError(f"Model {self.name!r}: {sorted(both)} are both numeric and categorical; choose one.")
        every = self.split.snapshot_every_days
        if isinstance(self.dataset.calendar, EveryDay) and every % 7 == 0:
            raise ValueError(
                f"Model {self.name!r} takes a snapshot every {every} days of a calendar of all days, so always on "
                "the same weekday; choose a number that is no multiple of 7, e.g. 6 or 8."
            )
        if self.segments.per_task and not (self.split.folds > 1 and self.segments.by in self.categorical):
            raise ValueError(
                f"Model {self.name!r} has `segments.per_task`, which needs at least 2 `split.folds` and "
                f"`segments.by` ({self.segments.by!r}) among its `categorical` features, as each row is answered "
                "by the model of its segment; list it there, also a number, which is then read as text."
            )
        return self

    @model_validator(mode="after")
    def _training_asked_for_by_age_may_refresh(self) -> Self:
        refreshed, asked = self.gate.max_champion_age_days, self.retraining.max_age_days
        if refreshed is not None and asked is not None and refreshed > asked:
            raise ValueError(
                f"Model {self.name!r}: a champion asks for a training once it is older than "
                f"`retraining.max_age_days` ({asked}), but one that is no worse may replace it only after "
                f"`gate.max_champion_age_days` ({refreshed}); set the latter to {asked} at most."
            )
        return self

    @model_validator(mode="after")
    def _can_be_refitted(self) -> Self:
        if self.refit and self.segments.per_task:
            raise ValueError(
                f"Model {self.name!r} has both `refit` and `segments.per_task`, but what is fitted on each "
                "segment alone cannot be fitted again; leave one of them out."
            )
        return self

    @model_validator(mode="after")
    def _gives_reasons_of_its_features(self) -> Self:
        faults = self.reasons.faults(self.numeric, self.categorical) if self.reasons else []
        if faults:
            raise ValueError(f"Model {self.name!r}: {' '.join(faults)}")
        return self

    @model_validator(mode="after")
    def _behaviour_tests_fit(self) -> Self:
        if faults := behaviour_faults(self.behaviour, self.features):
            raise ValueError(f"Model {self.name!r}: {' '.join(faults)}")
        return self

    @model_validator(mode="after")
    def _label_counts_as_the_dataset_does(self) -> Self:
        if self.label.counts_all_days and not isinstance(self.dataset.calendar, EveryDay):
            raise ValueError(
                f"Model {self.name!r} has a label that counts all days, but dataset {self.dataset.name!r} counts "
                f"in {self.dataset.calendar.unit}s, so the label would be of another day than the prediction; "
                "give one whose `make` counts by the dataset's calendar."
            )
        return self

    def matures_on(self, day: date) -> date:
        """The day at whose end the labels of `day` are known."""
        return self.dataset.calendar.later(day, self.label.horizon_days + self.label.delay_days)

    def label_window(self, day: date, outcome_days: Iterable[date]) -> list[date]:
        """Those of `outcome_days` that the labels of `day` are made of."""
        return [known for known in outcome_days if day <= known <= self.matures_on(day)]

    def in_force_from(self, as_of: date) -> date:
        """The first day that a version trained as of a day may score: it has seen no later one.

        That is the calendar's last day until `as_of`, e.g. the Friday before a Sunday.
        """
        return self.dataset.calendar.later(as_of + timedelta(days=1), -1)

    def horizon_ends_on(self, day: date) -> date:
        """The last day that the labels of `day` look at."""
        return self.dataset.calendar.later(day, self.label.horizon_days)

    def target_range(self, day: date) -> tuple[date, date]:
        """The first and the last day that what is predicted from the features of `day` is about."""
        first, last = self.label.target_days or (1, self.label.horizon_days)
        return self.dataset.calendar.later(day, first), self.dataset.calendar.later(day, last)

    @property
    def features(self) -> tuple[str, ...]:
        """Feature columns in the order the model sees them."""
        return self.numeric + self.categorical

    @property
    def labels_prefix(self) -> str:
        """Lake prefix of the matured labels."""
        return f"labels/{self.name}"

    @property
    def staging_prefix(self) -> str:
        """Lake prefix of the trained model that waits to be pushed."""
        return f"staging/{self.name}"

    @property
    def staged_refit_prefix(self) -> str:
        """Lake prefix of a new champion that was fitted on the holdout as well, and waits to be pushed."""
        return f"staging/{self.name}_refit"

    @property
    def training_rows_prefix(self) -> str:
        """Lake prefix of the rows that a training learns from, and of the days they were decided to be of."""
        return f"staging/{self.name}_rows"

    @property
    def staged_scores_prefix(self) -> str:
        """Lake prefix of the scores that are not yet checked and published."""
        return f"staging/{self.name}_scores"

    @property
    def staged_segments_prefix(self) -> str:
        """Lake prefix under which all of fitting segments on their own is staged."""
        return f"staging/{self.name}_segments"

    @property
    def segment_rows_prefix(self) -> str:
        """Lake prefix of the rows of each batch of segments, to be fitted on their own."""
        return f"{self.staged_segments_prefix}/rows"

    def segment_fits_prefix(self, batch: int) -> str:
        """Lake prefix of what came of fitting a batch of segments."""
        return f"{self.staged_segments_prefix}/fits={batch:04d}"

    def reference_prefix(self, version: int) -> str:
        """Lake prefix of what a registered version is compared with later: its holdout, and its baseline."""
        return f"references/{self.name}/version={version}"

    def card_prefix(self, version: int) -> str:
        """Lake prefix of a version's model card."""
        return f"{self.report_prefix('model_card')}/version={version}"

    @property
    def predictions_prefix(self) -> str:
        """Lake prefix of the prediction files."""
        return f"predictions/{self.name}"

    def shadow_prefix(self, version: int) -> str:
        """Lake prefix of what a challenger scored beside the champion, for nobody but the performance report."""
        return f"{self.predictions_prefix}/shadow/version={version}"

    def report_prefix(self, kind: str) -> str:
        """Lake prefix of a kind of report, e.g. `drift` or `model_card`."""
        return f"reports/{self.name}/{kind}"

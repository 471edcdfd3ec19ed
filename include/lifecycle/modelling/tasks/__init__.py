"""What differs between the tasks that a model may have, such as to classify or to regress."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import polars as pl
from numpy.typing import NDArray

from include.lifecycle.modelling.bootstrap import LEVEL
from include.lifecycle.specs import Spec

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from include.lifecycle.specs import ModelSpec


FITTING_FOLDS = 3


class Metric(NamedTuple):
    """A metric's name within a sentence, how it is read, and by which name older records know it."""

    within: str
    hint: str
    former_name: str | None = None

    @property
    def title(self) -> str:
        """The name at the head of a sentence or of a row."""
        return f"{self.within[0].upper()}{self.within[1:]}"


class Plot(NamedTuple):
    """A plot's title, and what to see in it."""

    title: str
    caption: str


class Gain(NamedTuple):
    """How much better scores are than others on the same rows, and the ends of its interval."""

    value: float
    lower_bound: float
    upper_bound: float


class Calibration(NamedTuple):
    """How far scores are from what they promise, 0 at best, and so much of it as is not chance."""

    error: float
    beyond_chance: float


class Standing(NamedTuple):
    """How scores do beside the baseline, also in words: worse, where the most said for them is below `least`."""

    most: float
    least: float
    words: str


class Expected(Spec):
    """What a metric is expected to be, and the ends of its 95 % interval."""

    value: float
    lower_bound: float
    upper_bound: float


class Estimate(Spec):
    """What metrics are expected to be once outcomes are known, from scores without labels.

    Attributes
    ----------
    metrics, baseline_metrics : of the published scores, and of the baseline's on the same rows, if it has any.
    standing : the scores beside those of the holdout; None where no verdict follows from an estimate.
    """

    metrics: Mapping[str, Expected]
    baseline_metrics: Mapping[str, float]
    standing: Standing | None = None


class Task(Protocol):
    """What one model does with features: how it is fitted and asked, and what its scores are worth."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """What `measure` gives, in the order of a page."""
        ...

    @property
    def gate_metrics(self) -> Collection[str]:
        """The `metrics` by one of which the gate decides; higher is better."""
        ...

    @property
    def segment_metrics(self) -> Sequence[str]:
        """The `metrics` shown of each segment; empty where segments are not looked at.

        The first one is above 0 where the scores of a segment are better than the baseline's.
        """
        ...

    @property
    def tuning_metric(self) -> str:
        """The name of what `tuning_score` gives, as in `metrics`."""
        ...

    @property
    def calibration_title(self) -> str | None:
        """What people call the error that `calibration` measures; None where scores promise nothing."""
        ...

    @property
    def plots(self) -> Mapping[str, Plot]:
        """What `draw` gives."""
        ...

    @property
    def estimator_method(self) -> str:
        """The method of a fitted estimator that `predict` asks."""
        ...

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of that method's answer; -1 is the number of rows."""
        ...

    @property
    def scores_every_row(self) -> bool:
        """Whether each row of the features has a row in the prediction files; else some have none."""
        ...

    @property
    def valid_scores(self) -> str:
        """What valid scores are, in words."""
        ...

    def is_valid_score(self, score: pl.Expr) -> pl.Expr:
        """Whether a score is one."""
        ...

    def label_shortfall(self, labels: pl.Series) -> str | None:
        """What labels lack to be learnt from, or None."""
        ...

    def fit(self, estimator: Any, matrix: pd.DataFrame, labels: NDArray[Any], folds: NDArray[Any]) -> Any:
        """Fit for use; `folds` numbers each row's fold, below FITTING_FOLDS, for out-of-fold predictions."""
        ...

    def predict(self, estimator: Any, matrix: pd.DataFrame) -> NDArray[Any]:
        """The score of each row."""
        ...

    def tuning_score(self, rows: pl.DataFrame, score: str) -> float:
        """What hyperparameters are chosen by, of the scores in a column; higher is better; see `measure`."""
        ...

    def measure(self, rows: pl.DataFrame, score: str) -> dict[str, float]:
        """How good the scores in a column are; rows have `label`, `dt` and, to compare with, `baseline_score`."""
        ...

    def gain(self, rows: pl.DataFrame, score: str, other: str, level: float = LEVEL) -> Gain:
        """How much better the scores in a column are than those in another, row by row; 0 where they are equal.

        Its interval misses the gain of further rows of their kind with a probability of `level`.
        """
        ...

    def calibration(self, rows: pl.DataFrame, score: str) -> Calibration | None:
        """How far the scores in a column are from what they promise; None where they promise nothing."""
        ...

    def standing(self, measured: Mapping[str, float], baseline: Mapping[str, float]) -> Standing:
        """How published scores did beside the baseline; both as from `measure`."""
        ...

    @property
    def estimate_metric(self) -> str | None:
        """The metric by which an estimate is judged, higher is better; None where no verdict follows from one."""
        ...

    @property
    def estimate_meaning(self) -> str:
        """What `estimate` takes for granted, what its interval means, and what it does not cover: sentences."""
        ...

    def estimate_shortfall(self, rows: pl.DataFrame, holdout: pl.DataFrame) -> str | None:
        """Why there is no `estimate` of such rows, in a sentence, or None."""
        ...

    def estimate(self, rows: pl.DataFrame, holdout: pl.DataFrame) -> Estimate:
        """What the metrics of `score` will be, before labels are known.

        `rows` have the key, `dt`, `score`, `baseline_score` and the interval's scale if there is one; `holdout`
        has the same of the version's holdout, and `label`.
        """
        ...

    def observed(self, rows: pl.DataFrame) -> dict[str, float]:
        """The metrics of `estimate` as they turned out; empty where labels do not tell. Rows as in `measure`."""
        ...

    def draw(self, rows: pl.DataFrame, who: str = "candidate", where: str = "on the holdout") -> dict[str, Figure]:
        """Plots of rows with `label`, `candidate_score` and `baseline_score`.

        `who` is what the scores of `candidate_score` are called, `where` follows the titles.
        """
        ...


def task_of(model: ModelSpec) -> Task:
    """The task of a model: of the class `TASK` in the module of its name."""
    task: Task = import_module(f"{__name__}.{model.task}").TASK(model)
    return task


def checked_against_task(model: ModelSpec) -> ModelSpec:
    """The model itself; `include.catalog` asks it of each, as a spec does not know the tasks.

    Raises
    ------
    ValueError
        If the spec does not fit the model's task; says what to change.
    """
    if fault := _spec_fault(model):
        raise ValueError(fault)
    return model


def _spec_fault(model: ModelSpec) -> str | None:
    """What of a model's spec does not fit its task, in a sentence, or None."""
    try:
        task = task_of(model)
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{model.task}":
            raise
        names = sorted(module.name for module in iter_modules(__path__))
        return f"Model {model.name!r} has the task {model.task!r}, which has no module; choose one of {names}."
    gate, metrics = model.gate, sorted(task.gate_metrics)
    if gate.metric not in metrics:
        return (
            f"Model {model.name!r} has the task {model.task!r}, whose gate cannot decide by {gate.metric!r}; set "
            f"`gate.metric` to one of {metrics}."
        )
    suspect = gate.leakage_threshold[0] if gate.leakage_threshold else None
    if suspect not in (None, *task.metrics):
        return (
            f"Model {model.name!r} has a `gate.leakage_threshold` of {suspect!r}, which its task {model.task!r} "
            f"does not measure; name one of {sorted(task.metrics)}."
        )
    if gate.max_calibration_error is not None and task.calibration_title is None:
        return (
            f"Model {model.name!r} has a `gate.max_calibration_error`, but the scores of the task {model.task!r} "
            "promise nothing that could be measured; leave it out."
        )
    if model.segments.by and not task.segment_metrics:
        return (
            f"Model {model.name!r} has segments by {model.segments.by!r}, but the task {model.task!r} has no "
            "metrics of them; leave `segments` out."
        )
    return None


def present_names(task: Task, measured: Mapping[str, float], prefix: str = "") -> dict[str, float]:
    """Stored values of metrics by the names that they have now, without the prefix they were stored under."""
    names = {metric.former_name: name for name, metric in task.metrics.items() if metric.former_name}
    plain = {name.removeprefix(prefix): value for name, value in measured.items()}
    return {names.get(name, name): value for name, value in plain.items()}

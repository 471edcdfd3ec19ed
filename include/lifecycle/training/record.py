"""What a training is asked for, and its record: what it learnt from, tried and measured."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from include.lifecycle.modelling.importance import Importance
from include.lifecycle.modelling.intervals import Interval
from include.lifecycle.modelling.reasons import UsualValues
from include.lifecycle.modelling.tuning import Trial
from include.lifecycle.storage.lake import RunInfo
from include.lifecycle.training.snapshots import SplitBy

MODEL_FILE = "model.skops"
BASELINE = "baseline.skops"
HOLDOUT = "holdout.parquet"
RECORD = "training.json"

Params = Mapping[str, Any]
Metrics = Mapping[str, float]


@dataclass(frozen=True)
class TrainingRequest:
    """What a training is asked for; the same request on the same data gives the same model.

    Attributes
    ----------
    as_of : nothing is learnt from that was not known at the end of this day.
    trials : how many sets of hyperparameters are tried, over all candidates. A candidate that is fitted on each
        segment on its own tries its share on each.
    reason : why the training takes place; kept with the result.
    """

    as_of: date
    trials: int
    seed: int
    run: RunInfo
    reason: str = ""


class _Part(BaseModel):
    """A part of the record. Keys that earlier versions of the code wrote beside these are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class PartDays(_Part):
    """The days that were learnt from, and those of the holdout."""

    refit: tuple[date, ...] = Field(validation_alias=AliasChoices("refit", "fit"))
    holdout: tuple[date, ...]


class FoldDays(_Part):
    """The days that a fold's fits learnt from, and those that they were measured on."""

    train: tuple[date, ...] = Field(validation_alias=AliasChoices("train", "search"))
    validation: tuple[date, ...]


def _present_names(parts: Mapping[str, Any]) -> dict[str, Any]:
    """By the present names of the parts, which were `search` for `train` and `fit` for `refit`."""
    former = {"search": "train", "fit": "refit"}
    return {re.sub(r"^\w+", lambda name: former.get(name[0], name[0]), part): parts[part] for part in parts}


class SegmentRecord(_Part):
    """The segments that were fitted on their own.

    Attributes
    ----------
    params : chosen hyperparameters, by candidate and segment.
    failed : why a segment could not be fitted, by segment.
    """

    params: Mapping[str, Mapping[str, Params]] = {}
    failed: Mapping[str, str] = {}


class BehaviourResult(_Part):
    """What came of a behaviour test.

    Attributes
    ----------
    name : as in the model's spec.
    asked, measured : what should hold, and what was found, in a sentence each.
    was_run : False where the test could not be run; `measured` then says why.
    example : the row that broke it most; empty where none did.
    """

    name: str
    asked: str
    measured: str
    passed: bool
    was_run: bool = True
    example: str = ""


class Parent(_Part):
    """The version that the gate judged in the place of a refitted one, and the newest day that it learnt from."""

    version: int
    learnt_until: date


class TrainingRecord(_Part):
    """What a training was asked for, and what came of it.

    A field that is added later has a default, as older files lack it.

    Attributes
    ----------
    trials_budget : how many sets of hyperparameters were to be tried, over all candidates.
    reason : why the training took place.
    candidate, params : the candidate that was chosen, with its hyperparameters.
    metrics, baseline_metrics, reference_metrics : on the holdout, as `holdout_<metric>`; of the candidate, of the
        naive baseline, and of each other naive model by its name.
    segments : the candidate's metrics on each segment's rows of the holdout, without `holdout_`.
    tuning_metric : the metric by which trials were compared.
    data : path and manifest digest of each partition that was learnt from.
    split, validation_split : what separates the holdout, and validation rows, from the others.
    rows, mean_label : of each part of the split, by its name.
    intervals : of `candidate` and `baseline`, where the model has them.
    coverage_range : 95 % interval of the share of the holdout's outcomes that the candidate's interval holds.
    numeric, categorical : names of the features.
    importance : how much the candidate owes to each feature; None in older files.
    usual_values : what reasons compare a row's values with, by feature; empty where the model gives none, and in
        older files.
    behaviour_tests : of the candidate, in the order of the spec.
    warnings : sentences for whoever uses the model.
    parent : of a version that was fitted on the holdout as well, whose metrics, intervals and importance are those
        of its parent; None where the version was judged itself.
    """

    model: str
    as_of: date
    seed: int
    trials_budget: int
    reason: str = ""
    code_version: str
    candidate: str
    params: Params
    metrics: Metrics
    baseline_metrics: Metrics
    reference_metrics: Mapping[str, Metrics] = {}
    segments: Mapping[str, Metrics] = {}
    tuning_metric: str
    trials: tuple[Trial, ...]
    data: Mapping[str, str]
    days: PartDays
    folds: tuple[FoldDays, ...]
    split: SplitBy
    validation_split: SplitBy
    rows: Annotated[Mapping[str, int], BeforeValidator(_present_names)]
    mean_label: Annotated[Mapping[str, float], BeforeValidator(_present_names)]
    intervals: Mapping[str, Interval] = {}
    coverage_range: tuple[float, float] | None = None
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    importance: Importance | None = None
    usual_values: Mapping[str, UsualValues] = {}
    per_segment: SegmentRecord = SegmentRecord()
    behaviour_tests: tuple[BehaviourResult, ...] = ()
    warnings: tuple[str, ...] = ()
    parent: Parent | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record in a file; pydantic's ValidationError if the file lacks what is needed."""
        return cls.model_validate_json(path.read_bytes())

    def content(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return self.model_dump(mode="json")

    def write(self, path: Path) -> None:
        """Write the record to a file; equal records give equal bytes."""
        path.write_text(json.dumps(self.content(), indent=2))

    @property
    def learnt_from(self) -> date:
        """The oldest day that was learnt from."""
        return min(self.days.refit)

    @property
    def learnt_until(self) -> date:
        """The newest day that was learnt from."""
        return max(self.days.refit)

    @property
    def holdout_from(self) -> date:
        """The first day of the holdout."""
        return min(self.days.holdout)

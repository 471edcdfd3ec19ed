"""What a training says of itself is read as it was written, and so are files of earlier versions of the code."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from include.lifecycle.modelling.importance import FeatureImportance, Importance
from include.lifecycle.modelling.intervals import Interval
from include.lifecycle.modelling.reasons import UsualValues
from include.lifecycle.modelling.tuning import Trial
from include.lifecycle.training.record import FoldDays, PartDays, SegmentRecord, TrainingRecord
from tests.training_records import training_record

DAYS = tuple(date(2026, month, 1) for month in (1, 2, 3, 4))


def full_record() -> TrainingRecord:
    return training_record(
        params={"alpha": 0.1, "depth": 3, "solver": "saga", "limit": None},
        metrics={"holdout_skill": 1e-05},
        reference_metrics={"mean": {"holdout_skill": math.nan}},
        trials=(Trial(0, "ridge", {"alpha": 0.1}, 0.25, "COMPLETE"),),
        data={"features/market/dt=2026-01-01": "a" * 64},
        days=PartDays(refit=DAYS[:3], holdout=DAYS[3:]),
        folds=(FoldDays(train=DAYS[:1], validation=DAYS[1:3]),),
        intervals={"candidate": Interval("volatility_21d", 1.5, 0.8, 0.79)},
        coverage_range=(0.75, 0.85),
        importance=Importance(
            metric="skill",
            rows=400,
            repeats=10,
            features={"price": FeatureImportance(mean=0.1, low=0.0, high=0.2)},
        ),
        usual_values={
            "price": UsualValues(values=(2.0,), shares=(1.0,)),
            "colour": UsualValues(values=("2", "red"), shares=(0.75, 0.25)),
        },
        per_segment=SegmentRecord(params={"ridge": {"AAPL": {"alpha": 1.0}}}, failed={"MSFT": "too few rows"}),
        warnings=("Fewer days than usual.",),
    )


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"

    full_record().write(first)
    TrainingRecord.read(first).write(second)

    assert second.read_bytes() == first.read_bytes()
    content = json.loads(first.read_text())
    assert content["days"]["holdout"] == ["2026-04-01"]
    assert TrainingRecord.read(second).usual_values["colour"].values == ("2", "red")
    assert content["trials"][0] == {
        "number": 0,
        "candidate": "ridge",
        "params": {"alpha": 0.1},
        "value": 0.25,
        "state": "COMPLETE",
    }


def test_a_record_of_an_earlier_version_of_the_code_is_read() -> None:
    content = training_record().content()
    for added_since in (
        "reference_metrics",
        "segments",
        "intervals",
        "coverage_range",
        "per_segment",
        "warnings",
        "importance",
        "usual_values",
    ):
        del content[added_since]
    content["positives"] = {"fit": 12}

    assert TrainingRecord.model_validate(content) == training_record()


def test_parts_under_their_former_names_are_read() -> None:
    parts = {"train 1": 100, "validation 1": 50, "refit": 400, "holdout": 300}
    record = training_record(rows=parts, folds=(FoldDays(train=DAYS[:1], validation=DAYS[1:2]),))
    content = record.content()
    content["rows"] = {"search 1": 100, "validation 1": 50, "fit": 400, "holdout": 300}
    content["days"]["fit"] = content["days"].pop("refit")
    content["folds"][0]["search"] = content["folds"][0].pop("train")

    assert TrainingRecord.model_validate(content) == record


def test_a_record_without_what_it_takes_to_repeat_the_training_is_refused() -> None:
    content = training_record().content()
    del content["seed"]

    with pytest.raises(ValidationError, match="seed"):
        TrainingRecord.model_validate(content)


def test_the_days_that_bound_what_was_learnt_do_not_depend_on_their_order() -> None:
    record = training_record(days=PartDays(refit=DAYS[2::-1], holdout=DAYS[:2:-1]))

    assert (record.learnt_from, record.learnt_until, record.holdout_from) == (DAYS[0], DAYS[2], DAYS[3])

"""The version that a report is about: the one that made the newest predictions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from include.lifecycle.promotion import registry
from include.lifecycle.scoring.prediction_files import latest_version
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake


@dataclass(frozen=True)
class Reference:
    """The version whose training the present is compared with.

    `day` is its training day, `score_column` the column of its holdout with its scores: `candidate_score`, or
    `baseline_score` where the baseline is champion.
    """

    day: date
    model_version: int
    score_column: str = "candidate_score"


def find_reference(tracking_uri: str, model: ModelSpec, lake: Lake) -> Reference | None:
    """The training of the version that made the newest predictions; None before there are any."""
    number = latest_version(model, lake)
    if number is None:
        return None
    used = registry.version(tracking_uri, model.name, number)
    return Reference(used.as_of, number, used.score_column)

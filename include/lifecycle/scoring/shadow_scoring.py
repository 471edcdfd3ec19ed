"""The challenger scores the champion's days in shadow: the same features, published apart, read by nobody outside.

Which days that are follows from what there is, so a lost event, a killed task or a paused DAG does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from include.lifecycle.ingestion.feature_version import present_feature_days
from include.lifecycle.look_back import LOOK_BACK
from include.lifecycle.promotion import ledger
from include.lifecycle.scoring.checks import refuse_broken
from include.lifecycle.scoring.prediction_files import PARQUET, version_input
from include.lifecycle.scoring.scorers import Scorer
from include.lifecycle.scoring.scoring import errors_by_day, publish_scores, refuse_empty, write_scores
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, Manifest, RunInfo


def plan(
    model: ModelSpec, lake: Lake, history: Sequence[ledger.Entry], requested: tuple[date, date] | None
) -> list[date]:
    """The days that the challenger has to score now, newest first; none where there is no challenger.

    These have published predictions, features of the present version of the code, and no scores of this challenger
    that were written after the predictions. They lie within LOOK_BACK of the newest published day, and the
    challenger has seen the future of none. Of a requested range (both ends included) they are all that it may
    score, scored or not.

    Parameters
    ----------
    history : the model's entries in the ledger, oldest first.
    """
    challenger, named = ledger.replay(history).challenger, latest.usable(lake, model.predictions_prefix)
    if challenger is None or named is None:
        return []
    first, last = requested or (named.day - LOOK_BACK, date.max)
    first = max(first, _first_day(history, challenger))
    predicted = lake.written(model.predictions_prefix, first, last)
    scored = {} if requested else lake.written(model.shadow_prefix(challenger), first, last)
    due = {day for day, written in predicted.items() if day not in scored or scored[day] < written}
    if not due:
        return []
    return sorted(due.intersection(present_feature_days(model.dataset, lake, min(due), max(due))), reverse=True)


def _first_day(history: Sequence[ledger.Entry], challenger: int) -> date:
    """The first day whose future a challenger has not seen."""
    starts = [
        entry.effective_from for entry in history if (entry.action, entry.candidate) == ("shadow", challenger)
    ]
    return starts[-1]


def score_days(
    model: ModelSpec, lake: Lake, days: Iterable[date], scorer: Scorer, run: RunInfo
) -> dict[date, str]:
    """Score and publish days in shadow; returns the error of each that could not be: one day stops no other.

    Raises
    ------
    OSError
        If the lake is out of reach, which is no error of a day.
    """
    tried = errors_by_day(days, lambda day: score(model, lake, day, scorer, run))
    return {day: error for day, error in tried if error is not None}


def score(model: ModelSpec, lake: Lake, day: date, scorer: Scorer, run: RunInfo) -> Manifest:
    """Score a day's features with the challenger, check the scores as published ones, and publish them apart.

    One Parquet file with the columns of the prediction files. Returns the manifest.

    Raises
    ------
    PartitionNotFoundError
        If the day has no features.
    PredictionsError
        If the features have no rows, or the scores break the contract of the prediction files.
    """
    features = lake.pin(model.dataset.features_prefix, [day])
    refuse_empty(model, lake, day, features)
    inputs = {**features.inputs, version_input(model): str(scorer.version), **scorer.inputs}
    with TemporaryDirectory() as folder:
        path = Path(folder) / PARQUET
        write_scores(model, features, scorer, run, path)
        refuse_broken(model, features, path, [scorer.version] if scorer.usual else [])
        return publish_scores(lake, model.shadow_prefix(scorer.version), day, path, run, inputs)

"""The rows of each part of a split: what hyperparameters are chosen by, what is fitted on, and the holdout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import polars as pl

from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.modelling.tuning import FoldRows
from include.lifecycle.specs import ModelSpec
from include.lifecycle.training.snapshots import NothingToLearnError, Part, Split, select, split
from include.lifecycle.training.training_set import TrainingSet


@dataclass(frozen=True)
class SplitRows:
    """Key, `dt`, features and `label` of the rows of each part.

    Attributes
    ----------
    inputs : path and digest of the partitions that these rows were read from.
    """

    split: Split
    folds: list[FoldRows]
    refit: pl.DataFrame
    holdout: pl.DataFrame
    inputs: Mapping[str, str]

    def by_name(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """The name of each part, as the record has it, with its rows."""
        for number, fold in enumerate(self.folds, start=1):
            suffix = "" if len(self.folds) == 1 else f" {number}"
            yield f"train{suffix}", fold.train
            yield f"validation{suffix}", fold.validation
        yield "refit", self.refit
        yield "holdout", self.holdout


def split_rows(model: ModelSpec, training_set: TrainingSet, seed: int) -> SplitRows:
    """Share out a training set, each part with at most `max_rows` of its rows.

    Raises
    ------
    NothingToLearnError
        If there are too few days, or a part has hardly any outcomes of one kind.
    """
    rows_of = partial(_rows_of, model, training_set)
    parts = split(list(training_set.rows), model)
    rows = SplitRows(
        split=parts,
        folds=[FoldRows(rows_of(fold.train, seed), rows_of(fold.validation, seed)) for fold in parts.folds],
        refit=rows_of(parts.refit, seed),
        # Whichever seed is tried, the same rows judge.
        holdout=rows_of(parts.holdout, 0),
        inputs=training_set.sources_of({*parts.refit.days, *parts.holdout.days}),
    )
    for name, frame in rows.by_name():
        shortfall = task_of(model).label_shortfall(frame["label"])
        if shortfall:
            raise NothingToLearnError(
                f"The {name} part of model {model.name!r} has {shortfall}; give more days or more rows."
            )
    return rows


def all_rows(model: ModelSpec, training_set: TrainingSet, seed: int) -> pl.DataFrame:
    """The rows of all days together, those of the holdout too, at most `max_rows` of them."""
    return _rows_of(model, training_set, Part(tuple(training_set.rows)), seed)


def _rows_of(model: ModelSpec, training_set: TrainingSet, part: Part, seed: int) -> pl.DataFrame:
    share = model.split.max_rows // len(part.days)
    chosen = (select(training_set.rows[day], model.dataset.key, part, share, seed) for day in part.days)
    return pl.concat(chosen, how="vertical_relaxed")

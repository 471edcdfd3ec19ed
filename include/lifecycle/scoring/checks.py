"""What must hold of scores before they are published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from include.lifecycle.modelling.reasons import REASONS, direction
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.scoring.prediction_files import (
    TARGET_FROM,
    TARGET_UNTIL,
    PredictionsError,
    features_input,
    versions_with_reasons,
)
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, Manifest, Pinned

_OWN_COLUMNS = ("score", TARGET_FROM, TARGET_UNTIL, "model_name", "model_version", "scored_at")
_UNIQUENESS_ROWS = 500_000


def check_scores(model: ModelSpec, lake: Lake, day: date, staged: Manifest, path: Path) -> None:
    """Raise PredictionsError where the staged scores in the file `path` break the contract of the predictions.

    What that is, `refuse_broken` says. The features are fetched beside the file.
    """
    features = lake.pin(model.dataset.features_prefix, [day])
    if staged.inputs[features_input(model, day)] != features.inputs[features_input(model, day)]:
        raise PredictionsError(
            f"The features of {day} were published again after they were scored; score the day again."
        )
    refuse_broken(model, features, path, versions_with_reasons(model, staged))


def refuse_broken(model: ModelSpec, features: Pinned, path: Path, with_reasons: Sequence[int]) -> None:
    """Raise PredictionsError where the scores in the file `path` break the contract of the predictions.

    Their keys must be those of the one pinned day's features, row by row, or some of them where the task does not
    score every row; they must be unique, each score valid, and no decision missing. Rows that a person acts on
    have a reason, where they are of a version that gives any. The features are fetched beside the file.
    """
    [day] = features.days
    scores, rows = pl.scan_parquet(path), pl.scan_parquet(features.download(day, path.parent))
    problems = [*_key_problems(model, scores, rows), *_value_problems(model, scores)]
    problems += _reason_problems(model, scores, with_reasons)
    if problems:
        raise PredictionsError(
            f"The scores of {day} are not published: {' '.join(problems)} "
            f"Correct the model {model.name!r} and score the day again."
        )


def _key_problems(model: ModelSpec, scores: pl.LazyFrame, features: pl.LazyFrame) -> Iterator[str]:
    key = model.dataset.key
    scored = scores.select(pl.struct(key).alias("scored"))
    rows, given_rows = _count(scored), _count(features)
    every_row = task_of(model).scores_every_row
    if rows > given_rows or (every_row and rows < given_rows):
        yield f"There are {rows} of them for {given_rows} rows of features."
        return
    if every_row:
        given = features.select(pl.struct(key).alias("given"))
        pairs = pl.concat([scored, given], how="horizontal")
        if differing := _value(pairs.select(pl.col("scored").ne_missing(pl.col("given")).sum())):
            yield f"{differing} keys are not those of the features at the same place."
    elif foreign := _count(scores.join(features, on=key, how="anti", nulls_equal=True)):
        yield f"{foreign} keys are not among those of the features."
    # In slices by hash, so that memory stays the same for any number of rows.
    slices = rows // _UNIQUENESS_ROWS + 1
    hashed = scored.with_columns(slice=pl.col("scored").hash() % slices)
    unique = sum(
        _value(hashed.filter(pl.col("slice") == number).select(pl.col("scored").n_unique()))
        for number in range(slices)
    )
    if unique < rows:
        yield f"{rows - unique} rows repeat the key ({', '.join(key)}) of another."


def _value_problems(model: ModelSpec, scores: pl.LazyFrame) -> Iterator[str]:
    others = {*model.dataset.key, *_OWN_COLUMNS, *(REASONS if model.reasons else ())}
    decisions = [name for name in scores.collect_schema() if name not in others]
    task, schema = task_of(model), scores.collect_schema()
    missing_value = {
        name: pl.col(name).is_null() | (~pl.col(name).is_finite() if schema[name].is_float() else False)
        for name in decisions
    }
    counts = (
        scores.select(
            (~task.is_valid_score(pl.col("score"))).sum().alias("score"),
            *(is_missing.sum().alias(name) for name, is_missing in missing_value.items()),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    if invalid := counts.pop("score"):
        yield f"{invalid} scores are not {task.valid_scores}."
    for name, missing in counts.items():
        if missing:
            yield f"{missing} rows lack the decision {name!r}."


def _reason_problems(model: ModelSpec, scores: pl.LazyFrame, versions: Sequence[int]) -> Iterator[str]:
    if model.reasons is None:
        return
    acted_on = scores.filter(direction(model.reasons) != 0, pl.col("model_version").is_in(versions))
    if lacking := _count(acted_on.filter(pl.col(REASONS[0]).is_null())):
        yield f"{lacking} rows that a person acts on lack {REASONS[0]!r}."


def _count(rows: pl.LazyFrame) -> int:
    return _value(rows.select(pl.len()))


def _value(query: pl.LazyFrame) -> int:
    return int(query.collect(engine="streaming").item())

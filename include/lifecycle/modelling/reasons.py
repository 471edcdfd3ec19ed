"""Reasons: which values of a row brought its score to where a person acts on it.

Of each feature it is asked how much higher the row's score is than it would be if that feature alone had a value
usual among the training rows: each of a text's values, weighted by its share, or the median of a number. That is
the method of Robnik-Šikonja and Kononenko (2008), "Explaining classifications for individual instances",
with differences of scores. `docs/decisions/0025-reasons.md` says what it cannot show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from include.lifecycle.modelling.estimator_input import predict

if TYPE_CHECKING:
    from include.lifecycle.specs import ModelSpec, ReasonsSpec

REASONS = ("reason_1", "reason_2", "reason_3")

_LEAST = 1e-9
"""What a feature must at least move a score by: less is the last bits of sums in another order."""
_MOST_TEXTS = 12
_SLICE_ROWS = 1_000


class UsualValues(BaseModel):
    """The values that a feature has among the training rows.

    Attributes
    ----------
    values : the most frequent one first; of a number its median alone.
    shares : the share of each; they add up to 1.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    values: tuple[float | str, ...]
    shares: tuple[float, ...]


Usual = Mapping[str, UsualValues]
"""By feature. Features of which no value is known are left out."""


def usual_values(model: ModelSpec, rows: pl.DataFrame) -> Usual:
    """The usual values of the features that the model has words for; of texts the 12 most frequent."""
    if model.reasons is None:
        return {}
    known = {name: as_read(model, rows)[name].drop_nulls() for name in model.reasons.words}
    return {
        name: _of_numbers(values) if name in model.numeric else _of_texts(values)
        for name, values in known.items()
        if len(values)
    }


def _of_numbers(values: pl.Series) -> UsualValues:
    return UsualValues(values=(float(np.median(values.to_numpy())),), shares=(1.0,))


def _of_texts(values: pl.Series) -> UsualValues:
    counts = values.value_counts(name="rows").sort(pl.col("rows"), values.name, descending=[True, False])
    counts = counts.head(_MOST_TEXTS)
    shares = counts["rows"] / counts["rows"].sum()
    return UsualValues(values=tuple(counts[values.name]), shares=tuple(shares))


def direction(reasons: ReasonsSpec) -> pl.Expr:
    """1 or -1 in rows that a person acts on, as `ReasonsSpec.directions` has it; 0 in all others."""
    return pl.col(reasons.column).replace_strict(dict(reasons.directions), default=0, return_dtype=pl.Int8)


def reasons_of(model: ModelSpec, decided: pl.DataFrame, estimator: Any, usual: Usual) -> pl.DataFrame:
    """`reason_1` to `reason_3` of each row, the weightiest first; null in rows that nobody acts on.

    A feature is named only where its value moves the score towards the decision, and where the value is known. All
    are null where no usual values are known, as of versions from before they were kept.

    Parameters
    ----------
    decided : rows with the features, `score` and the columns of `decide`.
    """
    texts = np.full((decided.height, len(REASONS)), None, dtype=object)
    known = {name: usual[name] for name in model.reasons.words if name in usual} if model.reasons else {}
    if model.reasons and known:
        towards = decided.select(direction(model.reasons)).to_series().to_numpy()
        rows = as_read(model, decided).with_columns(score=decided["score"])
        acted_on = np.flatnonzero(towards)
        for start in range(0, len(acted_on), _SLICE_ROWS):
            places = acted_on[start : start + _SLICE_ROWS]
            moved = contributions(model, rows[places], estimator, known) * towards[places, None]
            for place, said in zip(places, _sentences(model.reasons, rows[places], moved, known), strict=True):
                texts[place, : len(said)] = said
    return pl.DataFrame(
        {name: pl.Series(texts[:, place].tolist(), dtype=pl.String) for place, name in enumerate(REASONS)}
    )


def contributions(model: ModelSpec, rows: pl.DataFrame, estimator: Any, usual: Usual) -> NDArray[np.float64]:
    """By row and feature of `usual`, how much higher the score is than with the usual values of that feature.

    0 where the row's own value is missing.

    Parameters
    ----------
    rows : the features as `as_read` gives them, and `score`.
    """
    numbered = rows.lazy().with_row_index("row")
    changed = pl.concat(
        numbered.filter(pl.col(name) != value).with_columns(
            pl.lit(value).alias(name), place=pl.lit(place), share=pl.lit(share)
        )
        for place, (name, known) in enumerate(usual.items())
        for value, share in zip(known.values, known.shares, strict=True)
    ).collect()
    if changed.is_empty():
        return np.zeros((rows.height, len(usual)))
    differences = changed["share"].to_numpy() * (changed["score"].to_numpy() - predict(estimator, changed, model))
    cells = changed["row"].to_numpy().astype(np.int64) * len(usual) + changed["place"].to_numpy()
    sums = np.bincount(cells, differences, minlength=rows.height * len(usual)).astype(np.float64, copy=False)
    return sums.reshape(rows.height, len(usual))


def _sentences(
    reasons: ReasonsSpec, rows: pl.DataFrame, moved: NDArray[np.float64], usual: Usual
) -> Iterator[list[str]]:
    """The sentences of each row; features that move a score alike keep the order of `usual`."""
    names = list(usual)
    order = np.argsort(-moved, axis=1, kind="stable")[:, : len(REASONS)]
    for own, row, best in zip(moved, rows.select(names).iter_rows(), order, strict=True):
        yield [
            reasons.words[names[place]].format(value=row[place], usual=usual[names[place]].values[0])
            for place in best
            if own[place] > _LEAST
        ] or [reasons.otherwise]


def as_read(model: ModelSpec, rows: pl.DataFrame) -> pl.DataFrame:
    """The features as numbers and texts, null where a value is missing."""
    return rows.select(
        pl.col(model.numeric).cast(pl.Float64).fill_nan(None),
        pl.col(model.categorical).cast(pl.String),
    )

"""What a candidate gains over the champion in each part of the holdout that its spec names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import polars as pl

from include.lifecycle.modelling.bootstrap import LEVEL
from include.lifecycle.modelling.estimator_input import MISSING
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.promotion.gate_evidence import SegmentGain
from include.lifecycle.specs import GateLimits, GateSegments, ModelSpec

CANDIDATE, CHAMPION = "candidate", "champion"
"""The columns with the scores that are compared."""


def segment_gains(model: ModelSpec, rows: pl.DataFrame) -> tuple[SegmentGain, ...]:
    """The gain in each segment of the spec, in the order of its columns and their values.

    Segments that are too small, or lack outcomes of a kind, are named with what they lack. The level of the
    others' intervals is shared among them (Bonferroni), as one in twenty would lose beyond chance by chance.

    Parameters
    ----------
    rows : of the holdout; without the columns `candidate` and `champion` there is nothing to be gained. A column
        of the spec that they lack has no segments.
    """
    parts = [
        (segments.by, str(name), part)
        for segments in model.gate.segments
        if segments.by in rows.columns
        for (name,), part in _named(segments, rows).group_by("segment", maintain_order=True)
    ]
    shortfalls = [_shortfall(model, part) for _, _, part in parts]
    level = LEVEL / max(1, shortfalls.count(None))
    return tuple(
        SegmentGain(
            by=by, name=name, rows=part.height, shortfall=shortfall, **_gain(model, part, shortfall, level)
        )
        for (by, name, part), shortfall in zip(parts, shortfalls, strict=True)
    )


def judged_segments(model: ModelSpec, evidence: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Column and name of each segment that judged a version, where the spec still cuts the column as it did then.

    A column that was given other cuts since has other segments, so none of the former ones can be missing.

    Parameters
    ----------
    evidence : of the version's verdict, as the ledger has it.
    """
    asked_then = GateLimits.model_validate(evidence.get("limits") or {}).segments
    unchanged = {segments.by for segments in model.gate.segments if segments in asked_then}
    found = (SegmentGain.model_validate(segment) for segment in evidence.get("segments", ()))
    return tuple((one.by, one.name) for one in found if one.by in unchanged and one.shortfall is None)


def _named(segments: GateSegments, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in the order of the segments, with the name of each row's in `segment`."""
    value = pl.col(segments.by)
    name = value.cast(pl.String)
    if segments.cuts:
        number = value.cast(pl.Float64)
        name = number.fill_nan(None).cut(segments.cuts, labels=list(_bands(segments)), left_closed=True)
    named = rows.with_columns(segment=name.cast(pl.String).fill_null(MISSING))
    return named.sort(segments.by, nulls_last=True, maintain_order=True)


def _bands(segments: GateSegments) -> Iterator[str]:
    yield f"under {segments.cuts[0]:g}"
    yield from (f"{low:g} to under {high:g}" for low, high in pairwise(segments.cuts))
    yield f"{segments.cuts[-1]:g} and over"


def _shortfall(model: ModelSpec, part: pl.DataFrame) -> str | None:
    if part.height < model.gate.min_segment_rows:
        return f"{part.height} rows, but at least {model.gate.min_segment_rows} are needed"
    return task_of(model).label_shortfall(part["label"])


def _gain(model: ModelSpec, part: pl.DataFrame, shortfall: str | None, level: float) -> dict[str, float]:
    if shortfall or not {CANDIDATE, CHAMPION} <= set(part.columns):
        return {}
    gain = task_of(model).gain(part, CANDIDATE, CHAMPION, level)
    return {"gain": gain.value, "upper_bound": gain.upper_bound}

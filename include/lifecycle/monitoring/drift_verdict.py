"""What follows from the distances that drift measured: a pure function from evidence to verdict.

The scores decide, the features explain: features can move while the predictions stay sound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

from include.lifecycle.monitoring.drift_methods import method_name
from include.lifecycle.reporting.pages import percent
from include.lifecycle.specs import DriftPolicy, Spec

KIND = "drift"
VERDICT = "verdict.json"

VerdictName = Literal["drift", "no drift", "not enough evidence"]

_MOST_NAMED = 5
_OF_THE_WINDOW = {"current_rows", "days", "missing_days", "scored_days", "predicted_days", "keys"}


class ColumnEvidence(Spec):
    """How far one column of the window lies from the reference.

    `distance` is None where a side has fewer values than the policy's `min_rows`; `exceeded` says that Evidently's
    test finds it beyond `threshold`. Rows are those of the samples that have a value. `outside` is the share of
    the window's values that are not in the reference: numbers beyond its range, or other categories.
    """

    method: str
    threshold: float
    distance: float | None
    exceeded: bool
    null_rate_reference: float
    null_rate_current: float
    reference_rows: int
    current_rows: int
    outside: float = 0.0


class ColumnDrift(ColumnEvidence):
    """A column's evidence and what follows from it."""

    drifted: bool


class SeasonEvidence(Spec):
    """How far the window lies from the same weeks a year ago, whose scores are of whichever versions made them."""

    days: tuple[date, ...]
    rows: int
    score: ColumnEvidence
    columns: Mapping[str, ColumnEvidence]


class DriftEvidence(Spec):
    """All that a verdict rests on.

    Rows are those of the samples. `days` are the days of the window that have features, `scored_days` those of
    them that the champion has scored, `predicted_days` those that have predictions of any version. The null rate
    of `score` is the share of the rows of `predicted_days` that the champion has not scored. `keys` is how many
    keys the window has, counted where each gives one row at most and these are too few for a verdict. `season` is
    None where the policy does not ask for it, or the same weeks a year ago have no features.
    """

    reference_rows: int
    current_rows: int
    days: tuple[date, ...]
    missing_days: tuple[date, ...]
    scored_days: tuple[date, ...] = ()
    predicted_days: tuple[date, ...] = ()
    keys: int | None = None
    score: ColumnEvidence
    columns: Mapping[str, ColumnEvidence]
    season: SeasonEvidence | None = None


class DriftVerdict(DriftEvidence):
    """The evidence, what follows from it, and why.

    `is_seasonal`: the window has drifted from the training, but not from the same weeks a year ago.
    """

    verdict: VerdictName
    reason: str
    score: ColumnDrift
    columns: Mapping[str, ColumnDrift]
    is_seasonal: bool = False

    @property
    def drifted(self) -> list[str]:
        """The drifted features, the farthest beyond its limit first, those with new gaps only last."""
        return _drifted(self.columns)


def decide(evidence: DriftEvidence, policy: DriftPolicy) -> DriftVerdict:
    """The verdict on a window.

    Drift if the scores drifted, or more than `max_share` of the compared features did. A feature drifts if its
    distance, or the change of its null rate, is beyond the limit. A window in which nothing drifted is free of
    drift only if its rows, features and scores suffice to say so. Where the same weeks a year ago are known, a
    window that is free of drift beside them is so at all.
    """
    columns = {
        name: ColumnDrift(**column.model_dump(), drifted=column.exceeded or _gaps_changed(column, policy))
        for name, column in evidence.columns.items()
    }
    score = ColumnDrift(**evidence.score.model_dump(), drifted=evidence.score.exceeded)
    verdict, reason = _conclude(evidence, score, columns, policy)
    known = evidence.model_dump(exclude={"score", "columns"})
    found = DriftVerdict(**known, score=score, columns=columns, verdict=verdict, reason=reason)
    return _in_season(found, evidence.season, policy) if verdict == "drift" and evidence.season else found


def _in_season(found: DriftVerdict, season: SeasonEvidence, policy: DriftPolicy) -> DriftVerdict:
    """The verdict on a window that has drifted from the training, beside the same weeks a year ago."""
    evidence = DriftEvidence(
        **found.model_dump(include=_OF_THE_WINDOW),
        reference_rows=season.rows,
        score=season.score,
        columns=season.columns,
    )
    ago, span = decide(evidence, policy), f"the same weeks a year ago, {season.days[0]} to {season.days[-1]}"
    if ago.verdict == "no drift":
        reason = f"It is the season: beside the training, {_begun(found.reason)} Beside {span}: {ago.reason}"
        return found.model_copy(update={"verdict": "no drift", "reason": reason, "is_seasonal": True})
    words = "it has drifted, too" if ago.verdict == "drift" else "it cannot be compared"
    return found.model_copy(update={"reason": f"{found.reason} Beside {span}, {words}: {ago.reason}"})


def _begun(sentence: str) -> str:
    """A sentence as the rest of another one."""
    return f"{sentence[0].lower()}{sentence[1:]}"


def _conclude(
    evidence: DriftEvidence, score: ColumnDrift, columns: Mapping[str, ColumnDrift], policy: DriftPolicy
) -> tuple[VerdictName, str]:
    for side, rows in (("reference", evidence.reference_rows), ("window", evidence.current_rows)):
        if rows < policy.min_rows:
            return "not enough evidence", f"The {side} has {rows} rows; a verdict needs {policy.min_rows}."
    compared = [column for column in columns.values() if column.distance is not None or column.drifted]
    drifted = _drifted(columns)
    features = f"{len(drifted)} of {len(compared)} features drifted{_named(drifted)}"
    if score.drifted:
        return "drift", f"{_scores(evidence)} drifted ({_measured(score)}). {features}."
    if len(drifted) > policy.max_share * len(compared):
        return "drift", f"{features}; the limit is {percent(policy.max_share, 0)}."
    if not compared:
        return "not enough evidence", f"No feature has {policy.min_rows} values on both sides."
    if score.distance is None:
        return "not enough evidence", (
            f"There are {score.current_rows} scores of the champion in the window and {score.reference_rows} in "
            f"the reference; a verdict needs {policy.min_rows} on both sides. {features}."
        )
    return "no drift", f"{_scores(evidence)} stayed in place ({_measured(score)}). {features}."


def _scores(evidence: DriftEvidence) -> str:
    """Which scores were compared: where the champion has not scored all days of the window, those of how many."""
    scored, days = len(evidence.scored_days), len(evidence.days) + len(evidence.missing_days)
    return "The scores" if scored == days else f"The champion's scores of {scored} of {days} days"


def _drifted(columns: Mapping[str, ColumnDrift]) -> list[str]:
    beyond = {
        name: (column.distance or 0) / column.threshold for name, column in columns.items() if column.drifted
    }
    return sorted(beyond, key=lambda name: -beyond[name])


def _named(drifted: Sequence[str]) -> str:
    more = f" and {len(drifted) - _MOST_NAMED} more" if len(drifted) > _MOST_NAMED else ""
    return f" ({', '.join(drifted[:_MOST_NAMED])}{more})" if drifted else ""


def _measured(column: ColumnEvidence) -> str:
    return f"{method_name(column.method)} distance {column.distance:.3f}, limit {column.threshold:g}"


def has_new_gaps(verdict: DriftVerdict, policy: DriftPolicy) -> bool:
    """Whether a feature's share of missing values changed, also beside the same weeks a year ago if known."""
    season = verdict.season.columns if verdict.season else verdict.columns
    return any(
        _gaps_changed(column, policy) and _gaps_changed(season[name], policy)
        for name, column in verdict.columns.items()
    )


def _gaps_changed(column: ColumnEvidence, policy: DriftPolicy) -> bool:
    return abs(column.null_rate_current - column.null_rate_reference) > policy.max_null_change

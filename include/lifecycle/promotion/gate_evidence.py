"""The evidence of the gate, as the ledger keeps it.

Entries of earlier versions of the code have other names for some fields, and lack others: what is renamed still
takes its former name, and what is added has a default.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AliasChoices, Field

from include.lifecycle.modelling.bootstrap import LEVEL
from include.lifecycle.specs import GateLimits, Spec


class NaiveModel(Spec):
    """A naive model besides the baseline: the candidate's score with it in the baseline's place, and its own."""

    name: str
    candidate_score: float | None
    score: float | None


class SegmentGain(Spec):
    """What the candidate gains over the champion on the rows of a segment.

    Attributes
    ----------
    by : the column. name : its value, or the band of its values.
    shortfall : why the segment stops no candidate, such as too few rows; None where it may.
    gain, upper_bound : None where it was not measured. The interval is so wide that all segments together
        are as seldom beyond it by chance as one alone is beyond a 95 % interval.
    """

    by: str
    name: str
    rows: int
    shortfall: str | None = None
    gain: float | None = None
    upper_bound: float | None = None


class CalibrationEvidence(Spec):
    """How far the candidate's scores are from what they promise, and so much of it as is not chance."""

    title: str
    error: float | None
    beyond_chance: float | None
    champion_error: float | None = None


class LeakEvidence(Spec):
    """The metric of which too high a value is suspicious."""

    title: str
    value: float | None


class BehaviourEvidence(Spec):
    """A behaviour test of the model: what should hold, and what was found; not run, it did not pass or fail."""

    name: str
    asked: str = ""
    measured: str = ""
    passed: bool | None = None


class GateEvidence(Spec):
    """What the gate knows: everybody's score on the same holdout rows, higher is better.

    Attributes
    ----------
    metric : name of the score. title : what people call it; empty in entries of earlier versions of the code.
    holdout_rows : rows that all scores were measured on. holdout_digest : of their keys, days and labels.
    judgement : 1 for the first candidate that this holdout judges, 2 for the second, and so on.
    limits : what the spec asked; None in entries of earlier versions of the code, which asked nothing of it.
    champion_version : None where there is no champion yet.
    champion_parent : the version that is compared in the champion's place, which learnt its holdout as well; None
        where the champion is compared itself.
    champion_fault : a sentence that says why the champion cannot be used, so that it cannot be compared with.
    champion_age_days : days from the champion's as-of day to the candidate's.
    gain : how much better than the champion the candidate is, row by row; None where they were not compared.
    gain_lower_bound, gain_upper_bound : the ends of the gain's interval, which misses it by chance with a
        probability of `gain_level`.
    candidate_metrics, champion_metrics : all metrics on these rows, by name; empty where they were not measured.
        The ledger has None for infinite ones, as JSON has no such numbers.
    min_gain : what the lower end must be above.
    naive_models : the naive models besides the baseline.
    distinct_scores : how many different scores the candidate gave; None where it gave none.
    segments : in the order of the spec. champion_segments : those that judged the champion when it came into
        force.
    running_test : a sentence that says which A/B test runs; None without one.
    problems : sentences about evidence that is missing or cannot be trusted.
    """

    metric: str
    title: str = ""
    holdout_rows: int
    holdout_digest: str = ""
    judgement: int = 1
    limits: GateLimits | None = None
    candidate_version: int
    candidate_score: float | None
    baseline_score: float | None
    champion_version: int | None = None
    champion_parent: int | None = None
    champion_score: float | None = None
    champion_fault: str | None = None
    champion_age_days: int | None = None
    gain: float | None = None
    gain_lower_bound: float | None = Field(None, validation_alias=AliasChoices("gain_lower_bound", "gain_low"))
    gain_upper_bound: float | None = None
    gain_level: float = LEVEL
    candidate_metrics: Mapping[str, float | None] = {}
    champion_metrics: Mapping[str, float | None] = Field(
        {}, validation_alias=AliasChoices("champion_metrics", "champion_measures")
    )
    min_gain: float = 0.0
    naive_models: tuple[NaiveModel, ...] = ()
    distinct_scores: int | None = None
    segments: tuple[SegmentGain, ...] = ()
    champion_segments: tuple[tuple[str, str], ...] = ()
    calibration: CalibrationEvidence | None = None
    leak: LeakEvidence | None = None
    behaviour: tuple[BehaviourEvidence, ...] = ()
    running_test: str | None = None
    problems: tuple[str, ...] = ()

    @property
    def champion_named(self) -> str:
        """The champion by its version, and who is judged in its place."""
        if self.champion_parent is None:
            return f"version {self.champion_version}"
        return f"version {self.champion_version}, judged by its parent, version {self.champion_parent}"

    @property
    def has_champion_to_beat(self) -> bool:
        """Whether there is a champion to be compared with."""
        return self.champion_version is not None and self.champion_fault is None

"""The evidence of the gate: candidate, baseline and champion are scored on the same holdout rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.numbers import distinct_texts
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.gate import GateEvidence
from include.lifecycle.promotion.staged_training import PinnedTraining
from include.lifecycle.specs import ModelSpec
from include.lifecycle.training.record import HOLDOUT, RECORD, TrainingRecord


@dataclass(frozen=True)
class _Contender:
    """A version that is scored on the holdout: as of which day it was trained, and the digest of its file."""

    role: str
    version: int
    as_of: date
    sha256: str | None

    @property
    def who(self) -> str:
        """The subject of a sentence about it."""
        return f"The {self.role}, version {self.version},"


@dataclass(frozen=True)
class _Holdout:
    """The rows on which versions are compared. `split` says what kept them apart from the rows learnt from."""

    model: ModelSpec
    tracking_uri: str
    rows: pl.DataFrame
    first_day: date
    split: str

    def scores(self, contender: _Contender) -> pl.Series:
        """The scores of a version."""
        from include.lifecycle.modelling.estimator_input import predict

        model = self.model
        estimator = registry.load(
            self.tracking_uri, model.name, contender.version, model.trusted_types, contender.sha256
        )
        return pl.Series(predict(estimator, self.rows, model))

    def overlap(self, contender: _Contender) -> tuple[str, ...]:
        """A sentence if a version may have learnt from the holdout."""
        tags = registry.version_tags(self.tracking_uri, self.model.name, contender.version)
        learnt_until = _day_or_none(tags.get("learnt_until", ""))
        if learnt_until is None:
            if contender.as_of <= self.first_day:
                return ()
            return (
                f"{contender.who} has no tag `learnt_until` with a day (it is {tags.get('learnt_until')!r}); "
                f"as of {contender.as_of}, it may have learnt the holdout of {self.first_day}; train again "
                "as of a later day.",
            )
        same_keys_kept_out = self.split == tags.get("split") == "key"
        outcomes_known_before = self.model.horizon_ends_on(learnt_until) <= self.first_day
        if same_keys_kept_out or (learnt_until <= self.first_day and outcomes_known_before):
            return ()
        return (
            f"{contender.who} has learnt from days until {learnt_until}, whose outcomes reach into the holdout of "
            f"{self.first_day}; train again as of a later day.",
        )


def gather_evidence(
    tracking_uri: str, training: PinnedTraining, version: int, history: Sequence[ledger.Entry]
) -> GateEvidence:
    """What the gate decides from, about the version that a staged training was pushed as.

    Parameters
    ----------
    history : the model's entries in the ledger, oldest first.
    """
    with TemporaryDirectory() as folder:
        files = training.download(Path(folder))
        record = TrainingRecord.read(files[RECORD])
        rows = pl.read_parquet(files[HOLDOUT])
    candidate = _Contender("candidate", version, training.as_of, training.model_digest("candidate"))
    holdout = _Holdout(training.model, tracking_uri, rows, record.holdout_from, record.split)
    return _compare(holdout, candidate, _champion(history))


def unbeaten_references(model: ModelSpec, rows: pl.DataFrame, score: str) -> tuple[str, ...]:
    """Sentences that name the model's naive references which the scores in a column do not beat.

    Each reference takes the baseline's place, its `<name>_score` beside the scores on the same rows.
    """
    sentences = []
    for name in model.gate.references:
        compared = rows.with_columns(baseline_score=pl.col(f"{name}_score"))
        own, reference = (_metric(model, compared, column) for column in (score, "baseline_score"))
        if not own > reference:
            texts = distinct_texts([own, reference])
            metric = task_of(model).metrics[model.gate.metric].within
            sentences.append(
                f"For the candidate beside the naive model {name!r}, the {metric} is {texts[0]}, which is not "
                f"above {texts[1]}."
            )
    return tuple(sentences)


def _champion(history: Sequence[ledger.Entry]) -> _Contender | None:
    version = ledger.replay(history).champion
    if version is None:
        return None
    in_force_from = next(entry.effective_from for entry in history if entry.to_version == version)
    return _Contender("champion", version, in_force_from, ledger.digest_of(history, version))


def _compare(holdout: _Holdout, candidate: _Contender, champion: _Contender | None) -> GateEvidence:
    model, rows = holdout.model, holdout.rows
    score, problems = None, [*unbeaten_references(model, rows, "candidate_score")]
    try:
        problems += holdout.overlap(candidate)
        rows = rows.with_columns(candidate=holdout.scores(candidate))
        score = _metric(model, rows, "candidate")
    except OSError:
        raise
    except (ValueError, KeyError) as error:
        problems.append(f"Version {candidate.version} could not score the holdout: {error}")
    of_champion: dict[str, Any] = {}
    if champion is not None and champion.version != candidate.version:
        of_champion, overlap = _compare_champion(holdout, rows, champion)
        problems += overlap
    return GateEvidence(
        metric=model.gate.metric,
        title=task_of(model).metrics[model.gate.metric].title,
        holdout_rows=rows.height,
        candidate_version=candidate.version,
        candidate_score=score,
        baseline_score=_metric(model, rows, "baseline_score"),
        champion_version=None if champion is None else champion.version,
        min_gain=model.gate.min_gain,
        problems=tuple(problems),
        **of_champion,
    )


def _compare_champion(
    holdout: _Holdout, rows: pl.DataFrame, champion: _Contender
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Fields of the evidence about the champion, and a sentence if it may have learnt from the holdout.

    `rows` are those of the holdout, with the scores of the candidate where it has any.
    """
    task, model = task_of(holdout.model), holdout.model
    try:
        overlap = holdout.overlap(champion)
        rows = rows.with_columns(champion=holdout.scores(champion))
        metrics = task.measure(rows, "champion")
        found: dict[str, Any] = {"champion_score": metrics[model.gate.metric], "champion_metrics": metrics}
    except OSError:
        raise
    except UnusableModelError as error:
        return {"champion_fault": f"{champion.who} cannot be loaded: {error}"}, ()
    except (ValueError, KeyError) as error:
        return {"champion_fault": f"{champion.who} cannot score the holdout: {error}"}, ()
    if "candidate" in rows.columns:
        gain = task.gain(rows, "candidate", "champion")
        found |= {"gain": gain.value, "gain_lower_bound": gain.lower_bound}
    return found, overlap


def _metric(model: ModelSpec, rows: pl.DataFrame, score: str) -> float:
    return task_of(model).measure(rows, score)[model.gate.metric]


def _day_or_none(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None

"""The evidence of the gate: candidate, baseline and champion are scored on the same holdout rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.promotion import ab_test, ledger
from include.lifecycle.promotion.gate_evidence import (
    BehaviourEvidence,
    CalibrationEvidence,
    GateEvidence,
    LeakEvidence,
    NaiveModel,
)
from include.lifecycle.promotion.holdout import Contender, Holdout, judgement_level, judgement_number
from include.lifecycle.promotion.segment_gains import CANDIDATE, CHAMPION, judged_segments, segment_gains
from include.lifecycle.promotion.staged_training import PinnedTraining
from include.lifecycle.specs import ModelSpec
from include.lifecycle.training.record import HOLDOUT, RECORD, TrainingRecord

Fields = dict[str, Any]
"""Fields of the evidence by name."""


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
    candidate = Contender("candidate", version, training.as_of, training.model_digest("candidate"))
    holdout = Holdout(training.model, tracking_uri, rows, record.holdout_from, record.split)
    champion = _champion(history)
    asked = _asked(holdout, history, version)
    return GateEvidence(
        **asked,
        **_compare(holdout, candidate, champion, asked["gain_level"]),
        **_known_of_champion(training.model, candidate, champion, history),
        behaviour=behaviour_evidence(training.model, record),
    )


def naive_models(model: ModelSpec, rows: pl.DataFrame, score: str) -> tuple[NaiveModel, ...]:
    """The model's naive references beside the scores in a column.

    Each takes the baseline's place, its `<name>_score` beside the scores on the same rows.
    """
    found = []
    for name in model.gate.references:
        compared = rows.with_columns(baseline_score=pl.col(f"{name}_score"))
        own, reference = (_metric(model, compared, column) for column in (score, "baseline_score"))
        found.append(NaiveModel(name=name, candidate_score=own, score=reference))
    return tuple(found)


def _asked(holdout: Holdout, history: Sequence[ledger.Entry], version: int) -> Fields:
    """What the spec asks, and of how many rows that were used how often."""
    gate, digest = holdout.model.gate, holdout.digest
    judgement = judgement_number(history, digest, version)
    return {
        "metric": gate.metric,
        "title": task_of(holdout.model).metrics[gate.metric].title,
        "holdout_rows": holdout.rows.height,
        "holdout_digest": digest,
        "judgement": judgement,
        "gain_level": judgement_level(judgement),
        "limits": gate.limits(),
        "min_gain": gate.min_gain,
        "candidate_version": version,
    }


def behaviour_evidence(model: ModelSpec, record: TrainingRecord) -> tuple[BehaviourEvidence, ...]:
    """What came of each behaviour test that the spec asks for, also of those that were not run."""
    results = {result.name: result for result in record.behaviour_tests}
    return tuple(
        BehaviourEvidence(name=test.name, asked=test.asked)
        if (found := results.get(test.name)) is None
        else BehaviourEvidence(name=test.name, asked=test.asked, measured=found.measured, passed=found.passed)
        for test in model.behaviour
    )


def _champion(history: Sequence[ledger.Entry]) -> Contender | None:
    """The version that is compared with: the champion, or the judged parent of one that learnt its holdout."""
    champion = ledger.replay(history).champion
    if champion is None:
        return None
    version = ledger.parents(history).get(champion, champion)
    role = "champion" if version == champion else "champion's judged parent"
    in_force_from = next(entry.effective_from for entry in history if entry.to_version == version)
    return Contender(role, version, in_force_from, ledger.digest_of(history, version))


def _known_of_champion(
    model: ModelSpec, candidate: Contender, champion: Contender | None, history: Sequence[ledger.Entry]
) -> Fields:
    """What the ledger says of the champion."""
    if champion is None:
        return {}
    first = ledger.find_verdict(history, champion.version) or next(
        entry for entry in history if entry.to_version == champion.version
    )
    present = ledger.replay(history).champion
    return {
        "champion_version": present,
        "champion_parent": champion.version if champion.version != present else None,
        "champion_age_days": (candidate.as_of - champion.as_of).days,
        "champion_segments": judged_segments(model, first.evidence),
        "running_test": _running_test(history),
    }


def _running_test(history: Sequence[ledger.Entry]) -> str | None:
    split = ab_test.running(history)
    if split is None:
        return None
    return (
        f"Version {split.challenger} is compared with the champion in an A/B test on {split.test.days} days from "
        f"{split.test.first_day} on."
    )


def _compare(holdout: Holdout, candidate: Contender, champion: Contender | None, level: float) -> Fields:
    """Everybody's scores on the holdout, where it can judge at all."""
    model, rows = holdout.model, holdout.rows
    shortfall = task_of(model).label_shortfall(rows["label"])
    if shortfall:
        problems = (f"The holdout has {shortfall}.",)
        return {"candidate_score": None, "baseline_score": None, "problems": problems}
    found: Fields = {"baseline_score": _metric(model, rows, "baseline_score")}
    found |= {"naive_models": naive_models(model, rows, "candidate_score")}
    rows, of_candidate = _compare_candidate(holdout, candidate)
    found |= of_candidate
    if champion is not None and champion.version != candidate.version:
        rows, of_champion, overlap = _compare_champion(holdout, rows, champion, level)
        found |= of_champion | {"problems": (*of_candidate["problems"], *overlap)}
    if CANDIDATE in rows.columns:
        found |= {"segments": segment_gains(model, rows), "calibration": _calibration(model, rows)}
    return found


def _compare_candidate(holdout: Holdout, candidate: Contender) -> tuple[pl.DataFrame, Fields]:
    """The rows with the candidate's scores where it has any, and fields about it."""
    model, rows = holdout.model, holdout.rows
    problems: tuple[str, ...] = ()
    try:
        problems = holdout.overlap(candidate)
        scored = rows.with_columns(holdout.scores(candidate).alias(CANDIDATE))
        metrics = task_of(model).measure(scored, CANDIDATE)
    except OSError:
        raise
    except (ValueError, KeyError) as error:
        problems = (*problems, f"Version {candidate.version} could not score the holdout: {error}")
        return rows, {"candidate_score": None, "problems": problems}
    return scored, {
        "candidate_score": metrics[model.gate.metric],
        "candidate_metrics": metrics,
        "distinct_scores": scored[CANDIDATE].n_unique(),
        "leak": _leak(model, metrics),
        "problems": problems,
    }


def _compare_champion(
    holdout: Holdout, rows: pl.DataFrame, champion: Contender, level: float
) -> tuple[pl.DataFrame, Fields, tuple[str, ...]]:
    """The rows with the champion's scores, fields about it, and a sentence if it may have learnt the holdout.

    `rows` are those of the holdout, with the scores of the candidate where it has any.
    """
    task, model = task_of(holdout.model), holdout.model
    try:
        overlap = holdout.overlap(champion)
        scored = rows.with_columns(holdout.scores(champion).alias(CHAMPION))
        metrics = task.measure(scored, CHAMPION)
    except OSError:
        raise
    except UnusableModelError as error:
        return rows, {"champion_fault": f"{champion.who} cannot be loaded: {error}"}, ()
    except (ValueError, KeyError) as error:
        return rows, {"champion_fault": f"{champion.who} cannot score the holdout: {error}"}, ()
    found: Fields = {"champion_score": metrics[model.gate.metric], "champion_metrics": metrics}
    if CANDIDATE in rows.columns:
        gain = task.gain(scored, CANDIDATE, CHAMPION, level)
        found |= {f"gain{end}": value for end, value in zip(_ENDS, gain, strict=True)}
    return scored, found, overlap


_ENDS = ("", "_lower_bound", "_upper_bound")


def _calibration(model: ModelSpec, rows: pl.DataFrame) -> CalibrationEvidence | None:
    task = task_of(model)
    found = task.calibration(rows, CANDIDATE)
    if found is None:
        return None
    of_champion = task.calibration(rows, CHAMPION) if CHAMPION in rows.columns else None
    return CalibrationEvidence(
        title=str(task.calibration_title),
        error=found.error,
        beyond_chance=found.beyond_chance,
        champion_error=of_champion.error if of_champion else None,
    )


def _leak(model: ModelSpec, metrics: dict[str, float]) -> LeakEvidence | None:
    if model.gate.leakage_threshold is None:
        return None
    name = model.gate.leakage_threshold[0]
    return LeakEvidence(title=task_of(model).metrics[name].title, value=metrics.get(name))


def _metric(model: ModelSpec, rows: pl.DataFrame, score: str) -> float:
    return task_of(model).measure(rows, score)[model.gate.metric]

"""The gate: candidate, baseline and champion meet on the same holdout rows, and the ledger says who won."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl

from include.lifecycle import ledger, registry
from include.lifecycle.kinds import kind_of
from include.lifecycle.lake import Lake, RunInfo
from include.lifecycle.promotion import GateDecision, GateEvidence, decide
from include.lifecycle.specs import ModelSpec

if TYPE_CHECKING:
    from psycopg2 import extensions

_REASON_SEPARATOR = "\n"


@dataclass(frozen=True)
class _Holdout:
    rows: pl.DataFrame
    first_day: date
    split: str


def judge(
    model: ModelSpec,
    lake: Lake,
    as_of: date,
    staged_digest: str,
    tracking_uri: str,
    connection: extensions.connection,
    run: RunInfo,
    candidate: int,
    actor: str = "gate",
) -> GateDecision:
    """Decide on version `candidate`, record the decision in the ledger, then set the aliases from the ledger.

    The same run judges a candidate once: a retry takes the recorded decision and repairs the aliases.

    Raises
    ------
    ValueError
        If the staged training of `as_of` is not the one named by `staged_digest`.
    LedgerConflictError
        If another champion was made meanwhile; a retry judges against that one.
    """
    entry = ledger.find(connection, model.name, run.run_id, candidate)
    if entry is None:
        champion = ledger.champion(connection, model.name)
        with TemporaryDirectory() as scratch:
            staged = registry.download_staged(lake, model, as_of, staged_digest, Path(scratch))
            decision = decide(_gather(model, _holdout(staged), tracking_uri, candidate, champion))
        winner = champion
        if decision.action == "promote":
            winner = candidate
        elif decision.action == "baseline":
            winner = registry.push(tracking_uri, model, lake, as_of, staged_digest, run, "baseline").version
        entry = ledger.record(connection, _entry(model, decision, winner, as_of, actor, run))
    _show(tracking_uri, entry, ledger.replay(ledger.entries(connection, model.name)))
    return _decision(entry)


def _gather(
    model: ModelSpec, holdout: _Holdout, tracking_uri: str, candidate: int, champion: int | None
) -> GateEvidence:
    candidate_score, problems = _score(model, holdout, tracking_uri, candidate)
    problems = (*problems, *rivals(model, holdout.rows, "candidate_score"))
    champion_score = None
    if champion is not None and champion != candidate:
        champion_score, champion_problems = _score(model, holdout, tracking_uri, champion)
        tags = registry.version_tags(tracking_uri, model.name, champion)
        problems = (*problems, *champion_problems, *_unfair(model, holdout, champion, tags))
    return GateEvidence(
        metric=model.metric,
        holdout_rows=holdout.rows.height,
        candidate_version=candidate,
        candidate_score=candidate_score,
        baseline_score=_metric(model, holdout.rows, "baseline_score"),
        champion_version=champion,
        champion_score=champion_score,
        min_gain=model.min_gain,
        problems=problems,
    )


def _score(
    model: ModelSpec, holdout: _Holdout, tracking_uri: str, version: int
) -> tuple[float | None, tuple[str, ...]]:
    """The deciding metric of a version; or None, and a sentence that says why it cannot be had."""
    from include.lifecycle.estimator_input import predict

    try:
        estimator = registry.load(tracking_uri, model.name, version, model.trusted_types)
        scored = holdout.rows.with_columns(judged=predict(estimator, holdout.rows, model))
        return _metric(model, scored, "judged"), ()
    except (ValueError, KeyError) as error:
        return None, (f"Version {version} could not score the holdout: {error}",)


def rivals(model: ModelSpec, rows: pl.DataFrame, score: str) -> tuple[str, ...]:
    """Sentences that name the model's naive references which the scores in a column do not beat.

    Each reference takes the baseline's place, its `<name>_score` beside the scores on the same rows.
    """
    sentences = []
    for name in model.references:
        compared = rows.with_columns(baseline_score=pl.col(f"{name}_score"))
        own, rival = (_metric(model, compared, column) for column in (score, "baseline_score"))
        if not own > rival:
            sentences.append(
                f"The candidate's {model.metric} beside the naive model {name!r} is {own:.6f}, which is not above "
                f"{rival:.6f}."
            )
    return tuple(sentences)


def _metric(model: ModelSpec, rows: pl.DataFrame, score: str) -> float:
    return kind_of(model).measure(rows, score)[model.metric]


def _unfair(model: ModelSpec, holdout: _Holdout, champion: int, tags: Mapping[str, str]) -> tuple[str, ...]:
    """Sentences if the champion may know the holdout by heart."""
    who = f"The champion, version {champion},"
    if "learnt_until" not in tags:
        return (f"{who} has no tag `learnt_until`, so it may have learnt the holdout.",)
    learnt_until = date.fromisoformat(tags["learnt_until"])
    same_keys_kept_out = holdout.split == tags.get("split") == "key"
    if same_keys_kept_out or model.horizon_ends_on(learnt_until) <= holdout.first_day:
        return ()
    return (
        f"{who} has learnt from days until {learnt_until}, whose outcomes reach into the holdout of "
        f"{holdout.first_day}; train again as of a later day.",
    )


def _holdout(staged: Mapping[str, Path]) -> _Holdout:
    training = json.loads(staged["training.json"].read_text())
    first_day = date.fromisoformat(min(training["days"]["holdout"]))
    return _Holdout(pl.read_parquet(staged["holdout.parquet"]), first_day, training["split"])


def _entry(
    model: ModelSpec, decision: GateDecision, winner: int | None, as_of: date, actor: str, run: RunInfo
) -> ledger.Entry:
    return ledger.Entry(
        model=model.name,
        action=decision.action,
        candidate=decision.evidence.candidate_version,
        from_version=decision.evidence.champion_version,
        to_version=winner,
        effective_from=as_of,
        actor=actor,
        reason=_REASON_SEPARATOR.join(decision.reasons),
        evidence=json.loads(decision.evidence.model_dump_json()),
        run_id=run.run_id,
    )


def _decision(entry: ledger.Entry) -> GateDecision:
    return GateDecision.model_validate(
        {
            "action": entry.action,
            "reasons": entry.reason.split(_REASON_SEPARATOR),
            "evidence": entry.evidence,
        }
    )


def _show(tracking_uri: str, entry: ledger.Entry, aliases: ledger.Aliases) -> None:
    registry.set_aliases(tracking_uri, entry.model, aliases)
    if entry.candidate == entry.from_version:
        return
    verdict = "promoted" if entry.candidate == entry.to_version else "refused"
    tags = {registry.VERDICT_TAG: verdict, "gate_reason": entry.reason}
    registry.tag_version(tracking_uri, entry.model, entry.candidate, tags)

"""The gate: candidate, baseline and champion meet on the same holdout rows, and the ledger says who won."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl

from include.lifecycle.modelling import model_files
from include.lifecycle.modelling.kinds import kind_of
from include.lifecycle.numbers import distinct_texts
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.promotion import GateDecision, GateEvidence, decide
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.staged_training import BASELINE, MODEL_FILE, StagedTraining
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, RunInfo, file_sha256

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

_REASON_SEPARATOR = "\n"


@dataclass(frozen=True)
class _Holdout:
    rows: pl.DataFrame
    first_day: date
    split: str


@dataclass(frozen=True)
class _Contest:
    """Candidate and champion on the same holdout rows; `history` is the model's entries, oldest first."""

    model: ModelSpec
    tracking_uri: str
    holdout: _Holdout
    history: Sequence[ledger.Entry]

    def gather(self, candidate: int, as_of: date, digest: str) -> GateEvidence:
        """What the gate decides from, about a candidate as of a day with this digest of its model file."""
        model, rows = self.model, self.holdout.rows
        score, problems = None, [*rivals(model, rows, "candidate_score")]
        try:
            tags = registry.version_tags(self.tracking_uri, model.name, candidate)
            problems += self._unfair(f"The candidate, version {candidate},", tags, as_of)
            rows = rows.with_columns(candidate=self._scores(candidate, digest))
            score = _metric(model, rows, "candidate")
        except OSError:
            raise
        except (ValueError, KeyError) as error:
            problems.append(f"Version {candidate} could not score the holdout: {error}")
        champion = ledger.replay(self.history).champion
        found: dict[str, Any] = {}
        if champion is not None and champion != candidate:
            found, unfair = self._meet_champion(champion, rows)
            problems += unfair
        return GateEvidence(
            metric=model.metric,
            title=kind_of(model).measures[model.metric].title,
            holdout_rows=rows.height,
            candidate_version=candidate,
            candidate_score=score,
            baseline_score=_metric(model, rows, "baseline_score"),
            champion_version=champion,
            min_gain=model.min_gain,
            problems=tuple(problems),
            **found,
        )

    def _meet_champion(self, champion: int, rows: pl.DataFrame) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Fields of the evidence about the champion, and sentences if it may know the holdout by heart."""
        model, who = self.model, f"The champion, version {champion},"
        try:
            tags = registry.version_tags(self.tracking_uri, model.name, champion)
            rows = rows.with_columns(champion=self._scores(champion, ledger.digest_of(self.history, champion)))
            measures = kind_of(model).measure(rows, "champion")
            found: dict[str, Any] = {"champion_score": measures[model.metric], "champion_measures": measures}
        except OSError:
            raise
        except model_files.UnusableModelError as error:
            return {"champion_fault": f"{who} cannot be loaded: {error}"}, ()
        except (ValueError, KeyError) as error:
            return {"champion_fault": f"{who} cannot score the holdout: {error}"}, ()
        if "candidate" in rows.columns:
            gain = kind_of(model).gain(rows, "candidate", "champion", model)
            found |= {"gain": gain.value, "gain_low": gain.low}
        in_force_since = next(entry.effective_from for entry in self.history if entry.to_version == champion)
        return found, self._unfair(who, tags, in_force_since)

    def _scores(self, version: int, digest: str | None) -> pl.Series:
        from include.lifecycle.modelling.estimator_input import predict

        model = self.model
        estimator = registry.load(self.tracking_uri, model.name, version, model.trusted_types, digest)
        return pl.Series(predict(estimator, self.holdout.rows, model))

    def _unfair(self, who: str, tags: Mapping[str, str], as_of: date) -> tuple[str, ...]:
        """Sentences if a version trained as of a day may know the holdout by heart."""
        first = self.holdout.first_day
        learnt_until = _day_or_none(tags.get("learnt_until", ""))
        if learnt_until is None:
            if as_of <= first:
                return ()
            return (
                f"{who} has no tag `learnt_until` with a day (it is {tags.get('learnt_until')!r}); as of {as_of}, "
                f"it may have learnt the holdout of {first}; train again as of a later day.",
            )
        same_keys_kept_out = self.holdout.split == tags.get("split") == "key"
        if same_keys_kept_out or (learnt_until <= first and self.model.horizon_ends_on(learnt_until) <= first):
            return ()
        return (
            f"{who} has learnt from days until {learnt_until}, whose outcomes reach into the holdout of {first}; "
            "train again as of a later day.",
        )


def _day_or_none(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


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

    A version is judged once, because the champion may change or die afterwards: a retry takes the recorded
    decision and repairs the aliases, and so does another run, to which it is a `keep`. Whoever wants a refused
    version judged again trains another one, with another seed or as of another day.

    Raises
    ------
    ValueError
        If the staged training of `as_of` is not the one named by `staged_digest`.
    LedgerConflictError
        If another champion was made meanwhile; a retry judges against that one.
    """
    history = ledger.entries(connection, model.name)
    entry = ledger.find_verdict(history, candidate)
    if entry is None:
        with TemporaryDirectory() as scratch:
            staged = StagedTraining(model, as_of, staged_digest)
            files = staged.download(lake, Path(scratch))
            digests = {str(candidate): file_sha256(files[MODEL_FILE])}
            contest = _Contest(model, tracking_uri, _holdout(files), history)
            decision = decide(contest.gather(candidate, as_of, digests[str(candidate)]))
            baseline_digest = file_sha256(files[BASELINE])
        winner = decision.evidence.champion_version
        if decision.action == "promote":
            winner = candidate
        elif decision.action == "baseline":
            winner = push_model(tracking_uri, lake, staged, run, "baseline").version
            digests[str(winner)] = baseline_digest
        entry = ledger.record(connection, _entry(model, decision, winner, as_of, actor, run, digests))
    _show(tracking_uri, entry, ledger.replay(ledger.entries(connection, model.name)))
    return _decision(entry, run)


def rivals(model: ModelSpec, rows: pl.DataFrame, score: str) -> tuple[str, ...]:
    """Sentences that name the model's naive references which the scores in a column do not beat.

    Each reference takes the baseline's place, its `<name>_score` beside the scores on the same rows.
    """
    sentences = []
    for name in model.references:
        compared = rows.with_columns(baseline_score=pl.col(f"{name}_score"))
        own, rival = (_metric(model, compared, column) for column in (score, "baseline_score"))
        if not own > rival:
            texts = distinct_texts([own, rival])
            metric = kind_of(model).measures[model.metric].within
            sentences.append(
                f"For the candidate beside the naive model {name!r}, the {metric} is {texts[0]}, which is not "
                f"above {texts[1]}."
            )
    return tuple(sentences)


def _metric(model: ModelSpec, rows: pl.DataFrame, score: str) -> float:
    return kind_of(model).measure(rows, score)[model.metric]


def _holdout(staged: Mapping[str, Path]) -> _Holdout:
    training = json.loads(staged["training.json"].read_text())
    first_day = date.fromisoformat(min(training["days"]["holdout"]))
    return _Holdout(pl.read_parquet(staged["holdout.parquet"]), first_day, training["split"])


def _entry(
    model: ModelSpec,
    decision: GateDecision,
    winner: int | None,
    as_of: date,
    actor: str,
    run: RunInfo,
    digests: Mapping[str, str],
) -> ledger.Entry:
    return ledger.Entry(
        model=model.name,
        action=decision.action,
        candidate=decision.evidence.candidate_version,
        from_version=decision.evidence.champion_version,
        to_version=winner,
        effective_from=model.in_force_from(as_of),
        actor=actor,
        reason=_REASON_SEPARATOR.join(decision.reasons),
        evidence=json.loads(decision.evidence.model_dump_json()),
        run_id=run.run_id,
        digests=digests,
    )


def _decision(entry: ledger.Entry, run: RunInfo) -> GateDecision:
    """What an entry says to a run: nothing changes by a run that finds the verdict of another."""
    action, reasons = entry.action, entry.reason.split(_REASON_SEPARATOR)
    if entry.run_id != run.run_id:
        first = f"Version {entry.candidate} was judged in run {entry.run_id!r}, which stands: {entry.action}."
        action, reasons = "keep", [first, *reasons]
    return GateDecision.model_validate({"action": action, "reasons": reasons, "evidence": entry.evidence})


def _show(tracking_uri: str, entry: ledger.Entry, aliases: ledger.Aliases) -> None:
    registry.set_aliases(tracking_uri, entry.model, aliases)
    if entry.candidate == entry.from_version:
        return
    verdict = "promoted" if entry.candidate == entry.to_version else "refused"
    tags = {registry.VERDICT_TAG: verdict, "gate_reason": entry.reason}
    try:
        registry.tag_version(tracking_uri, entry.model, entry.candidate, tags)
    except model_files.UnusableModelError as error:
        log.error("The verdict on it is in the ledger alone. %s", error)

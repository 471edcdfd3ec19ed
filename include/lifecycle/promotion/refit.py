"""Refit: a new champion is fitted on the holdout as well, and takes its parent's place where it is the same model.

A task that is killed anywhere is completed by its next try: the refit is staged and pushed once, what the ledger
has stands, and the aliases are set again from it.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl

from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.evidence import behaviour_evidence
from include.lifecycle.promotion.promotion import REASON_SEPARATOR, show_in_registry
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.refit_policy import RefitDecision, RefitEvidence, decide
from include.lifecycle.promotion.repair import repair
from include.lifecycle.promotion.staged_training import PinnedTraining, StagedTraining
from include.lifecycle.specs import ModelSpec, RefitSpec
from include.lifecycle.storage.lake import Lake, RunInfo
from include.lifecycle.training import refitting
from include.lifecycle.training.record import HOLDOUT, RECORD, TrainingRecord

if TYPE_CHECKING:
    from psycopg2 import extensions

_PARENT, _OWN = "candidate_score", "refit_score"
_HIGH = 0.99


def run_refit(
    tracking_uri: str,
    lake: Lake,
    connection: extensions.connection,
    staged: StagedTraining,
    version: int,
    run: RunInfo,
) -> ledger.Entry | None:
    """Refit the version that a staged training was pushed as; returns the ledger's entry about that.

    A version is refitted once: what was recorded stands, and the files of the refitted one are restored. None
    where the model asks for no refit, or the version did not become champion, or is champion no longer.

    Raises
    ------
    ValueError
        If another training has replaced the staged one, or its training set.
    LedgerConflictError
        If another champion was made meanwhile; a retry leaves that one.
    """
    model, limits = staged.model, staged.model.refit
    if limits is None:
        return None
    repair(tracking_uri, connection, model.name, run, "refit")
    history = ledger.entries(connection, model.name)
    entry = ledger.find_refit(history, version)
    if entry is None and not _has_just_won(history, version):
        return None
    manifest = refitting.refit(model, lake, staged.pin(lake).pinned, version, run)
    refitted = StagedTraining(model, staged.as_of, manifest.digest, is_refit=True)
    own = push_model(tracking_uri, lake, refitted, run).version
    if entry is None:
        training = refitted.pin(lake)
        decision = decide(gather(tracking_uri, training, own, limits))
        entry = ledger.record(connection, _entry(history, training, decision, run))
    show_in_registry(tracking_uri, connection, model.name, entry.candidate)
    return entry


def _has_just_won(history: list[ledger.Entry], version: int) -> bool:
    """Whether a version is champion by its verdict or the answer about it.

    One that a person has brought back, or that has left the shadow, stays as it is.
    """
    changes = [entry for entry in history if entry.to_version != entry.from_version]
    won = (ledger.find_verdict(history, version), ledger.find_answer(history, version))
    return bool(changes) and changes[-1] in won and changes[-1].to_version == version


def gather(tracking_uri: str, training: PinnedTraining, version: int, limits: RefitSpec) -> RefitEvidence:
    """What a refitted version is compared with its parent by, on the rows of the holdout.

    The parent's scores are those that its training left, before anybody had learnt these rows.
    """
    model = training.model
    with TemporaryDirectory() as folder:
        files = training.download(Path(folder))
        record = TrainingRecord.read(files[RECORD])
        rows = pl.read_parquet(files[HOLDOUT])
    if record.parent is None:
        raise ValueError(f"Version {version} of {model.name!r} is no refit; push what `refitting.refit` staged.")
    return RefitEvidence(
        parent=record.parent.version,
        version=version,
        parent_learnt_until=record.parent.learnt_until,
        learnt_until=record.learnt_until,
        limits=limits,
        rows=rows.height,
        calibration_title=task_of(model).calibration_title,
        behaviour=behaviour_evidence(model, record),
        **_compared(tracking_uri, model, rows, version, training.model_digest("candidate")),
    )


def _compared(
    tracking_uri: str, model: ModelSpec, rows: pl.DataFrame, version: int, digest: str
) -> dict[str, Any]:
    """Fields of the evidence about the scores of the two versions."""
    try:
        estimator = registry.load(tracking_uri, model.name, version, model.trusted_types, digest)
        scored = rows.with_columns(pl.Series(_OWN, predict(estimator, rows, model)))
    except OSError:
        raise
    except (ValueError, KeyError) as error:
        return {"problems": (f"Version {version} could not score the holdout: {error}",)}
    gaps = (scored[_OWN] - scored[_PARENT]).abs()
    own, parents = (task_of(model).calibration(scored, column) for column in (_OWN, _PARENT))
    return {
        "mean_difference": gaps.mean(),
        "high_difference": gaps.quantile(_HIGH, "higher"),
        "calibration_error": own and own.error,
        "parent_calibration_error": parents and parents.error,
    }


def _entry(
    history: list[ledger.Entry], training: PinnedTraining, decision: RefitDecision, run: RunInfo
) -> ledger.Entry:
    """What the ledger is to say of a refit.

    The refitted version is for the days that its parent is for: both learnt only what was known at the end of the
    same day.
    """
    evidence = decision.evidence
    parent, version = evidence.parent, evidence.version
    return ledger.Entry(
        model=training.model.name,
        action=decision.action,
        candidate=version,
        from_version=parent,
        to_version=version if decision.action == "refit" else parent,
        effective_from=ledger.in_force_from(history, parent) or training.model.in_force_from(training.as_of),
        actor="refit",
        reason=REASON_SEPARATOR.join(decision.reasons),
        # By way of JSON, which has no infinite numbers.
        evidence=json.loads(evidence.model_dump_json()),
        run_id=run.run_id,
        digests={str(version): training.model_digest("candidate")},
    )

"""The model card of a version: what a training made, what the gate decided, and what it was made of.

It is published once the gate has decided, from what is kept of the version and from the first entry about it in
the ledger: evaluating it again, or another training of the same day, changes nothing. It is published again where
something becomes of the version later: an answer to a proposal, a refit, its leaving the shadow as champion, a
rollback.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.gate_evidence import GateEvidence
from include.lifecycle.promotion.model_card_page import PARTITIONS, render_card, verdict_of
from include.lifecycle.promotion.refit_policy import RefitEvidence
from include.lifecycle.reporting.pages import Verdict
from include.lifecycle.specs import ModelSpec, Spec
from include.lifecycle.storage.lake import Lake, LocalFile, Manifest, RunInfo
from include.lifecycle.training.record import HOLDOUT, RECORD, TrainingRecord

PAGE = "index.html"
CARD = "card.json"


class ModelCard(Spec):
    """What the card says, for machines: the content of `card.json`."""

    verdict: Verdict
    gate: GateEvidence
    training: TrainingRecord
    refit: RefitEvidence | None = None


@dataclass(frozen=True)
class Decided:
    """What the ledger has about a version: the verdict that stands, and what became of its refit, if any."""

    verdict: ledger.Entry
    refit: ledger.Entry | None = None

    @classmethod
    def of(cls, history: Sequence[ledger.Entry], version: int) -> Decided:
        """By a model's entries, oldest first; KeyError where there is no verdict on the version."""
        return cls(ledger.standing_verdict(history, version), ledger.find_refit(history, version))


def publish(
    model: ModelSpec, lake: Lake, as_of: date, decided: Decided, links: Mapping[str, str], run: RunInfo
) -> Manifest:
    """Publish `index.html`, `card.json` and `partitions.json` of a version under its `card_prefix`.

    Parameters
    ----------
    links : texts to addresses of what the card is about: the version in MLflow, the run in Airflow.

    Raises
    ------
    PartitionNotFoundError
        If what is kept of the version is missing; clear the run's task `push`.
    """
    entry = decided.verdict
    kept = lake.pin(model.reference_prefix(entry.candidate), [as_of])
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        [holdout] = kept.download(as_of, scratch, HOLDOUT)
        training = TrainingRecord.model_validate(kept.read_json(as_of, RECORD))
        figures = task_of(model).draw(pl.read_parquet(holdout))
        card = ModelCard(
            verdict=verdict_of(model, training, entry),
            gate=GateEvidence.model_validate(entry.evidence),
            training=training,
            refit=decided.refit and RefitEvidence.model_validate(decided.refit.evidence),
        )
        contents = {
            PAGE: render_card(model, training, figures, entry, links, decided.refit),
            CARD: json.dumps(card.model_dump(mode="json"), indent=2),
            PARTITIONS: json.dumps(dict(training.data), indent=2),
        }
        for name, content in contents.items():
            (scratch / name).write_text(content)
        files = [LocalFile(scratch / name) for name in contents]
        return lake.publish(model.card_prefix(entry.candidate), as_of, files, run=run, inputs=kept.inputs)


def show_in_mlflow(tracking_uri: str, model: ModelSpec, lake: Lake, as_of: date, entry: ledger.Entry) -> None:
    """Give a version, its run, and the baseline that replaced it, the verdict of the card; log the card.

    The card must have been published.
    """
    version, published = entry.candidate, lake.pin(model.card_prefix(entry.candidate), [as_of])
    card = ModelCard.model_validate(published.read_json(as_of, CARD))
    verdict, training = card.verdict, card.training
    text = "\n\n".join([verdict.headline, verdict.reason, training.reason, *training.warnings])
    with TemporaryDirectory() as folder:
        [page] = published.download(as_of, Path(folder), PAGE)
        card_file = page.rename(page.with_name("model_card.html"))
        registry.describe(tracking_uri, model.name, version, text, card_file)
    if entry.action == "baseline" and entry.to_version is not None:
        reason = f"The naive baseline is champion because version {version} was refused. {verdict.reason}"
        tags = {registry.VERDICT_TAG: "baseline", "gate_reason": entry.reason}
        registry.tag_version(tracking_uri, model.name, entry.to_version, tags)
        registry.describe(tracking_uri, model.name, entry.to_version, reason)

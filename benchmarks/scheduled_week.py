"""What the DAGs do in a week, without Airflow: the functions that their tasks call, in the same order.

Every task opens its own source and asks the lake itself, as it would in a process of its own. Left out is what
does not touch the lake: notifications, links, XComs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from include.catalog import DATASETS, MODELS
from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.features import build_features, features_to_build
from include.lifecycle.ingestion.planning import chunks, plan
from include.lifecycle.ingestion.records import ValidatedDays
from include.lifecycle.ingestion.validation import validate_chunks
from include.lifecycle.monitoring import drift, performance
from include.lifecycle.monitoring.reference import Reference, find_reference
from include.lifecycle.promotion import fallback, ledger, model_card, registry
from include.lifecycle.promotion.promotion import run_gate
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.staged_training import StagedTraining
from include.lifecycle.scoring import planning, publishing, scorers, scoring
from include.lifecycle.specs import DatasetSpec, ModelSpec, Source
from include.lifecycle.storage.lake import Lake, RunInfo
from include.lifecycle.training import segment_training, training, training_set
from include.lifecycle.training.record import TrainingRequest
from include.portfolio import planning as portfolio_planning
from include.portfolio import publish
from include.portfolio.settings import PortfolioSettings

TRIALS, SEED = 4, 7


@dataclass(frozen=True)
class World:
    """The services that a task reaches, and the run that it belongs to."""

    lake: Lake
    connection: Any
    tracking_uri: str
    sources: Mapping[str, Callable[[], Source]]
    run: RunInfo


def run_etl(
    world: World, dataset: DatasetSpec, until: date, requested: tuple[date, date] | None = None
) -> list[date]:
    """`<dataset>_etl` of the night after a day; returns the days whose features it built.

    Raises
    ------
    ValueError
        If a day is rejected: what is measured then is not a usual day.
    """
    lake, run, source = world.lake, world.run, world.sources[dataset.name]
    planned = plan(dataset, lake, source(), requested, until)
    extracted = [extract(dataset, lake, source(), days, run) for days in chunks(planned, dataset.chunk_days)]
    validated = ValidatedDays.of(validate_chunks(dataset, lake, extracted, run))
    if validated.rejected:
        raise ValueError(f"{dataset.title}: the benchmark's own data are rejected: {validated.rejected}")
    days = features_to_build(dataset, lake, validated.accepted, until).days
    for chunk in chunks(days, dataset.chunk_days):
        build_features(dataset, lake, chunk, run)
    return days


def run_scoring(world: World, model: ModelSpec, requested: tuple[date, date] | None = None) -> list[date]:
    """`<model>_scoring`; returns the days that it scored."""
    planned = planning.plan(model, world.lake, world.connection, requested)
    history = ledger.entries(world.connection, model.name)

    def fault(version: int) -> str | None:
        return registry.fault(world.tracking_uri, model, version, ledger.digest_of(history, version))

    found = fallback.assign(planned, history, fault, world.run.run_id, on_demand=requested is not None)
    for job in fallback.jobs(found.versions, model.dataset.chunk_days):
        digest = ledger.digest_of(history, job.version)
        scorer = scorers.load_scorer(world.tracking_uri, world.lake, model, job.version, digest)
        scored = dict(scoring.score_days(model, world.lake, world.connection, job.days, scorer, world.run))
        failed = {day: error for day, error in scored.items() if error}
        _, unpublished = publishing.publish_days(model, world.lake, world.connection, job.days, world.run)
        if failed or unpublished:
            raise ValueError(f"{model.title} could not be scored: {failed} {unpublished}")
    return list(found.versions)


def run_training(world: World, model: ModelSpec, as_of: date) -> None:
    """`<model>_training`: labels, training, push, gate and model card."""
    lake, run, uri = world.lake, world.run, world.tracking_uri
    staged = stage_training(world, model, as_of)
    pushed = push_model(uri, lake, staged, run)
    run_gate(uri, lake, world.connection, staged, pushed.version, run)
    entry = ledger.first_verdict(ledger.entries(world.connection, model.name), pushed.version)
    model_card.publish(model, lake, as_of, model_card.Decided(entry), {}, run)
    model_card.show_in_mlflow(uri, model, lake, as_of, entry)


def stage_training(world: World, model: ModelSpec, as_of: date) -> StagedTraining:
    """The part of a training before its push."""
    lake, request = world.lake, TrainingRequest(as_of, TRIALS, SEED, world.run)
    training_set.assemble(model, lake, request)
    if model.segments.per_task:
        batches = segment_training.stage_batches(model, lake, request)
        for number in range(len(batches)):
            segment_training.fit_batch(model, lake, request, number)
    manifest = training.train(model, lake, request)
    return StagedTraining(model, as_of, manifest.digest)


def run_drift(world: World, model: ModelSpec, day: date) -> None:
    """The task `report` of `<model>_monitoring`."""
    drift.monitor(model, world.lake, world.connection, day, world.run, _version_at_work(world, model))


def run_performance(world: World, model: ModelSpec, day: date) -> None:
    """The task `performance` of `<model>_monitoring`."""
    performance.monitor(model, world.lake, world.connection, day, world.run, _version_at_work(world, model))


def run_portfolio(world: World) -> list[date]:
    """`portfolio`, woken without a request; returns the days that it made."""
    settings = PortfolioSettings()
    days = portfolio_planning.plan(world.lake, None, settings)
    for day in days:
        publish.make_or_refuse(world.lake, world.connection, day, settings, world.run)
    return days


def _version_at_work(world: World, model: ModelSpec) -> Reference:
    reference = find_reference(world.tracking_uri, model, world.lake)
    if reference is None:
        raise ValueError(f"{model.title} has no predictions, so there is nothing to monitor.")
    return reference


def models_of(dataset: DatasetSpec) -> list[ModelSpec]:
    """The models that a dataset's features are for."""
    return [model for model in MODELS.values() if model.dataset.name == dataset.name]


def due(day: date) -> list[DatasetSpec]:
    """The datasets that have data of a day."""
    return [dataset for dataset in DATASETS.values() if dataset.calendar.days(day, day)]

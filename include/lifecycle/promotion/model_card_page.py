"""The page of a model card: the gate's verdict, the metrics, and what the version was made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from matplotlib.figure import Figure

from include.lifecycle.modelling.intervals import width_fault
from include.lifecycle.modelling.tasks import present_names, task_of
from include.lifecycle.modelling.tuning import Trial
from include.lifecycle.numbers import distinct_texts
from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.actions import Action
from include.lifecycle.promotion.behaviour_section import behaviour_section
from include.lifecycle.promotion.gate_evidence import GateEvidence
from include.lifecycle.promotion.gate_section import gate_sections
from include.lifecycle.promotion.importance_section import importance_section
from include.lifecycle.promotion.refit_section import refit_sections
from include.lifecycle.reporting import charts
from include.lifecycle.reporting.pages import Cell, Page, Section, Table, Verdict, percent, render
from include.lifecycle.specs import ModelSpec
from include.lifecycle.training.record import TrainingRecord

PARTITIONS = "partitions.json"

_SPLITS = {
    ("time", "time"): "by time, no label window reaches into a later part",
    ("time", "key"): "holdout by time; the history is too short for more, so validation is by key",
    ("key", "key"): "by key, as there are no snapshots far enough apart to split by time",
}

_OUTCOMES: dict[Action, str] = {
    "promote": "promoted",
    "refresh": "promoted",
    "keep": "refused",
    "baseline": "refused",
    "propose": "waiting for approval",
    "approve": "approved",
    "reject": "rejected",
    "rollback": "rolled back",
}

_WIDTHS = {
    None: "That is as promised.",
    "too narrow": "It is too narrow: outcomes miss it more often than promised.",
    "too wide": "It is too wide: it says less than it could.",
}


def verdict_of(model: ModelSpec, training: TrainingRecord, entry: ledger.Entry) -> Verdict:
    """What became of a version last, and the numbers that the gate went by."""
    evidence = GateEvidence.model_validate(entry.evidence)
    metric = task_of(model).metrics[model.gate.metric].within
    own, champion, baseline = distinct_texts(
        [evidence.candidate_score, evidence.champion_score, evidence.baseline_score]
    )
    reason = " ".join(entry.reason.split("\n"))
    was_promoted = entry.candidate == entry.to_version != entry.from_version
    measured = f"{metric} {own or 'not measured'}"
    outcome = "champion again" if was_promoted and entry.action == "rollback" else _OUTCOMES[entry.action]
    headline = f"Version {entry.candidate}, {outcome}: {measured}; "
    if entry.action == "baseline":
        headline += f"the baseline, {baseline}, becomes champion as version {entry.to_version}"
    elif evidence.champion_version is None:
        headline += f"the baseline has {baseline}"
    elif evidence.champion_fault:
        headline += f"champion version {evidence.champion_version} cannot be used"
    else:
        has = "had" if was_promoted else "has"
        headline += f"champion version {evidence.champion_version} {has} {champion or 'no score'}"
    if entry.action == "propose":
        return Verdict("warning", headline, reason)
    if not was_promoted:
        return Verdict("neutral", headline, reason)
    return Verdict("warning" if training.warnings else "good", headline, reason)


def render_card(
    model: ModelSpec,
    training: TrainingRecord,
    figures: Mapping[str, Figure],
    entry: ledger.Entry,
    links: Mapping[str, str],
    refit: ledger.Entry | None = None,
) -> str:
    """The page of a version, self-contained.

    Parameters
    ----------
    training : the record of the version's training.
    figures : what the model's task drew.
    entry : the verdict that stands on the version.
    links : texts to addresses of what the card is about.
    refit : what became of its refit; None where there was none.
    """
    evidence = GateEvidence.model_validate(entry.evidence)
    warnings = [Section("Warnings", " ".join(training.warnings))] if training.warnings else []
    captions = task_of(model).plots
    shown = [Section(*captions[name], figure=charts.to_svg(figure)) for name, figure in figures.items()]
    return render(
        Page(
            title=f"{model.title}: model card of version {entry.candidate}, as of {training.as_of}",
            verdict=verdict_of(model, training, entry),
            sections=[
                *warnings,
                Section("What it predicts", model.description),
                _metrics(model, training, evidence),
                *gate_sections(evidence),
                *refit_sections(refit),
                *_segments(model, training),
                *_interval(training),
                *behaviour_section(training),
                *shown,
                *importance_section(model, training),
                _rows(training),
                _partitions(training.data),
                _search(model, training),
            ],
            facts=_facts(training),
            links={**links, "Partitions read, with their digests": PARTITIONS},
        )
    )


def _metrics(model: ModelSpec, training: TrainingRecord, evidence: GateEvidence) -> Section:
    rate = training.mean_label["holdout"]
    task = task_of(model)
    measured = {f"candidate (version {evidence.candidate_version})": training.metrics}
    if evidence.champion_metrics:
        known = {name: value for name, value in evidence.champion_metrics.items() if value is not None}
        measured[f"champion ({evidence.champion_named})"] = known
    measured["baseline"] = training.baseline_metrics
    measured |= {_words(name): values for name, values in training.reference_metrics.items()}
    columns = {who: present_names(task, values, "holdout_") for who, values in measured.items()}
    rows: list[list[Cell]] = [
        [metric.title, *distinct_texts([values.get(name) for values in columns.values()]), metric.hint]
        for name, metric in task.metrics.items()
    ]
    table = Table(["metric", *columns, "how to read it"], rows)
    who = "Candidate, champion" if evidence.champion_metrics else "Candidate"
    rows_measured = f"the same {evidence.holdout_rows:,} rows, whose mean label is {rate:.4g}"
    text = f"{who} and naive models, measured on {rows_measured}."
    return Section("On the holdout", text, table=table)


def _partitions(data: Iterable[str]) -> Section:
    days: dict[str, list[str]] = defaultdict(list)
    for path in sorted(data):
        prefix, _, day = path.rpartition("/dt=")
        days[prefix].append(day)
    rows: list[list[Cell]] = [[prefix, len(found), found[0], found[-1]] for prefix, found in days.items()]
    text = "The link at the head of this page leads to all of them, with the digests of their manifests."
    return Section("Partitions read", text, table=Table(["prefix", "days", "first", "last"], rows))


def _segments(model: ModelSpec, training: TrainingRecord) -> list[Section]:
    task = task_of(model)
    segments = {segment: present_names(task, values) for segment, values in training.segments.items()}
    if not segments:
        return []
    rows: list[list[Cell]] = [
        [segment, *(values[name] for name in task.segment_metrics)] for segment, values in segments.items()
    ]
    better = sum(values[task.segment_metrics[0]] > 0 for values in segments.values())
    table = Table([str(model.segments.by), *(task.metrics[name].title for name in task.segment_metrics)], rows)
    text = f"The candidate beats the baseline on {better} of {len(segments)}."
    return [Section(f"By {model.segments.by}", text, table=table)]


def _interval(training: TrainingRecord) -> list[Section]:
    interval, ends = training.intervals.get("candidate"), training.coverage_range
    if interval is None or interval.measured is None or ends is None:
        return []
    low, high = ends
    text = (
        f"The prediction plus and minus {interval.multiple:.2f} times {interval.scale}, learnt from the "
        f"out-of-fold predictions to hold {percent(interval.nominal, 0)} of the outcomes, holds "
        f"{percent(interval.measured, 1)} of those of the holdout (95 % interval {percent(low, 1)} to "
        f"{percent(high, 1)}). "
        f"{_WIDTHS[width_fault(interval.nominal, interval.measured, ends)]}"
    )
    return [Section("Interval", text)]


def _rows(training: TrainingRecord) -> Section:
    folds = training.folds
    parts = []
    for number, fold in enumerate(folds, start=1):
        suffix = "" if len(folds) == 1 else f" {number}"
        parts += [
            (f"train{suffix}", fold.train, "hyperparameters are tried by fitting on these"),
            (f"validation{suffix}", fold.validation, "and measured on these"),
        ]
    parts += [
        ("refit", training.days.refit, "the chosen ones are fitted on these"),
        ("holdout", training.days.holdout, "and the gate compares on these"),
    ]
    rows: list[list[Cell]] = [
        [part, _days(days), training.rows[part], training.mean_label[part], purpose]
        for part, days, purpose in parts
    ]
    split = _SPLITS[training.split, training.validation_split]
    table = Table(["part", "days", "rows", "mean label", "purpose"], rows)
    return Section("What it was made of", f"Split {split}.", table=table)


def _search(model: ModelSpec, training: TrainingRecord) -> Section:
    trials = sorted(training.trials, key=lambda trial: (-trial.value, trial.number))
    metric = task_of(model).metrics[training.tuning_metric].title
    rows: list[list[Cell]] = [
        [trial.number, _words(trial.candidate), _params_text(training, trial), f"{trial.value:.4f}"]
        for trial in trials
    ]
    table = Table(["trial", "candidate", "hyperparameters", f"validation: {metric}"], rows)
    return Section("Search", "What was tried, best first.", table=table)


def _facts(training: TrainingRecord) -> dict[str, str | int]:
    return {
        "Candidate": f"{_words(training.candidate)} ({_params_text(training, training)})",
        "Seed": training.seed,
        "Reason": training.reason or "none given",
        "Code version": training.code_version,
        "Numeric features": ", ".join(training.numeric),
        "Categorical features": ", ".join(training.categorical),
    }


def _words(name: str) -> str:
    return name.replace("_", " ")


def _params_text(training: TrainingRecord, chosen: Trial | TrainingRecord) -> str:
    own = training.per_segment.params.get(chosen.candidate)
    if own:
        return f"{len(own)} fitted, each with its own"
    return ", ".join(f"{name} {value:.3g}" for name, value in chosen.params.items())


def _days(days: Sequence[date]) -> str:
    return str(days[0]) if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"

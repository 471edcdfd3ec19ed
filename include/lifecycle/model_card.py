"""The model card: what a training made, whether it is worth anything, and what it was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from include.lifecycle import plots
from include.lifecycle.kinds import kind_of
from include.lifecycle.lake import Lake, LocalFile, Manifest, RunInfo, partition
from include.lifecycle.pages import Page, Section, Table, Verdict, render
from include.lifecycle.specs import ModelSpec

KIND = "model_card"

_SPLITS = {
    ("time", "time"): "by time, no label window reaches into a later part",
    ("time", "key"): "holdout by time; the history is too short for more, so validation is by key",
    ("key", "key"): "by key, as there are no snapshots far enough apart to split by time",
}


def publish(
    model: ModelSpec,
    lake: Lake,
    as_of: date,
    training: Mapping[str, Any],
    html: str,
    staged: Manifest,
    *,
    run: RunInfo,
    scratch: Path,
) -> Manifest:
    """Publish `index.html` and `card.json` of a staged training under `reports/<model>/model_card`.

    Parameters
    ----------
    training : the content of `training.json`.
    html : what `render_card` made of it.
    staged : the manifest of the staged training.
    """
    verdict = verdict_of(model, training)
    page, card = scratch / "index.html", scratch / "card.json"
    page.write_text(html)
    card.write_text(json.dumps({"verdict": vars(verdict), "training": training}, indent=2))
    files = [LocalFile(page), LocalFile(card)]
    inputs = {partition(model.staging_prefix, as_of): staged.digest}
    return lake.publish(model.report_prefix(KIND), as_of, files, run=run, inputs=inputs)


def verdict_of(model: ModelSpec, training: Mapping[str, Any]) -> Verdict:
    """Whether the candidate beats the naive baseline on the same rows, by the metric that decides."""
    name = f"holdout_{model.metric}"
    title = kind_of(model).measures[model.metric].title
    candidate, baseline = training["metrics"][name], training["baseline_metrics"][name]
    rows = training["rows"]["holdout"]
    measured = f"{title} on {rows:,} holdout rows: {candidate:.3f}, baseline {baseline:.3f}."
    if not candidate > baseline:
        stays = (
            f"{measured} The champion stays; where none has ever beaten the baseline, that is the baseline itself."
        )
        return Verdict("bad", "The candidate does not beat the naive baseline, so it is not promoted", stays)
    if training["warnings"]:
        return Verdict("warning", "The candidate beats the naive baseline, with reservations", measured)
    return Verdict("good", "The candidate beats the naive baseline", measured)


def render_card(model: ModelSpec, training: Mapping[str, Any], figures: Mapping[str, Figure]) -> str:
    """The page of a training, self-contained.

    Parameters
    ----------
    training : the content of `training.json`.
    figures : what the model's kind drew.
    """
    warnings = [Section("Reservations", " ".join(training["warnings"]))] if training["warnings"] else []
    captions = kind_of(model).pictures
    pictures = [Section(*captions[name], figure=plots.to_svg(figure)) for name, figure in figures.items()]
    return render(
        Page(
            title=f"{model.title}: model card, as of {training['as_of']}",
            verdict=verdict_of(model, training),
            sections=[
                *warnings,
                Section("What it predicts", model.description),
                _measures(model, training),
                *_segments(model, training),
                *_interval(model, training),
                *pictures,
                _rows(training),
                _search(model, training),
            ],
            facts=_facts(training),
        )
    )


def _measures(model: ModelSpec, training: Mapping[str, Any]) -> Section:
    columns = {
        "candidate": training["metrics"],
        "baseline": training["baseline_metrics"],
        **training["reference_metrics"],
    }
    rows = [
        [measure.title, *(values[f"holdout_{name}"] for values in columns.values()), measure.hint]
        for name, measure in kind_of(model).measures.items()
    ]
    table = Table(["measure", *(_words(who) for who in columns), "how to read it"], rows)
    return Section("On the holdout", "Candidate and naive models, measured on the same rows.", table=table)


def _segments(model: ModelSpec, training: Mapping[str, Any]) -> list[Section]:
    segments = training["segments"]
    if not segments:
        return []
    names = ("skill", "skill_low", "skill_high", "rmse")
    measures = kind_of(model).measures
    rows = [[segment, *(values[name] for name in names)] for segment, values in segments.items()]
    better = sum(values["skill"] > 0 for values in segments.values())
    table = Table([str(model.segment_by), *(measures[name].title for name in names)], rows)
    text = f"The candidate beats the baseline on {better} of {len(segments)}."
    return [Section(f"By {model.segment_by}", text, table=table)]


def _interval(model: ModelSpec, training: Mapping[str, Any]) -> list[Section]:
    if model.interval is None:
        return []
    interval = training["intervals"]["candidate"]
    text = (
        f"The prediction plus and minus {interval['multiple']:.2f} times `{interval['scale']}`, learnt from the "
        f"walk-forward predictions to hold {interval['nominal']:.0%} of the outcomes, holds "
        f"{interval['measured']:.0%} of those of the holdout."
    )
    return [Section("Interval", text)]


def _rows(training: Mapping[str, Any]) -> Section:
    folds = training["folds"]
    parts = []
    for number, fold in enumerate(folds, start=1):
        suffix = "" if len(folds) == 1 else f" {number}"
        parts += [
            (f"search{suffix}", fold["search"], "hyperparameters are tried by fitting on these"),
            (f"validation{suffix}", fold["validation"], "and measured on these"),
        ]
    parts += [
        ("fit", training["days"]["fit"], "the chosen ones are fitted on these"),
        ("holdout", training["days"]["holdout"], "and judged on these"),
    ]
    rows = [
        [part, _days(days), training["rows"][part], training["mean_label"][part], purpose]
        for part, days, purpose in parts
    ]
    split = _SPLITS[training["split"], training["validation_split"]]
    table = Table(["part", "days", "rows", "mean label", "purpose"], rows)
    return Section("What it was made of", f"Split {split}.", table=table)


def _search(model: ModelSpec, training: Mapping[str, Any]) -> Section:
    trials = sorted(training["trials"], key=lambda trial: (-trial["value"], trial["number"]))
    kind = kind_of(model)
    metric = kind.measures[kind.tuning_metric(model)].title
    rows = [
        [trial["number"], _words(trial["candidate"]), _params(training, trial), f"{trial['value']:.4f}"]
        for trial in trials
    ]
    table = Table(["trial", "candidate", "hyperparameters", f"validation: {metric}"], rows)
    return Section("Search", "What was tried, best first.", table=table)


def _facts(training: Mapping[str, Any]) -> dict[str, str | int]:
    return {
        "Candidate": f"{_words(training['candidate'])} ({_params(training, training)})",
        "Seed": training["seed"],
        "Reason": training["reason"] or "none given",
        "Code version": training["code_version"],
        "Numeric features": ", ".join(training["numeric"]),
        "Categorical features": ", ".join(training["categorical"]),
        "Partitions read": len(training["data"]),
    }


def _words(name: str) -> str:
    return name.replace("_", " ")


def _params(training: Mapping[str, Any], trial: Mapping[str, Any]) -> str:
    own = training["per_segment"]["params"].get(trial["candidate"])
    if own:
        return f"{len(own)} fitted, each with its own"
    return ", ".join(f"{name} {value:.3g}" for name, value in trial["params"].items())


def _days(days: list[str]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"

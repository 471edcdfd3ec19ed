"""The model card: what a training made, whether it is worth anything, and what it was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from include.lifecycle import plots
from include.lifecycle.lake import Lake, LocalFile, Manifest, RunInfo, partition
from include.lifecycle.pages import Page, Section, Table, Verdict, render
from include.lifecycle.specs import ModelSpec

KIND = "model_card"

_NAMES = {
    "holdout_average_precision": (
        "Average precision",
        "higher is better; by chance it is the rate of label 1",
    ),
    "holdout_roc_auc": ("ROC AUC", "higher is better; by chance it is 0.5"),
    "holdout_lift_10": ("Lift at 10 %", "higher is better; by chance it is 1"),
    "holdout_brier": ("Brier score", "lower is better"),
    "holdout_ece": ("Calibration error (ECE)", "lower is better"),
}
_PICTURES = {
    "precision_recall": (
        "Precision and recall",
        "The higher the line, the fewer needless calls for the same share of positives found.",
    ),
    "calibration": (
        "Calibration",
        "Points on the dotted line mean that of the rows given a probability, that share turned out positive.",
    ),
    "lift": (
        "Lift",
        "How many times more positives than by chance are met among the rows with the highest scores; the upright "
        "line marks the top tenth.",
    ),
}
_SPLITS = {
    ("time", "time"): "by time, no label window reaches into a later part",
    ("time", "key"): "holdout by time; the history is too short for more, so validation is by customer",
    ("key", "key"): "by customer, as there are no snapshots far enough apart to split by time",
}


def publish(
    model: ModelSpec,
    lake: Lake,
    as_of: date,
    training: Mapping[str, Any],
    figures: Mapping[str, Figure],
    staged: Manifest,
    *,
    run: RunInfo,
    scratch: Path,
) -> Manifest:
    """Publish `index.html` and `card.json` of a staged training under `reports/<model>/model_card`.

    Parameters
    ----------
    training : the content of `training.json`.
    figures : what `plots.draw_all` made.
    staged : the manifest of the staged training.
    """
    verdict = verdict_of(model, training)
    page, card = scratch / "index.html", scratch / "card.json"
    page.write_text(_page(model, training, verdict, figures))
    card.write_text(json.dumps({"verdict": vars(verdict), "training": training}, indent=2))
    files = [LocalFile(page), LocalFile(card)]
    inputs = {partition(model.staging_prefix, as_of): staged.digest}
    return lake.publish(model.report_prefix(KIND), as_of, files, run=run, inputs=inputs)


def verdict_of(model: ModelSpec, training: Mapping[str, Any]) -> Verdict:
    """Whether the candidate beats the naive baseline on the same rows, by the metric that decides."""
    name = f"holdout_{model.metric}"
    candidate, baseline = training["metrics"][name], training["baseline_metrics"][name]
    rows = training["rows"]["holdout"]
    measured = f"{_NAMES[name][0]} on {rows:,} holdout rows: {candidate:.3f}, baseline {baseline:.3f}."
    if not candidate > baseline:
        return Verdict("bad", "The candidate does not beat the naive baseline", measured)
    if training["warnings"]:
        return Verdict("warning", "The candidate beats the naive baseline, with reservations", measured)
    return Verdict("good", "The candidate beats the naive baseline", measured)


def _page(model: ModelSpec, training: Mapping[str, Any], verdict: Verdict, figures: Mapping[str, Figure]) -> str:
    warnings = [Section("Reservations", " ".join(training["warnings"]))] if training["warnings"] else []
    pictures = [Section(*_PICTURES[name], figure=plots.to_svg(figure)) for name, figure in figures.items()]
    return render(
        Page(
            title=f"{model.title}: model card, as of {training['as_of']}",
            verdict=verdict,
            sections=[
                *warnings,
                Section("What it predicts", model.description),
                _measures(training),
                *pictures,
                _rows(training),
                _search(model, training),
            ],
            facts=_facts(training),
        )
    )


def _measures(training: Mapping[str, Any]) -> Section:
    rows = [
        [name, training["metrics"][key], training["baseline_metrics"][key], hint]
        for key, (name, hint) in _NAMES.items()
    ]
    table = Table(["measure", "candidate", "baseline", "how to read it"], rows)
    return Section("On the holdout", "Candidate and baseline, measured on the same rows.", table=table)


def _rows(training: Mapping[str, Any]) -> Section:
    purposes = {
        "search": "hyperparameters are tried by fitting on these",
        "validation": "and measured on these",
        "fit": "the chosen ones are fitted on these",
        "holdout": "and judged on these",
    }
    rows = [
        [part, _days(training["days"][part]), training["rows"][part], training["positives"][part], purpose]
        for part, purpose in purposes.items()
    ]
    split = _SPLITS[training["split"], training["validation_split"]]
    table = Table(["part", "days", "rows", "label 1", "purpose"], rows)
    return Section("What it was made of", f"Split {split}.", table=table)


def _search(model: ModelSpec, training: Mapping[str, Any]) -> Section:
    trials = sorted(training["trials"], key=lambda trial: (-trial["value"], trial["number"]))
    metric = _NAMES[f"holdout_{model.metric}"][0].lower()
    rows = [
        [trial["number"], _words(trial["candidate"]), _params(trial["params"]), f"{trial['value']:.4f}"]
        for trial in trials
    ]
    table = Table(["trial", "candidate", "hyperparameters", f"validation {metric}"], rows)
    return Section("Search", "What was tried, best first.", table=table)


def _facts(training: Mapping[str, Any]) -> dict[str, str | int]:
    return {
        "Candidate": f"{_words(training['candidate'])} ({_params(training['params'])})",
        "Seed": training["seed"],
        "Reason": training["reason"] or "none given",
        "Code version": training["code_version"],
        "Numeric features": ", ".join(training["numeric"]),
        "Categorical features": ", ".join(training["categorical"]),
        "Partitions read": len(training["data"]),
    }


def _words(name: str) -> str:
    return name.replace("_", " ")


def _params(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in params.items())


def _days(days: list[str]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"

"""A proposal as files: the templates filled in, and the lines for the catalog and the settings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import jinja2
import polars as pl
import yaml

from include.scaffold.columns import ScaffoldError
from include.scaffold.proposal import Proposal

LAG_DAYS = 6
_MOST_KNOWN_VALUES = 10
_LONGEST_WORDS = 40
_NOT_IN_YAML = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_TRUSTED = ("numpy.dtype", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor")
_FILES = {
    "dataset": ("__init__.py", "tables.py", "rules.py", "features.py"),
    "model": ("__init__.py", "label.py", "estimators.py", "decisions.py"),
}


def render(proposal: Proposal) -> dict[str, str]:
    """Path from the project's root to the text of each new file."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("include.scaffold"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    values = _values(proposal)
    names = {"dataset": proposal.wish.dataset, "model": proposal.wish.model}
    files = {
        f"include/{what}s/{names[what]}/{file}": templates.get_template(f"{what}/{file}.jinja").render(values)
        for what, rendered in _FILES.items()
        for file in rendered
    }
    for what, name in names.items():
        text = templates.get_template(f"tests/test_{what}.py.jinja").render(values)
        files[f"tests/unit/{what}s/{name}/test_{name}_{what}.py"] = text
    return files


def with_catalog_entries(catalog: str, dataset: str, model: str) -> str:
    """The text of `include/catalog.py` with one more dataset and one more model.

    Raises
    ------
    ScaffoldError
        If the text has no place for them.
    """
    for kind, name in (("dataset", dataset), ("model", model)):
        imported = f"from include.{kind}s.{name} import {name.upper()}\n"
        catalog = _replaced(r"(?m)^(from include\.)", imported + r"\1", catalog, "an import of include")
        catalog = _replaced(
            rf"(for {kind} in \([^)]*?),?\s*\)", rf"\1, {name.upper()})", catalog, f"`for {kind} in (...)`"
        )
    return catalog


def with_source_variable(settings: str, dataset: str, value: Mapping[str, Any]) -> str:
    """The text of `airflow_settings.yaml` with one more variable, the first of them.

    Raises
    ------
    ScaffoldError
        If the text has no place for it, or would not be read as what was written.
    """
    name, written = f"{dataset}_source", _with_doubled_dollars(value)
    as_json = _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(written, ensure_ascii=False))
    text = (
        f"    # Where {dataset}_etl reads from; docs/your-own-data.md names the other kinds.\n"
        f"    - variable_name: {name}\n      variable_value: {as_json}\n\n"
    )
    changed = _replaced(
        r"(?m)^  variables:[ ]*\n", lambda found: found[0] + text, settings, "a list of `variables`"
    )
    try:
        variables = yaml.safe_load(changed)["airflow"]["variables"]
        is_read = {"variable_name": name, "variable_value": written} in variables
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ScaffoldError(
            f"airflow_settings.yaml could not be read with the variable {name}: {error}"
        ) from error
    if not is_read:
        raise ScaffoldError(
            f"airflow_settings.yaml would not be read with {name} as {as_json}; rename the columns."
        )
    return changed


def _replaced(pattern: str, by: str | Callable[[re.Match[str]], str], text: str, what: str) -> str:
    """The text with the pattern replaced where it is found first; it has to be found."""
    changed, count = re.subn(pattern, by, text, count=1)
    if not count:
        raise ScaffoldError(f"The catalog or the settings do not have {what}, where the new lines would go.")
    return changed


def _with_doubled_dollars(value: Any) -> Any:
    """A dollar sign in a value stands twice, as placeholders are filled in there; in a key it stands once."""
    if isinstance(value, Mapping):
        return {key: _with_doubled_dollars(one) for key, one in value.items()}
    return value.replace("$", "$$") if isinstance(value, str) else value


def _values(proposal: Proposal) -> dict[str, Any]:
    wish = proposal.wish
    task = "classification" if proposal.is_classification else "regression"
    segment = proposal.key[0] if proposal.key_is_category else None
    used = bool(proposal.categorical or segment)
    numeric = (*proposal.numeric, *_past(proposal))
    return {
        "dataset": wish.dataset,
        "DATASET": wish.dataset.upper(),
        "model": wish.model,
        "MODEL": wish.model.upper(),
        "title": _title(wish.dataset),
        "model_title": _title(wish.model),
        "csv": _plain(wish.csv.name),
        "types": {name: str(dtype).partition("(")[0] for name, dtype in _types(proposal).items()},
        "a_row": "the row"
        if proposal.shape == "series"
        else f"each {'row' if proposal.shape == 'events' else _words(proposal.key[0])}",
        "task": task,
        "numeric": numeric,
        "model_categorical": f'("{segment}", *CATEGORICAL)' if segment else "CATEGORICAL",
        "categorical_is_used": used,
        "uses_dataset_categorical": bool(proposal.categorical),
        "texts": _texts(proposal, segment),
        "date": proposal.date_column,
        "segment_by": segment,
        "lag_days": LAG_DAYS,
        "lag_why": ", the weekday of the day after" if task == "regression" else "",
        "specs": _specs(proposal, task, segment),
        "drift_rows": 100 if proposal.rows_per_day < 20 else 200,
        "act_from": _act_from(proposal),
        **{name: getattr(proposal, name) for name in ("key", "label", "shape", "value", "categorical")},
        **{name: getattr(proposal, name) for name in ("first_day", "last_day", "horizon", "folds", "is_yes")},
        **{name: getattr(proposal, name) for name in ("max_bad_share", "drift_days", "has_few_people")},
        **_of_rules(proposal),
        **_of_label(proposal),
        **_of_baseline(proposal),
        **_by_hand(proposal, numeric),
    }


def _types(proposal: Proposal) -> dict[str, pl.DataType]:
    """Clean types; a key is text, so that 007 stays what it is, unless it is the date."""
    texts = {name: pl.String() for name in proposal.key if name != proposal.date_column}
    return {**proposal.table.types, **texts}


def _past(proposal: Proposal) -> tuple[str, ...]:
    """Features of the value's past. Snapshots of people are of few weekdays, so that those teach nothing there."""
    if not proposal.value:
        return ()
    weekday = () if proposal.is_classification else ("weekday",)
    return (f"{proposal.value}_lag_{LAG_DAYS}", f"{proposal.value}_mean_28", *weekday)


def _texts(proposal: Proposal, segment: str | None) -> str:
    if segment:
        return f'["{segment}", *CATEGORICAL]' if proposal.categorical else f'["{segment}"]'
    return "list(CATEGORICAL)"


def _specs(proposal: Proposal, task: str, segment: str | None) -> list[str]:
    names = ["GateSpec", "LabelSpec", "ModelSpec"]
    names += ["DriftPolicy"] if proposal.drift_days or proposal.has_few_people else []
    names += ["SegmentsSpec"] if segment else []
    names += ["SplitSpec"] if task == "regression" else []
    return sorted(names)


def _act_from(proposal: Proposal) -> float:
    """Twice the share of labels that will say yes, about."""
    if not proposal.is_classification:
        return 0.5
    yes = int((proposal.table.values(proposal.label) == proposal.yes).sum())
    days = 1 if proposal.shape == "events" else proposal.horizon
    return float(round(min(0.9, 2 * days * yes / proposal.table.rows.height), 2))


def _of_rules(proposal: Proposal) -> dict[str, Any]:
    table, known = proposal.table, {}
    present = {}
    if not proposal.is_classification and proposal.shape != "events":
        present[proposal.label] = f"The label and the features are made of the {_words(proposal.label)}."
    for name in (*proposal.categorical, *((proposal.label,) if proposal.is_classification else ())):
        values = sorted(table.rows[name].drop_nulls().unique().to_list())
        if table.types[name] == pl.String() and len(values) <= _MOST_KNOWN_VALUES and name not in proposal.key:
            known[name] = values
    numbers = [name for name, dtype in _types(proposal).items() if dtype.is_numeric()]
    lows = {name: table.values(name).min() for name in numbers}
    # An answer of 0 or 1 is a number here, too.
    return {
        "present": present or {proposal.date_column: "A row without a date is of no day."},
        "known_values": known,
        "not_negative": [name for name, low in lows.items() if isinstance(low, int | float) and low >= 0],
    }


def _of_label(proposal: Proposal) -> dict[str, Any]:
    label, yes = _words(proposal.label), proposal.is_yes
    if not proposal.is_classification:
        what = f"the {label} of a row" if proposal.shape == "events" else f"the {label} of the day after"
        name = f"{proposal.label}_of_row" if proposal.shape == "events" else f"{proposal.label}_ahead"
        return {
            "what": what,
            "label_function": name,
            "is_yes_words": "",
            "is_yes_expression": "",
            "label_expression": f'pl.col("{proposal.label}").cast(pl.Float64)',
        }
    column = f'pl.col("{proposal.label}")'
    expression = column if yes == "True" else f"({column} == {yes})"
    what = f"whether {label} is {_plain(proposal.yes)}"
    if proposal.shape != "events":
        what += f" within {proposal.horizon} days"
    return {
        "what": what,
        "label_function": f"{proposal.label}_of_row"
        if proposal.shape == "events"
        else f"{proposal.label}_within_horizon",
        "is_yes_words": _plain(proposal.yes),
        "is_yes_expression": expression,
        "label_expression": f"{expression}.cast(pl.Int8)",
    }


def _of_baseline(proposal: Proposal) -> dict[str, Any]:
    if proposal.is_classification:
        trusted = (
            "sklearn.calibration._CalibratedClassifier",
            "sklearn.calibration._SigmoidCalibration",
            *_TRUSTED,
        )
        return {
            "baseline": "DummyClassifier",
            "baseline_sentence": "The baseline says the rate of the past for all.",
            "trusted_types": trusted,
        }
    if proposal.shape == "events":
        return {
            "baseline": "DummyRegressor",
            "baseline_sentence": "The baseline says the mean of the past for all.",
            "trusted_types": _TRUSTED,
        }
    return {
        "baseline": "persistence",
        "baseline_sentence": "The baseline says that today's value stays.",
        "trusted_types": ("include.lifecycle.segments.Persistence", *_TRUSTED),
    }


def _by_hand(proposal: Proposal, numeric: tuple[str, ...]) -> dict[str, str]:
    """Two keys with an outcome each, or a series of one, as the source of the generated tests writes them."""
    series, events = proposal.shape == "series", proposal.shape == "events"
    keys = [
        {name: f'"{letter}"' if name != proposal.date_column else "DAY" for name in proposal.key}
        for letter in "ab"
    ]
    keys = keys[:1] if series else keys
    yes, no = (repr(proposal.yes), repr(proposal.no)) if proposal.is_classification else ("2.0", "3.0")
    on = "DAY" if events else "after"
    outcomes = [yes, no][: len(keys)]
    rows = [{**key, proposal.label: outcome, "dt": on} for key, outcome in zip(keys, outcomes, strict=True)]
    labels = (["1", "0"] if proposal.is_classification else ["2.0", "3.0"])[: len(keys)]
    if proposal.is_classification:
        scores, decision, decided = [{"score": "1.0"}, {"score": "0.0"}], "act", "[True, False]"
    elif events:
        scores, decision, decided = [{"score": "1.0"}, {"score": "4.0"}], "rank", "[2, 1]"
    else:
        scores, decision, decided = [{"score": "3.0", proposal.label: "2.0"}], "change", "[1.0]"
    return {
        "hand_features": _source(keys), "hand_rows": _source(rows), "hand_labels": f"[{', '.join(labels)}]",
        "hand_scores": _source(scores), "decision": decision, "hand_decisions": decided,
    }  # fmt: skip


def _source(rows: list[dict[str, str]]) -> str:
    """Dictionaries of source texts as source text."""
    return (
        "["
        + ", ".join("{" + ", ".join(f'"{name}": {value}' for name, value in row.items()) + "}" for row in rows)
        + "]"
    )


def _title(name: str) -> str:
    return _words(name).capitalize()


def _words(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: object) -> str:
    """A value from outside as it may stand in a sentence or docstring, where nothing of it can be code."""
    return re.sub(r"[^\w .-]", "_", str(value))[:_LONGEST_WORDS]

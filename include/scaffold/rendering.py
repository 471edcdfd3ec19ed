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
MEAN_DAYS = 28
_MOST_KNOWN_VALUES = 10
_LONGEST_WORDS = 25
_LONGEST_KNOWN_VALUE = 80
_LONGEST_SUMMARY = 105
_NOT_IN_YAML = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_FEW_ROWS = 20
_MOST_DECIMALS = 6
_AS_PROPOSED = (
    "drift_days", "first_day", "folds", "has_few_people", "horizon", "is_classification", "key", "label",
    "max_bad_share", "shape", "value",
)  # fmt: skip
_FILES = {
    "dataset": ("__init__.py", "features.py"),
    "model": ("__init__.py",),
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
    _refuse_taken_names(proposal, values)
    names = {"dataset": proposal.wish.dataset, "model": proposal.wish.model}
    files = {
        f"include/{what}s/{names[what]}/{file}": templates.get_template(f"{what}/{file}.jinja").render(values)
        for what, rendered in _FILES.items()
        for file in rendered
    }
    tests = f"tests/unit/models/{proposal.wish.model}/test_{proposal.wish.model}.py"
    files[tests] = templates.get_template("test.py.jinja").render(values)
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
            rf"(for {kind} in \([^)]*?)(,?\s*\))", rf"\1, {name.upper()}\2", catalog, f"`for {kind} in (...)`"
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
    of_key = (proposal.key[0],) if proposal.key_is_category else ()
    segment = (
        next(iter(of_key), None) if not proposal.is_classification else None
    )  # a class has no segment metrics
    return {
        "dataset": wish.dataset,
        "DATASET": wish.dataset.upper(),
        "model": wish.model,
        "MODEL": wish.model.upper(),
        "title": _title(wish.dataset),
        "model_title": _title(wish.model),
        "csv": _plain(wish.csv.name),
        "types": {name: str(dtype).partition("(")[0] for name, dtype in proposal.column_types.items()},
        "a_row": "the row"
        if proposal.shape == "series"
        else f"each {'row' if proposal.shape == 'events' else _short(_words(proposal.key[0]), 'key')}",
        "numeric": proposal.numeric,
        "categorical": (*of_key, *proposal.categorical),
        "days_ahead": proposal.days_ahead,
        "date": proposal.date_column,
        "date_has_time": proposal.table.types[proposal.date_column] == pl.Datetime(),
        "segment_by": segment,
        "lag_days": LAG_DAYS,
        "mean_days": MEAN_DAYS,
        "history_days": MEAN_DAYS - 1 if proposal.value else 0,
        "specs": _specs(proposal, segment),
        "drift_rows": 100 if proposal.rows_per_day < _FEW_ROWS else 200,
        "act_from": _act_from(proposal),
        **{name: getattr(proposal, name) for name in _AS_PROPOSED},
        **_of_rules(proposal),
        **(label := _of_label(proposal)),
        "summary": _summary(proposal, label["what"]),
        **_of_estimators(proposal),
        **_of_forecast(proposal),
    }


def _refuse_taken_names(proposal: Proposal, values: Mapping[str, Any]) -> None:
    """Columns of the file whose names the features or the decisions would have."""
    value = proposal.value
    made = {f"{value}_mean_{MEAN_DAYS}", f"{value}_lag_{LAG_DAYS}", f"{value}_same_weekday"} if value else set()
    if values["is_forecast"]:
        made.add(values["forecast"])
    if taken := sorted(made & set(proposal.table.types)):
        theirs = [proposal.table.names[name] for name in taken]
        raise ScaffoldError(f"The file has {theirs}, as something made of {value!r} is called; rename it there.")


def _specs(proposal: Proposal, segment: str | None) -> list[str]:
    names = ["ModelSpec"]
    names += ["DriftPolicy"] if proposal.drift_days or proposal.has_few_people else []
    names += ["SegmentsSpec"] if segment else []
    names += [] if proposal.is_classification else ["SplitSpec"]
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
    for name in (*proposal.categorical, *((proposal.label,) if proposal.is_classification else ())):
        values = sorted(table.rows[name].drop_nulls().unique().to_list())
        is_short = all(len(repr(value)) <= _LONGEST_KNOWN_VALUE for value in values)
        is_few = len(values) <= _MOST_KNOWN_VALUES
        if table.types[name] == pl.String() and is_few and is_short and name not in proposal.key:
            known[name] = values
    numbers = [name for name, dtype in proposal.column_types.items() if dtype.is_numeric()]
    lows = {name: table.values(name).min() for name in numbers}
    is_made_of_label = not proposal.is_classification and proposal.shape != "events"
    # An answer of 0 or 1 is a number here, too.
    not_negative = [name for name, low in lows.items() if isinstance(low, int | float) and low >= 0]
    kinds = {"at_least": not_negative, "is_its_day": True, "one_of": known, "present": is_made_of_label}
    return {
        "present": proposal.label if is_made_of_label else "",
        "known_values": known,
        "not_negative": not_negative,
        "rule_kinds": [*(kind for kind, is_used in kinds.items() if is_used), "row_rules"],
    }


def _of_label(proposal: Proposal) -> dict[str, Any]:
    words, column = _words(proposal.label), f'pl.col("{proposal.label}")'
    is_event = proposal.shape == "events"
    if not proposal.is_classification:
        return {
            "what": f"the {words} of a row" if is_event else f"the {words}",
            "label_kind": "value_of_row" if is_event else "value_after",
            "label_value": column if is_event else f'"{proposal.label}"',
        }
    within = "" if is_event else f" within {proposal.horizon} days"
    return {
        "what": f"whether {words} is {_plain(proposal.yes)}{within}",
        "label_kind": "value_of_row" if is_event else "happens_within",
        "label_value": column if proposal.yes is True else f"{column} == {proposal.yes!r}",
    }


def _summary(proposal: Proposal, what: str) -> str:
    title = _title(proposal.wish.model)
    ahead = " some days ahead" if proposal.shape != "events" and not proposal.is_classification else ""
    summary = f"{title}: {what}{ahead}"
    return summary if len(summary) <= _LONGEST_SUMMARY else title


def _of_forecast(proposal: Proposal) -> dict[str, Any]:
    """The column that names a predicted number, with as many decimals as the file has, but one at least."""
    decimals = proposal.table.rows[proposal.label].str.extract(r"\.(\d+)$").drop_nulls()
    name = f"{proposal.label}_forecast"
    return {
        "is_forecast": proposal.shape != "events" and not proposal.is_classification,
        "forecast": f"{proposal.label}_predicted" if name in proposal.table.types else name,
        "decimals": min(max(map(len, decimals), default=1), _MOST_DECIMALS),
    }


def _of_estimators(proposal: Proposal) -> dict[str, str]:
    if proposal.is_classification:
        kind, sentence = "usual_rate", "The baseline says the rate of the past for all."
    elif proposal.shape == "events":
        kind, sentence = "usual_mean", "The baseline says the mean of the past for all."
    else:
        kind, sentence = "naive_forecast", "The baseline says today's, or the same weekday's."
    of = f'"{proposal.label}", "{proposal.label}_same_weekday"' if kind == "naive_forecast" else ""
    task = "classification" if proposal.is_classification else "regression"
    return {
        "candidates": "classifiers" if proposal.is_classification else "regressors",
        "gate": f"{task.upper()}_GATE",
        "baseline_kind": kind,
        "baseline": f"{kind}({of})",
        "baseline_sentence": sentence,
    }


def _title(name: str) -> str:
    return _words(name).capitalize()


def _words(name: str) -> str:
    return name.replace("_", " ")


def _short(words: str, instead: str) -> str:
    return words if len(words) <= _LONGEST_WORDS else instead


def _plain(value: object) -> str:
    """A value from outside as it may stand in a sentence or docstring, where nothing of it can be code."""
    return re.sub(r"[^\w .-]", "_", str(value))[:_LONGEST_WORDS]

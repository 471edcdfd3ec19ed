"""The part of the performance page about the challenger: its metrics beside the champion's, and the gain."""

from __future__ import annotations

from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.promotion.shadow_policy import ShadowComparison
from include.lifecycle.reporting.pages import Cell, Section, Table
from include.lifecycle.specs import ModelSpec

_TITLE = "Challenger in shadow"


def render_shadow(model: ModelSpec, found: ShadowComparison | None, *, is_tested: bool = False) -> list[Section]:
    """The section on the challenger; none where there is no challenger.

    Parameters
    ----------
    is_tested : whether an A/B test decides what becomes of it.
    """
    if found is None:
        return []
    if found.shortage:
        return [
            Section(
                _TITLE,
                f"Version {found.challenger} scores in shadow, but the outcomes of its predictions beside those "
                f"of version {found.champion} have {found.shortage}.",
            )
        ]
    rows: list[list[Cell]] = [
        [metric.title, found.champion_measures.get(name), found.challenger_measures.get(name), metric.hint]
        for name, metric in task_of(model).metrics.items()
    ]
    columns = [
        "metric",
        f"champion, version {found.champion}",
        f"challenger, version {found.challenger}",
        "how to read it",
    ]
    return [
        Section(_TITLE, f"{_rows(model, found)} {_meaning(model, found, is_tested)}", table=Table(columns, rows))
    ]


def _rows(model: ModelSpec, found: ShadowComparison) -> str:
    count, unit = len(found.days), model.dataset.calendar.unit
    return (
        f"Both versions on the same {found.rows:,} outcomes of {count} {unit}{'' if count == 1 else 's'}, "
        f"{found.days[0]} to {found.days[-1]}."
    )


def _meaning(model: ModelSpec, found: ShadowComparison, is_tested: bool) -> str:
    """What the paired gain says, and what may be done."""
    gain, low, high = found.gain, found.gain_lower_bound, found.gain_upper_bound
    if gain is None or low is None or high is None:
        return "The gain of the challenger could not be measured."
    measured = f"{found.title}: the gain of the challenger is {gain:.3g}, 95 % interval {low:.3g} to {high:.3g}."
    if is_tested:
        return f"{measured} These are the champion's keys; the A/B test decides what becomes of the challenger."
    if low > 0:
        return f"{measured} The challenger is better beyond chance; {model.name}_shadow can promote it."
    if high < 0:
        return f"{measured} The challenger is worse beyond chance; {model.name}_shadow can withdraw it."
    return f"{measured} That may be chance: wait for more outcomes."

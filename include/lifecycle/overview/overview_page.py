"""The overview as a page: what is wrong, since when, then a row for each model and for each dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring import drift_verdict, performance_verdict
from include.lifecycle.numbers import distinct_texts
from include.lifecycle.overview.concerns import REPORTS, Concern
from include.lifecycle.overview.state import DatasetState, ModelState
from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.gate_evidence import GateEvidence
from include.lifecycle.reporting.pages import (
    Cell,
    Drawing,
    Link,
    Page,
    Section,
    Table,
    Verdict,
    percent,
    unbreakable,
)

PREDICTIONS = "../predictions"
"""Where prediction files are handed out, from the overview."""

_SPARKLINE_DAYS = 30
_WIDTH, _HEIGHT = 120, 24
_DO: dict[str, str] = {"bad": "act", "warning": "look"}


@dataclass(frozen=True)
class Overview:
    """What the overview shows. `outages` are sentences about what could not be asked."""

    models: Sequence[ModelState]
    datasets: Sequence[DatasetState]
    concerns: Sequence[Concern]
    checked_at: datetime | None
    outages: Sequence[str] = ()

    @property
    def wrong(self) -> list[Concern]:
        """The concerns that somebody has to act on or to look at."""
        return [concern for concern in self.concerns if concern.status != "neutral"]


def overview_page(overview: Overview) -> Page:
    """The page; addresses in it are relative to `/ml/overview/`."""
    others = [concern for concern in overview.concerns if concern.status == "neutral"]
    sections = [
        _section(
            "What is wrong",
            "Act on the first kind, look at the second; each leads to the page that says more.",
            overview.wrong,
        ),
        _section("What else to know", "Nothing is wrong with it.", others),
        Section(
            "Models",
            "Measured on the holdout when the version was judged, and since then on outcomes that became known. "
            "The naive baseline on the same rows stands in brackets.",
            table=_models(overview.models),
        ),
        Section(
            "Data",
            f"The share of lines in quarantine is drawn for the last {_SPARKLINE_DAYS} days with data.",
            table=_datasets(overview.datasets),
        ),
    ]
    return Page("Models and data", _verdict(overview), [section for section in sections if section])


def _verdict(overview: Overview) -> Verdict:
    """What is not known is not called good."""
    fresh = (
        f"As of {overview.checked_at:%Y-%m-%d %H:%M} UTC."
        if overview.checked_at
        else "Some of it has not been looked at yet; the next run of maintenance will."
    )
    reason = " ".join([*overview.outages, fresh])
    wrong = overview.wrong
    if wrong:
        since = min((concern.since for concern in wrong if concern.since), default=None)
        what = "1 thing is wrong" if len(wrong) == 1 else f"{len(wrong)} things are wrong"
        when = f", {'the first ' if len(wrong) > 1 else ''}since {since}" if since else ""
        is_bad = bool(overview.outages) or any(concern.status == "bad" for concern in wrong)
        return Verdict("bad" if is_bad else "warning", f"{what}{when}", reason)
    if overview.outages:
        return Verdict("bad", "Nothing else is known to be wrong", reason)
    if overview.checked_at is None:
        return Verdict("neutral", "Nothing is known to be wrong", reason)
    return Verdict("good", "Nothing is wrong", reason)


def _section(title: str, text: str, concerns: Sequence[Concern]) -> Section | None:
    """Since when, about what, what it is, and what to do; None where there is nothing."""
    if not concerns:
        return None
    does = any(concern.status in _DO for concern in concerns)
    rows = [
        [
            str(concern.since) if concern.since else None,
            concern.about,
            Link(concern.sentence, concern.address),
            *([_DO[concern.status]] if does else []),
        ]
        for concern in concerns
    ]
    return Section(title, text, table=Table(["Since", "About", "What", *(["Do"] if does else [])], rows))


def _models(states: Sequence[ModelState]) -> Table:
    return Table(
        ["Model", "Champion", "Trained as of", "Holdout", "Since then", "Drift", "Newest predictions", "Rows"],
        [_model(state) for state in states],
    )


def _model(state: ModelState) -> list[Cell]:
    name = state.model.name
    champion = state.champion
    if champion is None:
        version, as_of = None, None
    else:
        version = Link(
            f"Version {champion.version}", f"{REPORTS}/{name}/model_card/version={champion.version}/latest/"
        )
        as_of = str(champion.entry.effective_from)
    newest = state.predictions
    return [
        Link(state.model.title, f"../../dags/{name}_scoring"),
        version,
        as_of,
        _holdout(state),
        _realised(state),
        _drift(state),
        None if newest is None else Link(str(newest.day), f"{PREDICTIONS}/{name}/{newest.day}/predictions.csv"),
        None if newest is None or newest.manifest is None else newest.manifest.rows,
    ]


def _holdout(state: ModelState) -> Cell:
    """The champion's metric of the gate, and the baseline's, by the verdict on it."""
    if state.champion is None:
        return None
    if state.champion.entry.action == "baseline":
        return "the naive baseline itself"
    version = state.champion.version
    verdict = ledger.find_verdict(state.history, ledger.parents(state.history).get(version, version))
    if verdict is None:
        return None
    evidence = GateEvidence.model_validate(verdict.evidence)
    return _beside(state, evidence.candidate_score, evidence.baseline_score)


def _realised(state: ModelState) -> Cell:
    if not state.performance:
        return None
    newest, metric = state.performance[-1], state.model.gate.metric
    measured = newest.record.measures.get(metric)
    baseline = newest.record.baseline_measures.get(metric)
    text = str(newest.record.verdict) if measured is None else _beside(state, measured, baseline)
    return Link(text, f"{REPORTS}/{state.model.name}/{performance_verdict.KIND}/{newest.day}/")


def _drift(state: ModelState) -> Cell:
    if not state.drift:
        return None
    newest = state.drift[-1]
    return Link(newest.record.verdict, f"{REPORTS}/{state.model.name}/{drift_verdict.KIND}/{newest.day}/")


def _beside(state: ModelState, own: float | None, baseline: float | None) -> str:
    metric = task_of(state.model).metrics[state.model.gate.metric]
    texts = distinct_texts([own, baseline])
    return f"{metric.within} {texts[0] or 'unknown'} ({texts[1] or 'unknown'})"


def _datasets(states: Sequence[DatasetState]) -> Table:
    return Table(
        ["Dataset", "Newest day", "Verdict", "Rows", "In quarantine", "Recent shares", "Features until"],
        [_dataset(state) for state in states],
    )


def _dataset(state: DatasetState) -> list[Cell]:
    name = state.dataset.name
    features = None if state.features is None else str(state.features.day)
    about: Cell = Link(name, f"../../dags/{name}_etl")
    if not state.verdicts:
        return [about, None, None, None, None, None, features]
    newest = state.verdicts[-1]
    tables = newest.record.tables.values()
    quarantined = sum(table.quarantined for table in tables)
    return [
        about,
        Link(str(newest.day), f"{REPORTS}/{name}/validation/{newest.day}/"),
        "accepted" if newest.record.accepted else "rejected",
        sum(table.rows for table in tables),
        f"{quarantined:,} ({percent(newest.record.bad_share)})",
        _sparkline([dated.record.bad_share for dated in state.verdicts[-_SPARKLINE_DAYS:]]),
        features,
    ]


def _sparkline(shares: Sequence[float]) -> Drawing:
    """A line from 0 to the largest share, with the newest as a point."""
    largest = max(shares)
    step = _WIDTH / max(len(shares) - 1, 1)
    points = [
        (round(number * step, 1), round(_HEIGHT - 2 - (_HEIGHT - 4) * share / (largest or 1), 1))
        for number, share in enumerate(shares)
    ]
    line = " ".join(f"{x},{y}" for x, y in points)
    days = f"{len(shares)} day{'s' if len(shares) > 1 else ''}"
    words = unbreakable(f"{percent(shares[-1])} on the newest day, at most {percent(largest)} in {days}")
    x, y = points[-1]
    return Drawing(
        f'<svg viewBox="-3 0 {_WIDTH + 6} {_HEIGHT}" width="{_WIDTH + 6}" height="{_HEIGHT}">'
        f"<title>{escape(words)}</title>"
        f'<polyline points="{line}" fill="none" stroke="var(--accent)" stroke-width="1.5"/>'
        f'<circle cx="{x}" cy="{y}" r="2.5" fill="var(--accent)"/></svg>',
        words,
    )

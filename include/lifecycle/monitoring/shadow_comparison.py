"""How the challenger does beside the champion, on the outcomes of days that both have scored."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import ValidationError

from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring.champion import Champion
from include.lifecycle.monitoring.outcomes_of_version import newest_outcomes
from include.lifecycle.monitoring.performance_verdict import KIND, VERDICT, PerformanceVerdict
from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.shadow import Request, Seen
from include.lifecycle.promotion.shadow_policy import ShadowComparison
from include.lifecycle.scoring.prediction_files import PARQUET
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import CorruptFileError, Lake, LakeError

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

_CHALLENGER = "challenger_score"


@dataclass(frozen=True)
class Compared:
    """A comparison, None without a challenger, and path and digest of the scores that it was made of."""

    comparison: ShadowComparison | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)


def compare(champion: Champion, lake: Lake, connection: extensions.connection, rows: pl.DataFrame) -> Compared:
    """Set the present challenger beside the version that a report is about, on the same rows.

    A day whose scores of the challenger are damaged is left out, as the report is about the champion.

    Parameters
    ----------
    rows : the predictions whose outcomes are known, as `outcomes.parquet` has them.
    """
    model, version = champion.model, champion.reference.model_version
    challenger = ledger.replay(ledger.entries(connection, model.name)).challenger
    if challenger is None:
        return Compared()
    paired, inputs = _paired(champion, lake, newest_outcomes(model, rows, version), challenger)
    title = task_of(model).metrics[model.gate.metric].title
    known = {"champion": version, "challenger": challenger, "title": title, "rows": paired.height}
    return Compared(ShadowComparison(**known, **_measured(model, paired)), inputs)


def see(model: ModelSpec, lake: Lake, request: Request) -> Seen:
    """What the lake has that a request is decided from; the newest performance report for a promotion alone."""
    named = latest.usable(lake, model.predictions_prefix)
    known = [named.day] if named else []
    newest_day = max([*known, *lake.days(model.dataset.features_prefix, *known)], default=None)
    found = lake.newest(model.report_prefix(KIND)) if request.asked == "promote" else None
    if found is None:
        return Seen(newest_day=newest_day)
    try:
        content = lake.read_json(model.report_prefix(KIND), found[0], VERDICT)
        verdict = PerformanceVerdict.model_validate(content)
    except (LakeError, ValidationError) as error:
        log.warning("The performance report of %s says nothing: %s", found[0], error)
        return Seen(newest_day=newest_day)
    return Seen(verdict.shadow, verdict.ab_test, newest_day)


def _paired(
    champion: Champion, lake: Lake, rows: pl.DataFrame, challenger: int
) -> tuple[pl.DataFrame, Mapping[str, str]]:
    """The rows that the challenger has scored, too, with its scores; and what these were read from."""
    prefix, key = champion.model.shadow_prefix(challenger), list(champion.model.dataset.key)
    days = sorted(rows["dt"].unique()) if rows.height else []
    scored, faults = lake.pin_readable(prefix, lake.days(prefix, days[0], days[-1]) if days else [])
    frames = []
    for day in scored.days:
        try:
            [file] = scored.download(day, champion.scratch, PARQUET)
        except CorruptFileError as error:
            faults[day] = str(error)
            continue
        scores = pl.read_parquet(file).select(*key, pl.col("score").alias(_CHALLENGER))
        frames.append(rows.filter(pl.col("dt") == day).join(scores, on=key))
    for day, fault in faults.items():
        log.warning("The challenger's scores of %s are left out: %s", day, fault)
    return pl.concat(frames) if frames else rows.clear(), scored.inputs


def _measured(model: ModelSpec, rows: pl.DataFrame) -> dict[str, Any]:
    """Fields of the comparison about rows that have both scores."""
    task = task_of(model)
    shortage = task.label_shortfall(rows["label"]) if rows.height else "no rows"
    if shortage:
        return {"shortage": shortage}
    gain = task.gain(rows, _CHALLENGER, "score")
    return {
        "days": tuple(sorted(rows["dt"].unique())),
        "champion_measures": task.measure(rows, "score"),
        "challenger_measures": task.measure(rows, _CHALLENGER),
        "gain": gain.value,
        "gain_lower_bound": gain.lower_bound,
        "gain_upper_bound": gain.upper_bound,
    }

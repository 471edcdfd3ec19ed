"""How the champion and the version before it did on the same outcomes: the evidence of an automatic rollback."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring.earlier_outcomes import OUTCOMES
from include.lifecycle.monitoring.outcomes_of_version import newest_outcomes
from include.lifecycle.monitoring.performance_verdict import KIND, VERDICT, PerformanceVerdict
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.automatic_rollback import NO_VERDICT, AutomaticRollbackEvidence
from include.lifecycle.promotion.rollback import changed_on, version_before
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake

_BEFORE = "before_score"


def compare(
    tracking_uri: str, model: ModelSpec, lake: Lake, history: Sequence[ledger.Entry], day: date
) -> AutomaticRollbackEvidence:
    """Score the outcomes of the performance report of `day` with the version before the champion.

    These are predictions of the champion, of the newest days, of as many rows as a part of a training has at most.

    Parameters
    ----------
    history : the model's entries in the ledger, oldest first.

    Raises
    ------
    PartitionNotFoundError
        If there is no report of the day, or a day of its outcomes has no features any more.
    """
    champion, before = ledger.replay(history).champion, version_before(history)
    report = PerformanceVerdict.model_validate(lake.read_json(model.report_prefix(KIND), day, VERDICT))
    known: dict[str, Any] = {
        "day": day,
        "champion": champion,
        "before": before,
        "verdict": report.verdict,
        "metric": task_of(model).metrics[model.gate.metric].title,
        "changed_on": changed_on(history),
    }
    # Without any of these nothing follows, so nothing is scored for it.
    if model.rollback is None or champion is None or before is None or report.verdict == NO_VERDICT:
        return AutomaticRollbackEvidence(**known)
    with TemporaryDirectory() as folder:
        rows = _outcomes(model, lake, day, champion, Path(folder))
        try:
            digest = ledger.digest_of(history, before)
            estimator = registry.load(tracking_uri, model.name, before, model.trusted_types, digest)
            measured = _measure(model, _scored(model, lake, rows, estimator, Path(folder)))
        except OSError:
            raise
        except (ValueError, KeyError) as error:
            # It may also be of features that there are no more.
            measured = {"problems": (f"Version {before} cannot be used: {error}",)}
    return AutomaticRollbackEvidence(**known, **measured)


def _outcomes(model: ModelSpec, lake: Lake, day: date, version: int, scratch: Path) -> pl.DataFrame:
    """The outcomes of predictions of a version, of the newest days."""
    [file] = lake.pin(model.report_prefix(KIND), [day]).download(day, scratch, OUTCOMES)
    return newest_outcomes(model, pl.read_parquet(file), version)


def _scored(model: ModelSpec, lake: Lake, rows: pl.DataFrame, estimator: Any, scratch: Path) -> pl.DataFrame:
    """The outcomes with the scores of another version in a column."""
    key, frames = list(model.dataset.key), []
    features = lake.pin(model.dataset.features_prefix, sorted(rows["dt"].unique()) if rows.height else [])
    for day in features.days:
        frame = features.only([day]).scan(scratch).collect()
        scores = frame.select(*key, pl.Series(_BEFORE, predict(estimator, frame, model)))
        frames.append(rows.filter(pl.col("dt") == day).join(scores, on=key))
    return pl.concat(frames) if frames else rows.clear()


def _measure(model: ModelSpec, rows: pl.DataFrame) -> dict[str, Any]:
    """Fields of the evidence about outcomes that have both scores."""
    task, metric = task_of(model), model.gate.metric
    shortage = task.label_shortfall(rows["label"]) if rows.height else "no rows"
    if shortage:
        return {"rows": rows.height, "problems": (f"The outcomes of the champion's predictions have {shortage}.",)}
    gain = task.gain(rows, _BEFORE, "score")
    return {
        "rows": rows.height,
        "champion_score": task.measure(rows, "score")[metric],
        "before_score": task.measure(rows, _BEFORE)[metric],
        "gain": gain.value,
        "gain_lower_bound": gain.lower_bound,
    }

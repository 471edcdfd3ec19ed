"""A day that an A/B test splits: the challenger scores its share of the keys, the champion the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import polars as pl

from include.lifecycle.failures import lies_in_the_data, one_line
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.scoring.prediction_files import challenger_input, share_input, unsplit_input, version_of
from include.lifecycle.scoring.scorers import Challenger, Scorer
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Manifest

log = logging.getLogger(__name__)

Score = Callable[[pl.DataFrame, Scorer], pl.DataFrame]
"""Scores rows of features with a version."""


class ChallengerError(ValueError):
    """A challenger cannot score its share of a day's keys."""

    def __init__(self, challenger: Challenger, fault: str) -> None:
        super().__init__(fault)
        self.challenger = challenger


def by_arm(model: ModelSpec, rows: pl.DataFrame, scorer: Scorer, score: Score) -> pl.DataFrame:
    """The scores of rows, in their order, each by the version that decides about its key.

    Raises
    ------
    ChallengerError
        If the challenger cannot score its rows.
    """
    challenger = scorer.challenger
    if challenger is None or challenger.scorer is None:
        return score(rows, scorer)
    is_challengers = challenger.test.is_challengers(rows.select(model.dataset.key))
    arms = (
        (scorer, ~is_challengers, score),
        (challenger.scorer, is_challengers, _checked(model, challenger, score)),
    )
    parts = [work(rows.filter(own), by) for by, own, work in arms if own.any()]
    scored, places = pl.concat(parts), pl.concat([own.arg_true() for _, own, _ in arms])
    # A model whose `decide` loses rows is refused later, with all that is wrong.
    return scored[places.arg_sort()] if scored.height == rows.height else scored


def _checked(model: ModelSpec, challenger: Challenger, score: Score) -> Score:
    """The same, but what the challenger does wrong is told from what the champion does."""

    def checked(rows: pl.DataFrame, scorer: Scorer) -> pl.DataFrame:
        try:
            scored = score(rows, scorer)
        except Exception as error:
            if not lies_in_the_data(error):
                raise
            raise ChallengerError(challenger, one_line(error)) from error
        task = task_of(model)
        if invalid := scored.filter(~task.is_valid_score(pl.col("score"))).height:
            raise ChallengerError(challenger, f"{invalid} of its scores are not {task.valid_scores}")
        return scored

    return checked


def for_day(model: ModelSpec, known: Manifest | None, scorer: Scorer, day: date) -> Scorer:
    """The scorer for a day: split as it was published, if by its version, else as the ledger says.

    Parameters
    ----------
    known : the manifest of what was published, or None.
    """
    if scorer.unsplit:
        return scorer
    if known is None or version_of(model, known) != scorer.version:
        challenger = scorer.challengers.of(day)
    elif why := known.inputs.get(unsplit_input(model)):
        return replace(scorer, unsplit=why)
    else:
        named = known.inputs.get(challenger_input(model))
        challenger = scorer.challengers.named(day, int(named)) if named else None
    if challenger is None:
        return scorer
    return replace(scorer, challenger=challenger) if challenger.scorer else unsplit(scorer, day, challenger)


def unsplit(scorer: Scorer, day: date, challenger: Challenger, fault: str | None = None) -> Scorer:
    """The scorer for a day whose challenger cannot score, so that the champion scores all keys.

    Parameters
    ----------
    fault : what is wrong; None: the challenger's own.
    """
    what = challenger.fault if fault is None else fault
    why = (
        f"The challenger, version {challenger.version}, cannot score its share of the keys, so that version "
        f"{scorer.version} scores all of them: {what.removesuffix('.')}."
    )
    log.warning("%s: %s", day, why)
    return replace(scorer, challenger=None, unsplit=why)


def split_inputs(model: ModelSpec, scorer: Scorer) -> dict[str, str]:
    """What the manifest of a day that is split says of that: by whom else it was scored, or why by nobody else."""
    if scorer.unsplit:
        return {unsplit_input(model): scorer.unsplit}
    challenger = scorer.challenger
    if challenger is None or challenger.scorer is None:
        return {}
    return {
        challenger_input(model): str(challenger.version),
        share_input(model): f"{challenger.test.share:g} of the keys, drawn with {challenger.test.salt!r}",
        **challenger.scorer.inputs,
    }

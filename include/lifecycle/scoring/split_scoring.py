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
    """The challenger cannot score its share of a day's keys."""


def by_arm(
    model: ModelSpec, rows: pl.DataFrame, scorer: Scorer, challenger: Challenger | None, score: Score
) -> pl.DataFrame:
    """The scores of rows, in their order, each by the version that decides about its key.

    Raises
    ------
    ChallengerError
        If the challenger cannot score its rows.
    """
    if challenger is None or challenger.scorer is None:
        return score(rows, scorer)
    is_challengers = challenger.test.is_challengers(rows.select(model.dataset.key))
    arms = ((scorer, ~is_challengers, score), (challenger.scorer, is_challengers, _checked(model, score)))
    parts = [work(rows.filter(own), by) for by, own, work in arms if own.any()]
    scored, places = pl.concat(parts), pl.concat([own.arg_true() for _, own, _ in arms])
    # A model whose `decide` loses rows is refused later, with all that is wrong.
    return scored[places.arg_sort()] if scored.height == rows.height else scored


def _checked(model: ModelSpec, score: Score) -> Score:
    """The same, but what the challenger does wrong is told from what the champion does."""

    def checked(rows: pl.DataFrame, scorer: Scorer) -> pl.DataFrame:
        try:
            scored = score(rows, scorer)
        except Exception as error:
            if not lies_in_the_data(error):
                raise
            raise ChallengerError(one_line(error)) from error
        task = task_of(model)
        if invalid := scored.filter(~task.is_valid_score(pl.col("score"))).height:
            raise ChallengerError(f"{invalid} of its scores are not {task.valid_scores}")
        return scored

    return checked


def as_before(model: ModelSpec, known: Manifest | None, scorer: Scorer, day: date) -> Scorer:
    """The scorer for a day as it was published, if by its version: with the challenger or without it.

    Parameters
    ----------
    known : the manifest of what was published, or None.
    """
    challenger = scorer.challengers.get(day)
    if challenger is None:
        return scorer
    is_known = known is not None and version_of(model, known) == scorer.version
    was = known.inputs if known is not None and is_known else {}
    if why := was.get(unsplit_input(model)):
        return _with(scorer, day, replace(challenger, scorer=None, fault=why))
    is_whole = is_known and challenger_input(model) not in was
    if is_whole or (challenger.is_over and not is_known):
        return replace(scorer, challengers={})
    return scorer if challenger.scorer else unsplit(scorer, day, challenger.fault)


def unsplit(scorer: Scorer, day: date, fault: str) -> Scorer:
    """The scorer for a day whose challenger cannot score, so that the champion scores all keys."""
    challenger = scorer.challengers[day]
    why = (
        f"The challenger, version {challenger.version}, cannot score its share of the keys, so that version "
        f"{scorer.version} scores all of them: {fault.removesuffix('.')}."
    )
    log.warning("%s: %s", day, why)
    return _with(scorer, day, replace(challenger, scorer=None, fault=why))


def _with(scorer: Scorer, day: date, challenger: Challenger) -> Scorer:
    return replace(scorer, challengers={**scorer.challengers, day: challenger})


def split_inputs(model: ModelSpec, challenger: Challenger | None) -> dict[str, str]:
    """What the manifest of a day that is split says of that: by whom else it was scored, or why by nobody else."""
    if challenger is None:
        return {}
    if challenger.scorer is None:
        return {unsplit_input(model): challenger.fault}
    return {
        challenger_input(model): str(challenger.version),
        share_input(model): f"{challenger.test.share:g} of the keys, drawn with {challenger.test.salt!r}",
        **challenger.scorer.inputs,
    }

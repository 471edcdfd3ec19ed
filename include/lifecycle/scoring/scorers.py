"""Versions at work: what is loaded of a version before it scores, and who scores a share of the keys beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any

from pydantic import ValidationError

from include.lifecycle.modelling.intervals import Interval
from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.modelling.reasons import Usual
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.ab_test import AbTest, Split, splits
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, LakeError, Pinned
from include.lifecycle.training.record import RECORD, TrainingRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scorer:
    """A version at work.

    Attributes
    ----------
    usual : what the reasons for its scores compare a row with; empty where none are given.
    inputs : path and digest of the partition that `usual` was read from.
    withdrawn : of versions that were rolled back, why their days are scored again.
    challengers : of the version's A/B tests.
    challenger : who scores a share of the keys of the day at hand, None for nobody.
    unsplit : why the challenger of the day at hand does not score its share; empty where that is not so.
    """

    estimator: Any
    version: int
    interval: Interval | None = None
    usual: Usual = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    withdrawn: Mapping[int, str] = field(default_factory=dict)
    challengers: Challengers = field(default_factory=lambda: Challengers())
    challenger: Challenger | None = None
    unsplit: str = ""


@dataclass(frozen=True)
class Challenger:
    """The challenger of an A/B test; without a `scorer` it scores nothing, and `fault` says why."""

    test: AbTest
    version: int
    scorer: Scorer | None
    fault: str = ""


@dataclass(frozen=True)
class Challengers:
    """The A/B tests of a champion, oldest first; their challengers are loaded as days ask for them."""

    splits: Sequence[Split] = ()
    load: Callable[[Split], Challenger] | None = None

    def of(self, day: date) -> Challenger | None:
        """The challenger of a day that a test splits, or None."""
        return self._newest(split for split in self.splits if split.covers(day))

    def named(self, day: date, version: int) -> Challenger | None:
        """The version that has scored a share of a published day, or None where it may not do so again.

        Its test may have ended before that day since.
        """
        begun = (split for split in self.splits if split.test.first_day <= day)
        return self._newest(split for split in begun if split.challenger == version)

    def _newest(self, splits: Iterable[Split]) -> Challenger | None:
        found = list(splits)
        return self.load(found[-1]) if found and self.load else None


def load_scorer(tracking_uri: str, lake: Lake, model: ModelSpec, version: int, sha256: str | None) -> Scorer:
    """A version from the registry, with what is kept of its training; `sha256` as for `registry.load`.

    Raises
    ------
    UnusableModelError
        If the version, its file or its interval is gone, or the file is not the one that was trained; or if what
        is kept of its training is damaged.
    """
    estimator = registry.load(tracking_uri, model.name, version, model.trusted_types, sha256)
    usual, inputs = _kept_usual(lake, model, version) if model.reasons else ({}, {})
    return Scorer(estimator, version, registry.interval(tracking_uri, model, version), usual, inputs)


def _kept_usual(lake: Lake, model: ModelSpec, version: int) -> tuple[Usual, Mapping[str, str]]:
    """The usual values of a version's training rows, and what they were read from.

    Both are empty for a version from before they were kept.

    Raises
    ------
    UnusableModelError
        If what is kept of the version is damaged: a day that is scored without reasons would stay so.
    """
    prefix = model.reference_prefix(version)
    found = lake.newest(prefix)
    if found is None:
        if lake.keys(f"{prefix}/"):
            raise UnusableModelError(_damaged_reference(model, version, "its manifest is missing or damaged."))
        log.warning("Nothing is kept of version %d of %r, so its scores have no reasons.", version, model.name)
        return {}, {}
    day, manifest = found
    kept = Pinned(lake, prefix, {day: manifest})
    try:
        record = TrainingRecord.model_validate(kept.read_json(day, RECORD))
    except (LakeError, ValidationError) as error:
        raise UnusableModelError(_damaged_reference(model, version, str(error))) from error
    return record.usual_values, kept.inputs if record.usual_values else {}


def _damaged_reference(model: ModelSpec, version: int, fault: str) -> str:
    return (
        f"What is kept of version {version} of {model.name!r} cannot be read, so that its scores have no reasons: "
        f"{fault} Run the DAG maintenance, which has it rebuilt."
    )


def challengers_of(
    tracking_uri: str, lake: Lake, model: ModelSpec, history: Sequence[ledger.Entry], champion: int
) -> Challengers:
    """Who scores, or has scored, a share of the keys beside a champion.

    A challenger that cannot be used is there without a scorer.

    Parameters
    ----------
    history : the model's entries in the ledger, oldest first.
    """

    @cache
    def load(split: Split) -> Challenger:
        version = split.challenger
        try:
            digest = ledger.digest_of(history, version)
            return Challenger(split.test, version, load_scorer(tracking_uri, lake, model, version, digest))
        except UnusableModelError as error:
            return Challenger(split.test, version, None, str(error))

    own = [split for split in splits(history) if split.champion == champion and not split.is_void]
    return Challengers(own, load)

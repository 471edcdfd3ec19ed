"""The holdout: the rows on which versions are compared, and whether a version may have learnt from them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from include.lifecycle.modelling.bootstrap import LEVEL
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.specs import ModelSpec


@dataclass(frozen=True)
class Contender:
    """A version that is scored on the holdout: as of which day it was trained, and the digest of its file."""

    role: str
    version: int
    as_of: date
    sha256: str | None

    @property
    def who(self) -> str:
        """The subject of a sentence about it."""
        return f"The {self.role}, version {self.version},"


@dataclass(frozen=True)
class Holdout:
    """The rows on which versions are compared. `split` says what kept them apart from the rows learnt from."""

    model: ModelSpec
    tracking_uri: str
    rows: pl.DataFrame
    first_day: date
    split: str

    @property
    def digest(self) -> str:
        """What tells this holdout from others: the SHA-256 of its keys, days and labels, in any order."""
        columns = list(dict.fromkeys((*self.model.dataset.key, "dt", "label")))
        return hashlib.sha256(self.rows.select(columns).sort(columns).write_csv().encode()).hexdigest()

    def scores(self, contender: Contender) -> pl.Series:
        """The scores of a version."""
        from include.lifecycle.modelling.estimator_input import predict

        model = self.model
        estimator = registry.load(
            self.tracking_uri, model.name, contender.version, model.trusted_types, contender.sha256
        )
        return pl.Series(predict(estimator, self.rows, model))

    def overlap(self, contender: Contender) -> tuple[str, ...]:
        """A sentence if a version may have learnt from the holdout, by its tags in the registry."""
        return self.overlap_by(
            contender, registry.version_tags(self.tracking_uri, self.model.name, contender.version)
        )

    def overlap_by(self, contender: Contender, tags: Mapping[str, str]) -> tuple[str, ...]:
        """A sentence if a version of such tags may have learnt from the holdout.

        It has not where the outcomes of its last day were known when the holdout begins, nor where both its
        training and the holdout kept the same keys apart.
        """
        learnt_until = _day_or_none(tags.get("learnt_until", ""))
        if learnt_until is None:
            if contender.as_of <= self.first_day:
                return ()
            return (
                f"{contender.who} has no tag `learnt_until` with a day (it is {tags.get('learnt_until')!r}); "
                f"as of {contender.as_of}, it may have learnt the holdout of {self.first_day}; train again "
                "as of a later day.",
            )
        same_keys_kept_out = self.split == tags.get("split") == "key"
        if same_keys_kept_out or self.model.horizon_ends_on(learnt_until) <= self.first_day:
            return ()
        return (
            f"{contender.who} has learnt from days until {learnt_until}, whose outcomes reach into the holdout of "
            f"{self.first_day}; train again as of a later day.",
        )


def judgement_number(history: Sequence[ledger.Entry], digest: str, version: int) -> int:
    """The place of a version among the candidates that a holdout has judged, from 1 on, by a model's entries."""
    judged = {entry.candidate for entry in history if entry.evidence.get("holdout_digest") == digest}
    return len(judged - {version}) + 1


def judgement_level(number: int) -> float:
    """The level of the gain's interval for the candidate of a number: LEVEL / number².

    A candidate that is no better would win by chance in half the level of the times. Over all candidates that one
    holdout ever judges this adds up to less than LEVEL, as 1 + 1/4 + 1/9 + ... is 1.64: a Bonferroni correction
    whose family need not be known beforehand (alpha spending, as in Foster and Stine 2008, "Alpha-investing").
    """
    return LEVEL / number**2


def _day_or_none(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None

"""What differs between a model that classifies and one that regresses."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from include.lifecycle.specs import ModelSpec


FITTING_FOLDS = 3


class Measure(NamedTuple):
    """How a page calls a measure within a sentence, and how it is read."""

    within: str
    hint: str

    @property
    def title(self) -> str:
        """The name at the head of a sentence or of a row."""
        return f"{self.within[0].upper()}{self.within[1:]}"


class Picture(NamedTuple):
    """A picture's title, and what to see in it."""

    title: str
    caption: str


class Gain(NamedTuple):
    """How much better scores are than others on the same rows, and the lower end of its 95 % interval."""

    value: float
    low: float


class Kind(Protocol):
    """One kind of model: how it is fitted, asked, measured and shown."""

    @property
    def measures(self) -> Mapping[str, Measure]:
        """What `measure` gives, in the order of a page."""
        ...

    @property
    def pictures(self) -> Mapping[str, Picture]:
        """What `draw` gives."""
        ...

    def tuning_metric(self, model: ModelSpec) -> str:
        """The name of what `tuning_score` gives, as in `measures`."""
        ...

    def tuning_score(self, rows: pl.DataFrame, score: str, model: ModelSpec) -> float:
        """What hyperparameters are chosen by, of the scores in a column; higher is better; see `measure`."""
        ...

    def fit(self, estimator: Any, matrix: pd.DataFrame, labels: NDArray[Any], folds: NDArray[Any]) -> Any:
        """Fit for use; `folds` numbers each row's fold, below FITTING_FOLDS, for out-of-fold predictions."""
        ...

    def predict(self, estimator: Any, matrix: pd.DataFrame) -> NDArray[Any]:
        """The score of each row."""
        ...

    def measure(self, rows: pl.DataFrame, score: str) -> dict[str, float]:
        """How good the scores in a column are; rows have `label`, `dt` and, to compare with, `baseline_score`."""
        ...

    def gain(self, rows: pl.DataFrame, score: str, rival: str, model: ModelSpec) -> Gain:
        """How much better the scores in a column are than the rival's, row by row; 0 where they are equal."""
        ...

    def shortage(self, labels: pl.Series) -> str | None:
        """What labels lack to be learnt from, or None."""
        ...

    def draw(self, rows: pl.DataFrame, who: str = "candidate", where: str = "on the holdout") -> dict[str, Figure]:
        """Pictures of rows with `label`, `candidate_score` and `baseline_score`.

        `who` is what the scores of `candidate_score` are called, `where` follows the titles.
        """
        ...

    def valid(self, score: pl.Expr) -> pl.Expr:
        """Whether a score is one."""
        ...

    @property
    def valid_scores(self) -> str:
        """What valid scores are, in words."""
        ...


def kind_of(model: ModelSpec) -> Kind:
    """The kind of a model: `KIND` of the module of its name."""
    kind: Kind = import_module(f"include.lifecycle.modelling.{model.kind}").KIND
    return kind

"""A further task is one new module: nothing else in the engine knows which tasks there are."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge

from include.catalog import MODELS
from include.lifecycle.modelling import tuning
from include.lifecycle.modelling.bootstrap import LEVEL
from include.lifecycle.modelling.tasks import (
    Estimate,
    Gain,
    Metric,
    Plot,
    Standing,
    checked_against_task,
    present_names,
    task_of,
)
from include.lifecycle.modelling.tuning import FoldRows
from include.lifecycle.monitoring.performance_page import render_performance
from include.lifecycle.monitoring.performance_verdict import PerformanceEvidence, decide
from include.lifecycle.promotion.evidence import naive_models
from include.lifecycle.promotion.mlflow_model import _signature
from include.lifecycle.reporting import charts
from include.lifecycle.scoring.checks import _key_problems
from include.lifecycle.specs import Candidate, DatasetSpec, DriftPolicy, GateSpec, LabelSpec, ModelSpec, TableSpec
from include.models.churn import CHURN
from include.models.volatility import VOLATILITY
from tests.specs import changed

ROOT = Path(__file__).parents[4]
TASKS = ROOT / "include/lifecycle/modelling/tasks"
NAMES = [path.name for path in TASKS.iterdir() if (path / "__init__.py").exists()]
WORDS_OF_ONE_TASK_OR_DATASET = {"skill", "predict_proba", "calls", "symbol", "symbols"}
DAY = date(2026, 3, 2)
BEST, OTHERS = 0.9, (0.1, 0.2, 0.3)


def engine() -> Iterator[Path]:
    """The modules that belong to no single task."""
    own = {TASKS / name for name in NAMES}
    yield from (path for path in (ROOT / "include/lifecycle").rglob("*.py") if not own & set(path.parents))


def words(tree: ast.AST) -> set[str]:
    """The names and the words of the texts, docstrings among them, in a module."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(re.findall(r"\w+", node.value))
        elif isinstance(node, ast.Name | ast.Attribute):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.arg):
            found.add(node.arg if isinstance(node, ast.arg) else node.name)
    return found | {part for word in found for part in word.split("_")}


@pytest.mark.parametrize("path", engine(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_engine_names_nothing_of_a_single_task(path: Path) -> None:
    tree = ast.parse(path.read_text())

    exact = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert not exact & set(NAMES)
    assert not words(tree) & WORDS_OF_ONE_TASK_OR_DATASET


@pytest.mark.parametrize("path", engine(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_engine_does_not_ask_which_task_a_model_has(path: Path) -> None:
    compared = [
        side
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare | ast.Match)
        for side in ([node.left, *node.comparators] if isinstance(node, ast.Compare) else [node.subject])
    ]

    assert not [side for side in compared if isinstance(side, ast.Attribute) and side.attr == "task"]


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_task_measures_what_it_is_judged_by(model: ModelSpec) -> None:
    task = task_of(model)

    assert set(task.gate_metrics) <= set(task.metrics)
    assert set(task.segment_metrics) <= set(task.metrics)
    assert task.tuning_metric in task.metrics


@pytest.mark.parametrize(
    ("model", "changes", "sentence"),
    [
        (CHURN, {"task": "clustering"}, r"the task 'clustering', which has no module; choose one of \['class"),
        (
            CHURN,
            {"gate": {"metric": "brier"}},
            r"cannot decide by 'brier'; set `gate.metric` to one of \['average_pr",
        ),
        (VOLATILITY, {"gate": {"metric": "roc_auc"}}, r"cannot decide by 'roc_auc'; set `gate.metric` to one of"),
        (
            CHURN,
            {"gate": {"leakage_threshold": ("auc", 0.9)}},
            "`gate.leakage_threshold` of 'auc', which its task",
        ),
        (
            CHURN,
            {"segments": {"by": "customer_id"}},
            "segments by 'customer_id', but the task 'classification' has no",
        ),
    ],
)
def test_a_spec_that_does_not_fit_its_task_is_refused_with_what_to_change(
    model: ModelSpec, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        checked_against_task(changed(model, **changes))


def test_a_catalog_with_a_spec_that_does_not_fit_its_task_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.models.churn.CHURN", changed(CHURN, gate={"metric": "brier"}))

    monkeypatch.delitem(sys.modules, "include.catalog")

    with pytest.raises(ValueError, match="the task 'classification', whose gate cannot decide by 'brier'"):
        importlib.import_module("include.catalog")


def test_metrics_that_were_stored_under_a_former_name_are_found_under_the_present_one() -> None:
    stored = {"holdout_skill": 0.3, "holdout_skill_low": 0.1, "holdout_skill_high": 0.5, "holdout_rmse": 2.0}

    assert present_names(task_of(VOLATILITY), stored, "holdout_") == {
        "skill": 0.3,
        "skill_lower_bound": 0.1,
        "skill_upper_bound": 0.5,
        "rmse": 2.0,
    }


class Ranking:
    """A third task: the order of a customer's products, of which the first one is shown to it."""

    metrics: Mapping[str, Metric] = {
        "hit_rate": Metric("hit rate", "share of customers who bought the product that was shown to them")
    }
    plots: Mapping[str, Plot] = {"hits": Plot("Hits", "The share of customers who bought what they were shown.")}
    gate_metrics = ("hit_rate",)
    estimate_metric = None
    segment_metrics: Sequence[str] = ()
    calibration_title = None
    estimator_method = "predict"
    output_shape = (-1,)
    scores_every_row = False
    valid_scores = "finite numbers"
    tuning_metric = "hit_rate"
    estimate_meaning = "Nothing can be estimated."

    def __init__(self, model: ModelSpec) -> None:
        self._group = ["dt", model.dataset.key[0]]

    def tuning_score(self, rows: pl.DataFrame, score: str) -> float:
        return self.measure(rows, score)["hit_rate"]

    def fit(self, estimator: Any, matrix: Any, labels: Any, folds: Any) -> Any:
        return tuning.fit(estimator, matrix, labels)

    def predict(self, estimator: Any, matrix: Any) -> Any:
        return estimator.predict(matrix)

    def measure(self, rows: pl.DataFrame, score: str) -> dict[str, float]:
        shown = rows.sort(score, descending=True).group_by(self._group, maintain_order=True).first()
        return {"hit_rate": float(shown["label"].mean())}  # type: ignore[arg-type]

    def gain(self, rows: pl.DataFrame, score: str, other: str, level: float = LEVEL) -> Gain:
        difference = self.tuning_score(rows, score) - self.tuning_score(rows, other)
        return Gain(difference, difference, difference)

    def calibration(self, rows: pl.DataFrame, score: str) -> None:
        return None

    def standing(self, measured: Mapping[str, float], baseline: Mapping[str, float]) -> Standing:
        own, least = measured["hit_rate"], baseline["hit_rate"]
        return Standing(own, least, f"Hit rate {own:.2f} (baseline {least:.2f})")

    def label_shortfall(self, labels: pl.Series) -> str | None:
        return None if labels.sum() else "no purchase"

    def estimate_shortfall(self, rows: pl.DataFrame, holdout: pl.DataFrame) -> str | None:
        return "An affinity is no probability."

    def estimate(self, rows: pl.DataFrame, holdout: pl.DataFrame) -> Estimate:
        raise AssertionError("There is a shortfall.")

    def observed(self, rows: pl.DataFrame) -> dict[str, float]:
        return {}

    def draw(self, rows: pl.DataFrame, who: str = "candidate", where: str = "on the holdout") -> dict[str, Figure]:
        def bar(axes: Axes, rate: float) -> None:
            axes.bar([who], [rate], label=where)

        return {"hits": charts.draw(bar, self.tuning_score(rows, "candidate_score"))}

    def is_valid_score(self, score: pl.Expr) -> pl.Expr:
        return score.is_finite().fill_null(False)


def unused(*arguments: Any) -> Any:
    raise AssertionError("No task asks for this.")


@pytest.fixture
def ranking(monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    """A model of the third task, whose module is there by its name."""
    monkeypatch.setitem(sys.modules, "include.lifecycle.modelling.tasks.ranking", SimpleNamespace(TASK=Ranking))
    columns = {"customer": pl.String, "product": pl.String}
    dataset = DatasetSpec(
        name="offers",
        title="Offers",
        description="What a customer may be shown.",
        key=("customer", "product"),
        timezone="UTC",
        schedule="@daily",
        tables=(TableSpec(name="purchases", columns=columns, key=tuple(columns), rules=list),),
        make_source=unused,
        features=unused,
        history_days={"purchases": 0},
    )
    return ModelSpec(
        name="offer",
        title="Offer",
        description="Which product a customer buys.",
        dataset=dataset,
        task="ranking",
        numeric=("affinity",),
        categorical=(),
        label=LabelSpec(make=unused, table="purchases", horizon_days=1, delay_days=0),
        candidates=lambda: (Candidate(name="ridge", suggest=suggest_alpha, build=build_ridge),),
        baseline=lambda seed: DummyRegressor(strategy="mean"),
        gate=GateSpec(metric="hit_rate", references={"mean": lambda seed: DummyRegressor(strategy="mean")}),
        decide=unused,
        trusted_types=(),
        drift=DriftPolicy(min_rows=1),
    )


def suggest_alpha(trial: Any) -> dict[str, Any]:
    return {"alpha": trial.suggest_float("alpha", 0.1, 1)}


def build_ridge(params: dict[str, Any], seed: int) -> Ridge:
    return Ridge(**params)


def offers(day: date) -> pl.DataFrame:
    """Four products for each of five customers, who buy the last of them, to which they are closest."""
    affinities = (*OTHERS, BEST)
    return pl.DataFrame(
        {
            "customer": np.repeat([f"C{number}" for number in range(5)], len(affinities)),
            "product": [f"P{number}" for number in range(len(affinities))] * 5,
            "dt": day,
            "affinity": affinities * 5,
            "label": [0, 0, 0, 1] * 5,
        }
    )


def test_a_third_task_is_tuned_fitted_measured_and_compared_like_the_others(ranking: ModelSpec) -> None:
    fold = FoldRows(offers(DAY), offers(DAY + timedelta(days=1)))
    task = task_of(ranking)

    trials = tuning.tune(ranking, [tuning.with_baseline(ranking, fold, seed=0)], budget=2, seed=0)
    builders = {
        "candidate": lambda: build_ridge(tuning.best(trials).params, 0),
        **{name: lambda: ranking.baseline(0) for name in ("baseline", "mean")},
    }
    scored = tuning.predict_out_of_fold(ranking, [fold], builders)

    assert [trial.value for trial in trials] == [1, 1]
    assert task.measure(scored, "candidate_score") == {"hit_rate": 1}
    assert task.gain(scored, "candidate_score", "baseline_score").lower_bound > 0
    [mean] = naive_models(ranking, scored, "candidate_score")
    assert (mean.candidate_score or 0) > (mean.score or 0)
    assert set(task.draw(scored)) == set(task.plots)


def test_a_third_task_has_its_say_in_the_registry_and_in_the_performance_report(ranking: ModelSpec) -> None:
    rows = offers(DAY).with_columns(
        score="affinity", candidate_score="affinity", baseline_score=-pl.col("affinity"), model_version=1
    )
    task = task_of(ranking)
    found = PerformanceEvidence(
        days=(DAY,),
        rows=rows.height,
        shortage=task.label_shortfall(rows["label"]),
        measures=task.measure(rows, "score"),
        baseline_measures=task.measure(rows, "baseline_score"),
        coverage=None,
        promised=None,
    )

    verdict = decide(found, ranking)

    assert verdict.verdict == "as expected"
    assert verdict.reason == "Hit rate 1.00 (baseline 0.00) on 20 outcomes of 1 day."
    assert "Hits" in render_performance(ranking, DAY, verdict, rows.drop("candidate_score"))
    assert _signature(ranking).outputs.inputs[0].shape == (-1,)


def test_a_third_task_may_publish_some_rows_of_the_features_and_no_others(ranking: ModelSpec) -> None:
    features = offers(DAY)
    shown = features.filter(label=1)
    unknown = shown.with_columns(customer=pl.lit("X") + pl.col("customer"))

    def problems(model: ModelSpec, scores: pl.DataFrame) -> list[str]:
        return list(_key_problems(model, scores.lazy(), features.lazy()))

    assert problems(ranking, shown) == []
    assert problems(ranking, unknown) == ["5 keys are not among those of the features."]
    assert problems(ranking, pl.concat([shown, shown])) == [
        "5 rows repeat the key (customer, product) of another."
    ]
    assert problems(changed(ranking, task="regression"), shown) == ["There are 5 of them for 20 rows of features."]

"""Each kind of behaviour test passes a model that behaves, and finds one that does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from include.lifecycle.specs import (
    AnyOrder,
    BehaviourTest,
    Extreme,
    Invariant,
    ModelSpec,
    Monotonic,
    Profile,
)
from include.lifecycle.training.behaviour_tests import SAMPLE_ROWS, run_behaviour_tests
from include.lifecycle.training.record import BehaviourResult
from include.toolkit.behaviour import exchanged_but, having, sound_on_any_rows, usual
from tests.specs import people_model

Score = Callable[[pd.DataFrame], Any]

PEOPLE = pl.DataFrame(
    {
        "person": [f"P{number}" for number in range(6)],
        "late": [0, 1, 2, 3, 4, None],
        "colour": ["red", "red", "red", "green", "green", None],
        "dt": date(2026, 1, 1),
        "label": 0,
    }
)


class Scorer:
    """A classifier whose probability is a function of the features."""

    def __init__(self, score: Score) -> None:
        self.score = score

    def predict_proba(self, matrix: pd.DataFrame) -> np.ndarray:
        scores = np.broadcast_to(np.asarray(self.score(matrix), dtype=float), len(matrix))
        return np.column_stack([1 - scores, scores])


def model_with(*tests: BehaviourTest, **changes: Any) -> ModelSpec:
    return people_model(numeric=("late",), categorical=("colour",), behaviour=tests, **changes)


def results(score: Score, *tests: BehaviourTest, rows: pl.DataFrame = PEOPLE) -> tuple[BehaviourResult, ...]:
    return run_behaviour_tests(model_with(*tests), Scorer(score), rows, seed=7)


def rising(matrix: pd.DataFrame) -> Any:
    return 0.1 + matrix["late"].fillna(0).clip(0, 4) / 10


def falling(matrix: pd.DataFrame) -> Any:
    return 0.5 - np.sqrt(matrix["late"].fillna(0).clip(0, 4)) / 10


MORE_LATE = Monotonic(name="more late", steps={"late": (0, 1, 2)})
BY_COLOUR = Invariant(name="colour", before=having(colour="red"), after=having(colour="green"))
NOBODY_ELSE = Invariant(name="others", after=exchanged_but("late", "colour"))
ODD_VALUES = Extreme(values={"late": (None, -1e9, 1e9), "colour": (None, "never seen")})
LATE_PAYER = Profile(name="late payer", rows=usual(late=4), low=0.4, high=0.6)


@pytest.mark.parametrize(
    ("test", "good", "bad", "measured", "example"),
    [
        pytest.param(
            MORE_LATE,
            rising,
            falling,
            "The largest step the wrong way is 0.1, in 6 rows.",
            "from late 0 to late 1 the score goes from 0.5 to 0.4.",
            id="monotonic",
        ),
        pytest.param(
            MORE_LATE.model_copy(update={"direction": "down"}),
            falling,
            lambda matrix: 0.9 - falling(matrix),
            "The largest step the wrong way is 0.1, in 6 rows.",
            "from late 0 to late 1 the score goes from 0.4 to 0.5.",
            id="monotonic, downwards",
        ),
        pytest.param(
            Monotonic(name="together", steps={"late": (0, 4), "colour": ("green", "red")}),
            lambda matrix: rising(matrix) - 0.3 * (matrix["colour"] == "red") + 0.3,
            lambda matrix: rising(matrix) - 0.45 * (matrix["colour"] == "red") + 0.45,
            "The largest step the wrong way is 0.05, in 6 rows.",
            "from late 0, colour green to late 4, colour red the score goes from 0.55 to 0.5.",
            id="monotonic, of columns together",
        ),
        pytest.param(
            BY_COLOUR,
            rising,
            lambda matrix: rising(matrix) + 0.2 * (matrix["colour"] == "green"),
            "The largest difference is 0.2, in 6 rows.",
            "the score goes from",
            id="invariant",
        ),
        pytest.param(
            AnyOrder(),
            rising,
            lambda matrix: rising(matrix) + np.arange(len(matrix)) / 100,
            "The largest difference is 0.05, in 6 rows.",
            "the score goes from",
            id="order",
        ),
        pytest.param(
            AnyOrder(),
            rising,
            lambda matrix: rising(matrix) / len(matrix),
            "The largest difference is 0.0833, in 6 rows.",
            "person P4: the score goes from 0.08333 to 0.1667.",
            id="the other rows",
        ),
        pytest.param(
            ODD_VALUES,
            rising,
            lambda matrix: 0.1 + matrix["late"].clip(0, 4) / 10,
            "48 scores from 0.1 to 0.5, 14 of them not as asked.",
            "with late missing: the score is nan.",
            id="missing",
        ),
        pytest.param(
            ODD_VALUES,
            rising,
            lambda matrix: 0.1 + matrix["late"].fillna(0).clip(0) / 1e9,
            "48 scores from 0.1 to 1.1, 12 of them not as asked.",
            "with late 1000000000.0: the score is 1.1.",
            id="extreme",
        ),
        pytest.param(
            Extreme(values={"late": (1e9,)}, high=0.55),
            rising,
            lambda matrix: np.minimum(0.1 + matrix["late"].fillna(0) / 1e9, 0.6),
            "12 scores from 0.6 to 0.6, 12 of them not as asked.",
            "the score is 0.6.",
            id="extreme, with a limit",
        ),
        pytest.param(
            LATE_PAYER,
            rising,
            lambda matrix: rising(matrix) / 2,
            "The score is 0.25.",
            "",
            id="profile",
        ),
        pytest.param(
            LATE_PAYER,
            rising,
            lambda matrix: rising(matrix) + 0.2,
            "The score is 0.7.",
            "",
            id="profile, too high",
        ),
    ],
)
def test_a_model_that_behaves_passes_and_one_that_does_not_is_found_with_an_example(
    test: BehaviourTest, good: Score, bad: Score, measured: str, example: str
) -> None:
    [passed], [failed] = results(good, test), results(bad, test)

    assert (passed.passed, passed.example, passed.name, passed.asked) == (True, "", test.name, test.asked)
    assert (failed.passed, failed.was_run, failed.measured) == (False, True, measured)
    assert example in failed.example


@pytest.mark.parametrize(
    "test", [MORE_LATE, BY_COLOUR, AnyOrder(), ODD_VALUES, LATE_PAYER], ids=lambda test: test.name
)
def test_a_score_that_is_no_number_passes_no_test(test: BehaviourTest) -> None:
    [result] = results(lambda matrix: np.nan, test)

    assert not result.passed


def test_a_difference_within_the_tolerance_is_none() -> None:
    slightly = BY_COLOUR.model_copy(update={"tolerance": 0.25})

    [result] = results(lambda matrix: rising(matrix) + 0.2 * (matrix["colour"] == "green"), slightly)

    assert result.passed


def test_a_test_that_cannot_be_run_has_failed_and_stops_no_other() -> None:
    def refuses_the_unknown(matrix: pd.DataFrame) -> Any:
        if (matrix["colour"] == "never seen").any():
            raise ValueError("Found unknown categories.")
        return rising(matrix)

    wrong = Invariant(name="wrong", after=lambda sample: sample[:2])
    empty = Profile(name="empty", rows=lambda sample: sample.clear(), high=1)

    refused, uneven, nobody, last = results(refuses_the_unknown, ODD_VALUES, wrong, empty, MORE_LATE)

    assert [result.passed for result in (refused, uneven, nobody, last)] == [False, False, False, True]
    assert [result.was_run for result in (refused, uneven, nobody, last)] == [False, False, False, True]
    assert refused.measured == "It could not be run: ValueError: Found unknown categories."
    assert "`before` gives 6 rows and `after` 2" in uneven.measured
    assert "`rows` gives no row" in nobody.measured


def test_only_a_sample_of_many_rows_is_scored_and_it_is_the_same_each_time() -> None:
    many = pl.concat([PEOPLE] * 200)
    scored = []

    def noted(matrix: pd.DataFrame) -> Any:
        scored.append(matrix)
        return rising(matrix)

    first, again = (results(noted, NOBODY_ELSE, rows=many) for _ in range(2))

    assert first == again
    assert {len(matrix) for matrix in scored} == {SAMPLE_ROWS}
    assert scored[0].equals(scored[2])


def test_what_any_model_must_pass_finds_scores_that_depend_on_more_than_a_row_s_features() -> None:
    tests = sound_on_any_rows(["late"], ["colour"])

    assert all(result.passed for result in results(rising, *tests))
    assert not all(result.passed for result in results(lambda matrix: rising(matrix) / len(matrix), *tests))


def test_a_usual_row_has_the_median_and_the_most_frequent_text() -> None:
    people = PEOPLE.with_columns(pl.col("late").cast(pl.Float64))

    row = usual(colour="blue")(people)

    assert row.select("late", "colour").rows() == [(2.0, "blue")]
    assert usual()(people)["colour"].to_list() == ["red"]


@pytest.mark.parametrize(
    ("tests", "sentence"),
    [
        ([MORE_LATE, MORE_LATE], "Several behaviour tests are called ['more late']; rename them."),
        (
            [Monotonic(name="x", steps={"age": (1, 2)})],
            "The behaviour test 'x' changes ['age'], which",
        ),
        (
            [Extreme(name="y", values={"age": (1, 2)})],
            "The behaviour test 'y' changes ['age'], which",
        ),
    ],
)
def test_tests_that_do_not_fit_the_model_are_refused(tests: list[BehaviourTest], sentence: str) -> None:
    with pytest.raises(ValueError, match="behaviour test") as error:
        model_with(*tests)

    assert sentence in str(error.value)


@pytest.mark.parametrize("steps", [{"late": (1,)}, {"late": (1, 2), "colour": ("red",)}])
def test_steps_have_two_values_at_least_and_as_many_for_each_column(steps: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give each column as many, at least 2"):
        Monotonic(name="steps", steps=steps)

"""The page of a time-lapse says what came of the loop, and says so too where it did not work."""

from __future__ import annotations

import pytest

from include.time_lapse.page import recoveries, render_story
from tests.page_language import broken_promises, code_in
from tests.unit.time_lapse.stories import BACK, LOST, PROMOTED, SPAN, life, story

RETURNED = story(life(BACK, {8: PROMOTED}, worth=150.0), life(LOST))


def test_a_loop_that_brought_the_model_back_is_told_first_with_its_figures_and_its_worth() -> None:
    page = render_story(RETURNED)

    assert "The loop brought the model back" in page
    assert "0.30 before" in page
    assert "it was 0.28 with retraining, and 0.15 with the first model alone" in page.replace("\n", " ")
    assert "1,800 USD with the loop, and 1,200 USD without" in page
    assert "The loop was worth 600 USD" in page


def test_each_training_has_its_reason_and_the_verdict_of_the_gate() -> None:
    page = render_story(RETURNED)

    assert "once to train, 11 times to wait" in page
    assert "2 did worse than the scores had promised" in page
    assert "The gain is above what is required." in page


@pytest.mark.parametrize(
    ("loop", "alone", "headline"),
    [
        (LOST, LOST, "The loop did not bring the model back in time"),
        (BACK, BACK, "The model came back without the loop as well"),
    ],
)
def test_a_loop_that_changed_nothing_is_not_praised(
    loop: tuple[float, ...], alone: tuple[float, ...], headline: str
) -> None:
    page = render_story(story(life(loop), life(alone)))

    assert headline in page
    assert "Attention" in page


def test_a_world_without_drift_has_nothing_to_come_back_from() -> None:
    steady = story(life(BACK), life(BACK), SPAN.model_copy(update={"drift_week": None}))

    assert recoveries(steady) is None
    assert "The world does not change within these weeks" in render_story(steady)


def test_the_cost_model_stands_on_the_page() -> None:
    page = render_story(RETURNED)

    for told in ("costs one month", "one in three leavers", "20 months more", "nobody stays because of an offer"):
        assert told in page.replace("\n", " "), told


def test_what_could_not_be_estimated_leaves_a_gap() -> None:
    lacking = life(BACK)
    none = {"estimated": None, "estimated_low": None, "estimated_high": None, "score_distance": None}
    gap = lacking.model_copy(
        update={"figures": (lacking.figures[0].model_copy(update=none), *lacking.figures[1:])}
    )

    assert "nan" not in render_story(story(gap, life(LOST))).lower().replace("nanm", "")


def test_the_page_speaks_no_code() -> None:
    assert code_in(render_story(RETURNED)) == []
    assert broken_promises(render_story(RETURNED)) == []

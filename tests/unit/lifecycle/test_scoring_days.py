"""Which days are scored, and with which version."""

from __future__ import annotations

from datetime import date

import pytest

from include.lifecycle.scoring import PredictionsError, days_to_score, named_days

MONDAY, TUESDAY, WEDNESDAY = date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 4)


def test_days_without_predictions_are_scored_oldest_first_with_their_own_champion() -> None:
    champions = {WEDNESDAY: 2, MONDAY: 1, TUESDAY: 1}

    assert list(days_to_score(champions, [TUESDAY]).items()) == [(MONDAY, 1), (WEDNESDAY, 2)]


def test_days_whose_future_every_champion_has_seen_are_left_out() -> None:
    assert days_to_score({MONDAY: None, TUESDAY: 1}, []) == {TUESDAY: 1}


def test_nothing_new_means_nothing_to_score() -> None:
    assert days_to_score({MONDAY: 1}, [MONDAY]) == {}


def test_named_days_are_scored_with_their_own_champion_or_else_the_present_one() -> None:
    champions = {MONDAY: None, TUESDAY: 1, WEDNESDAY: 2}

    assert named_days(champions, (MONDAY, TUESDAY), present=2) == {MONDAY: 2, TUESDAY: 1}


def test_naming_days_without_features_is_refused() -> None:
    with pytest.raises(PredictionsError, match="No day from 2026-03-03 to 2026-03-04 has features"):
        named_days({MONDAY: 1}, (TUESDAY, WEDNESDAY), present=1)


def test_naming_days_before_there_is_any_champion_is_refused() -> None:
    with pytest.raises(PredictionsError, match="no champion"):
        named_days({MONDAY: None}, (MONDAY, MONDAY), present=None)

"""That the sample company behaves as the model of it assumes."""

from __future__ import annotations

from include.models.churn import CHURN
from include.samples.settings import CompanySettings


def test_a_churn_becomes_known_when_the_model_expects_it() -> None:
    assert CompanySettings().label_delay_days == CHURN.label.delay_days

"""What must hold of any model of returns, whatever it has learnt."""

from __future__ import annotations

from include.datasets.market.features import NUMERIC
from include.lifecycle.specs import AnyOrder, BehaviourTest, Extreme, Profile
from include.models.stock_prices import flat, independent_of_names_and_units, made_of

BEHAVIOUR: tuple[BehaviourTest, ...] = (
    Profile(name="a flat market", rows=made_of(flat), low=-0.03, high=0.03),
    *independent_of_names_and_units(),
    AnyOrder(),
    Extreme(values=dict.fromkeys(NUMERIC, (-10.0, 0.0, 10.0))),
)

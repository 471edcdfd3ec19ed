"""What must hold of any volatility model, whatever it has learnt."""

from __future__ import annotations

from include.lifecycle.specs import AnyOrder, BehaviourTest, Extreme, Monotonic, Profile
from include.models.stock_prices import flat, independent_of_names_and_units, made_of
from include.models.volatility.inputs import HAR, NUMERIC

_LEVELS = (0.05, 0.1, 0.2, 0.4, 0.8)

BEHAVIOUR: tuple[BehaviourTest, ...] = (
    Monotonic(name="a rougher past", steps=dict.fromkeys(HAR, _LEVELS)),
    Profile(name="a flat market", rows=made_of(flat), low=0.0, high=0.4),
    *independent_of_names_and_units(),
    AnyOrder(),
    Extreme(values=dict.fromkeys(NUMERIC, (-10.0, 0.0, 10.0))),
)

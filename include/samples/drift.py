"""What a drift of the company's world does from its first day on."""

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.samples import behaviour
from include.samples.customers import INSTANT_TRANSFER, INTERNET_SERVICES, PAYMENT_METHODS
from include.samples.settings import Drift

_FIBER = INTERNET_SERVICES.index("Fiber optic")
_INSTANT_TRANSFER = PAYMENT_METHODS.index(INSTANT_TRANSFER)

_PRICE_RISE = 0.15
_BUY_OUT_EFFECT = np.array([0.0, 2.6, 3.6])  # in the order of CONTRACTS
_LOYALTY_EFFECT = 0.4
_CALM_EFFECT = -0.5
_DAILY_INSTANT_TRANSFER_ADOPTION = 0.01
_INSTANT_TRANSFER_SHARE_OF_SIGNUPS = 0.3


def market_pressure(book: pl.DataFrame, day: date, drift: Drift | None) -> NDArray[np.float64]:
    """What the drift in force adds to each customer's log hazard of leaving on a day.

    A competitor that buys out contracts wants those who are worth it: the longer they have stayed the more, and
    for them falling use and late payments no longer matter. It leaves the others alone.
    """
    if drift is None or drift.kind != "competitor_offer":
        return np.zeros(book.height)
    contract = book["contract"].to_numpy()
    bought_out = (book["internet_service"].to_numpy() == _FIBER) & (contract > 0)
    offer = (
        _BUY_OUT_EFFECT[contract]
        + _LOYALTY_EFFECT * np.log1p(behaviour.tenure_months(book, day))
        - behaviour.strain(book)
    )
    return np.where(bought_out, offer, _CALM_EFFECT) * drift.strength


def change_plans(rng: np.random.Generator, book: pl.DataFrame, drift: Drift | None, starts: bool) -> pl.DataFrame:
    """The book after the plan changes that the drift in force causes on a day; `starts` on its first day."""
    if drift is None:
        return book
    if drift.kind == "price_rise" and starts:
        return book.with_columns(monthly_charges=_raised_charges(drift))
    if drift.kind == "new_payment_method":
        return _adopt_instant_transfer(rng, book, _DAILY_INSTANT_TRANSFER_ADOPTION * drift.strength)
    return book


def offer_to_newcomers(rng: np.random.Generator, newcomers: pl.DataFrame, drift: Drift | None) -> pl.DataFrame:
    """New customers under the terms of the drift in force."""
    if drift is None:
        return newcomers
    if drift.kind == "price_rise":
        charges = _raised_charges(drift)
        return newcomers.with_columns(monthly_charges=charges, agreed_charges=charges)
    if drift.kind == "new_payment_method":
        return _adopt_instant_transfer(rng, newcomers, _INSTANT_TRANSFER_SHARE_OF_SIGNUPS)
    return newcomers


def _raised_charges(drift: Drift) -> pl.Expr:
    return (pl.col("monthly_charges") * (1 + _PRICE_RISE * drift.strength)).round(2)


def _adopt_instant_transfer(rng: np.random.Generator, book: pl.DataFrame, share: float) -> pl.DataFrame:
    payment = book["payment_method"].to_numpy()
    adopts = rng.random(book.height) < share
    codes = np.where(adopts, _INSTANT_TRANSFER, payment)
    return book.with_columns(payment_method=pl.Series(codes, dtype=pl.UInt8))

"""The sample worlds come out of a seed: nothing is downloaded, and no account is asked for."""

from __future__ import annotations

import socket
from datetime import date

import pytest

from include.datasets.market.calendar import NEW_YORK
from include.samples.company import Company
from include.samples.market import MarketSettings, generate
from include.samples.settings import CompanySettings

FIRST, LAST = date(2026, 3, 2), date(2026, 3, 4)


def test_the_sample_worlds_are_generated_without_any_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("The sample worlds asked for another machine.")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    company = list(Company(CompanySettings(customers=50, history_days=3), FIRST).days(FIRST, LAST))
    market = generate(MarketSettings(history_days=60), NEW_YORK.days(NEW_YORK.later(LAST, -755), LAST))

    assert len(company) == 3
    assert market["symbol"].n_unique() == 5

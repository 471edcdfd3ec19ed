"""Prices from an HTTP server: what is asked of it, and what happens when it does not answer well."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from include.datasets.market.periods import Period
from include.datasets.market.sources import HttpSource, make_source
from tests.unit.datasets.market.vendors import BODY, LONGER, Answer, Server, Vendor

KEY = "s3cr3t/key"


def test_the_source_downloads_each_symbol_once_and_is_then_as_with_files(server: Server, tmp_path: Path) -> None:
    settings = {
        "kind": "http",
        "base_url": server.url,
        "symbols": ["MSFT", "AAPL"],
        "cache": str(tmp_path / "cache"),
    }
    origin = make_source(settings, lambda _: None)
    assert server.requests == []

    assert origin.days() == [date(2017, 7, 3), date(2017, 7, 5)]
    for day in origin.days():
        assert origin.extract("prices", day, tmp_path / "table.csv")

    assert (tmp_path / "table.csv").read_text() == (
        "symbol,date,open,high,low,close,volume\nAAPL,2017-07-05,2,3,2,3,10\nMSFT,2017-07-05,2,3,2,3,10\n"
    )
    assert server.paths == ["/msft.us.txt", "/aapl.us.txt"]
    assert origin.max_lag_days == 5


@pytest.mark.parametrize(
    ("symbols", "down", "faults"),
    [
        (["AAPL", "MSFT", "TSLA"], {"MSFT"}, 1),
        (["AAPL", "MSFT", "TSLA"], {"AAPL", "TSLA"}, 2),
        (["AAPL", "MSFT"], {"AAPL", "MSFT"}, None),
        (["AAPL", "MSFT", "TSLA", "IBM"], {"MSFT", "TSLA", "IBM"}, None),
    ],
)
def test_a_symbol_that_cannot_be_had_is_a_fault_and_a_server_that_gives_none_an_outage(
    tmp_path: Path, symbols: list[str], down: set[str], faults: int | None
) -> None:
    (tmp_path / "prices.csv").write_text(BODY)

    def download(symbol: str) -> Path:
        if symbol in down:
            raise ConnectionError(f"{symbol} gave no prices after 4 tries.")
        return tmp_path / "prices.csv"

    source = HttpSource(download, tuple(symbols), Period(date.min, date.max), None)

    if faults is None:
        with pytest.raises(ConnectionError, match="gave no prices"):
            source.days()
    else:
        assert source.days() == [date(2017, 7, 3), date(2017, 7, 5)]
        assert len(source.faults()) == faults


def test_a_connection_gives_the_address_and_the_key(server: Server, tmp_path: Path) -> None:
    @dataclass
    class Address:
        base_url: str = f"{server.url}/api/"
        key: str | None = KEY

    settings = {
        "kind": "http",
        "connection": "vendor",
        "symbols": ["BRK.B"],
        "url": "/daily/{symbol_lower}?token={key}",
        "cache": str(tmp_path / "cache"),
    }

    make_source(settings, {"vendor": Address()}.__getitem__).days()

    assert server.paths == ["/api/daily/brk.b?token=s3cr3t%2Fkey"]


@pytest.mark.parametrize(
    "outage",
    [
        Answer(500, "Oops"),
        Answer(503, "<html>Busy</html>"),
        Answer(429, "Slow down"),
        Answer(body=BODY, told=len(BODY) + 100),
        Answer(body=BODY[:-4], told=None),
        Answer(body=BODY[:-1], told=None),
        Answer(body=BODY[:-4]),
    ],
    ids=["500", "503", "429", "short body", "cut in a row", "cut in the last number", "sent cut"],
)
def test_an_outage_is_tried_again_with_longer_and_longer_waits(
    server: Server, vendor: Vendor, waits: list[float], outage: Answer
) -> None:
    server.answers = [outage, outage, Answer()]

    assert vendor().fetch("AAPL").read_text() == BODY

    assert waits == [1, 2]


@pytest.mark.parametrize("told", [len(BODY) - 1, -1])
def test_a_whole_file_needs_no_last_line_end(
    server: Server, vendor: Vendor, waits: list[float], told: int
) -> None:
    server.answers = [Answer(body=BODY[:-1], told=told)]

    assert vendor().fetch("AAPL").read_text() == BODY[:-1]
    assert waits == []


def test_an_outage_that_lasts_is_a_connection_error_after_four_tries(
    server: Server, vendor: Vendor, waits: list[float]
) -> None:
    server.answers = [Answer(502, "")]

    with pytest.raises(ConnectionError, match=r"aapl\.csv gave no prices after 4 tries: It answers 502"):
        vendor().fetch("AAPL")

    assert (len(server.requests), waits) == (4, [1, 2, 4])


def test_a_server_that_is_gone_is_a_connection_error(vendor: Vendor, waits: list[float]) -> None:
    with pytest.raises(ConnectionError, match=r"after 4 tries: .*refused"):
        vendor(base_url="http://127.0.0.1:9").fetch("AAPL")

    assert waits == [1, 2, 4]


def test_it_waits_as_long_as_the_server_asks(server: Server, vendor: Vendor, waits: list[float]) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server.answers = [
        Answer(429, headers={"Retry-After": "7"}),
        Answer(503, headers={"Retry-After": later}),
        Answer(429, headers={"Retry-After": "soon"}),
        Answer(),
    ]

    vendor().fetch("AAPL")

    assert waits == [7, pytest.approx(30, abs=5), 4]


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ("Mon, 01 Jan 2001 00:00:00 -0000", 1),
        ("\xb2", 1),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 1),
    ],
)
def test_an_odd_wish_to_wait_is_no_error(
    server: Server, vendor: Vendor, waits: list[float], asked: str, waited: float
) -> None:
    server.answers = [Answer(503, headers={"Retry-After": asked}), Answer()]

    assert vendor().fetch("AAPL").read_text() == BODY

    assert waits == [waited]


@pytest.mark.parametrize("charset", ["zlib", "hex", "idna", "undefined", "utf-16"])
def test_a_file_is_read_by_its_bytes_whatever_charset_the_server_names(
    server: Server, vendor: Vendor, charset: str
) -> None:
    server.answers = [Answer(headers={"Content-Type": f"text/csv; charset={charset}"})]

    assert vendor().fetch("AAPL").read_text() == BODY


def test_a_file_that_trickles_in_for_too_long_is_an_outage(
    server: Server, vendor: Vendor, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.datasets.market.downloads._DEADLINE_SECONDS", 0.2)
    server.answers = [Answer(body=BODY * 2, pause=0.05)]

    with pytest.raises(ConnectionError, match=r"after 4 tries: It has not sent the whole file within 0\.2 s\."):
        vendor().fetch("AAPL")

    assert waits == [1, 2, 4]


def test_a_file_that_is_larger_than_prices_can_be_is_refused(
    server: Server, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.datasets.market.downloads._MOST_BYTES", len(BODY))
    server.answers = [Answer(), Answer(body=LONGER)]
    assert vendor().fetch("AAPL").read_text() == BODY

    with pytest.raises(ValueError, match=rf"gives more than {len(BODY)} bytes for AAPL, too many"):
        vendor().fetch("AAPL")

    assert len(server.requests) == 2


def test_asked_to_wait_long_it_gives_up_at_once(server: Server, vendor: Vendor, waits: list[float]) -> None:
    server.answers = [Answer(429, headers={"Retry-After": "86400"})]

    with pytest.raises(ConnectionError, match="after 1 tries: It answers 429"):
        vendor().fetch("AAPL")

    assert waits == []


@pytest.mark.parametrize("status", [302, 304, 400, 401, 403, 404])
def test_a_refusal_is_an_error_of_the_settings_and_not_tried_again(
    server: Server, vendor: Vendor, status: int
) -> None:
    server.answers = [
        Answer(status, "" if status in (302, 304) else "No", headers={"Location": "/elsewhere"}, told=None)
    ]

    with pytest.raises(ValueError, match=rf"aapl\.csv answers {status} for AAPL; correct"):
        vendor().fetch("AAPL")

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, f"Bad key {KEY}"),
        Answer(401, f"Bad key {KEY}"),
        Answer(body=f"Bad key {KEY}"),
        Answer(body=BODY, told=1000),
        Answer(302, "", headers={"Location": f"/elsewhere?key={KEY}"}),
    ],
    ids=["500", "401", "text", "short", "redirect"],
)
def test_the_key_is_in_no_message_and_no_log(
    server: Server, vendor: Vendor, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = [answer]

    with pytest.raises((ConnectionError, ValueError)) as caught:
        vendor(url="{symbol}?key={key}", key=KEY).fetch("AAPL")

    shown = "".join(traceback.format_exception(caught.value))
    assert "s3cr3t" not in shown
    assert "s3cr3t" not in caplog.text
    assert "?key=***" in str(caught.value)


def test_requests_keep_their_distance(vendor: Vendor, waits: list[float]) -> None:
    slow = vendor(pace=5)

    for symbol in ("AAPL", "MSFT", "TSLA"):
        slow.fetch(symbol)

    assert waits == [pytest.approx(5, abs=1)] * 2


def test_a_wanted_key_must_be_there(vendor: Vendor) -> None:
    with pytest.raises(ValueError, match="the connection has no key"):
        vendor(url="{symbol}?key={key}")

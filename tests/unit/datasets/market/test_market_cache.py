"""What was downloaded is kept, and not sent again unless it has changed."""

from __future__ import annotations

import hashlib

import pytest

from tests.unit.datasets.market.vendors import BODY, LONGER, Answer, Server, Vendor


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ({"ETag": '"1"'}, {"If-None-Match": '"1"'}),
        (
            {"Last-Modified": "Mon, 03 Jul 2017 20:00:00 GMT"},
            {"If-Modified-Since": "Mon, 03 Jul 2017 20:00:00 GMT"},
        ),
    ],
)
def test_what_has_not_changed_is_not_sent_again(
    server: Server, vendor: Vendor, sent: dict[str, str], asked: dict[str, str]
) -> None:
    server.answers = [Answer(headers=sent), Answer(304, "", told=None), Answer(body=LONGER, headers=sent)]

    assert [vendor().fetch("AAPL").read_text() for _ in range(3)] == [BODY, BODY, LONGER]

    first, second, third = (headers for _, headers in server.requests)
    assert not asked.keys() & first.keys()
    assert asked.items() <= second.items()
    assert asked.items() <= third.items()


def test_a_damaged_cache_is_asked_for_anew(server: Server, vendor: Vendor) -> None:
    server.answers = [Answer(headers={"ETag": '"1"'})]
    vendor().fetch("AAPL").write_text("half of")

    assert vendor().fetch("AAPL").read_text() == BODY

    assert "If-None-Match" not in server.requests[-1][1]


@pytest.mark.parametrize(
    "note",
    [
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"\xff",
        b"",
        b'{"sha256": "%s"}',
        b'{"sha256": "%s", "validators": 3}',
        b'{"sha256": "%s", "validators": {"ETag": 3}}',
        b'{"sha256": "%s", "validators": {"Server": "x"}}',
        b'{"sha256": "%s", "validators": {"ETag": "two\\nlines"}}',
    ],
)
def test_a_damaged_note_heals_with_the_next_download(server: Server, vendor: Vendor, note: bytes) -> None:
    server.answers = [Answer(headers={"ETag": '"1"'})]
    kept = vendor().fetch("AAPL")
    sound = kept.with_suffix(".json").read_bytes()
    kept.with_suffix(".json").write_bytes(note.replace(b"%s", hashlib.sha256(BODY.encode()).hexdigest().encode()))

    assert vendor().fetch("AAPL").read_text() == BODY

    assert "If-None-Match" not in server.requests[-1][1]
    assert kept.with_suffix(".json").read_bytes() == sound


def test_a_validator_that_cannot_be_sent_back_is_not(server: Server, vendor: Vendor) -> None:
    server.answers = [Answer(headers={"ETag": '"\xe9"'})]

    assert [vendor().fetch("AAPL").read_text() for _ in range(2)] == [BODY, BODY]


def test_addresses_do_not_share_their_cache(server: Server, vendor: Vendor) -> None:
    assert vendor().fetch("AAPL") != vendor(url="other/{symbol_lower}.csv").fetch("AAPL")


@pytest.mark.parametrize(
    ("body", "begins"),
    [
        ("<!DOCTYPE html>\n<html>Log in</html>\n", "<!DOCTYPE html>"),
        ("No data", "No data"),
        ("Date,Open,Close\n2017-07-03,1,2\n", "Date,Open,Close"),
        ("", ""),
    ],
)
def test_something_else_than_prices_is_refused_and_not_kept(
    server: Server, vendor: Vendor, body: str, begins: str
) -> None:
    server.answers = [Answer(headers={"ETag": '"1"'}), Answer(body=body), Answer(304, "", told=None)]
    kept = vendor().fetch("AAPL")

    with pytest.raises(ValueError, match=rf"gives no prices of AAPL: .* and begins with '{begins}'"):
        vendor().fetch("AAPL")

    assert len(server.requests) == 2
    assert kept.read_text() == BODY


def test_a_new_symbol_without_rows_yet_is_a_file(server: Server, vendor: Vendor) -> None:
    server.answers = [Answer(body=BODY.splitlines()[0] + "\n")]

    assert vendor().fetch("AAPL").exists()


def test_killed_between_its_two_writes_the_cache_asks_anew(
    server: Server, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [Answer(headers={"ETag": '"1"'}), Answer(body=LONGER, headers={"ETag": '"2"'})]
    notes = vendor().fetch("AAPL").with_suffix(".json")
    old_notes = notes.read_text()
    vendor().fetch("AAPL")
    notes.write_text(old_notes)

    assert vendor().fetch("AAPL").read_text() == LONGER

    assert "If-None-Match" not in server.requests[-1][1]

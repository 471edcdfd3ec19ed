"""What the page on a day's validation shows, on a real lake."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import pytest

from include.lifecycle.ingestion.validation import validate
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.integration.validation.shop import MONDAY, ORDERS, SHOP, TUESDAY, VISITS, page, validate_day


def test_the_page_shows_data_as_text(lake: Lake, land: Any, run: RunInfo) -> None:
    land(MONDAY, orders=ORDERS + "<script>alert(1)</script>,-1\n", visits=VISITS)

    validate_day(lake, MONDAY, run)

    html = page(lake, MONDAY)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&lt;b&gt;Nothing&lt;/b&gt; is that dear." in html


@pytest.mark.parametrize("character", ["\u061c", "\u00ad", "\u2060", "\u202e", "\U000e0041", "\u3164"])
def test_the_page_shows_characters_that_nobody_sees(lake: Lake, land: Any, run: RunInfo, character: str) -> None:
    land(MONDAY, orders=f"{ORDERS}o{character}1,1\n", visits=VISITS)

    validate_day(lake, MONDAY, run)

    html = page(lake, MONDAY)
    assert character not in html
    assert f"o{character.encode('unicode_escape').decode()}1" in html


def test_a_rejected_day_points_to_bad_rows_only_where_they_are_why(lake: Lake, land: Any, run: RunInfo) -> None:
    land(MONDAY, orders=ORDERS + "o21,many\n", visits="visitor,pages\n")
    land(TUESDAY, orders=ORDERS.replace(",1", ",-1"), visits=VISITS)

    verdicts = validate(SHOP, lake, [MONDAY, TUESDAY], run)

    assert verdicts[0].problems == ("visits has 0 rows, and the minimum is 1.",)
    assert not verdicts[1].accepted
    pages = [page(lake, day) for day in (MONDAY, TUESDAY)]
    assert ["The rows below show what is wrong" in html for html in pages] == [False, True]


def test_the_page_is_amber_only_where_the_share_of_bad_rows_leaves_that_of_recent_days(
    lake: Lake, land: Any, run: RunInfo
) -> None:
    days = [MONDAY + timedelta(days=number) for number in range(9)]
    for number, day in enumerate(days):
        bad = {6: 0, 7: 5, 8: 2}.get(number, 1 + number % 2)
        lines = "".join(f"o{order},{'x' if order < bad else order}\n" for order in range(100))
        land(day, orders="order_id,amount\n" + lines, visits=VISITS)

    verdicts = validate(SHOP, lake, days, run)

    assert all(verdict.accepted for verdict in verdicts)
    assert [badge(lake, day) for day in days] == ["Note"] * 5 + ["Good", "Good", "Attention", "Good"]
    assert verdicts[7].tables["orders"].usual_bad_share == (0.0, 0.02)
    assert "orders has 5 % bad rows; recent days had 0 % to 2 %." in page(lake, days[7]).replace("\u00a0", " ")


def test_the_page_shows_what_the_source_gave_beside_what_became_of_it(lake: Lake, land: Any, run: RunInfo) -> None:
    land(MONDAY, counted=21, orders=ORDERS + "o21,many\n")
    land(MONDAY, visits=VISITS)

    validate_day(lake, MONDAY, run)

    cells = [
        re.findall(r"<td[^>]*><span>(.*?)</span></td>", row)
        for row in re.findall(r"(?s)<tr>.*?</tr>", page(lake, MONDAY))
    ]
    assert ["orders", "21", "21", "20", "1", "21", "yes"] in cells
    assert ["visits", "\u2013", "2", "2", "0", "2", "yes"] in cells


def badge(lake: Lake, day: date) -> str:
    [word] = re.findall(r'<span class="status">(\w+)', page(lake, day))
    return str(word)

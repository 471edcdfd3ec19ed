"""Pages are self-contained, put the verdict first and show data as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from include.lifecycle.reporting.pages import (
    Drawing,
    Link,
    Page,
    Section,
    Status,
    Table,
    Verdict,
    percent,
    render,
)

PAGE = Page(
    title="Orders: validation",
    verdict=Verdict("bad", "2026-03-02 was rejected", "orders is empty."),
    sections=[
        Section(
            "Rows", "What was found.", "<svg viewBox='0 0 1 1'></svg>", Table(["rule", "rows"], [["range", 1200]])
        )
    ],
    facts={"Dataset": "orders"},
)


class Tags(HTMLParser):
    """Collects opened and closed tags, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.closed.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_verdict_comes_first_then_the_reason_then_the_detail() -> None:
    text = Tags(render(PAGE).split("</head>")[1]).text

    places = [text.index(part) for part in ("was rejected", "orders is empty.", "What was found.", "Dataset")]
    assert places == sorted(places)


def test_a_page_needs_nothing_but_itself() -> None:
    html = render(PAGE)

    assert not re.search(r"https?://|url\(|@import|<script|<link|<img", html)
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html


def test_elements_are_closed() -> None:
    tags = Tags(render(PAGE))

    assert sorted(tag for tag in tags.opened if tag != "meta") == sorted(tags.closed)


def test_text_is_escaped_everywhere_but_in_figures() -> None:
    evil = "<i>&"
    page = Page(
        evil,
        Verdict("good", evil, evil),
        [Section(evil, evil, "<svg></svg>", Table([evil], [[evil]], evil))],
        {evil: evil},
    )

    html = render(page)

    assert "<i>" not in html
    assert html.count("&lt;i&gt;&amp;") >= 10
    assert "<svg></svg>" in html


def test_numbers_are_grouped_and_aligned_and_missing_is_a_dash() -> None:
    table = Table(["name", "rows", "share"], [["a", 1234567, "5 %"], ["b", None, "1.5 %"]])

    html = render(Page("t", Verdict("good", "h", "r"), [Section("s", table=table)]))

    assert [table.is_numeric(column) for column in range(3)] == [False, True, True]
    assert '<td class="number" data-column="rows"><span>1,234,567</span></td>' in html
    assert '<td class="number" data-column="share"><span>1.5\u00a0%</span></td>' in html
    assert '<td class="number" data-column="rows"><span>\u2013</span></td>' in html


@pytest.mark.parametrize(
    ("status", "word"), [("good", "Good"), ("neutral", "Note"), ("warning", "Attention"), ("bad", "Problem")]
)
def test_the_verdict_is_said_in_words_and_not_only_in_colour(status: Status, word: str) -> None:
    assert f'<span class="status">{word}</span>' in render(Page("t", Verdict(status, "h", "r")))


def test_long_names_may_wrap_and_percentages_may_not() -> None:
    html = render(
        Page("t", Verdict("good", "h", "orders.sent_on breaks 5 % of v1.25, a <i>.b</i> and raw/shops/dt=1"))
    )

    assert "orders.<wbr>sent_<wbr>on breaks 5\u00a0% of v1.25" in html
    assert "raw/<wbr>shops/<wbr>dt=1" in html
    assert "<i>" not in html


def test_a_percentage_that_somebody_else_wrote_stays_as_it_came() -> None:
    html = render(
        Page("t", Verdict("good", "h", "50%"), [Section("s", table=Table(["found"], [["tariff: 50%"]]))])
    )

    assert "<p>50%</p>" in html
    assert "<span>tariff: 50%</span>" in html


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [(0.05, None, "5 %"), (0.12345, None, "12.3 %"), (0.5, 1, "50.0 %"), (-0.0001, 1, "0.0 %"), (1, 0, "100 %")],
)
def test_a_share_is_shown_with_three_digits_or_with_as_many_decimals_as_its_column(
    share: float, decimals: int | None, text: str
) -> None:
    assert percent(share, decimals) == text


def test_days_in_a_table_stay_in_one_piece() -> None:
    rows = [["from 2026-03-01 to <b>2026-03-02</b>"]]
    html = render(Page("t", Verdict("good", "h", "r"), [Section("s", table=Table(["days"], rows))]))

    first, last = (f'<span class="day">2026-03-0{day}</span>' for day in (1, 2))
    assert f"<span>from {first} to &lt;b&gt;{last}&lt;/b&gt;</span></td>" in html


def test_an_empty_cell_holds_nothing_so_that_a_phone_leaves_it_out() -> None:
    html = render(Page("t", Verdict("good", "h", "r"), [Section("s", table=Table(["rule"], [["a"], [""]]))]))

    assert '<td data-column="rule"></td>' in html
    assert "td:empty { display: none; }" in html


def test_a_cell_may_lead_somewhere() -> None:
    table = Table(["what"], [[Link("<b> of 2026-03-01", '../reports/"x"/')]])

    html = render(Page("t", Verdict("good", "h", "r"), [Section("s", table=table)]))

    assert '<a href="../reports/&#34;x&#34;/">&lt;b&gt; of <span class="day">2026-03-01</span></a>' in html


def test_a_drawing_in_a_cell_says_in_words_what_it_shows() -> None:
    table = Table(["share"], [[Drawing("<svg></svg>", 'at most 5 % "now"')]])

    html = render(Page("t", Verdict("good", "h", "r"), [Section("s", table=table)]))

    assert '<span role="img" aria-label="at most 5 % &#34;now&#34;"><svg></svg></span>' in html

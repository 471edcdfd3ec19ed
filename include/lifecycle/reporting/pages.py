"""The pages that people open: one template and one stylesheet for all of them.

A page is a single file that needs nothing else: it can be read offline, on a phone, in dark mode and on paper.
It says the verdict first, then the reason, then the detail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

Status = Literal["good", "neutral", "warning", "bad"]

_TEMPLATES = Path(__file__).with_name("templates")
_STATUS_WORDS: dict[Status, str] = {
    "good": "Good",
    "neutral": "Note",
    "warning": "Attention",
    "bad": "Problem",
}
_MAIN, _END = "<main>", "</main>"
_BREAK = re.compile(r"(?<=\w[._/])(?=[a-z])")
_DAY = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_PERCENT = re.compile(r"(?<=\d) %")
_NUMBER = re.compile(r"[-+\u2212]?[\d.,]+(e[-+]?\d+)?(\s?%)?|\u2013|", re.IGNORECASE)


@dataclass(frozen=True)
class Link:
    """A text and the address it leads to, absolute or relative to the page."""

    text: str
    address: str


@dataclass(frozen=True)
class Drawing:
    """An inline SVG element small enough for a line of text, trusted as it is, and what it shows in words."""

    svg: str
    words: str


Cell = str | int | float | Link | Drawing | None


@dataclass(frozen=True)
class Verdict:
    """What the page says before all else: a sentence as `headline`, and why as `reason`.

    `good`: all is as it should be. `neutral`: nothing to do, and nothing achieved either, e.g. too little evidence
    yet, or a candidate refused while the champion stays. `warning`: worth a look. `bad`: somebody has to act.
    """

    status: Status
    headline: str
    reason: str


@dataclass(frozen=True)
class Table:
    """Rows under named columns. Columns of numbers are aligned to the right; None is shown as a dash."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    def is_numeric(self, column: int) -> bool:
        """Whether a column (counted from 0) has numbers or percentages, and else nothing but empty cells."""
        cells = [row[column] for row in self.rows]
        return any(cell not in (None, "") for cell in cells) and all(
            _NUMBER.fullmatch(_text(cell)) for cell in cells
        )


@dataclass(frozen=True)
class Section:
    """A heading with a text that says what to see. `figure` is an inline SVG element, trusted as it is."""

    title: str
    text: str = ""
    figure: str | None = None
    table: Table | None = None


@dataclass(frozen=True)
class Page:
    """A page: the verdict, the sections in the order they are read, and facts to look up.

    `links` are texts to addresses, relative to the page, of what lies beside it.
    """

    title: str
    verdict: Verdict
    sections: Sequence[Section] = ()
    facts: Mapping[str, Cell] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Navigation:
    """Where a reader can go from a page. `groups` are lists of links under headings."""

    previous: Link | None = None
    next: Link | None = None
    others: Sequence[Link] = ()
    groups: Mapping[str, Sequence[Link]] = field(default_factory=dict)


def render(page: Page) -> str:
    """The page as one self-contained HTML document. All text in it is escaped, except the figures' SVG."""
    return _template("page.html.j2").render(
        page=page,
        status_word=_STATUS_WORDS[page.verdict.status],
        style=Markup((_TEMPLATES / "page.css").read_text()),
    )


def with_navigation(html: str, navigation: Navigation) -> str:
    """A rendered page with links to its neighbours at its head, or with groups of links at its end.

    A stored page does not change once it is published, so what lies beside it is added when it is shown.
    """
    links = _template("navigation.html.j2").render(navigation=navigation)
    if navigation.groups:
        return html.replace(_END, links + _END, 1)
    return html.replace(_MAIN, _MAIN + links, 1)


def percent(share: float, decimals: int | None = None) -> str:
    """A share of 1 as people read it: with three significant digits, or with so many decimals."""
    layout = "z.3g" if decimals is None else f"z.{decimals}f"
    return f"{100 * share:{layout}} %"


def unbreakable(text: str) -> str:
    """Text whose percentages, 5 %, stay on one line. What is written otherwise, 5%, stays as it came."""
    return _PERCENT.sub("\u00a0%", text)


def _template(name: str) -> Template:
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["text"] = _wrappable
    environment.filters["cell"] = _cell
    environment.filters["svg"] = Markup
    return environment


def _cell(cell: Cell) -> Markup:
    """A cell as HTML."""
    if isinstance(cell, Drawing):
        return Markup('<span role="img" aria-label="{}">{}</span>').format(cell.words, Markup(cell.svg))
    if isinstance(cell, Link):
        return Markup('<a href="{}">{}</a>').format(cell.address, _with_whole_days(_wrappable(cell.text)))
    return _with_whole_days(_wrappable(cell))


def _wrappable(cell: Cell) -> Markup:
    """Escaped text whose names may be broken after dots, underscores and slashes; percentages, 5 %, may not."""
    return Markup(_BREAK.sub("<wbr>", unbreakable(str(escape(_text(cell))))))


def _with_whole_days(text: Markup) -> Markup:
    """Text whose days are not broken at their hyphens."""
    return Markup(_DAY.sub(r'<span class="day">\g<0></span>', str(text)))


def _text(cell: Cell) -> str:
    if cell is None:
        return "\u2013"
    if isinstance(cell, Link):
        return cell.text
    if isinstance(cell, Drawing):
        return cell.words
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.4g}"
    return cell

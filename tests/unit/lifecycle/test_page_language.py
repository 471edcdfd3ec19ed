"""What people read on pages is prose: no code marks, no names of Python's."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from include.lifecycle import published_pages
from include.lifecycle.drift_methods import method_name
from include.lifecycle.pages import render
from include.lifecycle.performance import decide
from include.lifecycle.performance_page import render_performance
from include.lifecycle.published_pages import Report
from tests.unit.lifecycle.test_drift_page import page as drift_page
from tests.unit.lifecycle.test_drift_page import people
from tests.unit.lifecycle.test_pages import PAGE
from tests.unit.lifecycle.test_performance import CHURN, DAYS, VOLATILITY, evidence, outcomes


def pages() -> Iterator[tuple[str, str]]:
    """Each kind of page that can be made without a lake, by name."""
    yield "any", render(PAGE)
    yield "drift", drift_page(people(1_000, charges=40, payment="Transfer", gaps=0.3), charges=0.2, payment=0.5)
    yield "no drift", drift_page(people(1_000))
    yield "drift unknown", drift_page(people(100))
    for model in (CHURN, VOLATILITY):
        yield model.name, render_performance(model, DAYS[-1], decide(evidence(model), model), outcomes(model.kind))
    yield "unknown address", published_pages.unknown_address()
    yield "no report", published_pages.missing_report(Report("churn", "model_card", 3))
    yield "broken", published_pages.broken_page("The lake cannot be reached", "Try again.")


@pytest.mark.parametrize(("name", "html"), [pytest.param(*page, id=page[0]) for page in pages()])
def test_no_page_speaks_code(name: str, html: str) -> None:
    text = re.sub(r"<[^>]+>", " ", html.split("</head>")[1].replace("<wbr>", ""))

    assert "`" not in text
    assert not re.search(r"\bDagRunType\b|\bNone\b|\bNaN\b|\bnan\b|\b\w+\.[A-Z]{3,}\b", text)
    assert not re.search(r"\b(wasserstein|jensenshannon)\b", text)


def test_methods_have_their_proper_names() -> None:
    assert method_name("jensenshannon") == "Jensen-Shannon"
    assert method_name("hellinger") == "Hellinger"

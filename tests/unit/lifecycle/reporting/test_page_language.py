"""What people read on pages is prose: no code marks, no names of Python's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import get_args
from urllib.parse import urljoin

import pytest

from include.lifecycle.monitoring.drift_methods import method_name
from include.lifecycle.monitoring.performance_page import render_performance
from include.lifecycle.monitoring.performance_verdict import VerdictName, decide
from include.lifecycle.operations import maintenance_policy
from include.lifecycle.operations.maintenance_page import render_maintenance, verdict_of
from include.lifecycle.operations.maintenance_policy import Catalog, Damage, Evidence, Scope, StrayFile, makers
from include.lifecycle.overview.concerns import concerns
from include.lifecycle.overview.overview_page import Overview, overview_page
from include.lifecycle.overview.state import LakeState
from include.lifecycle.reporting import published_pages
from include.lifecycle.reporting.pages import render
from include.lifecycle.reporting.published_pages import Report
from tests.page_language import broken_promises, code_in, loose_percentages, split_cells
from tests.unit.lifecycle.monitoring.test_drift_page import page as drift_page
from tests.unit.lifecycle.monitoring.test_drift_page import people
from tests.unit.lifecycle.monitoring.test_performance_verdict import CHURN, DAYS, VOLATILITY, evidence, outcomes
from tests.unit.lifecycle.overview.test_concerns import NOW, dataset, dated, day_verdict, drift, performance
from tests.unit.lifecycle.overview.test_concerns import model as model_in_order
from tests.unit.lifecycle.reporting.test_pages import PAGE


def pages() -> Iterator[tuple[str, str]]:
    """Each kind of page that can be made without a lake, by name."""
    yield "any", render(PAGE)
    yield "drift", drift_page(people(1_000, charges=40, payment="Transfer", gaps=0.3), charges=0.2, payment=0.5)
    yield "no drift", drift_page(people(1_000))
    yield "no drift, but gaps", drift_page(people(1_000, gaps=0.3))
    yield "drift unknown", drift_page(people(100))
    for model, verdict in product((CHURN, VOLATILITY), get_args(VerdictName)):
        judged = decide(evidence(model), model).model_copy(update={"verdict": verdict})
        html = render_performance(model, DAYS[-1], judged, outcomes(model.task))
        yield f"{model.name}, {verdict}", html
    yield from maintenance_pages()
    yield from overview_pages()
    yield "unknown address", published_pages.unknown_address()
    yield "no report", published_pages.missing_report(Report("churn", "model_card", 3), {"churn_training"})
    yield "broken", published_pages.broken_page("The lake cannot be reached", "Try again.")


def overview_pages() -> Iterator[tuple[str, str]]:
    """With everything wrong that a model and a dataset can have, with nothing, and without the warehouse."""
    bad = model_in_order(
        drift=dated([drift("drift")]),
        performance=dated([performance("worse")]),
        faults=["s3://ml-lake/reports/churn/drift/dt=2026-03-01/manifest.json is no manifest."],
    )
    rejected = dataset(day_verdict(accepted=False, problems=("customers is empty.",)))
    for name, models, datasets, outages in (
        ("wrong", [bad], [rejected], []),
        ("right", [model_in_order()], [dataset()], []),
        ("empty", [], [], ["The warehouse cannot be asked."]),
    ):
        known = concerns(models, datasets, LakeState(None), [], NOW)
        yield f"overview, {name}", render(overview_page(Overview(models, datasets, known, NOW, outages)))


def maintenance_pages() -> Iterator[tuple[str, str]]:
    """What was found, and what came of it: damage that a run heals, damage that none does, files to sweep."""
    now, day = datetime(2026, 3, 8, 3, tzinfo=UTC), DAYS[0]
    problem = "s3://ml-lake/features does not exist, though the day's other data do."
    prefixes = (CHURN.dataset.features_prefix, CHURN.predictions_prefix, "elsewhere/data")
    evidence = Evidence(
        partitions=1_200,
        checked=230,
        damages=tuple(Damage(prefix=prefix, day=day, problem=problem) for prefix in prefixes),
        stray=(StrayFile(key="features/customers/a.parquet", bytes=512, written=now - timedelta(days=30)),),
        unknown=("notes/mine.txt",),
        tried={},
        sampled=117,
        code_version="0123abc",
    )
    scope = Scope(until=now.date(), started_at=now)
    catalog = Catalog([CHURN.dataset], [CHURN], makers([CHURN.dataset], [CHURN]))
    decision = maintenance_policy.decide(evidence, catalog, scope)
    outcomes = {
        "found": None,
        "healed": maintenance_policy.conclude(evidence, decision, (), 512, scope.until),
        "not healed": maintenance_policy.conclude(evidence, decision, evidence.damages, 512, scope.until),
    }
    for name, outcome in outcomes.items():
        verdict = verdict_of(scope, evidence, decision, outcome)
        yield f"maintenance, {name}", render_maintenance(scope, verdict, evidence, decision, outcome)


def test_a_page_that_was_never_published_names_the_dag_that_makes_it() -> None:
    def missing(area: str, kind: str) -> str:
        return published_pages.missing_report(Report(area, kind), {"churn_monitoring"})

    assert "run the DAG churn_<wbr>monitoring, which makes it." in missing("churn", "drift")
    assert "Check the address.</p>" in missing("churn", "weekly")
    assert "Check the address.</p>" in missing("nonsense", "drift")


def test_the_maintenance_page_links_to_the_runs_that_it_started() -> None:
    """From its own address, /ml/reports/lake/maintenance/<day>/."""
    page = dict(maintenance_pages())["maintenance, healed"]

    [address] = re.findall(r'<a href="([^"]+)">Runs of customers_etl</a>', page)
    assert urljoin("/ml/reports/lake/maintenance/2026-03-08/", address) == "/dags/customers_etl/runs"


@pytest.mark.parametrize(("name", "html"), [pytest.param(*page, id=page[0]) for page in pages()])
def test_no_page_speaks_code(name: str, html: str) -> None:
    assert code_in(html) == []


@pytest.mark.parametrize(("name", "html"), [pytest.param(*page, id=page[0]) for page in pages()])
def test_a_page_keeps_what_its_sentences_promise_and_its_cells_stay_in_one_piece(name: str, html: str) -> None:
    assert broken_promises(html) == []
    assert split_cells(html) == []


@pytest.mark.parametrize(("name", "html"), [pytest.param(*page, id=page[0]) for page in pages()])
def test_there_is_one_way_to_write_a_percentage(name: str, html: str) -> None:
    assert loose_percentages(html) == []


def test_a_promise_that_is_not_kept_is_found() -> None:
    assert broken_promises("</head><p>Features that moved are shown below.</p><figure>1</figure>")
    assert broken_promises("</head><p>The facts below name the days.</p>")
    assert split_cells("<td>from <span>one</span> to <span>two</span></td><td><span>a</span><span>b</span></td>")


def test_the_maintenance_page_shows_the_sample_that_was_drawn_and_what_counts_as_recent() -> None:
    _, html = next(maintenance_pages())

    assert "Older partitions in the sample</dt><dd>117</dd>" in html
    assert "Days</dt><dd>the last 30, partitions written in them, and a sample of the others</dd>" in html


def test_methods_have_their_proper_names() -> None:
    assert method_name("jensenshannon") == "Jensen-Shannon"
    assert method_name("hellinger") == "Hellinger"

"""The drift page says what moved, in words and pictures."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from datetime import date
from html import unescape

import numpy as np
import polars as pl
import pytest

from include.lifecycle.monitoring.drift_page import _ranges, render_drift
from include.lifecycle.monitoring.drift_samples import Samples, clip
from include.lifecycle.monitoring.drift_verdict import DriftEvidence as Evidence
from include.lifecycle.monitoring.drift_verdict import decide
from include.lifecycle.monitoring.drift_window import SCORE
from include.lifecycle.monitoring.evidently_comparison import compare
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.reporting.distribution_chart import _round_ticks, distribution, label
from include.lifecycle.specs import DriftPolicy, ModelSpec
from tests.specs import people_dataset, people_model

DAYS = tuple(date(2026, 11, day) for day in (18, 19, 20))


MODEL = people_model(
    name="churn",
    title="Customer churn",
    dataset=people_dataset(name="customers"),
    numeric=("charges",),
    categorical=("payment",),
    drift=DriftPolicy(window_days=3),
)
EVERY_DAY_COUNTS = MODEL.model_copy(update={"drift": DriftPolicy(window_days=3, all_days_of_a_key=True)})


def people(rows: int, *, charges: float = 0.0, payment: str = "Check", gaps: float = 0.0) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "charges": pl.Series(rng.gamma(4, 16, rows) + charges).set(pl.Series(rng.random(rows) < gaps), None),
            "payment": ["Card"] * (rows // 2) + [payment] * (rows - rows // 2),
            SCORE: rng.beta(1, 8, rows),
        }
    )


def page(
    current: pl.DataFrame,
    *,
    missing: Sequence[date] = DAYS[:1],
    predicted: Sequence[date] = DAYS[1:],
    scored: Sequence[date] | None = None,
    keys: int | None = None,
    model: ModelSpec = MODEL,
    reference: pl.DataFrame | None = None,
    **outside: float,
) -> str:
    samples = Samples(people(1_000) if reference is None else reference, current)
    clipped = clip(samples, ("charges", SCORE))
    compared = compare(clipped, ("charges", SCORE), ("payment",), model.drift).columns
    columns = {
        name: column.model_copy(update={"outside": outside.get(name, 0.0)}) for name, column in compared.items()
    }
    evidence = Evidence(
        reference_rows=samples.reference.height,
        current_rows=current.height,
        days=tuple(day for day in DAYS if day not in missing),
        missing_days=tuple(missing),
        scored_days=tuple(predicted if scored is None else scored),
        predicted_days=tuple(predicted),
        keys=keys,
        score=columns[SCORE],
        columns={name: columns[name] for name in model.features},
    )
    verdict = decide(evidence, model.drift)
    html = render_drift(model, DAYS[-1], Reference(date(2026, 10, 1), 3), verdict, samples, clipped)
    return html.replace("<wbr>", "")


def test_drift_is_told_first_then_what_to_do_then_what_moved() -> None:
    html = page(people(1_000, charges=40, payment="Transfer"))

    told = [
        "Customer churn has drifted",
        "2 of 2 features drifted",
        "What to do",
        "churn_training",
        "The mean went from",
    ]
    places = [html.index(text) for text in told]
    assert places == sorted(places)
    assert "“Check” went from 50.0\u00a0% to 0.0\u00a0%." in html
    assert html.count("<svg") == 3


def test_a_calm_week_shows_the_scores_alone() -> None:
    html = page(people(1_000))

    assert "Customer churn shows no drift" in html
    assert html.count("<svg") == 1


def test_new_gaps_are_told_with_both_rates() -> None:
    html = page(people(1_000, gaps=1.1))

    assert "100.0\u00a0% of the rows in the reference and 0.0\u00a0% in the window have a value." in html
    assert "There are too few values to compare." in html


def test_too_little_evidence_says_which_days_are_missing() -> None:
    html = page(people(100))

    assert "Customer churn: not enough evidence yet" in html
    assert "Without features</dt><dd>2026-11-18</dd>" in html
    assert "Compared</dt><dd>2 of 3 days so far: 2026-11-19 to 2026-11-20</dd>" in html
    assert '<span class="status">Note</span>' in html
    assert "<svg" not in html


@pytest.mark.parametrize(
    ("missing", "predicted", "advice"),
    [
        ([], DAYS, "The window is too short for the 500 rows that a verdict needs: widen it"),
        (DAYS[:1], DAYS[1:], "Wait: each further day brings more rows into the window."),
        (DAYS[2:], DAYS[:2], "Wait: each further day"),
        (DAYS[1:2], DAYS[:1], "customers_etl for 2026-11-19 and churn_scoring for 2026-11-19 to 2026-11-20, then"),
        (DAYS[1:], DAYS[:1], "Wait: each further day"),
        (DAYS[2:], DAYS[:1], "Run churn_scoring for 2026-11-19, then"),
        ([], DAYS[2:], "The window is too short"),
        (
            [],
            DAYS[:1],
            "Run churn_scoring for 2026-11-19 to 2026-11-20, then churn_monitoring again for this day.",
        ),
        ([], [], "Run churn_scoring for 2026-11-18 to 2026-11-20, then"),
    ],
)
def test_too_little_evidence_names_the_runs_that_give_it_or_says_to_wait(
    missing: list[date], predicted: list[date], advice: str
) -> None:
    assert advice in page(people(100), missing=missing, predicted=predicted, model=EVERY_DAY_COUNTS)


def test_no_run_is_asked_for_where_another_version_has_scored_the_days() -> None:
    html = page(people(1_000), missing=[], predicted=DAYS, scored=DAYS[1:2])

    assert "The champion's scores of 1 of 3 days stayed in place" in unescape(html)
    assert "With the champion's scores</dt><dd>1 of 3 days</dd>" in unescape(html)
    assert "Without the champion's scores</dt><dd>2026-11-18, 2026-11-20</dd>" in unescape(html)
    few = page(people(100), missing=[], predicted=DAYS, scored=DAYS[1:2], model=EVERY_DAY_COUNTS)
    assert "churn_scoring" not in few


@pytest.mark.parametrize("missing", [[], DAYS[:1], DAYS[1:2], DAYS[2:]])
def test_where_a_key_counts_once_no_further_day_is_waited_for_or_asked_for(missing: list[date]) -> None:
    predicted = [day for day in DAYS if day not in missing]

    html = page(people(100), missing=missing, predicted=predicted, keys=499)

    assert "there are fewer keys than the 500 rows that a verdict needs. Lower that number" in html
    assert "Wait:" not in html
    assert "customers_etl" not in html
    assert "widen" not in html


def test_where_days_lack_keys_the_policy_is_not_to_be_lowered() -> None:
    html = page(people(266), missing=[], predicted=DAYS, keys=1_200)

    assert "The window has 1,200 keys, but not every day has every key" in html
    assert "only 266 have features on that one." in html
    assert "run customers_etl again for these days" in html
    assert "Lower" not in html
    assert "Lower that number" not in page(people(266), missing=[], predicted=DAYS, keys=500)


def test_a_reference_without_scores_asks_for_a_training_and_not_for_another_window() -> None:
    unscored = people(1_000).with_columns(pl.lit(None, pl.Float64).alias(SCORE))

    assert "run churn_training once more labels are known" in page(people(1_000), reference=unscored)


def test_too_few_scores_in_a_window_with_enough_rows_are_waited_for() -> None:
    is_scored = pl.int_range(pl.len()) < 100
    current = people(1_000).with_columns(pl.when(is_scored).then(SCORE).alias(SCORE))

    assert "Wait: only the champion's own scores count" in unescape(page(current, predicted=DAYS, missing=[]))


def test_features_that_are_mostly_missing_on_both_sides_are_the_sources_to_fix() -> None:
    empty = people(1_000).with_columns(
        pl.lit(None, pl.Float64).alias("charges"), pl.lit(None, pl.String).alias("payment")
    )

    html = page(empty, predicted=DAYS, missing=[], reference=empty)

    assert "The features have too many gaps to be compared. Fix the source and run customers_etl" in html


def test_days_without_scores_are_named() -> None:
    html = page(people(100), predicted=DAYS[2:])

    assert "Without the champion's scores</dt><dd>2026-11-18 to 2026-11-19</dd>" in unescape(html)


def test_moved_features_are_spoken_of_only_where_there_are_some() -> None:
    moved, calm = page(people(1_000, gaps=0.3)), page(people(1_000))

    assert "The features that moved are shown below" in moved
    assert "Those that drifted come first." in moved
    assert "Nothing to do.</p>" in calm
    assert "No column drifted." in calm


def test_drifted_columns_stand_first_and_what_could_not_be_compared_has_not_stayed() -> None:
    rows = re.findall(
        r'data-column="column">(.*?)</td>.*?data-column="drifted">(.*?)</td>',
        bare(page(people(1_000, gaps=0.3))),
        re.DOTALL,
    )

    assert rows == [("charges", "yes"), ("score", "no"), ("payment", "no")]
    few = re.findall(r'data-column="drifted">(.*?)</td>', bare(page(people(100))))
    assert few == ["too few values"] * 3


def test_the_title_names_the_window() -> None:
    assert "<title>Customer churn: drift, 2026-11-18 to 2026-11-20</title>" in page(people(1_000))


def test_means_are_those_of_the_values_as_they_were_and_not_cut_off() -> None:
    current = people(1_000).with_columns(charges=pl.lit(1_000.0))

    html = unescape(page(current, charges=1.0, payment=0.25))

    before = people(1_000)["charges"].to_numpy()
    assert f"The mean went from {before.mean():,.4g} to 1,000." in html
    reach = f"{before.min():,.4g} to {before.max():,.4g}"
    assert f"100\u00a0% of the window's values lie outside the reference's range, {reach}." in html


def test_categories_that_the_reference_lacks_are_counted() -> None:
    html = unescape(page(people(1_000, payment="Transfer"), payment=0.5))

    assert "50\u00a0% of the window's values are categories that the reference does not have." in html


@pytest.mark.parametrize(
    ("present", "text"),
    [
        ("0123456", "2026-11-01 to 2026-11-07"),
        ("", "none"),
        ("3", "2026-11-04"),
        ("0135", "2026-11-01 to 2026-11-02, 2026-11-04, 2026-11-06"),
    ],
)
def test_days_are_shown_as_ranges(present: str, text: str) -> None:
    window = [date(2026, 11, day) for day in range(1, 8)]

    assert _ranges([window[int(place)] for place in present], window) == text


def test_days_on_both_sides_of_a_weekend_follow_each_other_where_it_has_no_session() -> None:
    friday, monday = date(2026, 11, 13), date(2026, 11, 16)

    assert _ranges([friday, monday], [friday, monday]) == "2026-11-13 to 2026-11-16"


def test_the_page_leads_to_evidentlys_report_where_there_is_one() -> None:
    assert 'href="evidently.html"' in page(people(1_000))
    assert "evidently.html" not in page(people(100))


def test_values_from_the_data_are_escaped() -> None:
    html = page(people(1_000, payment="<script>alert(1)</script>"))

    assert "<script" not in html
    assert "&lt;script&gt;" in html


def bare(html: str) -> str:
    """A page without the elements that only hold its text together."""
    return re.sub(r"</?span[^>]*>", "", html)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def bars(svg: str) -> list[float]:
    return [float(element.attrib["width"]) for element in ElementTree.fromstring(svg).iter("rect")][2:]


def test_the_bars_of_a_category_are_as_long_as_its_shares() -> None:
    svg = distribution("contract", pl.Series(["a"] * 3 + ["b"]), pl.Series(["a", "b", "c", "c"]))

    assert [text for text in texts(svg) if text.endswith("%")] == [
        "75.0\u00a0%",
        "25.0\u00a0%",
        "25.0\u00a0%",
        "25.0\u00a0%",
        "0.0\u00a0%",
        "50.0\u00a0%",
    ]
    longest = bars(svg)[0]
    assert bars(svg) == pytest.approx(
        [longest * share / 0.75 for share in (0.75, 0.25, 0.25, 0.25, 0, 0.5)], abs=0.1
    )


def test_few_different_numbers_are_shown_in_their_order() -> None:
    svg = distribution("invoices", pl.Series([2.0, 0.0, 0.0]), pl.Series([10.0, 2.0]))

    assert [text for text in texts(svg) if text in {"0", "2", "10"}] == ["0", "2", "10"]


def test_rare_categories_are_counted_and_not_drawn() -> None:
    many = pl.Series([f"city {number}" for number in range(40)])

    svg = distribution("city", many, many)

    assert "and 28 rarer values" in texts(svg)
    assert len(bars(svg)) == 24


def test_many_numbers_become_a_histogram_with_its_range_and_highest_share() -> None:
    numbers = pl.Series(np.linspace(0, 1_000, 3_001))

    svg = distribution("charges", numbers, numbers)

    assert {"0", "200", "400", "600", "800", "1,000", "3.4\u00a0%", "charges, share of rows"} <= set(texts(svg))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0103, 0.467, ["0.1", "0.2", "0.3", "0.4"]),
        (-3.0, 7.0, ["-2", "0", "2", "4", "6"]),
        (0, 1_000, ["0", "200", "400", "600", "800", "1,000"]),
        (0.00012, 0.00031, ["0.00015", "0.00020", "0.00025", "0.00030"]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[str]) -> None:
    assert [text for _, text in _round_ticks(low, high)] == expected


def test_long_values_are_shortened() -> None:
    assert label("Bank transfer from abroad (automatic)") == "Bank transfer from abroad\u2026"
    assert label(2.0) == "2"

"""Ready-made labels: what they say of each key, and which keys they leave out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl
import pytest

from include.lifecycle.specs import LabelSpec, ModelSpec
from include.models.volatility import VOLATILITY
from include.toolkit.labels import happens_within, value_after, value_of_row

DAY = date(2026, 3, 2)
LEFT = pl.col("left") == "yes"


def labels(
    label: LabelSpec, features: pl.DataFrame, rows: Sequence[tuple[object, ...]]
) -> list[tuple[object, ...]]:
    """The labels of `DAY`, of rows with the columns of the features, a value, and how many days after it is of."""
    value = "sold" if isinstance(rows[0][-2], float) else "left"
    frame = pl.DataFrame(rows, schema=[*features.columns, value, "after"], orient="row")
    dated = frame.select(pl.exclude("after"), dt=pl.lit(DAY) + pl.duration(days="after")).lazy()
    made = label.make(DAY, features, dated)
    assert made.columns == [*features.columns, "label"]
    return made.rows()


STORES = pl.DataFrame({"store": ["a", "b", "c"]})
SERIES = pl.DataFrame({"date": [DAY]})


def test_the_value_after_is_that_of_the_day_and_nobody_elses() -> None:
    label = value_after("shop", ("store",), "sold", days=2)
    rows = [("a", 1.0, 0), ("a", 2.0, 2), ("b", 3.0, 1), ("c", None, 2), ("new", 4.0, 2)]

    assert labels(label, STORES, rows) == [("a", 2.0)]
    assert (label.table, label.horizon_days, label.delay_days, label.target_days) == ("shop", 2, 0, (2, 2))


def test_the_value_after_of_a_row_a_day_is_the_next_days() -> None:
    label = value_after("shop", ("date",), "sold", days=1)
    rows = [(DAY, 1.0, 0), (DAY + timedelta(days=1), 2.0, 1)]

    assert labels(label, SERIES, rows) == [(DAY, 2.0)]
    assert labels(label, SERIES, rows[:1]) == []


def test_what_happens_within_some_days_counts_from_the_day_after_on() -> None:
    label = happens_within("club", ("store",), LEFT, days=2)
    rows = [("a", "no", 1), ("a", "yes", 2), ("b", "no", 2), ("b", "yes", 3)]

    assert labels(label, STORES, rows) == [("a", 1), ("b", 0)]
    assert (label.horizon_days, label.target_days) == (2, None)  # any day of the horizon


def test_who_has_left_already_or_is_not_seen_again_has_no_label() -> None:
    label = happens_within("club", ("store",), LEFT, days=2)

    assert labels(label, STORES, [("a", "yes", 0), ("a", "yes", 1), ("b", "no", 0), ("c", "no", 1)]) == [("c", 0)]


def test_who_vanishes_before_it_happens_has_no_label() -> None:
    # given: the table's newest row is of the 18th day; a closes for six days, b vanishes, c leaves, then vanishes
    label = happens_within("club", ("store",), LEFT, days=20)
    a = [("a", "no", after) for after in (1, 12)]
    b = [("b", "no", after) for after in range(1, 12)]
    c = [("c", "yes", 3)]
    another = [("new", "no", 18), ("new", "no", 21)]

    # when, then
    assert labels(label, STORES, [*a, *b, *c, *another]) == [("a", 0), ("c", 1)]


def test_what_happens_to_a_row_a_day_needs_a_later_row() -> None:
    label = happens_within("club", ("date",), LEFT, days=2)

    assert labels(label, SERIES, [(DAY, "no", 0), (DAY + timedelta(days=2), "yes", 2)]) == [(DAY, 1)]
    assert labels(label, SERIES, [(DAY, "no", 0)]) == []


def test_a_rows_own_value_is_a_number_or_true_and_false() -> None:
    paid = value_of_row("loans", ("store",), LEFT)
    rows = [("a", "yes", 0), ("b", "no", 0), ("c", None, 0), ("a", "no", 1)]

    assert labels(paid, STORES, rows) == [("a", 1), ("b", 0)]
    assert (paid.horizon_days, paid.target_days) == (1, (0, 0))
    sold = value_of_row("calls", ("store",), pl.col("sold"))
    assert labels(sold, STORES, [("a", 2.5, 0), ("b", None, 0)]) == [("a", 2.5)]


@pytest.mark.parametrize(
    "label",
    [
        value_after("prices", ("symbol",), "close", days=5),
        happens_within("prices", ("symbol",), pl.col("close") > 100, days=5),
    ],
    ids=["value_after", "happens_within"],
)
def test_a_label_that_counts_all_days_is_refused_where_only_sessions_count(label: LabelSpec) -> None:
    fields = {name: getattr(VOLATILITY, name) for name in ModelSpec.model_fields}

    with pytest.raises(ValueError, match="counts all days, but dataset 'market' counts in sessions"):
        ModelSpec(**fields | {"label": label})
    assert ModelSpec(**fields | {"label": value_of_row("prices", ("symbol",), pl.col("close"))})

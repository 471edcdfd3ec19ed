"""What to write: the task, key, features and windows, as a practitioner would choose them at first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from include.lifecycle.calendars import first_plausible
from include.scaffold.columns import MOST_CATEGORIES, ScaffoldError, Table

Shape = Literal["panel", "series", "events"]
Ask = Callable[[str, list[str]], str]
_YES = ("yes", "y", "true", "1", "1.0")
_FEW_ROWS = 20
_ROWS_OF_A_FOLD = 80
_ROWS_OF_A_WINDOW = 500
_HOLDOUT_SHARE = 0.3
_LONGEST_LABEL = 90


@dataclass(frozen=True)
class Wish:
    """What was asked for; empty where it is to be found out."""

    dataset: str
    model: str
    csv: Path
    key: str = ""
    date: str = ""
    label: str = ""


@dataclass(frozen=True)
class Proposal:
    """What the templates are filled with.

    Attributes
    ----------
    shape : `panel`, where keys have rows on many days; `series`, a row a day; `events`, where each row is new.
    yes, no : the label's values that mean 1 and 0; None where a number is predicted.
    value : the column whose past becomes features; None where there is none.
    """

    wish: Wish
    table: Table
    shape: Shape
    key: tuple[str, ...]
    date_column: str
    label: str
    yes: Any
    no: Any
    value: str | None
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    first_day: date
    days: int
    rows_per_day: float

    @property
    def is_classification(self) -> bool:
        """Whether a probability is predicted."""
        return self.yes is not None

    @property
    def horizon(self) -> int:
        """How many days ahead the label looks."""
        if self.shape == "events" or not self.is_classification:
            return 1
        return max(1, min(30, self.days // 5))

    @property
    def folds(self) -> int:
        """Walk-forward folds, of enough rows each, over half of what is learnt from."""
        if self.is_classification:
            return 1
        rows = self.rows_per_day * self.days * (1 - _HOLDOUT_SHARE) / 2
        return max(2, min(4, int(rows / _ROWS_OF_A_FOLD)))

    @property
    def max_bad_share(self) -> float | None:
        """A larger limit where a single row is a large share of a day."""
        return 0.5 if self.rows_per_day < _FEW_ROWS else None

    @property
    def drift_days(self) -> int | None:
        """How many days have enough rows for a verdict; None where a week has."""
        if self.rows_per_day * 7 >= _ROWS_OF_A_WINDOW or self.has_few_people:
            return None
        return min(180, max(7, round(_ROWS_OF_A_WINDOW / self.rows_per_day)))

    @property
    def has_few_people(self) -> bool:
        """Whether the keys of a panel, each of which counts once in a week, are too few for the usual verdict."""
        return self.shape == "panel" and self.is_classification and self.rows_per_day < 2 * _ROWS_OF_A_WINDOW

    @property
    def key_is_category(self) -> bool:
        """Whether the key has so few values that a model can learn each one's level."""
        return self.shape == "panel" and self.table.rows[self.key[0]].n_unique() <= MOST_CATEGORIES

    @property
    def column_types(self) -> dict[str, pl.DataType]:
        """Clean types; a key is text, so that 007 stays what it is, unless it is the date."""
        texts = {name: pl.String() for name in self.key if name != self.date_column}
        return {**self.table.types, **texts}

    @property
    def days_ahead(self) -> dict[str, int]:
        """By how many days the other date columns lie after the row's day at most, where they do."""
        days = self.table.values(self.date_column).cast(pl.Date)
        others = [name for name, dtype in self.column_types.items() if dtype.is_temporal()]
        ahead = {name: (self.table.values(name).cast(pl.Date) - days).dt.total_days().max() for name in others}
        return {name: most for name, most in ahead.items() if isinstance(most, int) and most > 0}

    def source_settings(self) -> dict[str, Any]:
        """The value of the Airflow variable `<dataset>_source`."""
        renamed = {theirs: ours for ours, theirs in self.table.names.items() if ours != theirs}
        settings: dict[str, Any] = {"kind": "csv", "path": str(self.wish.csv.resolve())}
        settings["date_column"] = self.table.names[self.date_column]
        return settings | ({"columns": renamed} if renamed else {})


def propose(wish: Wish, table: Table, ask: Ask) -> Proposal:
    """Find out what was not said; `ask` is asked, with a question and the possible answers, what nobody can see.

    Raises
    ------
    ScaffoldError
        If the file lacks what a dataset and a model need.
    """
    on = _date_column(wish, table, ask)
    days = table.values(on).cast(pl.Date)
    key = _key(wish, table, days, on, ask)
    label = table.ours(
        wish.label or ask("Which column is to be predicted (LABEL=)?", _columns_but(table, on, *key))
    )
    if label in (on, *key):
        raise ScaffoldError(f"LABEL={label} is the date or the key, so nothing to predict; name another column.")
    shape = _shape(table, days, on, key)
    yes, no = _answers(table, label)
    numeric, categorical = _features(table, (on, *key), label, with_label=yes is None and shape != "events")
    numbers = [name for name in numeric if table.types[name] != pl.Boolean()]
    value = label if yes is None else next(iter(numbers), None)
    if not (numeric or categorical or shape == "panel"):
        raise ScaffoldError(
            f"{wish.csv} has no column to learn {label} from: numbers, or texts of 2 to {MOST_CATEGORIES} "
            "different values, beside the date, the key and the label. Add one."
        )
    days = _plausible(days, wish)
    known: list[date] = days.unique().sort().to_list()
    return Proposal(
        wish, table, shape, key, on, label, yes, no, None if shape == "events" else value, numeric, categorical,
        known[0], len(known), len(days) / len(known),
    )  # fmt: skip


def _date_column(wish: Wish, table: Table, ask: Ask) -> str:
    dates = [name for name, dtype in table.types.items() if dtype in (pl.Date(), pl.Datetime())]
    if not wish.date and not dates:
        raise ScaffoldError(
            f"No column of {wish.csv} has dates like 2026-10-31; its columns are {list(table.names.values())}. "
            "Write the day of each row that way."
        )
    if not wish.date:
        return (
            dates[0] if len(dates) == 1 else table.ours(ask("Which column says the day of a row (DATE=)?", dates))
        )
    if table.ours(wish.date) not in dates:
        raise ScaffoldError(f"DATE={wish.date} has no dates like 2026-10-31; columns with dates are {dates}.")
    return table.ours(wish.date)


def _plausible(days: pl.Series, wish: Wish) -> pl.Series:
    """The rows' days without those in the future or years away from all others, as the source sees them."""
    days = days.drop_nulls().sort()
    days = days.filter(days.is_between(date.min, datetime.now(UTC).date()))
    if days.is_empty():
        raise ScaffoldError(f"{wish.csv} has no date until today; rows of days to come cannot be learnt from.")
    known = days.unique().sort().to_list()
    return days.filter(days.is_between(first_plausible(known), first_plausible(known[::-1])))


def _key(wish: Wish, table: Table, days: pl.Series, on: str, ask: Ask) -> tuple[str, ...]:
    """The column that tells the rows of a day apart; the date where a day has one row."""
    dated = table.rows.with_columns(days.alias("dt"))
    if wish.key:
        key = tuple(table.ours(name) for name in _listed(wish.key, table))
        if len(set(key)) < len(key):
            raise ScaffoldError(f"KEY={wish.key} names a column twice; name each once.")
    elif not dated["dt"].drop_nulls().is_duplicated().any():
        return (on,)
    else:
        kinds = (pl.String(), pl.Int64())
        possible = [name for name in table.types if table.types[name] in kinds and _is_key(dated, (name,))]
        # A measured number may tell the rows of a day apart by chance, but not the same ones come each day.
        days_there_are = dated["dt"].n_unique()
        possible = [n for n in possible if dated[n].n_unique() * days_there_are <= 2 * dated.height] or possible
        # A column that never repeats may be a remark as well.
        possible = [name for name in possible if dated[name].n_unique() <= dated.height / 2] or possible
        if not possible:
            raise ScaffoldError(
                "No column tells the rows of a day apart. Give KEY=column, or KEY=one,another where it takes two."
            )
        key = (
            possible[0] if len(possible) == 1 else table.ours(ask("Which column is the key (KEY=)?", possible)),
        )
    if not _is_key(dated, key):
        raise ScaffoldError(f"KEY={','.join(key)} does not tell the rows of a day apart; name more columns.")
    return key


def _listed(names: str, table: Table) -> list[str]:
    """The names that commas separate, without the blanks around them; a name may itself have a comma."""
    return [names] if names in table.names.values() else [name.strip() for name in names.split(",")]


def _is_key(dated: pl.DataFrame, key: tuple[str, ...]) -> bool:
    """Whether hardly any two rows of a day have the same key; broken rows are validation's business."""
    known = dated.select("dt", *key).drop_nulls()
    return known.n_unique() >= 0.99 * known.height and known.height >= 0.9 * dated.height


def _shape(table: Table, days: pl.Series, on: str, key: tuple[str, ...]) -> Shape:
    if key == (on,):
        return "series"
    return "panel" if table.rows.n_unique(subset=list(key)) <= table.rows.height / 2 else "events"


def _answers(table: Table, label: str) -> tuple[Any, Any]:
    """What means 1 and what 0 in a column of two values; None for numbers to predict."""
    values = table.values(label).drop_nulls()
    if values.dtype.is_float():
        values = values.filter(values.is_finite())
    if values.n_unique() == 2 and not values.dtype.is_temporal():
        rare, usual = values.value_counts(name="rows of it").sort("rows of it", label)[label].to_list()
        if too_long := [one for one in (rare, usual) if len(label) + len(repr(one)) > _LONGEST_LABEL]:
            raise ScaffoldError(
                f"LABEL={label} has the value {too_long[0][:40]!r}, and more; write its two values as "
                "short words, such as yes and no."
            )
        return (usual, rare) if str(usual).lower() in _YES else (rare, usual)
    if not table.types[label].is_numeric():
        raise ScaffoldError(
            f"LABEL={label} has {values.n_unique()} different texts; a column of two values (to classify) or of "
            "numbers (to regress) is needed."
        )
    return None, None


def _features(
    table: Table, without: tuple[str, ...], label: str, *, with_label: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of numbers, and those of few texts; a label that is about the future is known until today."""
    left_out = (*without, *(() if with_label else (label,)))
    named = [name for name in table.types if name not in left_out]
    numeric = tuple(n for n in named if table.types[n].is_numeric() or table.types[n] == pl.Boolean())
    texts = (n for n in named if table.types[n] == pl.String() and 1 < table.rows[n].n_unique() <= MOST_CATEGORIES)
    return numeric, tuple(texts)


def _columns_but(table: Table, *without: str) -> list[str]:
    return [name for name in table.types if name not in without]

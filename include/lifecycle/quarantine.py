"""Which rows of a table are good, and which go to quarantine, and why. Pure: frames in, frames out.

Rows are judged in three steps, and a row that fails a step is not judged further:

1. The file: the record splits into the header's columns, and none of the table's columns is missing.
2. The text: each value reads as its column's type, and the key is there and identifies one row of its day. Of
   exact copies the first stays. Rows that share a key and differ all go, because nobody can say which is right.
3. The table's own rules.

Blank text is a missing value; whether it may be missing is up to the table's rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from include.lifecycle.csv_records import BROKEN_RECORDS
from include.lifecycle.raw_tables import ENGINE_COLUMNS, INDEX
from include.lifecycle.row_rules import broken_rows, rule_columns
from include.lifecycle.specs import TableSpec

_BOOLEANS = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}


@dataclass(frozen=True)
class Rule:
    """What a rule id stands for: why it exists, and the columns it looks at."""

    why: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgedRows:
    """Rows of a table over some days.

    `good` has `dt` and the table's columns in their types, sorted by day and key. `quarantined` has the rows of
    the raw frame, in its order, and `broken_rules`: rule ids joined by `;`. `broken` has a row per row and rule
    that it breaks: `dt`, `raw_row`, `rule`.
    """

    good: pl.DataFrame
    quarantined: pl.DataFrame
    broken: pl.DataFrame


def rule_book(table: TableSpec, rules: Mapping[str, Any]) -> dict[str, Rule]:
    """All rules that a row of the table can break, by id: the engine's, then the table's own `rules`."""
    key, key_id = ", ".join(table.key), _key_id(table)
    return {
        f"{table.name}.schema.columns": Rule("The file lacks a column, so its rows cannot be judged."),
        **{f"{table.name}.schema.{fault}": Rule(why) for fault, why in BROKEN_RECORDS.items()},
        **{
            f"{table.name}.type.{name}": Rule(f"The text in {name} does not read as {_in_words(dtype)}.", (name,))
            for name, dtype in table.columns.items()
            if dtype != pl.String
        },
        f"{key_id}.present": Rule("A row without its key can be joined to nothing.", table.key),
        f"{key_id}.copy": Rule("The row is an exact copy of an earlier one, which stays.", table.key),
        f"{key_id}.unique": Rule(f"Rows of a day that share {key} and differ contradict each other.", table.key),
        **{rule_id: Rule(rule.meta["why"], rule_columns(rule)) for rule_id, rule in rules.items()},
    }


def judge(table: TableSpec, raw: pl.DataFrame, rules: Mapping[str, Any]) -> JudgedRows:
    """Split the raw rows of one or many days into good rows and quarantined ones.

    Parameters
    ----------
    raw : frame as in `RawTable`, of all days together.
    rules : the table's own rules, as `make_rules` gives them.
    """
    raw = raw.with_row_index(INDEX)
    unreadable = raw.filter(pl.col("unreadable").is_not_null()).select(INDEX, rule="unreadable")
    readable = _without(raw, unreadable)
    typed = readable.select(INDEX, "dt", *(_typed(name, dtype) for name, dtype in table.columns.items()))
    unsound = pl.concat([_misread(table, readable, typed), _key_faults(table, readable, typed)])
    sound = _without(typed, unsound)
    unruly = [
        _broken(sound[INDEX].gather(positions), rule)
        for rule, positions in broken_rows(sound.drop(INDEX), rules).items()
    ]
    broken = pl.concat([unreadable, unsound, *unruly])
    reasons = broken.group_by(INDEX, maintain_order=True).agg(broken_rules=pl.col("rule").str.join(";"))
    quarantined = raw.filter(_is_in(reasons)).join(reasons, on=INDEX, maintain_order="left")
    return JudgedRows(
        good=_without(sound, broken).drop(INDEX).sort("dt", *table.key),
        quarantined=quarantined.drop(INDEX, "unreadable"),
        broken=broken.join(quarantined, on=INDEX, maintain_order="left").select("dt", "raw_row", "rule"),
    )


def _in_words(dtype: Any) -> str:
    words = {pl.Date: "a date (YYYY-MM-DD)", pl.Boolean: "true or false"}
    if dtype.is_numeric():
        return "a whole number" if dtype.is_integer() else "a number"
    return words.get(dtype, str(dtype))


def _key_id(table: TableSpec) -> str:
    return f"{table.name}.{'+'.join(table.key)}"


def _without(rows: pl.DataFrame, broken: pl.DataFrame) -> pl.DataFrame:
    return rows if broken.is_empty() else rows.filter(~_is_in(broken))


def _is_in(rows: pl.DataFrame) -> pl.Expr:
    return pl.col(INDEX).is_in(rows[INDEX].implode())


def _broken(index: pl.Series, rule: str) -> pl.DataFrame:
    return pl.DataFrame({INDEX: index}).with_columns(rule=pl.lit(rule))


def _is_blank(name: str) -> pl.Expr:
    """Whether the text is missing or nothing but spaces."""
    return pl.col(name).str.strip_chars().fill_null("") == ""


def _typed(name: str, dtype: Any) -> pl.Expr:
    """The column in its type: null where it is blank or does not read as the type."""
    return _value(name, dtype).alias(name)


def _value(name: str, dtype: Any) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    if dtype == pl.String:
        return pl.when(text != "").then(pl.col(name))
    if dtype == pl.Date:
        return text.str.to_date("%Y-%m-%d", strict=False)
    if dtype == pl.Datetime:
        return text.str.replace("T", " ").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False).cast(dtype)
    if dtype == pl.Boolean:
        return text.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    number = text.cast(dtype, strict=False)
    return pl.when(number.is_finite()).then(number) if dtype.is_float() else number


def _misread(table: TableSpec, readable: pl.DataFrame, typed: pl.DataFrame) -> pl.DataFrame:
    """Rows with text that does not read as its column's type."""
    found = []
    for name in table.columns:
        lost = readable.filter(typed[name].is_null() & readable[name].is_not_null())
        found.append(_broken(lost.filter(~_is_blank(name))[INDEX], f"{table.name}.type.{name}"))
    return pl.concat(found)


def _key_faults(table: TableSpec, readable: pl.DataFrame, typed: pl.DataFrame) -> pl.DataFrame:
    """Rows without their key, copies of earlier rows, and rows that contradict each other."""
    key_id = _key_id(table)
    blank = readable.filter(pl.any_horizontal(_is_blank(name) for name in table.key))
    members = _sharing_a_key(table, typed).join(_contents(readable), on=INDEX)
    members = members.with_columns(
        contradicts=pl.col("content").n_unique().over("key") > 1,
        follows=pl.col(INDEX) > pl.col(INDEX).min().over("key"),
    )
    contradicting = members.filter("contradicts").sort(INDEX)
    copies = members.filter(pl.col("follows") & ~pl.col("contradicts")).sort(INDEX)
    return pl.concat(
        [
            _broken(blank[INDEX], f"{key_id}.present"),
            _broken(contradicting[INDEX], f"{key_id}.unique"),
            _broken(copies[INDEX], f"{key_id}.copy"),
        ]
    )


def _sharing_a_key(table: TableSpec, typed: pl.DataFrame) -> pl.DataFrame:
    """Index and `key` of the rows that share a key with others of their day."""
    key = ["dt", *table.key]
    keys = typed.select(INDEX, *key).drop_nulls().sort(key)
    again = keys.filter(pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in key))
    return keys.join(again, on=key, how="semi").select(INDEX, key=pl.struct(key))


def _contents(readable: pl.DataFrame) -> pl.DataFrame:
    """Index and `content`, all text, of each row."""
    text = [name for name in readable.columns if name not in {INDEX, *ENGINE_COLUMNS}]
    return readable.select(INDEX, content=pl.struct(text))

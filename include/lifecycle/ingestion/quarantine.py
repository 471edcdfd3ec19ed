"""Which rows of a table are good, and which go to quarantine, and why. Pure: frames in, frames out.

Rows are checked in three steps, and a row that fails a step is not checked further:

1. The file: the record splits into the header's columns, and none of the table's columns is missing.
2. The text: each value reads as its column's type, and the key is there and identifies one row of its day. Of
   exact copies the first stays. Rows that share a key and differ all go, because nobody can say which is right,
   and so do rows whose keys differ by case or Unicode form alone. Keys are never changed: one with blanks around
   it or with characters that nobody sees is refused, and so is one that no index takes.
3. The table's own rules, and that no date lies before all data or in the future.

Blank text is a missing value; whether it may be missing is up to the table's rules.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from include.lifecycle.ingestion.csv_records import BROKEN_RECORDS
from include.lifecycle.ingestion.date_rules import broken_date_rules, date_rules
from include.lifecycle.ingestion.raw_tables import ENGINE_COLUMNS, INDEX
from include.lifecycle.ingestion.row_rules import broken_rows, rule_columns
from include.lifecycle.specs import TableSpec

MAX_KEY_BYTES = 1000
"""PostgreSQL indexes entries of up to 2,704 bytes; the day and what the index adds need room as well."""

# What most keys are: visible ASCII characters, with single blanks inside at most.
_PLAIN_KEY = r"^[!-~]+(?: [!-~]+)*$"
# Control characters, those that Unicode says to leave out when showing text, blanks other than the space, and the
# mark of characters that were lost.
_INVISIBLE = r"[\p{Cc}\p{Cf}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}[\p{Zs}--\x20]\x{FFFD}]"
_TIME = "%Y-%m-%d %H:%M:%S%.f"
_BOOLEANS = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}


@dataclass(frozen=True)
class Rule:
    """What a rule id stands for: why it exists, and the columns it looks at."""

    why: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckedRows:
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
        f"{table.name}.schema.columns": Rule("The file lacks a column, so its rows cannot be checked."),
        **{f"{table.name}.schema.{fault}": Rule(why) for fault, why in BROKEN_RECORDS.items()},
        **{
            f"{table.name}.type.{name}": Rule(f"The text in {name} does not read as {_in_words(dtype)}.", (name,))
            for name, dtype in table.columns.items()
            if dtype != pl.String
        },
        f"{key_id}.present": Rule("A row without its key can be joined to nothing.", table.key),
        f"{key_id}.form": Rule(
            "A key with blanks around it, with characters that nobody sees, or not in Unicode's composed form "
            "(NFC) looks like another one and is not.",
            table.key,
        ),
        f"{key_id}.length": Rule(f"No index takes a key of more than {MAX_KEY_BYTES:,} bytes.", table.key),
        f"{key_id}.alike": Rule(
            "Keys of a day that differ by upper and lower case or by Unicode form alone mean the same, or nearly.",
            table.key,
        ),
        f"{key_id}.copy": Rule("The row is an exact copy of an earlier one, which stays.", table.key),
        f"{key_id}.unique": Rule(f"Rows of a day that share {key} and differ contradict each other.", table.key),
        **{rule_id: Rule(why, (column,)) for rule_id, (why, column) in date_rules(table).items()},
        **{rule_id: Rule(rule.meta["why"], rule_columns(rule)) for rule_id, rule in rules.items()},
    }


def check_rows(table: TableSpec, raw: pl.DataFrame, rules: Mapping[str, Any]) -> CheckedRows:
    """Split the raw rows of one or many days into good rows and quarantined ones.

    Parameters
    ----------
    raw : frame as in `RawTable`, of all days together.
    rules : the table's own rules, as `make_rules` gives them.
    """
    raw = raw.with_row_index(INDEX)
    unreadable = raw.filter(pl.col("unreadable").is_not_null()).select(INDEX, rule="unreadable")
    readable = _without(raw, unreadable)
    typed = readable.select(INDEX, "dt", *(typed_column(name, dtype) for name, dtype in table.columns.items()))
    unsound = pl.concat([_misread(table, readable, typed), _key_faults(table, readable, typed)])
    sound = _without(typed, unsound)
    unruly = [
        _broken(sound[INDEX].gather(positions), rule)
        for rule, positions in broken_rows(sound.drop(INDEX), rules).items()
    ]
    untimely = [_broken(sound[INDEX].filter(mask), rule) for rule, mask in broken_date_rules(table, sound).items()]
    broken = pl.concat([unreadable, unsound, *untimely, *unruly])
    reasons = broken.group_by(INDEX, maintain_order=True).agg(broken_rules=pl.col("rule").str.join(";"))
    quarantined = raw.filter(_is_in(reasons)).join(reasons, on=INDEX, maintain_order="left")
    return CheckedRows(
        good=_without(sound, broken).drop(INDEX).sort("dt", *table.key),
        quarantined=quarantined.drop(INDEX, "unreadable"),
        broken=broken.join(quarantined, on=INDEX, maintain_order="left").select("dt", "raw_row", "rule"),
    )


def _in_words(dtype: Any) -> str:
    words = {pl.Date: "a date (YYYY-MM-DD)", pl.Time: "a time (HH:MM:SS)", pl.Boolean: "true or false"}
    if dtype == pl.Datetime:
        zone = _zone(dtype)
        return f"a time (YYYY-MM-DD HH:MM:SS{f', of {zone} or with its offset' if zone else ''})"
    if dtype == pl.Decimal:
        return f"a number with at most {dtype.scale} decimal places"
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


def typed_column(name: str, dtype: Any) -> pl.Expr:
    """The column in its type: null where it is blank or does not read as the type."""
    return _value(name, dtype).alias(name)


def _value(name: str, dtype: Any) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    if dtype == pl.String:
        return pl.when(text != "").then(pl.col(name))
    if dtype == pl.Date:
        return _of_four_digits(text, text.str.to_date("%Y-%m-%d", strict=False))
    if dtype == pl.Datetime:
        return _of_four_digits(text, _moment(text, _zone(dtype))).cast(dtype, strict=False)
    if dtype == pl.Time:
        return text.str.to_time("%H:%M:%S%.f", strict=False)
    if dtype == pl.Boolean:
        return text.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    number = text.cast(dtype, strict=False)
    if dtype == pl.Decimal:
        # A cast would round what has more places.
        return pl.when(text.str.contains(rf"^[+-]?\d*(?:\.\d{{0,{dtype.scale}}}0*)?$")).then(number)
    return pl.when(number.is_finite()).then(number) if dtype.is_float() else number


def _zone(dtype: Any) -> str | None:
    """The time zone of a type of times; the class `pl.Datetime` stands for one without."""
    zone: str | None = getattr(dtype, "time_zone", None)
    return zone


def _moment(text: pl.Expr, zone: str | None) -> pl.Expr:
    """Times as texts. In a column with a zone a text may have an offset from UTC, else it is of the zone.

    Null where the zone's clocks skip the time, or show it twice.
    """
    plain = text.str.replace("T", " ")
    local = plain.str.to_datetime(_TIME, time_unit="us", strict=False)
    if zone is None:
        return local
    offset = plain.str.replace("Z$", "+00:00").str.replace(r"([+-]\d{2})$", "$1:00")
    known = offset.str.to_datetime(f"{_TIME}%z", time_unit="us", strict=False).dt.convert_time_zone(zone)
    return pl.coalesce(known, local.dt.replace_time_zone(zone, ambiguous="null", non_existent="null"))


def _of_four_digits(text: pl.Expr, time: pl.Expr) -> pl.Expr:
    """The dates of the years 1 to 9999, which are all that Python and the warehouse read."""
    return pl.when(text.str.contains(r"^\d{4}-") & time.dt.year().is_between(1, 9999)).then(time)


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
        is_alike=pl.col("key").n_unique().over("folded") > 1,
    )
    contradicting = members.filter("contradicts").sort(INDEX)
    copies = members.filter(pl.col("follows") & ~pl.col("contradicts")).sort(INDEX)
    alike = members.filter("is_alike").sort(INDEX)
    return pl.concat(
        [
            _broken(blank[INDEX], f"{key_id}.present"),
            *_ill_formed_keys(table, typed),
            _broken(contradicting[INDEX], f"{key_id}.unique"),
            _broken(copies[INDEX], f"{key_id}.copy"),
            _broken(alike[INDEX], f"{key_id}.alike"),
        ]
    )


def _ill_formed_keys(table: TableSpec, typed: pl.DataFrame) -> list[pl.DataFrame]:
    """Rows whose key looks like another one, or fits no index."""
    names = _text_keys(table)
    if not names:
        return []
    unusual = typed.filter(~pl.all_horizontal(pl.col(name).str.contains(_PLAIN_KEY) for name in names))
    ill_formed = unusual.filter(pl.any_horizontal(map(_is_ill_formed, names)))
    long = typed.filter(pl.sum_horizontal(pl.col(name).str.len_bytes() for name in names) > MAX_KEY_BYTES)
    key_id = _key_id(table)
    return [_broken(ill_formed[INDEX], f"{key_id}.form"), _broken(long[INDEX], f"{key_id}.length")]


def _is_ill_formed(name: str) -> pl.Expr:
    key = pl.col(name)
    return (key != key.str.strip_chars()) | key.str.contains(_INVISIBLE) | (key != key.str.normalize("NFC"))


def _text_keys(table: TableSpec) -> list[str]:
    return [name for name in table.key if table.columns[name] == pl.String]


def _sharing_a_key(table: TableSpec, typed: pl.DataFrame) -> pl.DataFrame:
    """Index, `key` and `folded` of the rows that share a key, or nearly, with others of their day.

    `folded` is the key without the differences of case and Unicode form.
    """
    key, texts = ["dt", *table.key], _text_keys(table)
    folded = typed.select(INDEX, *key).drop_nulls()
    folded = folded.with_columns(_folded(folded[name]).alias(f"folded {name}") for name in texts)
    like = ["dt", *(f"folded {name}" if name in texts else name for name in table.key)]
    keys = folded.sort(like)
    again = keys.filter(pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in like))
    members = keys.join(again, on=like, how="semi")
    return members.select(INDEX, key=pl.struct(key), folded=pl.struct(like))


def _folded(texts: pl.Series) -> pl.Series:
    """Texts in lower case; those with other than ASCII characters case-folded, in their compatible form (NFKC)."""
    others = texts.str.contains(r"[^\x00-\x7F]")
    if not others.any():
        return texts.str.to_lowercase()
    values = texts.filter(others).unique()
    folds = {value: unicodedata.normalize("NFKC", value.casefold()).casefold() for value in values}
    return texts.str.to_lowercase().zip_with(~others, texts.replace(folds))


def _contents(readable: pl.DataFrame) -> pl.DataFrame:
    """Index and `content`, all text, of each row."""
    text = [name for name in readable.columns if name not in {INDEX, *ENGINE_COLUMNS}]
    return readable.select(INDEX, content=pl.struct(text))

"""What people see of text that may be anything."""

from __future__ import annotations

import polars as pl
import pytest

from include.lifecycle.ingestion.quarantine import _INVISIBLE
from include.lifecycle.shown import columns_in_words, short, visible


def test_each_character_that_a_key_may_not_have_is_seen() -> None:
    """But for the mark of lost characters, which is seen as it is."""
    characters = pl.Series([chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000])
    invisible = characters.filter(characters.str.contains(_INVISIBLE)).to_list()

    assert {text for text in invisible if visible(text) == text} <= {"\ufffd"}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("caf\u00e9 \u5ba2 \\n <b>", "caf\u00e9 \u5ba2 \\n <b>"),
        ("a\nb\tc\0", r"a\nb\tc\x00"),
        ("\u202ex\u061c\u00ad\u2060\u3164", r"\u202ex\u061c\xad\u2060\u3164"),
        ("\U000e0041\udcff", r"\U000e0041\udcff"),
    ],
)
def test_what_nobody_sees_is_escaped(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_a_long_text_is_cut() -> None:
    assert short("x" * 80) == "x" * 80
    assert short("x" * 81) == "x" * 79 + "\u2026"
    assert short("\0" * 10_000) == (r"\x00" * 20)[:79] + "\u2026"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a"], "the column a"),
        (["a", "\u202eb"], r"the columns a, \u202eb"),
        (list("abcdefg"), "the columns a, b, c, d, e and 2 more"),
        (["", "x" * 200], "the columns '', " + "x" * 79 + "\u2026"),
    ],
)
def test_columns_are_named_in_a_sentence(names: list[str], words: str) -> None:
    assert columns_in_words(names) == words

"""A query from the settings stays within the read-only transaction and the parentheses in which it is run."""

from __future__ import annotations

import pytest

from include.sources.queries import check_is_one_query


@pytest.mark.parametrize(
    "query",
    [
        "select 1",
        "select 1 ; \n",
        "select ')' from t where (a = 'don''t')",
        'select "a)" from t -- don\'t (\n where (true)',
        "select /* ( ' */ 1",
        "select a from t where b ~ '^\\d+$'",
    ],
)
def test_one_query_is_let_through(query: str) -> None:
    check_is_one_query(query)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("select 1; commit; delete from t", "has a semicolon before its end"),
        ("select 1;;", "has a semicolon before its end"),
        ("select 1) to program 'touch pwned' --", "has parentheses that do not match"),
        ("select 1) to program 'touch pwned' (", "has parentheses that do not match"),
        ("select (1", "has parentheses that do not match"),
        ("select e'\\') to program ''id'' --'", "has quotes"),
        ("select $$'$$) to program $$'$$", "has quotes"),
        ("select $a$'$a$) to program 'id' --", "has quotes"),
        ("select /* /* */ ' */ 1) to program 'id' --", "has quotes"),
        ("select 'a", "has quotes"),
        ("select /* 1", "has quotes"),
    ],
)
def test_what_could_leave_its_place_is_refused(query: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_is_one_query(query)

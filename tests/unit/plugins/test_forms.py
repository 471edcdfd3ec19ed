"""What a form takes, the tasks can use; what a form does not have is not ignored."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Param
from airflow.sdk.exceptions import ParamValidationError
from hypothesis import given
from hypothesis import strategies as st

from ml_lifecycle.form_values import refuse_unknown_fields, text, whole_number
from ml_lifecycle.forms import LONGEST_TEXT, text_field, version_field

JSON = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers().map(float),
    st.floats(allow_nan=False),
    st.text(alphabet=st.characters(), max_size=600),
    st.sampled_from(["", "  ", "a\0b", "\ud800", "<script>alert(1)</script>", "x" * 501]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


def accepted(field: Param, value: Any) -> bool:
    try:
        field.resolve(value)
    except ParamValidationError:
        return False
    return True


@given(value=JSON)
def test_a_version_is_refused_or_a_whole_number_that_a_database_takes(value: Any) -> None:
    if accepted(version_field("Which?"), value):
        version = whole_number({"version": value}, "version")

        assert version is None or (type(version) is int and 1 <= version < 2**31)


@given(value=JSON)
def test_a_text_is_refused_or_one_that_a_database_takes(value: Any) -> None:
    if accepted(text_field("Reason", "Why?"), value):
        reason = text({"reason": value}, "reason")

        assert "\0" not in reason
        assert len(reason) <= LONGEST_TEXT
        assert reason.encode().decode() == reason


@pytest.mark.parametrize("reason", ["Dearer gas.", "two\nlines", "\U0001f600 \u4ef7\u683c", "<b>5 > 4</b>", None])
def test_a_reason_may_be_any_text_of_a_person(reason: str | None) -> None:
    assert accepted(text_field("Reason", "Why?"), reason)


def test_a_field_that_the_form_lacks_is_named() -> None:
    dag = SimpleNamespace(dag_id="orders_etl", params={"day": None, "last_day": None})
    run = SimpleNamespace(conf={"day": "2026-01-05", "last-day": "2026-01-09"})

    with pytest.raises(ValueError, match=r"\['last-day'\], which the form of orders_etl does not have"):
        refuse_unknown_fields({"dag": dag, "dag_run": run})


@pytest.mark.parametrize("conf", [None, {}, {"day": "2026-01-05"}])
def test_the_form_s_own_fields_are_no_fault(conf: dict[str, str] | None) -> None:
    dag = SimpleNamespace(dag_id="orders_etl", params={"day": None})

    refuse_unknown_fields({"dag": dag, "dag_run": SimpleNamespace(conf=conf)})

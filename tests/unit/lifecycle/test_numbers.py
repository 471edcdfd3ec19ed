"""Numbers as texts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.numbers import distinct_texts


@given(
    st.lists(
        st.none() | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6), max_size=5
    )
)
def test_different_numbers_look_different(values: list[float | None]) -> None:
    texts = distinct_texts(values)

    assert [text is None for text in texts] == [value is None for value in values]
    numbers = {value + 0.0 for value in values if value is not None}
    assert len({text for text in texts if text is not None}) == len(numbers)

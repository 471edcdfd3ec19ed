from __future__ import annotations

import pytest

from include.lifecycle.modelling.bootstrap import interval_ends, samples_for


@pytest.mark.parametrize(
    ("level", "samples"),
    [(0.05, 200), (0.03, 334), (0.05 / 9, 1800), (0.0005, 20_000), (0.00049, 20_000), (1e-9, 20_000)],
)
def test_five_samples_lie_beyond_each_end_of_an_interval_as_far_as_memory_allows(
    level: float, samples: int
) -> None:
    assert samples_for(level) == samples


def test_an_interval_leaves_out_half_its_level_at_each_end() -> None:
    assert interval_ends([float(value) for value in range(101)], level=0.1) == (5.0, 95.0)

"""The reference of the specs says what their fields say."""

from __future__ import annotations

from pathlib import Path

from include.lifecycle import specs
from include.lifecycle.specs import Spec, reference

ROOT = Path(__file__).parents[3]


def test_the_reference_of_the_specs_is_up_to_date() -> None:
    assert (ROOT / reference.PAGE).read_text() == reference.page(), (
        "docs/specs.md is not what the specs say: run python -m include.lifecycle.specs.reference"
    )


def test_each_spec_that_a_dataset_or_model_may_have_is_in_it() -> None:
    exported = [getattr(specs, name) for name in specs.__all__]
    expected = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, Spec)}

    # The fields of GateLimits are among those of GateSpec.
    assert set(reference.SPECS) == expected - {Spec, specs.Extracted, specs.GateLimits}

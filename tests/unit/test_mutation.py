"""Mutation testing changes what it should, and tells a test that notices from one that does not."""

from __future__ import annotations

import logging
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.__main__ import HERE, targets
from tests.mutation.mutants import mutants, names
from tests.mutation.runner import ROOT

SOURCE = '''
"""1 + 1"""
from __future__ import annotations

LIMIT: int = 3


def share(part: int, whole: int | None = None) -> float:
    """2 * 2"""
    if not whole or part > LIMIT:
        raise ValueError(f"{part + 1} is too much")
    log.info("%d", part - 1)
    return max(part, 0) / whole
'''

CHANGES = [
    "3 → 4",
    "not not whole or part > LIMIT",
    "not whole or part > LIMIT → not whole and part > LIMIT",
    "not whole → whole",
    "part > LIMIT → part >= LIMIT",
    "part > LIMIT → part <= LIMIT",
    "pass",
    "return None",
    "max(part, 0) / whole → max(part, 0) * whole",
    "max(part, 0) → min(part, 0)",
    "0 → 1",
]


def test_signs_bounds_constants_and_answers_are_changed_and_texts_and_annotations_are_not(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(SOURCE)

    found = list(mutants(module))

    assert [mutant.change for mutant in found] == CHANGES
    assert [mutant.name for mutant in found] == names(module)
    assert found[-1].name == "share: return max(part, 0) / whole  [0 → 1]"


@pytest.mark.parametrize(
    ("change", "part", "answer"), [("0 → 1", 0, 0.5), (CHANGES[8], 3, 6), (CHANGES[7], 3, None)]
)
def test_a_mutant_is_the_module_with_one_change(
    change: str, part: int, answer: float | None, tmp_path: Path
) -> None:
    module = tmp_path / "module.py"
    module.write_text(SOURCE)
    [mutant] = [mutant for mutant in mutants(module) if mutant.change == change]

    names: dict[str, Any] = {"log": logging.getLogger()}
    exec(mutant.code, names)

    assert names["share"](part, 2) == answer


def test_each_survivor_with_a_reason_is_a_mutant_of_a_target() -> None:
    listed = tomllib.loads((HERE / "survivors.toml").read_text())["survivor"]
    known = {target.module: names(ROOT / target.module) for target in targets([])}

    assert [each["mutant"] for each in listed if each["mutant"] not in known[each["module"]]] == []


def test_the_decisions_of_churn_leave_no_mutant_alive() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutation", "churn/decisions"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 survivors without a reason" in done.stdout

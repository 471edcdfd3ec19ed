"""docs/reliability.md has a row for each disturbance that `make chaos` runs, and no other."""

from __future__ import annotations

import re

from include.stack.settings import PROJECT_DIR
from tests.chaos.test_chaos import DISTURBANCES


def test_the_table_names_each_disturbance_once() -> None:
    page = (PROJECT_DIR / "docs" / "reliability.md").read_text()

    named = re.findall(r"^\|.*\| `([a-z0-9-]+)` \|$", page, re.MULTILINE)

    assert sorted(named) == sorted(DISTURBANCES)

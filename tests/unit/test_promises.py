"""docs/promises.md has a row for each promise that the project makes first of all, and names tests that exist."""

from __future__ import annotations

import re

from include.stack.settings import PROJECT_DIR

PAGE = PROJECT_DIR / "docs" / "promises.md"
TITLES = [
    "honest gate",
    "promotion ledger and rollback",
    "leak-safe backfill",
    "human approval",
    "row quarantine",
    "gates that block",
    "prediction contract",
    "three-way drift verdict",
    "closed loop",
    "delayed labels",
    "behaviour tests",
    "offline first run",
]


def rows() -> list[list[str]]:
    """The cells of each row of the page's tables, without their heads."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "promise"]


def test_the_page_begins_with_the_twelve_promises_in_their_order() -> None:
    named = [found[1] for row in rows() if (found := re.match(r"\*\*(.+?)\*\*: ", row[0]))]

    assert list(dict.fromkeys(named)) == TITLES
    assert all(row[0].startswith("**") for row in rows()[: len(named)])


def test_each_promise_names_tests_that_exist_and_says_how_they_were_seen_red() -> None:
    for row in rows():
        promise, tests, seen_red = row
        files = re.findall(r"`(tests/[^`]+\.py)`", tests)
        assert files, promise
        assert seen_red, promise
        assert [file for file in files if not (PROJECT_DIR / file).is_file()] == [], promise

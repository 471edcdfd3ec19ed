"""`make new` writes so little that a person reads all of it: fewer than 120 lines with tests and settings."""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path

import pytest

from include.scaffold.__main__ import CATALOG, PROJECT, SETTINGS, main

STORES = "date,store,region,demand,price,promo,stock,open\n" + "".join(
    f"2026-{month:02d}-{day:02d},S{store},{('north', 'south')[store % 2]},{50 + (7 * day + store) % 11}.5,"
    f"{3 + store}.25,{day % 2},{(31 * day + month) % 97},{('true', 'false')[day % 3 == 0]}\n"
    for month in range(1, 8)
    for day in range(1, 29)
    for store in range(3)
)
PEOPLE = "date,member,plan,city,spend,visits,age,left\n" + "".join(
    f"2026-{month:02d}-{day:02d},M{member},{('gold', 'basic')[member % 2]},{('Bonn', 'Ulm')[member % 3 == 0]},"
    f"{(member * 31 + day) % 97}.5,{day % 7},{20 + member % 50},"
    f"{'no' if (member * 7 + month * 31 + day) % 60 else 'yes'}\n"
    for month in range(1, 4)
    for day in range(1, 29)
    for member in range(100)
)


def added_lines(project: Path) -> int:
    """Lines of all files in the project that are not in ours, as `git diff --numstat` counts them."""
    total = 0
    for path in sorted(project.rglob("*")):
        if path.suffix in (".py", ".yaml"):
            ours = PROJECT / path.relative_to(project)
            before = ours.read_text().splitlines() if ours.exists() else []
            diff = difflib.unified_diff(before, path.read_text().splitlines(), n=0, lineterm="")
            total += sum(line.startswith("+") and not line.startswith("+++") for line in diff)
    return total


@pytest.mark.parametrize(("text", "label"), [(STORES, "demand"), (PEOPLE, "left")])
def test_a_file_of_eight_columns_takes_fewer_than_120_lines(text: str, label: str, tmp_path: Path) -> None:
    project, csv = tmp_path / "project", tmp_path / "data.csv"
    (project / "include").mkdir(parents=True)
    for name in (CATALOG, SETTINGS, "pyproject.toml"):
        shutil.copy(PROJECT / name, project / name)
    csv.write_text(text)
    given = ["--dataset", "orders", "--model", "forecast", "--csv", str(csv), "--label", label]

    assert main([*given, "--project", str(project)]) == 0

    assert 80 < added_lines(project) < 120

"""CI runs every test, and a skip takes none away unseen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CI = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
# These take hours, or a server's Docker for themselves: `make chaos`, `make mutants`.
ELSEWHERE = {"chaos", "mutation"}
TESTS = """
import pytest

@pytest.mark.skipif(True, reason={reason!r})
def test_something(): ...
"""


def test_the_jobs_of_ci_together_run_all_tests() -> None:
    commands = " ".join(step.get("run", "") for job in CI["jobs"].values() for step in job["steps"])
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in ROOT.glob("tests/*/**/test_*.py")}

    assert list(CI["jobs"]) == ["lint", "unit", "integration", "e2e"]
    assert {folder for folder in folders if f"tests/{folder}" not in commands} == ELSEWHERE & folders


def test_ci_fails_on_skips() -> None:
    assert CI["env"] == {"FAIL_ON_SKIP": "1"}


@pytest.mark.parametrize(
    ("reason", "asked", "passes"),
    [
        ("nginx is not installed", "1", False),
        ("nginx is not installed", "", True),
        ("the real prices ohlcv/ are not here", "1", True),
    ],
)
@pytest.mark.parametrize("whole_file", [False, True])
def test_a_skip_for_another_reason_than_those_named_fails_where_that_is_asked(
    tmp_path: Path, reason: str, asked: str, passes: bool, whole_file: bool
) -> None:
    content = f"import pytest\npytest.skip({reason!r}, allow_module_level=True)\n" if whole_file else ""
    (tmp_path / "test_some.py").write_text(content or TESTS.format(reason=reason))
    (tmp_path / "test_other.py").write_text("def test_other(): ...\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.skips", "-c", os.devnull, "-p", "no:cacheprovider"]

    done = subprocess.run(
        [*command, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"FAIL_ON_SKIP": asked},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode == 0) == passes, done.stdout
    assert ("tests/skips.py does not name this" in done.stdout) != passes

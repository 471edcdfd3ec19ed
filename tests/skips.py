"""Where FAIL_ON_SKIP is set, as in CI, a test that is skipped for a reason that is not named here has failed.

Else a program that CI lacks would silently take its tests away.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from typing import TypeVar

import pytest

# Public data that the repository does not ship; tests with generated data of the same form run everywhere.
ALLOWED = (r"the real prices .*are not here",)

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def fail_on_skip(report: Report) -> Report:
    """The report, as that of a failure where the test was skipped and should not have been."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return report
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if not any(re.search(allowed, reason) for allowed in ALLOWED):
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} {reason!r}: FAIL_ON_SKIP is set, and tests/skips.py does not name this."
        )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of a test."""
    report = yield
    return fail_on_skip(report) if os.environ.get("FAIL_ON_SKIP") else report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Of a file that is skipped as a whole."""
    report = yield
    return fail_on_skip(report) if os.environ.get("FAIL_ON_SKIP") else report

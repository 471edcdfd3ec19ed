"""Run tests against mutants, each in a process forked from one that has imported libraries, but no module of ours.

A polars or OpenMP that had worked before the fork would hang after it, so the parent only imports.
"""

from __future__ import annotations

import gc
import importlib
import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Literal

import pytest

from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
LIBRARIES = (
    "boto3",
    "exchange_calendars",
    "hypothesis",
    "numpy",
    "optuna",
    "pandas",
    "polars",
    "psycopg2",
    "pytest_timeout",
    "pyarrow.parquet",
    "pydantic",
    "scipy.stats",
    "skfolio.optimization",
    "sklearn.calibration",
    "sklearn.ensemble",
    "sklearn.metrics",
    "skops.io",
    "talib",
)
WAIT_SECONDS = 0.02

Fate = Literal["killed", "survived", "too slow"]


class MutationError(RuntimeError):
    """The tests cannot judge mutants."""


@dataclass(frozen=True)
class Target:
    """A module, by its path, and the tests that are to notice changes of it."""

    module: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class _Child:
    mutant: Mutant
    ends_by: float


def import_libraries() -> None:
    """What every child needs and would else import for itself."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()


def fates(target: Target, workers: int) -> Iterator[tuple[Mutant, Fate]]:
    """What becomes of each mutant of a target, in the order in which that is known.

    Raises
    ------
    MutationError
        If the tests fail on the module as it is.
    """
    start = time.monotonic()
    _, status = os.waitpid(_start(target, None), 0)
    if os.waitstatus_to_exitcode(status):
        raise MutationError(f"{' '.join(target.tests)} fail on {target.module} as it is; run them with pytest.")
    limit = 30 + 10 * (time.monotonic() - start)
    waiting = list(mutants(ROOT / target.module))[::-1]
    children: dict[int, _Child] = {}
    while waiting or children:
        while waiting and len(children) < workers:
            mutant = waiting.pop()
            children[_start(target, mutant.code)] = _Child(mutant, time.monotonic() + limit)
        time.sleep(WAIT_SECONDS)
        for pid in list(children):
            if fate := _fate(pid, children[pid]):
                yield children.pop(pid).mutant, fate


def _fate(pid: int, child: _Child) -> Fate | None:
    """None while it is not known."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        _end_group(pid)
        return "killed" if os.waitstatus_to_exitcode(status) else "survived"
    if time.monotonic() < child.ends_by:
        return None
    _end_group(pid)
    os.waitpid(pid, 0)
    return "too slow"


def _end_group(pid: int) -> None:
    """End a child and the servers that it has started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _start(target: Target, code: CodeType | None) -> int:
    """The id of a process that runs the tests, with `code` in place of the module's own."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setpgid(0, 0)
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        if code is not None:
            sys.meta_path.insert(0, _Finder(target.module, code))
        status = _test(target.tests)
    finally:
        os._exit(status)


def _test(tests: Sequence[str]) -> int:
    from hypothesis import settings

    settings.register_profile("mutation", derandomize=True, database=None, deadline=None)
    settings.load_profile("mutation")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return int(
        pytest.main(["-x", "-q", "-p", "pytest_timeout", "-p", "no:cacheprovider", "--assert=plain", *tests])
    )


class _Finder(importlib.machinery.PathFinder):
    """Finds the mutant where the module is asked for."""

    def __init__(self, module: str, code: CodeType) -> None:
        self.path = str(ROOT / module)
        self.name = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.code = code

    def find_spec(  # type: ignore[override]
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of the mutant, or None for every other module."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=_Loader(name, self.path, self.code))


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self.code = code

    def get_code(self, fullname: str) -> CodeType:
        """The mutant's code."""
        return self.code

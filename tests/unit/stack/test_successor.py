"""What a killed program leaves running is ended by its next start, and nothing else is."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from include.stack.processes import MARKER, PROGRAM

ROOT = Path(__file__).parents[3]
# Forks a worker that waits for work, as the scheduler does, notes both and waits.
FORKING = """
import os, sys, time
worker = os.fork()
if worker:
    open(sys.argv[1], "w").write(f"{os.getpid()} {worker}")
time.sleep(300)
"""
Start = Callable[[str, str], list[psutil.Process]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program of a stack by way of the successor; returns it and its worker."""
    started: list[psutil.Process] = []

    def _start(state_dir: str, program: str) -> list[psutil.Process]:
        note = tmp_path / f"{len(started)}"
        command = [sys.executable, "-m", "include.stack.successor", sys.executable, "-c", FORKING, str(note)]
        marks = {**os.environ, MARKER: state_dir, PROGRAM: program}
        subprocess.Popen(command, cwd=ROOT, env=marks, start_new_session=True)
        deadline = time.monotonic() + 60
        while not (note.exists() and note.read_text().count(" ")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        found = [psutil.Process(int(pid)) for pid in note.read_text().split()]
        started.extend(found)
        return found

    yield _start
    for process in started:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_the_next_start_ends_what_a_killed_program_left(start: Start) -> None:
    # given
    scheduler, worker = start("/stack", "scheduler")
    scheduler.send_signal(signal.SIGKILL)
    scheduler.wait(10)
    assert _lives(worker)

    # when
    successor = start("/stack", "scheduler")

    # then
    assert not _lives(worker)
    assert all(map(_lives, successor))


@pytest.mark.parametrize(("state_dir", "program"), [("/another stack", "scheduler"), ("/stack", "triggerer")])
def test_other_stacks_and_other_programs_are_left_alone(start: Start, state_dir: str, program: str) -> None:
    # given
    others = start(state_dir, program)

    # when
    start("/stack", "scheduler")

    # then
    assert all(map(_lives, others))

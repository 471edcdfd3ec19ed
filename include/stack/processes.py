"""The environment that every process of a stack inherits, and finding and ending them by the mark in it."""

import os
from collections.abc import Sequence
from contextlib import suppress

import psutil

from include.stack.settings import HOST, StackSettings

MARKER = "ML_STACK_STATE_DIR"
PROGRAM = "ML_STACK_PROGRAM"
MISLEADING = ("AIRFLOW_", "AWS_", "MLFLOW_", "PG", "PYTHON", "RCLONE_")


def environment(settings: StackSettings) -> dict[str, str]:
    """Return the caller's environment with this stack's mark, without what would lead its programs astray."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(MISLEADING)}
    direct = ",".join(filter(None, (kept.get("no_proxy"), HOST, "localhost")))
    return {
        **kept,
        "no_proxy": direct,
        "NO_PROXY": direct,
        MARKER: str(settings.state_dir),
        "SPT_NOENV": "1",  # programs that rename themselves must not overwrite the mark
        # rclone wants its keys quoted, and quotes cannot be written into the supervisor's configuration
        "RCLONE_AUTH_KEY": f'"{settings.s3_access_key},{settings.s3_secret_key}"',
    }


def leftovers(settings: StackSettings) -> list[psutil.Process]:
    """Return the living processes of this stack, found by the mark that each inherits from its supervisor."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and mark(process) == str(settings.state_dir)
    ]


def end_leftovers(settings: StackSettings) -> None:
    """End the processes that outlived their supervisor, such as a task in a process group of its own."""
    end(leftovers(settings))


def left_by_predecessor(state_dir: str, program: str) -> list[psutil.Process]:
    """Return the living processes that an earlier start of a program of the stack has left.

    They are found by the marks that each inherits: the stack's state folder and the program's name.
    """
    ours = psutil.Process().parents()
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid()
        and process not in ours
        and mark(process) == state_dir
        and mark(process, PROGRAM) == program
    ]


def end(remaining: Sequence[psutil.Process]) -> None:
    """End processes, those that do not go within five seconds by force."""
    for process in remaining:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(remaining, timeout=5)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=5)


def mark(process: psutil.Process, name: str = MARKER) -> str | None:
    """Return the state folder of the stack that a process belongs to, or another of its marks, or None."""
    try:
        found: str | None = process.environ().get(name)
    except (psutil.Error, OSError):
        return None
    return found

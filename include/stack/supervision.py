"""The process supervisor: how to start it, ask it and end it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from include.stack.configuration import (
    configuration,
    configuration_file,
    log_file,
    refuse_unwritable_paths,
    socket_path,
)
from include.stack.errors import StackError
from include.stack.processes import end_leftovers, environment, mark
from include.stack.programs import Program
from include.stack.services import write_private
from include.stack.settings import HOST, StackSettings

STORAGE = ("postgres", "s3")
ACTIVE_STATES = ("STARTING", "RUNNING", "BACKOFF")


def log_tail(settings: StackSettings, program: str, lines: int = 15) -> str:
    """Return the last lines that a program wrote."""
    path = log_file(settings, program)
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""


def is_current(settings: StackSettings, programs: Iterable[Program]) -> bool:
    """Say whether the running supervisor was started with these settings and programs."""
    file = configuration_file(settings)
    return file.exists() and file.read_text() == configuration(settings, programs)


def launch(settings: StackSettings, programs: Iterable[Program]) -> None:
    """Start the supervisor in the background, with nothing running yet, unless it is there already.

    Raises
    ------
    StackError
        If the supervisor does not come up, or a path cannot be written into its configuration.
    """
    if is_running(settings):
        return
    refuse_unwritable_paths(settings)
    _make_socket_folder(settings)
    write_private(configuration_file(settings), configuration(settings, programs))
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration_file(settings))]
    done = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"The process supervisor did not start: {(done.stderr or done.stdout).strip()}")
    _wait_while(lambda: not is_running(settings), seconds=15)
    if not is_running(settings):
        raise StackError(f"The process supervisor does not answer: {log_tail(settings, 'supervisor')}")


def start_programs(settings: StackSettings, programs: Iterable[Program]) -> set[str]:
    """Ask for the start of those of the programs that are not running, and return their names at once."""
    active = active_programs(settings)
    inactive = [program.name for program in programs if program.name not in active]
    for name in inactive:
        _rpc(settings).startProcess(name, False)
    return set(inactive)


def active_programs(settings: StackSettings) -> set[str]:
    """Return the names of the programs that run or are being started."""
    return {state["name"] for state in states(settings) if state["statename"] in ACTIVE_STATES}


def states(settings: StackSettings) -> list[dict[str, Any]]:
    """Return the supervisor's view of each program (name, statename, pid, start, now, ...); empty if it is off."""
    try:
        return cast(list[dict[str, Any]], _rpc(settings).getAllProcessInfo())
    except (OSError, Fault):
        return []


def is_running(settings: StackSettings) -> bool:
    """Say whether this stack's supervisor answers."""
    return bool(states(settings))


def shutdown(settings: StackSettings) -> None:
    """End every program, those that use the database first, then the supervisor, then what is left of them."""
    for name in active_programs(settings) - set(STORAGE):
        with suppress(Fault):  # it ended in this very moment
            _rpc(settings).stopProcess(name, False)
    _wait_while(lambda: any(state["statename"] == "STOPPING" for state in states(settings)))
    with suppress(OSError, Fault):
        _rpc(settings).shutdown()
    _wait_while(lambda: _supervisor_process(settings) is not None)
    end_leftovers(settings)
    _remove_socket_folder(settings)


def _rpc(settings: StackSettings) -> Any:
    transport = SupervisorTransport(None, None, f"unix://{socket_path(settings)}")
    return ServerProxy(f"http://{HOST}", transport=transport).supervisor


def _supervisor_process(settings: StackSettings) -> psutil.Process | None:
    try:
        process = psutil.Process(int((settings.run_dir / "supervisor.pid").read_text()))
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None
    return process if mark(process) == str(settings.state_dir) else None


def _wait_while(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def _make_socket_folder(settings: StackSettings) -> None:
    folder = socket_path(settings).parent
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise StackError(f"{folder} belongs to another user: remove it, or set ML_STATE_DIR to another folder.")


def _remove_socket_folder(settings: StackSettings) -> None:
    folder = socket_path(settings).parent
    if folder != settings.run_dir:
        shutil.rmtree(folder, ignore_errors=True)

"""The process supervisor's configuration file, and the paths in it."""

import hashlib
import os
import shlex
from collections.abc import Iterable
from configparser import RawConfigParser
from io import StringIO
from pathlib import Path

from include.stack.errors import StackError
from include.stack.programs import Program
from include.stack.settings import StackSettings

SOCKET_PATH_LIMIT = 107
SPARE_FOR_PROCESS_ID = 12
UNWRITABLE = ('"', "\n", " ;", " #", ":")


def configuration(settings: StackSettings, programs: Iterable[Program]) -> str:
    """Return its text: nothing starts by itself, everything is restarted when it crashes."""
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keep the case of names
    parser["unix_http_server"] = {"file": _literal(str(socket_path(settings))), "chmod": "0700"}
    parser["supervisord"] = _supervisor_section(settings)
    parser["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for program in programs:
        parser[f"program:{program.name}"] = _program_section(settings, program)
    text = StringIO()
    parser.write(text)
    return text.getvalue()


def _supervisor_section(settings: StackSettings) -> dict[str, str]:
    section = {
        "logfile": _literal(str(log_file(settings, "supervisor"))),
        "logfile_maxbytes": "5MB",
        "logfile_backups": "1",
        "pidfile": _literal(str(settings.run_dir / "supervisor.pid")),
        "directory": _literal(str(settings.project_dir)),
    }
    return section | ({"user": "root"} if os.geteuid() == 0 else {})


def _program_section(settings: StackSettings, program: Program) -> dict[str, str]:
    return {
        "command": _literal(shlex.join(program.command)),
        "environment": _literal(",".join(f'{name}="{value}"' for name, value in program.environment.items())),
        "directory": _literal(str(settings.project_dir)),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "2",
        "startretries": "3",
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_seconds),
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _literal(_literal(str(log_file(settings, program.name)))),  # it is expanded twice
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "2",
    }


def socket_path(settings: StackSettings) -> Path:
    """Return where the supervisor listens; a path too long for a unix socket is replaced by a short one."""
    path = settings.run_dir / "supervisor.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT - SPARE_FOR_PROCESS_ID:
        return path
    key = hashlib.sha256(os.fsencode(settings.state_dir)).hexdigest()[:12]
    return Path("/tmp") / f"ml-stack-{os.geteuid()}-{key}" / "supervisor.sock"


def configuration_file(settings: StackSettings) -> Path:
    """Return the supervisor's configuration file."""
    return settings.run_dir / "supervisor.conf"


def log_file(settings: StackSettings, program: str) -> Path:
    """Return the log file of a program."""
    return settings.log_dir / f"{program}.log"


def refuse_unwritable_paths(settings: StackSettings) -> None:
    """Raise StackError if the project or its state lies where the configuration cannot name it."""
    for path in (settings.project_dir, settings.state_dir):
        if any(text in str(path) for text in UNWRITABLE):
            raise StackError(
                f"The supervisor's configuration cannot hold the path {path}, because it contains one of "
                f"{', '.join(map(repr, UNWRITABLE))}: move the folder."
            )


def _literal(value: str) -> str:
    return value.replace("%", "%%")

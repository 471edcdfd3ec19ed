"""What must be right before anything is started, each with a sentence that says what to do."""

import os
import shutil
import socket
from collections.abc import Iterable
from contextlib import suppress

import psutil

from include.stack.errors import StackError
from include.stack.settings import HOST, StackSettings

FREE_BYTES_NEEDED = 3 * 1024**3
LABELS = {"postgres": "PostgreSQL", "s3": "the S3 server", "mlflow": "MLflow", "airflow": "Airflow"}


def check_disk(settings: StackSettings) -> None:
    """Refuse to start on a disk that would soon be full.

    Raises
    ------
    StackError
        If less than 3 GB are free where the state folder is.
    """
    free = shutil.disk_usage(settings.state_dir).free
    if free < FREE_BYTES_NEEDED:
        raise StackError(
            f"Only {free / 1024**3:.1f} GB are free for {settings.state_dir}, and the stack needs 3 GB: "
            "free some space, or set ML_STATE_DIR to a folder on another disk."
        )


def check_owner(settings: StackSettings) -> None:
    """Refuse to work on a state folder that somebody else made.

    Raises
    ------
    StackError
        If the folder belongs to another user.
    """
    owner = settings.state_dir.stat().st_uid
    if owner != os.geteuid():
        raise StackError(
            f"{settings.state_dir} belongs to user {owner} and you are user {os.geteuid()}: "
            "run as that user, or set ML_STATE_DIR to a folder of your own."
        )


def check_ports(settings: StackSettings, services: Iterable[str]) -> None:
    """Refuse to start a service whose port is in use.

    Raises
    ------
    StackError
        If a port is taken; the sentence names its holder, if it can be seen, and a free port.
    """
    for service in services:
        port = getattr(settings.ports, service)
        if not _is_free(port):
            raise StackError(
                f"Port {port}, meant for {LABELS[service]}, is taken{_holder(port)}. End that program, "
                f"or choose another port: make run ML_{service.upper()}_PORT={_next_free(settings, port)}"
            )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _next_free(settings: StackSettings, port: int) -> int:
    """A free port above `port` that no other service of the stack is meant to have."""
    meant = set(vars(settings.ports).values())
    return next(
        candidate for candidate in range(port + 1, 65536) if candidate not in meant and _is_free(candidate)
    )


def _holder(port: int) -> str:
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            address, listens = connection.laddr, connection.status == psutil.CONN_LISTEN
            if listens and address and address.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""

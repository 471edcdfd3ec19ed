"""Each thing that is measured has a process of its own, so that none pays for what another has left in memory."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

Answer = TypeVar("Answer")


def in_a_new_process(work: Callable[..., Answer], *arguments: Any) -> Answer:
    """What `work` returns when a process that has done nothing else calls it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peak_megabytes() -> float:
    """The most memory that this process held since it started its program."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000

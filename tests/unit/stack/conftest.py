import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from include.stack.settings import Ports, StackSettings


@pytest.fixture(scope="session")
def free_ports() -> Callable[[], Ports]:
    def choose() -> Ports:
        sockets = [socket.socket() for _ in range(4)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        ports = Ports(*(each.getsockname()[1] for each in sockets))
        for each in sockets:
            each.close()
        return ports

    return choose


@pytest.fixture
def settings(tmp_path: Path, free_ports: Callable[[], Ports]) -> StackSettings:
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    return StackSettings(state_dir=state_dir, ports=free_ports())

"""A Prometheus with the rules and the configuration that people run, but for its patience."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import free_port

DEPLOY = Path(__file__).parents[1] / "deploy" / "prometheus"
READY_SECONDS = 60
AT_ONCE = {r"for: \w+": "for: 0s"}
_PROGRAM = shutil.which("prometheus")

needed = pytest.mark.skipif(
    _PROGRAM is None, reason="Prometheus is not installed (Debian: apt-get install prometheus)"
)


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    return list(yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"])


@contextmanager
def running(folder: Path, exporter_port: int, shorter: Mapping[str, str]) -> Iterator[str]:
    """A Prometheus that scrapes every second, once it is ready; gives its address.

    `shorter` is what takes the place of patterns in the rules.
    """
    _configure(folder, exporter_port, shorter)
    address = f"127.0.0.1:{free_port()}"
    files = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    program = subprocess.Popen(
        [str(_PROGRAM), *files, f"--web.listen-address={address}"], stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_ready(f"http://{address}", program)
        yield f"http://{address}"
    finally:
        program.terminate()
        program.wait()


def ask(address: str, query: str) -> list[Any]:
    """The series that a query gives now."""
    url = f"{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return list(json.load(answer)["data"]["result"])


def _configure(folder: Path, exporter_port: int, shorter: Mapping[str, str]) -> None:
    text = (DEPLOY / "alerts.yml").read_text()
    for pattern, replacement in shorter.items():
        text = re.sub(pattern, replacement, text)
    (folder / "alerts.yml").write_text(text)
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{exporter_port}"]
    del config["alerting"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))


def _wait_until_ready(address: str, program: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        assert program.poll() is None, "Prometheus has ended."
        try:
            with urllib.request.urlopen(f"{address}/-/ready", timeout=5):
                return
        except OSError:  # refused, or reset while it starts
            time.sleep(0.2)
    raise AssertionError(f"Prometheus was not ready after {READY_SECONDS} seconds.")

"""A lake in a temporary folder, on an S3 server of its own."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from include.lifecycle.storage.lake import Lake

BUCKET = "ml-lake"
_START_SECONDS = 30.0


@contextmanager
def scratch_lake() -> Iterator[Lake]:
    """An empty lake, gone at the end.

    Raises
    ------
    TimeoutError
        If its server does not start.
    """
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    with TemporaryDirectory() as folder:
        (Path(folder) / BUCKET).mkdir()
        address = f"127.0.0.1:{_free_port()}"
        rclone = Path(sys.executable).with_name("rclone")
        server = subprocess.Popen(
            [rclone, "serve", "s3", "--auth-key", f"{key},{secret}", "--addr", address, folder],
            stderr=subprocess.DEVNULL,
        )
        try:
            client = boto3.client(
                "s3",
                endpoint_url=f"http://{address}",
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                region_name="us-east-1",
            )
            _wait_for(client)
            yield Lake(client, BUCKET)
        finally:
            server.terminate()
            server.wait()


def _wait_for(client: Any) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            client.list_buckets()
            return
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"The S3 server did not start within {_START_SECONDS:.0f} seconds.") from error
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

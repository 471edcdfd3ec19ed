"""The S3 server's folder, written without the server, and a count of what a client asks the server for."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from botocore.response import StreamingBody

from include.lifecycle.storage.lake import MANIFEST

KINDS = ("GET manifest", "GET file", "LIST", "PUT", "DELETE")
_KIND_OF = {"ListObjectsV2": "LIST", "PutObject": "PUT", "DeleteObject": "DELETE", "DeleteObjects": "DELETE"}


class FolderClient:
    """As much of a boto3 client as the lake uses, on the folder that the S3 server serves.

    A history of ten years is 100,000 small files: through the server they would take many times longer.
    """

    class exceptions:  # noqa: N801, boto3's name
        """The errors, where boto3 has them."""

        class NoSuchKey(Exception):  # noqa: N818
            """There is no such object."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        """The bytes of a file, and when it was written."""
        path = self.root / Bucket / Key
        try:
            body = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self.exceptions.NoSuchKey(Key) from error
        return {"Body": StreamingBody(BytesIO(body), len(body)), "LastModified": _written(path.stat())}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **_: Any) -> None:
        """Write a file."""
        path = self.root / Bucket / Key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Body)

    def get_paginator(self, _: str) -> FolderClient:
        """Itself: it lists on one page."""
        return self

    def paginate(self, *, Bucket: str, Prefix: str, StartAfter: str = "", **_: Any) -> Iterator[dict[str, Any]]:
        """One page with the files whose keys start with `Prefix` and follow `StartAfter`."""
        root = self.root / Bucket
        files = _files(root, root / Path(Prefix + "x").parent, Prefix, StartAfter)
        yield {
            "Contents": sorted(
                (_Listed(root / key, key, status) for key, status in files),
                key=lambda item: str(item["Key"]),
            )
        }


class _Listed(dict[str, Any]):
    """What the S3 server's listing says of a file; its bytes are hashed when somebody asks for the ETag."""

    def __init__(self, path: Path, key: str, status: os.stat_result) -> None:
        written = datetime.fromtimestamp(status.st_mtime_ns // 10**6 / 1000, UTC)
        super().__init__(Key=key, Size=status.st_size, LastModified=written)
        self.path = path

    def __missing__(self, name: str) -> str:
        if name != "ETag":
            raise KeyError(name)
        return hashlib.md5(self.path.read_bytes(), usedforsecurity=False).hexdigest()


def _files(root: Path, folder: Path, prefix: str, start_after: str) -> Iterator[tuple[str, os.stat_result]]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            key = os.path.relpath(entry.path, root)
            if entry.is_dir():
                if f"{key}/~" > start_after and (key.startswith(prefix) or prefix.startswith(key)):
                    yield from _files(root, Path(entry.path), prefix, start_after)
            elif key.startswith(prefix) and key > start_after:
                yield key, entry.stat()


def _written(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(int(status.st_mtime), UTC)


@dataclass
class Cost:
    """Requests by kind, processor seconds of this process, and seconds that passed."""

    requests: Counter[str] = field(default_factory=Counter)
    processor: float = 0.0
    passed: float = 0.0

    @property
    def total(self) -> int:
        """All requests."""
        return self.requests.total()


class Meter:
    """Counts the requests of a boto3 client, by the stage that is at work.

    Every page of a listing and every try again is a request.
    """

    def __init__(self, client: Any) -> None:
        self.costs: dict[str, Cost] = {}
        self._asked: list[str] = []  # appended to by several threads at once, which a Counter does not bear
        client.meta.events.register("before-send.s3", self._count)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """All that the block asks for is counted for the stage."""
        self._asked.clear()
        passed, processor = time.perf_counter(), time.process_time()
        yield
        cost = self.costs.setdefault(name, Cost())
        cost.passed += time.perf_counter() - passed
        cost.processor += time.process_time() - processor
        cost.requests.update(self._asked)

    def _count(self, request: Any, event_name: str, **_: Any) -> None:
        operation = event_name.rsplit(".", 1)[-1]
        of_get = "GET manifest" if request.url.split("?")[0].endswith(f"/{MANIFEST}") else "GET file"
        self._asked.append(_KIND_OF.get(operation, of_get))

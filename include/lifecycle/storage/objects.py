"""Objects of an S3 bucket: listed, and read and written whole."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp

# Boto3's transfers in parts start threads for each file, which takes longer than a small file itself.
_ONE_REQUEST_BYTES = 2**23
_BLOCK_BYTES = 2**20
PAGE_SIZE = 1000  # the most that S3 gives
_NOT_FOUND = ("404", "NoSuchKey")


def read_times_fast(session: Any) -> None:
    """Let the clients that a boto3 session makes from now on lose no time over the times in a listing.

    Botocore guesses how each is written, which takes four times as long as all else that it does with a listing.
    """
    parsers = session._session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=parse_time)


def parse_time(text: Any) -> datetime:
    """A moment in an answer of S3: in a listing `2026-03-02T04:00:00.000Z`, elsewhere as botocore reads it."""
    if isinstance(text, str) and text.endswith("Z"):
        return datetime.fromisoformat(text)
    moment: datetime = parse_timestamp(text)
    return moment


@dataclass(frozen=True)
class Bucket:
    """A bucket and a boto3 S3 client to reach it with."""

    client: Any
    bucket: str

    def uri(self, key: str) -> str:
        """`s3://` address of a key."""
        return f"s3://{self.bucket}/{key}"

    def keys(self, prefix: str) -> list[str]:
        """All object keys that start with `prefix`."""
        return [item["Key"] for item in self.objects(prefix)]

    def objects(self, prefix: str, start_after: str = "", page_size: int = PAGE_SIZE) -> Iterator[Any]:
        """`Key`, `Size`, `LastModified` and `ETag` of all objects that start with `prefix`, as S3 lists them.

        Parameters
        ----------
        page_size : so many come with one request; fewer where the first ones are enough.
        """
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket,
            Prefix=prefix,
            StartAfter=start_after,
            PaginationConfig={"PageSize": page_size},
        )
        for page in pages:
            yield from page.get("Contents", ())

    def read_object(self, key: str) -> bytes | None:
        """The bytes of an object, or None where there is none."""
        try:
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None
        return body

    def object_sha256(self, key: str) -> str | None:
        """SHA-256 of an object's bytes, read in blocks; None where there is no such object."""
        try:
            body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
        except self.client.exceptions.NoSuchKey:
            return None
        digest = hashlib.sha256()
        for block in body.iter_chunks(_BLOCK_BYTES):
            digest.update(block)
        return digest.hexdigest()

    def save(self, key: str, path: Path, size: int) -> bool:
        """Download a whole object of about `size` bytes to a file; False where there is none."""
        if size <= _ONE_REQUEST_BYTES:
            body = self.read_object(key)
            if body is None:
                return False
            path.write_bytes(body)
            return True
        try:
            self.client.download_file(self.bucket, key, str(path))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NOT_FOUND:
                raise
            return False
        return True

    def write_object(self, key: str, body: bytes) -> None:
        """Put an object in one atomic request."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=_content_type(key))

    def upload(self, path: Path, key: str) -> None:
        """Upload a whole file."""
        if path.stat().st_size <= _ONE_REQUEST_BYTES:
            self.write_object(key, path.read_bytes())
        else:
            self.client.upload_file(str(path), self.bucket, key, ExtraArgs={"ContentType": _content_type(key)})


def _content_type(key: str) -> str:
    return mimetypes.guess_type(key)[0] or "application/octet-stream"

"""The buckets that a server's first step makes on an S3 server."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.stack import server_steps
from include.stack.server import Server


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    chosen = {name: f"acme-{uuid.uuid4().hex[:8]}" for name in ("ML_LAKE_BUCKET", "ML_MLFLOW_BUCKET")}
    for name, bucket in chosen.items():
        monkeypatch.setenv(name, bucket)
    return set(chosen.values())


def listed(client: Any) -> set[str]:
    return {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}


def test_buckets_are_made_where_they_are_missing_and_left_alone_afterwards(
    s3_client: Any, names: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_steps, "s3_client", lambda _: s3_client)
    server = Server(tmp_path / "secrets.json")

    server_steps._create_buckets(server)
    s3_client.put_object(Bucket=server.buckets.lake, Key="greeting", Body=b"hello")
    server_steps._create_buckets(server)

    assert names <= listed(s3_client)
    assert s3_client.get_object(Bucket=server.buckets.lake, Key="greeting")["Body"].read() == b"hello"


def test_a_bucket_that_the_keys_may_not_use_is_not_taken_for_a_missing_one(
    names: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        def head_bucket(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadBucket")

    monkeypatch.setattr(server_steps, "s3_client", lambda _: Refusing())

    with pytest.raises(ClientError, match="403"):
        server_steps._create_buckets(Server(tmp_path / "secrets.json"))

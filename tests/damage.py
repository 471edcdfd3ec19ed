"""The four ways to damage a partition of the lake."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from include.lifecycle.storage.lake import MANIFEST, Lake, Manifest, partition


def delete(lake: Lake, key: str) -> None:
    """Delete an object behind the lake's back."""
    lake.client.delete_object(Bucket=lake.bucket, Key=key)


def flip(lake: Lake, key: str) -> None:
    """Change one bit of an object, whose length stays."""
    body = lake.read_object(key) or b""
    lake.write_object(key, bytes([body[0] ^ 1]) + body[1:])


def _file(manifest: Manifest) -> str:
    return manifest.files[0].name


DAMAGES: dict[str, tuple[Callable[[Lake, str], None], Callable[[Manifest], str]]] = {
    "a file deleted": (delete, _file),
    "a file changed": (flip, _file),
    "the manifest deleted": (delete, lambda _: MANIFEST),
    "the manifest changed": (flip, lambda _: MANIFEST),
}


def damage(lake: Lake, place: tuple[str, date], kind: str) -> str:
    """Damage the partition of a prefix and day in one of the `DAMAGES`; returns the object's key."""
    harm, choose = DAMAGES[kind]
    key = f"{partition(*place)}/{choose(lake.manifest(*place))}"
    harm(lake, key)
    assert lake.intact(*place) is None
    return key

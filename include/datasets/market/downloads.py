"""Price files from an HTTP server, kept in a folder, and asked for again only if they have changed."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from include.datasets.market.price_files import FILE_COLUMNS, text_of

log = logging.getLogger(__name__)

_TRIES = 4
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_TIMEOUT_SECONDS = 30.0
"""For as long the server may say nothing."""

_DEADLINE_SECONDS = 120.0
"""After as long the whole file must be here, however steadily it trickles."""

_MOST_BYTES = 64 * 1024 * 1024
"""Prices of a symbol since 1980 take about one MB."""

_HIDDEN = "***"

_Validator = Literal["ETag", "Last-Modified"]
_VALIDATORS: dict[_Validator, str] = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}


class _OutageError(Exception):
    """Nothing usable came, but asking again may help; `wait` is the seconds that the server asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _CutOffError(_OutageError):
    """The server answers, but its file of the symbol breaks off."""


@dataclass
class Downloads:
    """Files of symbols from one server.

    `url` is the path below `base_url`, with `{symbol}` or `{symbol_lower}` and, if wanted, `{key}`. No message
    shows the key.
    """

    base_url: str
    url: str
    key: str | None
    folder: Path
    min_seconds_between_requests: float
    sleep: Callable[[float], None] = time.sleep
    _last_request: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError(
                f"The market's address is {self._safe(self.base_url)!r}; it should begin with http:// or https://."
            )
        if "{key}" in self.url and not self.key:
            raise ValueError(f"`url` is {self.url!r}, but the connection has no key; give it one as its password.")
        # At their usual levels these log each address, and so the key in it.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)

    def fetch(self, symbol: str) -> Path:
        """The symbol's file, as the server has it now.

        Raises
        ------
        ConnectionError
            If the server gives no file after some tries; later it may.
        ValueError
            If it refuses, gives something else than prices, too much, or a file that breaks off at each try.
        """
        for number in range(1, _TRIES + 1):
            try:
                return self._ask(symbol)
            except _OutageError as outage:
                wait = outage.wait or _FIRST_WAIT_SECONDS * 2 ** (number - 1)
                if number == _TRIES or wait > _LONGEST_WAIT_SECONDS:
                    kind = ValueError if isinstance(outage, _CutOffError) else ConnectionError
                    raise kind(
                        f"{self._address(symbol, _HIDDEN)} gave no prices after {number} tries: {outage} "
                        "Try again later."
                    ) from None
                log.warning("%s: %s Asking again in %.0f s.", self._address(symbol, _HIDDEN), outage, wait)
                self.sleep(wait)
        raise AssertionError("The last try returns or raises.")

    def _ask(self, symbol: str) -> Path:
        cached = _CachedFile(self._folder / f"{symbol}.csv")
        validators = cached.validators()
        self._keep_pace()
        deadline = time.monotonic() + _DEADLINE_SECONDS
        try:
            with httpx.stream(
                "GET",
                self._address(symbol, quote(self.key or "", safe="")),
                headers={_VALIDATORS[name]: value for name, value in validators.items()},
                timeout=_TIMEOUT_SECONDS,
                follow_redirects=False,  # to wherever it leads, the key would be sent along
            ) as answer:
                if answer.status_code == httpx.codes.NOT_MODIFIED and validators:
                    return cached.path
                self._check_status(symbol, answer)
                content = self._received(symbol, answer, deadline)
        except httpx.RequestError as error:
            raise _OutageError(f"{self._safe(str(error)) or type(error).__name__}.") from None
        self._check_content(symbol, content, has_told_length=_has_told_length(answer))
        cached.write(content, {name: answer.headers[name] for name in _VALIDATORS if name in answer.headers})
        return cached.path

    def _received(self, symbol: str, answer: httpx.Response, deadline: float) -> bytes:
        """The whole body, which comes in time and is no larger than prices can be."""
        content = bytearray()
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > _MOST_BYTES:
                raise ValueError(
                    f"{self._address(symbol, _HIDDEN)} gives more than {_MOST_BYTES:,} bytes for {symbol}, too "
                    "many for prices of one symbol; correct the symbol or the address."
                )
            if time.monotonic() > deadline:
                raise _OutageError(f"It has not sent the whole file within {_DEADLINE_SECONDS:g} s.")
        return bytes(content)

    def _keep_pace(self) -> None:
        early = self._last_request + self.min_seconds_between_requests - time.monotonic()
        if early > 0:
            self.sleep(early)
        self._last_request = time.monotonic()

    def _check_status(self, symbol: str, answer: httpx.Response) -> None:
        if answer.status_code == httpx.codes.OK:
            return
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
            raise _OutageError(f"It answers {answer.status_code}.", _seconds_to_wait(answer))
        raise ValueError(
            f"{self._address(symbol, _HIDDEN)} answers {answer.status_code} for {symbol}; correct the symbol, the "
            "address or the key."
        )

    def _check_content(self, symbol: str, content: bytes, *, has_told_length: bool) -> None:
        text = text_of(content)
        lines = text.rstrip("\n").split("\n")
        header = lines[0].split(",")
        if not set(FILE_COLUMNS) <= set(header):
            raise ValueError(
                f"{self._address(symbol, _HIDDEN)} gives no prices of {symbol}: it should begin with "
                f"{','.join(FILE_COLUMNS)}, and begins with {self._safe(lines[0][:80])!r}."
            )
        is_whole = text.endswith("\n") or has_told_length
        if len(lines[-1].split(",")) < len(header) or not is_whole:
            raise _CutOffError(f"The file breaks off after {len(content):,} bytes.")

    def _address(self, symbol: str, key: str) -> str:
        path = self.url.format(symbol=quote(symbol), symbol_lower=quote(symbol.lower()), key=key)
        return f"{self.base_url.rstrip('/')}/{path.lstrip('/')}"

    def _safe(self, text: str) -> str:
        """The text without the key: servers like to repeat what they were asked."""
        if not self.key:
            return text
        return text.replace(self.key, _HIDDEN).replace(quote(self.key, safe=""), _HIDDEN)

    @property
    def _folder(self) -> Path:
        server = hashlib.sha256(f"{self.base_url} {self.url}".encode()).hexdigest()[:16]
        return self.folder / server


class _Note(BaseModel):
    """What is noted beside a file. Of other values than these, none can be sent back to the server."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    validators: dict[_Validator, Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]*[!-~])?$")]]


@dataclass(frozen=True)
class _CachedFile:
    """A downloaded file, and beside it what the server said by which a change of it shows."""

    path: Path

    def validators(self) -> dict[_Validator, str]:
        """ETag and Last-Modified of the file; none where it or its note is missing, damaged or of another file."""
        try:
            note = _Note.model_validate_json(self._note.read_bytes())
            is_same = note.sha256 == hashlib.sha256(self.path.read_bytes()).hexdigest()
        except (OSError, ValidationError):
            return {}
        return note.validators if is_same else {}

    def write(self, content: bytes, validators: dict[_Validator, str]) -> None:
        """Replace the file, then what is noted of it; killed in between, it is asked for again."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _replace(self.path, content)
        note = {"sha256": hashlib.sha256(content).hexdigest(), "validators": validators}
        _replace(self._note, json.dumps(note).encode())

    @property
    def _note(self) -> Path:
        return self.path.with_suffix(".json")


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees a part of it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as scratch:
        scratch.write(content)
    Path(scratch.name).replace(path)


def _has_told_length(answer: httpx.Response) -> bool:
    """Whether the answer said how long it is, so that httpx has seen that it is whole."""
    return "Content-Length" in answer.headers or "Transfer-Encoding" in answer.headers


def _seconds_to_wait(answer: httpx.Response) -> float | None:
    """What `Retry-After` asks for, as a number of seconds or as a date (RFC 9110, 10.2.3)."""
    text = answer.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:  # so are dates with the zone -0000, which says UTC
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())

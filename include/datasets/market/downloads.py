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
from urllib.parse import quote

import httpx

from include.datasets.market.price_files import FILE_COLUMNS

log = logging.getLogger(__name__)

_TRIES = 4
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_TIMEOUT_SECONDS = 30.0
_HIDDEN = "***"
_VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}


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
            If it refuses, gives something else than prices, or a file that breaks off at each try.
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
        try:
            answer = httpx.get(
                self._address(symbol, quote(self.key or "", safe="")),
                headers={_VALIDATORS[name]: value for name, value in validators.items()},
                timeout=_TIMEOUT_SECONDS,
                follow_redirects=False,  # to wherever it leads, the key would be sent along
            )
        except httpx.RequestError as error:
            raise _OutageError(f"{self._safe(str(error)) or type(error).__name__}.") from None
        if answer.status_code == httpx.codes.NOT_MODIFIED and validators:
            return cached.path
        self._check_status(symbol, answer)
        self._check_content(symbol, answer)
        cached.write(
            answer.content, {name: answer.headers[name] for name in _VALIDATORS if name in answer.headers}
        )
        return cached.path

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

    def _check_content(self, symbol: str, answer: httpx.Response) -> None:
        lines = answer.text.removeprefix("\ufeff").rstrip("\r\n").splitlines() or [""]
        header = lines[0].split(",")
        if not set(FILE_COLUMNS) <= set(header):
            raise ValueError(
                f"{self._address(symbol, _HIDDEN)} gives no prices of {symbol}: it should begin with "
                f"{','.join(FILE_COLUMNS)}, and begins with {self._safe(lines[0][:80])!r}."
            )
        is_whole = answer.content.endswith(b"\n") or _has_told_length(answer)
        if len(lines[-1].split(",")) < len(header) or not is_whole:
            raise _CutOffError(f"The file breaks off after {len(answer.content):,} bytes.")

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


@dataclass(frozen=True)
class _CachedFile:
    """A downloaded file, and beside it what the server said by which a change of it shows."""

    path: Path

    def validators(self) -> dict[str, str]:
        """ETag and Last-Modified of the file; none where there is no file, or another than they belong to."""
        try:
            noted = json.loads(self._notes.read_text())
            is_same = noted["sha256"] == hashlib.sha256(self.path.read_bytes()).hexdigest()
        except (FileNotFoundError, json.JSONDecodeError, KeyError):
            return {}
        return dict(noted["validators"]) if is_same else {}

    def write(self, content: bytes, validators: dict[str, str]) -> None:
        """Replace the file, then what is noted of it; killed in between, it is asked for again."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _replace(self.path, content)
        notes = {"sha256": hashlib.sha256(content).hexdigest(), "validators": validators}
        _replace(self._notes, json.dumps(notes).encode())

    @property
    def _notes(self) -> Path:
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
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except ValueError:
        return None

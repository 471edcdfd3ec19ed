"""Notifications: in the log, and at a webhook where one is configured."""

from __future__ import annotations

import json
import logging
from http.client import HTTPException
from urllib.request import Request, urlopen

log = logging.getLogger(__name__)


def notify(message: str, webhook: str | None = None, *, timeout: float = 10.0) -> None:
    """Log a message, and POST it as JSON `{"text": message}`, which Slack and Mattermost show, to `webhook`.

    A webhook that does not answer within `timeout` seconds, or refuses, is logged as an error and not raised:
    a notification that fails must not fail the task that sends it. The address is a secret and never logged.
    """
    log.warning("%s", message)
    if not webhook:
        return
    if not webhook.startswith(("http://", "https://")):
        log.error("The webhook's address does not start with http:// or https://; correct it.")
        return
    request = Request(
        webhook, json.dumps({"text": message}).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urlopen(request, timeout=timeout):
            log.info("The webhook has the message.")
    except (OSError, HTTPException) as error:
        log.error("The webhook did not take the message (%s); check its address and service.", error)

"""Ask again: which failures of an HTTP call may pass by themselves, and how long they are waited for."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from rag.errors import RagError

Got = TypeVar("Got")

RETRIES = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
MOST_RETRY_AFTER_S = 60.0  # a server may ask for more; it is then asked again sooner
PATIENCE_S = 600.0  # no further try begins after this long


class Passing(RagError):
    """A failure that may pass: overload, a restart, a broken connection; `after_s` is what the server asks to wait."""

    def __init__(self, where: str, given: str, fix: str = "", after_s: float | None = None) -> None:
        super().__init__(where, given, fix=fix)
        self.after_s = after_s


def may_pass(status: int) -> bool:
    """Whether an HTTP status is worth another try.

    408, 409, 429 and all of 500 and above, as `_should_retry` of openai-python (src/openai/_base_client.py).
    """
    return status in (408, 409, 429) or status >= 500


def retry_after_s(header: str | None, now_s: float | None = None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date); None for none or nonsense."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - (time.time() if now_s is None else now_s)
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), MOST_RETRY_AFTER_S) if seconds == seconds else None


def wait_s(tries: int, after_s: float | None, draw: Callable[[], float] = random.random) -> float:
    """Seconds before the next try, after `tries` that failed: never less than the server asks for.

    Doubling with full jitter, draw() * min(longest, first * 2**(tries - 1)), so that callers that failed together do
    not come back together: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """
    drawn = draw() * min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (tries - 1))
    return drawn if after_s is None else after_s + min(drawn, 1.0)


def patiently(
    call: Callable[[], Got],
    *,
    retries: int = RETRIES,
    stop: threading.Event | None = None,
    told: Callable[[str], None] | None = None,
) -> Got:
    """What `call` returns, tried again where it raises `Passing`; the last failure if none passes, or `stop` is set."""
    stop = stop or threading.Event()
    began = time.monotonic()
    tries = 0
    while True:
        try:
            return call()
        except Passing as failure:
            tries += 1
            pause = wait_s(tries, failure.after_s)
            if tries > retries or time.monotonic() + pause - began > PATIENCE_S:
                raise
            if told is not None:
                told(failure.given)
            if stop.wait(pause):
                raise

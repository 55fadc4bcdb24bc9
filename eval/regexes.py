"""Regular expressions from a log, run so that a hostile or clumsy one cannot hang the program."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from functools import lru_cache
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

MAX_PATTERN_CHARS = 2_000
MAX_TEXT_CHARS = 20_000
# Backtracking over k unbounded repeats costs at most about n**k steps; 1e7 steps are under a second.
MAX_STEPS = 1e7
TIMEOUT_S = 1.5
_CHILD = (
    "import json,re,sys;p,t,f=json.load(sys.stdin);r=re.compile(p);"
    "print(int(bool(r.fullmatch(t) if f else r.search(t))))"
)


class BadPattern(ValueError):
    """The pattern does not compile, is too long, or did not come to an end in time."""


def _repeats(node: Any) -> tuple[int, bool]:
    """(how many repeats have no small upper bound, whether one stands inside another)."""
    count, nested = 0, False
    for item in node:
        operator, argument = item
        inner: list[Any] = []
        many = False
        if operator in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            many, inner = argument[1] > 10, [argument[2]]
        elif operator is _constants.BRANCH:
            inner = list(argument[1])
        elif isinstance(argument, tuple):
            inner = [part for part in argument if isinstance(part, _parser.SubPattern)]
        elif isinstance(argument, _parser.SubPattern):
            inner = [argument]
        below = [_repeats(part) for part in inner]
        held = sum(number for number, _ in below)
        count += held + many
        nested = nested or any(flag for _, flag in below) or (many and held > 0)
    return count, nested


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> tuple[re.Pattern[str], int, bool]:
    if len(pattern) > MAX_PATTERN_CHARS:
        raise BadPattern(f"the pattern has {len(pattern)} characters, at most {MAX_PATTERN_CHARS} are run")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(pattern), *_repeats(_parser.parse(pattern))
    except (re.error, RecursionError, OverflowError) as error:
        raise BadPattern(f"the pattern does not compile: {error}") from error


def matches(pattern: str, text: str, *, full: bool = False) -> bool:
    """Whether the pattern is found in the text (or matches all of it), on the first 20,000 characters.

    A pattern that could backtrack for long runs in a child process that is ended after 1.5 s. Raises BadPattern.
    """
    compiled, repeats, nested = _compiled(pattern)
    if full and len(text) > MAX_TEXT_CHARS:
        return False
    text = text[:MAX_TEXT_CHARS]
    if not nested and max(len(text), 2) ** repeats <= MAX_STEPS:
        return bool(compiled.fullmatch(text) if full else compiled.search(text))
    return _in_child(pattern, text, full)


@lru_cache(maxsize=4096)
def _in_child(pattern: str, text: str, full: bool) -> bool:
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-W", "ignore", "-c", _CHILD],
            input=json.dumps([pattern, text, full]),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise BadPattern(f"the pattern did not come to an end in {TIMEOUT_S:g} s: it backtracks") from error
    except subprocess.CalledProcessError as error:
        raise BadPattern("the pattern breaks the engine of regular expressions") from error
    return done.stdout.strip() == "1"

"""Mathematics: is the output's answer the reference's value in another shape, and what does a plain sum come to?"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Any

REFERENCE_CHARS, TAIL_CHARS = 200, 1500  # a final answer stands at the end
_LOOKS = re.compile(r"\\(?:d?frac|sqrt|boxed|text|pi|cdot|times|left|angle|le|ge|in|infty)|\$")
# What a computer algebra system could work on for hours: high powers, towers of them, great factorials, endless digits.
_ENDLESS = re.compile(
    r"(?:\^|\*\*)\s*\{?\s*\(?-?\d{3,}|(?:\^|\*\*)\s*\{?[^{}\s]{1,12}(?:\^|\*\*)|\d{4,}\s*!|!\s*\)?\s*!|\d{25,}"
)
_SUM = re.compile(
    r"(?<![\w.])(\d{1,9}(?:\.\d{1,6})?) ?(x|×|\*|times|multiplied by|\+|plus|−|-|minus|÷|/|divided by) ?"
    r"(\d{1,9}(?:\.\d{1,6})?)(?![\w.]\d|\w)",
    re.I,
)
_TIMES, _PLUS, _MINUS = ("x", "×", "*", "times", "multiplied by"), ("+", "plus"), ("−", "-", "minus")


def is_written_mathematics(reference: str, output: str, asked: str = "") -> bool:
    """Whether question, reference or output is written as LaTeX, so that equal values can look different."""
    short = 0 < len(reference) <= REFERENCE_CHARS and bool(re.search(r"[\d\\]", reference))
    return short and any(_LOOKS.search(text) for text in (reference, output[-TAIL_CHARS:], asked))


@lru_cache(maxsize=4096)
def same_value(reference: str, output: str) -> bool | None:
    """Whether the output's final answer has the reference's value, by math-verify (Apache-2.0); None: cannot tell."""
    tail = output[-TAIL_CHARS:]
    if _ENDLESS.search(reference) or _ENDLESS.search(tail):
        return None
    try:
        from math_verify import parse, verify
    except ImportError:
        logging.getLogger(__name__).info("math-verify is not installed: pip install 'formfacts[math]'")
        return None
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    try:
        # Its own time limits need the main thread's signals; the guards above take their place.
        wanted: Any = parse(f"${reference.strip().strip('$')}$", parsing_timeout=None)
        given: Any = parse(tail, parsing_timeout=None)
        return bool(verify(wanted, given, timeout_seconds=None)) if wanted and given else None
    except Exception:  # whatever a parser of a parser raises on text from a log, nothing is known then
        return None


def sum_of(asked: str) -> float | None:
    """The value of the one plain sum of two numbers in the text, None where there is none or more than one."""
    found = _SUM.findall(asked)
    if len(found) != 1:
        return None
    left, sign, right = float(found[0][0]), found[0][1].lower(), float(found[0][2])
    if sign in _TIMES:
        return left * right
    if sign in _PLUS:
        return left + right
    if sign in _MINUS:
        return left - right
    return left / right if right else None

"""Regular expressions, found in the answer or matching all of it."""

from __future__ import annotations

from eval.graders.row import Check, text_of
from eval.regexes import matches

LIMITS = (
    "more than 20,000 characters of the answer, patterns that backtrack for more than 1.5 s, JavaScript's own syntax"
)

CHECKS: dict[str, Check] = {
    "regex": Check(
        lambda a, v: matches(text_of(v), a),
        "form",
        "the pattern is found in the answer",
        "a pattern of Python's re",
        True,
        "anywhere in the answer",
        LIMITS,
    ),
    "full-match": Check(
        lambda a, v: matches(text_of(v), a.strip(), full=True),
        "form",
        "the pattern matches it all",
        "a pattern of Python's re",
        True,
        "spaces around the whole",
        LIMITS,
    ),
}

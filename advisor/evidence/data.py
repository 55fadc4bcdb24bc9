"""Rung 2, data to be put into words: which of the given values are missing from the text?"""

from __future__ import annotations

import re

from advisor.evidence.text import numbers, quoted, words
from advisor.records import Evidence, Failure

RUNG = "question"  # weighed by the router with what the task makes likely

_LINE = re.compile(r"^[ \t]*([^|\n]{1,80})[ \t]\|[ \t][^|\n]{1,80}[ \t]\|[ \t](.{1,120}?)[ \t]*$", re.M)
LINE_WORDS = 14  # a longer line with bars in it is a sentence about the data
_ASIDE = re.compile(r"\([^)]*\)|_")
_DATE = re.compile(r"(\d{4})-\d\d-\d\d")
STEM_CHARS = 5  # so that inflection does not count
# Set by hand: what data to be put into words says of the form, what one missing value says of the content, what all
# missing add to that, and what none missing says of the form.
GIVEN, ONE_MISSING, ALL_MISSING, NONE_MISSING = 0.7, 2.0, 2.0, 1.0


def data(failure: Failure) -> list[Evidence]:
    """The content is given: a text that lacks values of it fails in content, one that has them all in wording."""
    given = values_of(failure)
    if not given or not failure.output.strip():
        return []
    found = [Evidence(RUNG, "form", "the content to put into words is given as data", quoted(given[0]), GIVEN)]
    if absent := missing(failure.output, given):
        says = f"{len(absent)} of {len(given)} values of the given data are not in the output"
        weight = ONE_MISSING + ALL_MISSING * len(absent) / len(given)
        return [*found, Evidence(RUNG, "context-ignored", says, quoted(", ".join(absent)), weight)]
    says = "every value of the given data is in the output"
    return [*found, Evidence(RUNG, "form", says, quoted(failure.output), NONE_MISSING)]


def values_of(failure: Failure) -> list[str]:
    """Subjects and objects of the data lines (a | b | c) of the prompt or the context, each once."""
    found = _LINE.finditer("\n".join((failure.asked, *failure.context)))
    lines = [line for line in found if len(words(line.group(0))) <= LINE_WORDS]
    return list(dict.fromkeys([line.group(1).strip() for line in lines] + [line.group(2).strip() for line in lines]))


def missing(output: str, values: list[str]) -> list[str]:
    """The values of which less than half of the words, or for a number or date not its figure, is in the output."""
    said, figures = {word[:STEM_CHARS] for word in words(output)}, set(numbers(output))
    return [value for value in values if not _is_there(value, output, said, figures)]


def _is_there(value: str, output: str, said: set[str], figures: set[float]) -> bool:
    if date := _DATE.search(value):
        return date.group(1) in output
    plain = _ASIDE.sub(" ", value)
    stems = {word[:STEM_CHARS] for word in words(plain) if len(word) > 2 and any(map(str.isalpha, word))}
    if stems:
        return 2 * len(stems & said) >= len(stems)
    return not numbers(plain) or bool(set(numbers(plain)) & figures)

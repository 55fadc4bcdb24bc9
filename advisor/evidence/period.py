"""Rung 2, the period: figures of another quarter, month or year than the one asked for, by the output's own words."""

from __future__ import annotations

import re

from advisor.evidence.text import quoted
from advisor.records import Evidence, Failure

RUNG = "period"
STALE = 8.0  # the output itself says that it speaks of another time than the question
_MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
# A period by its kind: quarter, month, year. A year counts in the output only where figures are said to be of it.
_YEAR = r"(?P<year>(?:19|20)\d\d)\b"
_QUARTER = re.compile(rf"\b(?P<part>q[1-4]),? (?:of |fy ?)?{_YEAR}", re.I)
_OF_MONTH = re.compile(rf"\b(?P<part>{_MONTH}),? (?:of )?{_YEAR}", re.I)
# After a participle a year dates that event, not the figures: founded in, elected in, built in 1998.
_OF_YEAR = re.compile(
    r"(?<!ed )(?<!born )(?<!built )(?<!made )(?<!won )(?<!began )(?<!written )(?<!since )"
    rf"\b(?P<part>in|for|during|as of|of|fy) ?{_YEAR}",
    re.I,
)
# Before a period that the figures are compared with: "up from $4M last quarter".
_COMPARED = re.compile(r"\b(?:from|than|over|versus|vs\.?|against|compared (?:to|with)|since|on)\b[^.;\n]{0,25}$", re.I)
_ANY_YEAR = re.compile(rf"(?<!\d){_YEAR}")
_NOW = re.compile(r"\b(?:this|current) (?:quarter|month|year|week)\b|\b(?:current(?:ly)?|latest|today|now)\b", re.I)
_PAST = re.compile(
    r"\b(?:last|previous|prior) (?:quarter|month|year|week)\b|\byesterday\b|\bas of (?:\w+ )?(?:19|20)\d\d\b", re.I
)
_BETWEEN = re.compile(r"\b(?:compare|versus|vs|since|between|change|growth|trend|from)\b", re.I)


def period(failure: Failure) -> list[Evidence]:
    """The period that the question names against the one that the output names."""
    asked, output = failure.asked, failure.output
    if len(asked) > 600 or not re.search(r"\d|\bis\b", output) or _BETWEEN.search(asked) or _PAST.search(asked):
        return []
    other = _instead(asked, output) or (None if _ANY_YEAR.search(asked) else _before_now(asked, output))
    if not other:
        return []
    says = f"the question is about another time than {other.group(0)!r}, of which the output speaks"
    return [Evidence(RUNG, "facts", says, quoted(output[max(0, other.start() - 30) :], 90), STALE)]


def _before_now(asked: str, output: str) -> re.Match[str] | None:
    """Where the present is asked for and the output speaks of the past alone: that past."""
    if not _NOW.search(asked) or _NOW.search(_PAST.sub("", output).replace("the latest", "")):
        return None
    return next((past for past in _PAST.finditer(output) if not _COMPARED.search(output[: past.start()])), None)


def _instead(asked: str, output: str) -> re.Match[str] | None:
    """The first period of the output where it names none that was asked for, of the same kind as asked for."""
    for kind in (_QUARTER, _OF_MONTH):
        wanted = {_named(match) for match in kind.finditer(asked)}
        given = list(kind.finditer(output))
        if wanted and given:
            return None if wanted & {_named(match) for match in given} else given[0]
    years = {match.group("year") for match in _ANY_YEAR.finditer(asked)}
    if not years or years & {match.group("year") for match in _ANY_YEAR.finditer(output)}:
        return None
    return _OF_YEAR.search(output)


def _named(match: re.Match[str]) -> tuple[str, str]:
    return match.group("part").lower(), match.group("year")

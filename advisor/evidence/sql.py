"""SQL of another dialect than the one asked for: what the output uses that the asked dialect lacks."""

from __future__ import annotations

import re

from advisor.evidence.dialects import NAMES, ROWS, TABLED
from advisor.evidence.text import quoted, unfenced
from advisor.records import Evidence, Failure

RUNG = "sql"
FOREIGN = 7.0  # above proof by a reference: the manual of the asked dialect lacks what the output uses
_ASIDE = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", re.S)
_CONVERTS = re.compile(r"\b(?:convert|translate|migrate|port|rewrite|transpile)\b", re.I)


def sql(failure: Failure) -> list[Evidence]:
    """Functions and syntax of a foreign dialect in SQL that the prompt wants in a named one."""
    text = unfenced(failure.output).strip()
    asked = dialect_of(failure)
    if asked not in TABLED or not re.match(r"(?:select|with|insert|update|delete|create)\b", text, re.I):
        return []
    bare = _ASIDE.sub("''", text)
    for pattern, name, has in ROWS:
        if asked not in has and (match := pattern.search(bare)):
            says = f"the prompt asks for {asked}; the output uses {name}, which {asked} does not have"
            return [Evidence(RUNG, "form", says, quoted(bare[match.start() :], 60), FOREIGN)]
    return []


def dialect_of(failure: Failure) -> str:
    """The one dialect that the prompt wants, "" where it is open: of several, or in a conversion, the one after to."""
    for text in (failure.asked, failure.prompt):
        named = [dialect for dialect, name in NAMES.items() if re.search(name, text, re.I)]
        if len(named) > 1 or (named and _CONVERTS.search(text)):
            named = [d for d in named if re.search(rf"\b(?:to|into|for|in) (?:an? |valid )?(?:{NAMES[d]})", text, re.I)]
        if len(named) == 1:
            return named[0]
    return ""

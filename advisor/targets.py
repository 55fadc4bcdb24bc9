"""Where the target of a failure comes from: a person, the reference, a lossless repair of the model's own answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from advisor.cases import case_of
from advisor.evidence.sql import dialect_of, in_dialect
from advisor.records import Failure
from advisor.redact import redact
from eval.checks import CrashedCheck, axis_of
from eval.grade import grade
from eval.structure import MAX_REPAIR_CHARS, NOTHING, scalars, whole_json

# Best first. The last is an answer of the model itself to the same question after a solved case of the format.
ORIGINS = ("correction", "reference", "repair", "sampled")
GIVEN = ORIGINS[:2]
NONE_FITS = "no correction, reference or repair of its answer passes its checks"
PERSONAL = "what should come holds a secret or personal data that its checks want; nobody is to learn that by heart"
CUT = ("length", "max_tokens", "content_filter")  # reasons to end that leave an answer unfinished

_FENCE = re.compile(r"```[\w+-]*[ \t]*\n?(.*?)```", re.S)
# Talk before an answer, up to a colon or the end of the line, and talk after it: closed lists, in doubt nothing.
_LEAD = re.compile(
    r"\A(?:sure|certainly|of course|absolutely|okay|ok|great|here(?:'s| is| are)|below (?:is|are)|as requested|"
    r"gerne|natürlich|hier (?:ist|sind))\b[^\n:]{0,200}(?::|\n)\s*",
    re.I,
)
_TAIL = re.compile(
    r"\n[ \t]*(?:let me know|i hope|hope (?:this|that)|please let me|feel free|if you (?:need|have|would)|"
    r"is there anything|lass(?:en sie)? (?:es )?mich wissen)\b[^\n]*\Z",
    re.I,
)
_FIGURE = re.compile(r"\d+(?:[.,:]\d+)*")
_SAID = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\w+")
_CONSTANTS = {"True": "true", "False": "false", "None": "null"}


class Target(NamedTuple):
    """What should have come, and which of ORIGINS it is from."""

    text: str
    origin: str


def target_of(failure: Failure) -> str:
    """What a person or the log says should have come; "" where neither passes the case's own checks."""
    found, _ = find_target(failure, GIVEN)
    return found.text if found else ""


def find_target(failure: Failure, origins: Sequence[str] = ORIGINS) -> tuple[Target | None, str]:
    """The first target, in the order of ORIGINS, that passes all of the case's checks; else None and why.

    It must pass them without its secrets and personal data too, since so it would be trained.
    """
    case = case_of(failure)
    if case is None:
        return None, "nothing tells a right answer from the one that came"
    why = NONE_FITS
    for origin, text in _candidates(failure, case.checks):
        if text and origin in origins and _passes(text, case.checks):
            if _passes(redact(text, personal=True)[0], case.checks):
                return Target(text, origin), ""
            why = PERSONAL
    return None, why


def says_content(checks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether one of the checks speaks of the content: without one a new answer may be anything in the right form."""
    return any(axis_of(check) != "form" for check in checks)


def _candidates(failure: Failure, checks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    yield "correction", str(failure.review.get("correction") or "")
    yield from (("reference", reference) for reference in failure.reference)
    yield from (("repair", repaired) for repaired in repairs(failure, checks))


def _passes(text: str, checks: Sequence[Mapping[str, Any]]) -> bool:
    try:
        return grade(text, checks).passed
    except CrashedCheck:
        return False


def repairs(failure: Failure, checks: Sequence[Mapping[str, Any]] = ()) -> Iterator[str]:
    """The model's own answer in another form with all that it says; in doubt none. The checks have the last word.

    Without its fence or the talk around it; its JSON made valid with the same keys and scalars in the same order
    (json_repair); its SQL in the dialect asked for (sqlglot, shown by the way back). An answer that was cut is none.
    """
    answer = failure.output.strip()
    if not answer or len(answer) > MAX_REPAIR_CHARS or failure.finish_reason in CUT:
        return
    bare = list(dict.fromkeys(text for text in _bare(answer) if text))
    yield from bare
    for text in (*bare, answer):
        if repaired := _valid_json(text):
            yield repaired
    asked = next((str(c["value"]) for c in checks if c.get("type") == "is-sql" and c.get("value")), "")
    for text in (*bare, answer):
        if moved := in_dialect(text, asked or dialect_of(failure)):
            yield moved


def _bare(answer: str) -> Iterator[str]:
    """What is inside: of the only fence, after the talk that leads in, between the brackets of JSON."""
    fences = list(_FENCE.finditer(answer))
    if len(fences) == 1 and _says_no_more(answer, fences[0].span(1)):
        yield fences[0].group(1).strip()
    lead, tail = _LEAD.match(answer), _TAIL.search(answer)
    inside = (lead.end() if lead else 0, tail.start() if tail else len(answer))
    if inside[0] < inside[1] and _says_no_more(answer, inside):
        yield answer[slice(*inside)].strip()
    span = _json_span(answer)
    if span and whole_json(answer[slice(*span)]) is not NOTHING:
        yield answer[slice(*span)]


def _says_no_more(answer: str, inside: tuple[int, int]) -> bool:
    """Whether no figure stands around the inside that is not in it: talk has none, an answer in prose may."""
    around = f"{answer[: inside[0]]} {answer[inside[1] :]}"
    return set(_FIGURE.findall(around)) <= set(_FIGURE.findall(answer[slice(*inside)]))


def _json_span(answer: str) -> tuple[int, int] | None:
    """From the first bracket to the last one that closes; None inside a sentence, where a footnote may stand."""
    opening = re.search(r"[{\[]", answer)
    if opening is None:
        return None
    start, end = opening.start(), max(answer.rfind("}"), answer.rfind("]")) + 1
    before = answer[:start].rstrip(" \t`")
    span = (start, end if end > start else len(answer))
    return span if (not before or before[-1] in ":\n") and _says_no_more(answer, span) else None


def _valid_json(text: str) -> str:
    """The object or array inside, valid, where not a word of it is lost, added or moved; "" otherwise."""
    import json_repair

    span = _json_span(text)
    if span is None:
        return ""
    inside = text[slice(*span)]
    try:
        value = json_repair.loads(inside)
        valid = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return ""
    lossless = isinstance(value, dict | list) and value and _said(inside) == _said(valid)
    return valid if lossless and not any(map(_swallowed, scalars(value))) else ""


def _swallowed(text: str) -> bool:
    """Whether a text took in what stood after it: where a quote is missing, the repair runs on to the next one."""
    return "```" in text or any(text.count(opening) != text.count(closing) for opening, closing in ("{}", "[]"))


def _said(text: str) -> list[str]:
    """The words and figures of JSON, broken or not, in order."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match.group(1), 16)), text)
    text = re.sub(r"\\[nrtbf]", " ", text)
    return [_CONSTANTS.get(word, word) for word in _SAID.findall(text.replace("\\", ""))]

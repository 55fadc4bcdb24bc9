"""What a prompt plainly asks of the form of its answer, as checks; in doubt nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from eval.fold import NUMBER_WORDS

Made = dict[str, Any]
_N = rf"(\d{{1,4}}|a single|{'|'.join(NUMBER_WORDS)})"
_MOST = (
    r"(?:at most|no more than|not more than|up to|a maximum of|max(?:imum)?(?: of)?|within|not exceed(?:ing)?"
    r"|limit(?:ed)? to)"
)
_LESS = r"(?:under|fewer than|less than|below)"
_QUOTED = r"[\"\u201c']([^\"\u201d'\n]{1,80})[\"\u201d']"
_ANSWER = r"(?: (?:your|the|each|every) (?:answer|reply|response|output))? with (?:the (?:word|phrase|words) )?"
_VERB = (
    r"(?:answer|respond|reply|return|output|write|give|provide|print|produce|use|format\w*|summari[sz]e"
    r"|describe|explain)"
)

_DENIED = re.compile(r"(?:\bnot|n['\u2019]t|\bnever|\bwithout|\bavoid|\binstead of) (?:\w+ )?\Z", re.I)


def _n(word: str) -> int:
    word = word.lower()
    return 1 if word == "a single" else NUMBER_WORDS[word] if word in NUMBER_WORDS else int(word)


def _limit(kind: str, less: int = 0) -> Callable[[re.Match[str]], Made]:
    return lambda match: {"type": kind, "value": max(_n(match.group(1)) - less, 0), "of": "form"}


def _plain(kind: str, value: Any = None) -> Callable[[re.Match[str]], Made]:
    made: Made = {"type": kind, "of": "form"}
    return lambda match: {**made, "value": value} if value is not None else made


def _quote(kind: str) -> Callable[[re.Match[str]], Made]:
    return lambda match: {"type": kind, "value": match.group(1), "of": "form"}


# Each row: what the prompt says -> the check. The first row that finds something for a type wins.
ASKED: list[tuple[re.Pattern[str], Callable[[re.Match[str]], Made]]] = [
    (re.compile(pattern, re.I), made)
    for pattern, made in (
        (rf"\b{_VERB}\b(?![^.\n]{{0,40}}\bnot\b)[^.\n]{{0,40}}\bjson\b(?! lines)", _plain("is-json")),
        (
            r"(?:^|[.,;:\n(]\s*|\b(?:and|only|always|strictly) )(?:as|in) (?:an? |one )?"
            r"(?:single |valid |strict |raw )?json\b(?! lines)",
            _plain("is-json"),
        ),
        (r"\b(?:only|just|valid|raw) json\b|\bjson (?:only|object only)\b", _plain("is-json")),
        (r"\bsql\b[^.\n]{0,30}\b(?:only|no explanation)\b|\bonly (?:the |one |a )?sql\b", _plain("is-sql")),
        (r"\b(?:in|with|using|exactly|only) (?:just |only |exactly )?(one|a single) word\b", _limit("max-words")),
        (r"\b(one|single)-word (?:answer|reply|response)\b", _plain("max-words", 1)),
        (rf"\b{_MOST} {_N} words?\b", _limit("max-words")),
        (rf"\b{_N} words? (?:or (?:less|fewer)|max(?:imum)?|at most)\b", _limit("max-words")),
        (rf"\b{_LESS} {_N} words\b", _limit("max-words", 1)),
        (rf"\b(?:at least|no (?:less|fewer) than|a minimum of) {_N} words\b", _limit("min-words")),
        (rf"\b{_MOST} {_N} characters\b", _limit("max-chars")),
        (rf"\b{_N} characters (?:or (?:less|fewer)|max(?:imum)?|at most)\b", _limit("max-chars")),
        (rf"\b{_LESS} {_N} characters\b", _limit("max-chars", 1)),
        (
            rf"\b(?:in|with|using|write|exactly|{_MOST}) (?:just |only |exactly )?{_N} (?:short )?sentences?\b"
            r"(?! (?:for|per|each))",
            _limit("max-sentences"),
        ),
        (r"\b(?:in|on|as|exactly) (?:just |only |exactly )?(one|a single) line\b", _limit("max-lines")),
        (rf"\b{_MOST} {_N} lines\b", _limit("max-lines")),
        (rf"\b{_N} bullet(?:ed)?(?: points?|s| items?)?\b", _limit("bullets")),
        (r"\b(?:as|in|with|using|use) (?:a )?bullet(?:ed)?(?: points?| list|s)\b", _plain("bullets")),
        (r"\b(?:all|in|only|use) (?:in )?lower-?\s?case\b(?! letters? for)", _plain("lower-case")),
        (
            r"\b(?:all|in|only|use) (?:in )?(?:upper-?\s?case|all caps|capital letters)\b(?! for)|\bin all caps\b",
            _plain("upper-case"),
        ),
        (
            r"\b(?:answer|reply|respond)\b[^.\n]{0,25}\b(?:only|just)\b[^.\n]{0,15}[\"']?yes[\"']? or [\"']?no\b",
            _plain("full-match", r"(?i:\W*(?:yes|no)\W*)"),
        ),
        (
            rf"\b(?:start|begin)\b{_ANSWER}{_QUOTED}",
            _quote("starts-with"),
        ),
        (
            rf"\b(?:end|finish)\b{_ANSWER}{_QUOTED}",
            _quote("ends-with"),
        ),
        (
            rf"\b(?:do not|don't|never|avoid) (?:use|using|include|including|mention|say)"
            rf"(?: the)? (?:words?|phrase|term) {_QUOTED}",
            _quote("not-contains"),
        ),
    )
]


def form_checks(prompt: str) -> list[Made]:
    """Checks of form that the prompt plainly asks for (JSON, length, bullets, case, first and last words, ...)."""
    found: dict[str, Made] = {}
    for pattern, made in ASKED:
        for match in pattern.finditer(prompt):
            if not _DENIED.search(prompt, max(0, match.start() - 40), match.start()):
                check = made(match)
                found.setdefault(check["type"], check)
                break
    return list(found.values())

"""Citations: each passage that is cited exists, and the words and figures of the sentence stand in it."""

from __future__ import annotations

import re
from typing import Any

from eval.fold import words
from eval.graders.row import Check, Wrong, fields_of, only, share_of, text_of

# Ours: half of a sentence's content words; its figures must all be there.
SHARED = 0.5
MAX_CHARS = 50_000  # of an answer, read; ours
_CITED = re.compile(r"[\[\u3010]([^\[\]\u3010\u3011\n]{1,80})[\]\u3011](?!\()")
_TARGET = re.compile(r"\]\([^()\s]{1,2000}\)")
_END = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])(?=\s)|\n+")
# Words that say nothing of the content; the commonest of English, in the folded form of eval.fold.
_EMPTY = frozenset(
    "a an the and or but of in on at to for from by with as is are was were be been being it its this that these those "
    "he she they we you i his her their our your my not no so if than then there here which who what when where how do "
    "does did has have had will would can could may might must should also all any each more most some such only own "
    "about into over under after before between during per via".split()
)


def _passages(value: Any) -> dict[str, str]:
    given = fields_of(value, "passages")[0]
    if isinstance(given, list):
        # A list of texts is numbered from 1, as passages are shown to a model.
        given = {
            str(item["id"]) if isinstance(item, dict) and "id" in item else str(at): (
                item.get("text") if isinstance(item, dict) else item
            )
            for at, item in enumerate(given, start=1)
        }
    if not isinstance(given, dict) or not given:
        raise Wrong(f"passages: texts, {{id: text}} or a list of {{id, text}}, not {given!r:.60}")
    return {str(name).strip().casefold(): text_of(text) for name, text in given.items()}


def _sentences(answer: str) -> list[str]:
    """Sentences, each with the citations that follow its full stop: `It is so. [1]`."""
    parts: list[str] = []
    for part in _END.split(answer[:MAX_CHARS]):
        held = _CITED.sub("", part)
        leading = re.match(r"\s*(?:[\[\u3010][^\[\]\u3010\u3011\n]{1,80}[\]\u3011]\s*)+", part)
        if parts and leading:
            parts[-1] += " " + leading.group()
            part, held = part[leading.end() :], _CITED.sub("", part[leading.end() :])
        if held.strip(" .\t"):
            parts.append(part)
    return parts


def _supported(sentence: str, passages: list[list[str]], shared: float) -> bool:
    said = words(_TARGET.sub("] ", _CITED.sub(" ", sentence)))
    there = {word for passage in passages for word in passage}
    figures = [word for word in said if re.fullmatch(r"-?\d+(?:\.\d+)*", word)]
    content = {word for word in said if word not in _EMPTY and word not in figures and len(word) > 1} or set(said)
    return all(figure in there for figure in figures) and len(content & there) >= shared * len(content)


def _cites(answer: str, value: Any) -> bool:
    passages = _passages(value)
    only(value, "passages", "at_least", "every")
    shared, cited_any = share_of(value.get("at_least", SHARED)), False
    folded: dict[str, list[str]] = {}
    for sentence in _sentences(answer):
        names = [name.strip().casefold() for group in _CITED.findall(sentence) for name in re.split(r"[,;]", group)]
        names = [re.sub(r"^(?:passage|source|doc(?:ument)?|ref)\s+", "", name) for name in names]
        if not names:
            if value.get("every") is True:
                return False
            continue
        cited_any = True
        if any(name not in passages for name in names):
            return False
        for name in names:
            folded.setdefault(name, words(passages[name]))
        if not _supported(sentence, [folded[name] for name in names], shared):
            return False
    return cited_any


CHECKS: dict[str, Check] = {
    "cites": Check(
        _cites,
        "content",
        "cites only passages that are there, and what it says stands in them",
        "{passages: texts or {id: text}, at_least: 0 to 1, every: each sentence must cite}",
        False,
        "[1], [a, b], [source 1] inside or after a sentence; every figure of the sentence and half of its content "
        "words must stand in the passages that it cites",
        "whether the passage says the same (a denial, another relation between the same words); words that were "
        "translated or put in other words fail; sentences without a citation unless `every`",
    ),
}

"""Texts looked for in the answer: to the letter, folded, at its ends, line by line."""

from __future__ import annotations

from typing import Any

from eval.fold import holds, same
from eval.graders.row import Check, Wrong, each, only, text_of, texts_of

FOLDED = "other case, accents, punctuation, spaces, thousands separators, number words up to twenty-nine"


def lines_of(text: str) -> list[str]:
    """Lines that are not blank, spaces inside folded."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def _substring(answer: str, value: Any) -> bool:
    how, ignore_case = "any", False
    if isinstance(value, dict):
        only(value, "texts", "how", "ignore_case")
        how, ignore_case, value = value.get("how", how), value.get("ignore_case", False), value.get("texts")
    if how not in ("any", "all"):
        raise Wrong(f"how: {how!r:.40}, allowed: any, all")
    wanted = texts_of(value)
    if ignore_case:
        answer, wanted = answer.lower(), [text.lower() for text in wanted]
    found = [text in answer for text in wanted]
    return all(found) if how == "all" else any(found)


def _held_lines(answer: str, value: Any) -> bool:
    return all(holds(answer, line) for text in texts_of(value) for line in lines_of(text))


def _any(answer: str, value: Any) -> bool:
    return any(holds(answer, text) for text in texts_of(value))


CHECKS: dict[str, Check] = {
    "starts-with": Check(
        lambda a, v: a.strip().startswith(tuple(texts_of(v))),
        "form",
        "begins with this, to the letter",
        "a text, or several of which one must fit",
        True,
        "spaces and blank lines before it",
        "another case; quotes or Markdown signs before it",
    ),
    "ends-with": Check(
        lambda a, v: a.strip().endswith(tuple(texts_of(v))),
        "form",
        "ends with this, to the letter",
        "a text, or several of which one must fit",
        True,
        "spaces and blank lines after it",
        "another case; a full stop or quote after it",
    ),
    "lines-equal": Check(
        lambda a, v: lines_of(a) == [line for text in texts_of(v) for line in lines_of(text)],
        "both",
        "exactly these lines",
        "the lines, or one text of several lines",
        True,
        "blank lines and the number of spaces",
        "another order of the lines, another case",
        content=_held_lines,
        made=each,
    ),
    "exact": Check(
        lambda a, v: a.strip() in [text.strip() for text in texts_of(v)],
        "both",
        "is this to the letter",
        "a text, or several of which one must fit",
        True,
        "spaces and line ends around the whole",
        "another case, punctuation or Unicode form of the same text",
        content=_any,
        made=each,
    ),
    "equals": Check(
        lambda a, v: any(same(a, text) for text in texts_of(v)),
        "both",
        "this and no more (case, punctuation, spaces free)",
        "a text, or several of which one must fit",
        False,
        FOLDED,
        "one word more or less, a synonym",
        content=_any,
        made=each,
    ),
    "contains": Check(
        lambda a, v: holds(a, text_of(v)),
        "content",
        "says this",
        "a text",
        False,
        f"any words around it; {FOLDED}; never half a word",
        "a denial (`not Paris`), a second answer beside it, a synonym, what stands after 200,000 characters",
        made=lambda references: references[0] if len(references) == 1 else None,
    ),
    "contains-all": Check(
        lambda a, v: all(holds(a, text) for text in texts_of(v)),
        "content",
        "says all of these",
        "texts",
        False,
        "any words between them, any order; folded as `contains`",
        "which belongs to which, a denial, a synonym",
    ),
    "contains-any": Check(
        _any,
        "content",
        "says one of these",
        "texts: the answer and its aliases",
        False,
        "any words around it; folded as `contains`",
        "a denial, several of them said at once, an alias that is not listed",
        made=each,
    ),
    "not-contains": Check(
        lambda a, v: not any(holds(a, text) for text in texts_of(v)),
        "content",
        "says none of these",
        "texts",
        False,
        "folded as `contains`: another spelling of the same is found too",
        "the same said in other words; an empty answer passes",
    ),
    "substring": Check(
        _substring,
        "content",
        "holds these characters, also inside a word",
        "a text, or {texts, how: any or all, ignore_case}",
        True,
        "what `contains`, `icontains`, `contains-all` and the like mean in promptfoo and `includes` in OpenAI evals",
        "word borders: 12 is found in 312",
    ),
}

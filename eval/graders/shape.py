"""The outer shape of an answer: its length, list points, case, cells of a table row."""

from __future__ import annotations

import re
from typing import Any

from eval.fold import holds
from eval.graders.row import Check, Wrong, count_of, fields_of, text_of
from eval.graders.texts import lines_of

_BULLET = re.compile(r"^\s*(?:[-*\u2022\u2013+]|\d{1,3}[.)])\s+\S")
COUNT = "a whole number"


def bullet_count(text: str) -> int:
    """Lines that begin as a list point does: -, *, +, a dot or dash sign, 1. or 1)."""
    return sum(bool(_BULLET.match(line)) for line in text.splitlines())


def sentence_count(text: str) -> int:
    """Sentences by their end signs and by line ends; the point of 3.5 ends none."""
    return len([part for part in re.split(r"(?<=[.!?\u3002\uff01\uff1f])[\"')\]]*(?:\s+|$)|\n+", text) if part.strip()])


def word_count(text: str) -> int:
    """Words between spaces; signs of scripts without spaces count one each."""
    rest, signs = re.subn(r"[\u3040-\u30ff\u3400-\u9fff]", " ", text)
    return signs + sum(1 for part in rest.split() if re.search(r"\w", part))


def _bullets(answer: str, value: Any) -> bool:
    marked = bullet_count(answer)
    return marked > 0 if value is None else marked == count_of(value)


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for cell in line.strip().split(separator)]


def _row(answer: str, value: Any) -> bool:
    separator, cells = fields_of(value, "separator", "cells")
    lines = answer.strip().splitlines()
    return len(lines) == 1 and _cells(lines[0], text_of(separator)) == [cell.strip() for cell in map(str, cells)]


def _row_content(answer: str, value: Any) -> bool:
    separator, cells = fields_of(value, "separator", "cells")
    # Spaces around the separator: "12,345" is two cells here, not a number with a thousands separator.
    spaced = answer.replace(text_of(separator), f" {separator} ")
    return all(holds(spaced, str(cell)) for cell in cells if str(cell).strip())


def _row_cells(answer: str, value: Any) -> bool:
    separator, count = fields_of(value, "separator", "count")
    lines = answer.strip().splitlines()
    return len(lines) == 1 and len(_cells(lines[0], text_of(separator))) == count_of(count)


def _words(answer: str, value: Any) -> bool:
    """IFEval's and promptfoo's ranges: from `least` to `most` words, both ends included."""
    if not isinstance(value, dict) or not {"least", "most"} & value.keys() or value.keys() - {"least", "most"}:
        raise Wrong(f"needs an object with least, most or both, not {value!r:.60}")
    count = word_count(answer)
    return count_of(value.get("least", 0)) <= count and ("most" not in value or count <= count_of(value["most"]))


LENGTH = "whether the words are worth saying; words of scripts without spaces are counted by their signs"

CHECKS: dict[str, Check] = {
    "max-words": Check(
        lambda a, v: word_count(a) <= count_of(v), "form", "at most so many words", COUNT, True, "any text", LENGTH
    ),
    "min-words": Check(
        lambda a, v: word_count(a) >= count_of(v), "form", "at least so many words", COUNT, True, "any text", LENGTH
    ),
    "words": Check(
        _words,
        "form",
        "so many words, from `least` to `most`",
        "{least, most}",
        True,
        "one end may be left out",
        LENGTH,
    ),
    "max-chars": Check(
        lambda a, v: len(a.strip()) <= count_of(v),
        "form",
        "at most so many characters",
        COUNT,
        True,
        "spaces around the whole do not count",
        "an accent written as a sign of its own counts one more",
    ),
    "max-lines": Check(
        lambda a, v: len(lines_of(a)) <= count_of(v),
        "form",
        "at most so many lines that are not blank",
        COUNT,
        True,
        "blank lines do not count",
        "how wide a line is",
    ),
    "max-sentences": Check(
        lambda a, v: sentence_count(a) <= count_of(v),
        "form",
        "at most so many sentences",
        COUNT,
        False,
        "end signs of Latin, Chinese and Japanese; the point of 3.5 ends none",
        "abbreviations (`Dr. Li` counts two), a sentence without its end sign",
    ),
    "bullets": Check(
        _bullets,
        "form",
        "a list of exactly so many points (no value: of any length)",
        "a whole number, or nothing",
        True,
        "-, *, +, dots, dashes, 1. and 1) at the start of a line",
        "points inside a line; levels of a nested list count alike",
    ),
    "lower-case": Check(
        lambda a, v: a == a.lower(),
        "form",
        "no capital letter",
        "nothing",
        True,
        "every script that has case",
        "scripts without case pass, and so does an empty answer",
    ),
    "upper-case": Check(
        lambda a, v: a == a.upper(),
        "form",
        "no small letter",
        "nothing",
        True,
        "every script that has case",
        "scripts without case pass, and so does an empty answer",
    ),
    "cells": Check(
        _row_cells,
        "form",
        "one line of `count` cells between `separator`",
        "{separator, count}",
        True,
        "spaces around a cell",
        "separators inside quotes",
    ),
    "row": Check(
        _row,
        "both",
        "one line with exactly these cells between `separator`",
        "{separator, cells}",
        True,
        "spaces around a cell",
        "separators inside quotes, another order",
        content=_row_content,
    ),
}

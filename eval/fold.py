"""Text folded for lenient comparison: case, accents, quotes, punctuation, spaces, thousands, number words."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

# Numbers in words up to twenty; beyond that people write digits.
UNITS = "zero one two three four five six seven eight nine".split()
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split()
NUMBER_WORDS = {word: number for number, word in enumerate(UNITS + TEENS)}
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
# "one" is a pronoun after these, and before "of": "no one", "which one", "one of them".
BEFORE_PRONOUN = frozenset("no any some every each which this that the another only same other".split())

MAX_CHARS = 200_000  # of a text, read: about a third of a second
MAX_KEPT_CHARS = 20_000  # of a text whose words are kept for the next check of the same answer

_CLASSES = (
    "\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"  # scripts without word spaces
)
_TOKEN = re.compile(rf"-?\d+(?:\.\d+)+|-?\d+[^\W_{_CLASSES}]*|[a-z](?:\+\+|#)|[{_CLASSES}]|[^\W_{_CLASSES}]+")
_GROUPS = re.compile(
    "(?<![\\d.,])\\d{1,3}(?:[,'\u2019\u00a0\u2009\u202f]\\d{3})+(?!\\d)|(?<![\\d.,])\\d{1,3}(?:\\.\\d{3}){2,}(?![\\d])"
)
_UNIT = re.compile(r"(-?\d+(?:\.\d+)*)(?!st$|nd$|rd$|th$)([^\W\d_]+)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.I)


def _plain(text: str) -> str:
    """Case, accents and typographic variants folded; thousands separators gone."""
    text = _GROUPS.sub(lambda m: re.sub(r"\D", "", m.group()), text)
    text = unicodedata.normalize("NFKC", text).casefold()
    # Only Latin-style accents: in other scripts combining marks are letters of their own.
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not "\u0300" <= c <= "\u036f")
    text = unicodedata.normalize("NFC", text)
    text = re.sub("[\u2018\u2019\u02bc\u00b4`]", "'", text).replace("\u2212", "-")
    text = re.sub(r"'s\b", "", text).replace("'", "")
    text = re.sub(r"(?<=[^\W_])-(?=\d)", " ", text)
    return re.sub(r"\bper cent\b", "percent", text.replace("%", " percent "))


def _folded(text: str) -> tuple[str, ...]:
    return _kept(text) if len(text) <= MAX_KEPT_CHARS else _cut(text[:MAX_CHARS])


@lru_cache(maxsize=4096)
def _kept(text: str) -> tuple[str, ...]:
    return _cut(text)


def _cut(text: str) -> tuple[str, ...]:
    raw: list[str] = []
    for token in _TOKEN.findall(_plain(text)):
        split = _UNIT.fullmatch(token)
        raw.extend(split.groups() if split else (re.sub(r"(?<=\d)\.0+$", "", token),))
    out: list[str] = []
    for i, token in enumerate(raw):
        if out and raw[i - 1] == "twenty" and 0 < NUMBER_WORDS.get(token, 0) < 10:
            out[-1] = str(20 + NUMBER_WORDS[token])
        elif token == "one" and ((i and raw[i - 1] in BEFORE_PRONOUN) or raw[i + 1 : i + 2] == ["of"]):
            out.append(token)
        elif token in NUMBER_WORDS:
            out.append(str(NUMBER_WORDS[token]))
        elif token in ORDINALS:
            number = ORDINALS.index(token) + 1
            out.append(f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number, 'th') }")
        else:
            out.append(token)
    return tuple(out)


def words(text: str) -> list[str]:
    """Folded words: "The Café's 1,234 kg" -> the, cafe, 1234, kg; each sign of Chinese, Thai, ... is a word."""
    return list(_folded(text))


def holds(text: str, part: str) -> bool:
    """Whether the folded words of `part` stand in a row in `text` ("12" is not in "312").

    A part of signs alone ("->") is looked for as it is written.
    """
    wanted = _folded(part)
    if not wanted:
        return " ".join(part.split()) in " ".join(text.split())
    sought = f" {' '.join(wanted)} "
    if sought in f" {' '.join(_folded(text))} ":
        return True
    return "\\" in text and sought in f" {' '.join(_folded(_unescaped(text)))} "


def _unescaped(text: str) -> str:
    """JSON's escapes read, so that what is said inside a JSON string is found."""
    text = re.sub(r"(?:\\u[0-9a-fA-F]{4})+", lambda m: str(json.loads(f'"{m.group()}"')), text)
    return re.sub(r"\\[nrtbf/]", " ", text)


def same(text: str, other: str) -> bool:
    """Equal after folding; texts of signs alone are equal when written alike."""
    left, right = _folded(text), _folded(other)
    return left == right if left or right else " ".join(text.split()) == " ".join(other.split())


def numbers(text: str) -> list[float]:
    """All numbers of a text in order, thousands separators and number words up to twenty-nine read."""
    return [float(token) for token in _folded(text) if _NUMBER.fullmatch(token)]


def overlap_f1(text: str, references: Sequence[str]) -> float:
    """Token F1 against the best reference, 0 to 1.

    SQuAD's F1 (Rajpurkar et al. 2016, arXiv:1606.05250, evaluate-v1.1.py): bags of words without articles and
    punctuation, harmonic mean of precision and recall, maximum over the references.
    """
    return max((_f1(_bag(text), _bag(reference)) for reference in references), default=0.0)


def _bag(text: str) -> dict[str, int]:
    bag: dict[str, int] = {}
    for word in _folded(text):
        if word not in ("a", "an", "the"):
            bag[word] = bag.get(word, 0) + 1
    return bag


def _f1(given: dict[str, int], gold: dict[str, int]) -> float:
    if not given or not gold:
        return float(given == gold)
    shared = sum(min(count, gold.get(word, 0)) for word, count in given.items())
    return 2 * shared / (sum(given.values()) + sum(gold.values()))

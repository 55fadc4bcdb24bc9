"""Phrases of many languages as one pattern a script: a text is searched only for the scripts that it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

# script -> (its Unicode block, languages written in it, whether words stand apart and have no marks that are no letter)
SCRIPTS: dict[str, tuple[str, str, bool]] = {
    "english": ("A-Za-z", "en", True),
    "latin": ("\u00c0-\u024f", "de fr es it pt nl pl tr", True),
    "cyrillic": ("\u0400-\u04ff", "ru", True),
    "arabic": ("\u0600-\u06ff", "ar", False),
    "devanagari": ("\u0900-\u097f", "hi", False),
    "hangul": ("\uac00-\ud7af", "ko", False),
    "han": ("\u3040-\u30ff\u3400-\u9fff", "zh ja", False),
}
_BLOCKS = {script: re.compile(f"[{block}]") for script, (block, _, _) in SCRIPTS.items()}
# Words that an English text hardly has: only with one of them, or an accent, are the other Latin languages searched.
_NO_ENGLISH = re.compile(
    r"«|\b(?:la|lo|de|en|con|non|per|si|se|ci|ich|nicht|wie|almeno|quanti|quante|quanto|quanta|chi|ik|je|kim|kto|le|les|"
    r"des|une?|du|est|el|los|las|una|que|il|che|gli|der|das|und|ist|eine?|mit|het|een|van|niet|os|uma|"
    r"para|com|bir|ve|bu|jest|nie|się)\b"
)


@lru_cache(maxsize=4096)
def scripts_of(text: str) -> tuple[str, ...]:
    """The scripts of SCRIPTS that the text may hold phrases in."""
    if text.isascii():
        found: tuple[str, ...] = ("english",)
    else:
        found = tuple(script for script, block in _BLOCKS.items() if block.search(text))
    return found if "latin" in found or not _NO_ENGLISH.search(text.lower()) else (*found, "latin")


class Phrases:
    """What to look for, by language: each value is a regular expression without groups, whole words where there are."""

    def __init__(self, **languages: str) -> None:
        self._patterns: dict[str, re.Pattern[str]] = {}
        for script, (_, written, apart) in SCRIPTS.items():
            if parts := [languages[language] for language in written.split() if language in languages]:
                whole = "|".join(parts)
                self._patterns[script] = re.compile(rf"\b(?:{whole})\b" if apart else whole, re.I)

    def search(self, text: str) -> re.Match[str] | None:
        """The first match in the first script that has one."""
        return next(self.finditer(text), None)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """All matches, script by script."""
        for script in scripts_of(text):
            if pattern := self._patterns.get(script):
                yield from pattern.finditer(text)

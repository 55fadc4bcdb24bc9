"""The language that an answer is written in."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from eval.graders.row import Check, Wrong, text_of

READ_CHARS = 4_000  # of an answer; more changes nothing and costs time
NAMES = {"english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt"}
NAMES |= {"dutch": "nl", "polish": "pl", "russian": "ru", "turkish": "tr", "arabic": "ar", "hindi": "hi"}
NAMES |= {"chinese": "zh", "japanese": "ja", "korean": "ko", "swedish": "sv", "danish": "da", "norwegian": "no"}
NAMES |= {"finnish": "fi", "greek": "el", "czech": "cs", "ukrainian": "uk", "vietnamese": "vi", "thai": "th"}
NAMES |= {"hebrew": "he", "hungarian": "hu", "romanian": "ro", "bulgarian": "bg", "persian": "fa", "bengali": "bn"}


def written_in(text: str) -> str:
    """ISO 639-1 code of the language of a text, code blocks aside; empty where it has no letters.

    py3langid: naive Bayes over byte n-grams (Lui and Baldwin 2011, https://aclanthology.org/I11-1062/).
    """
    bare = re.sub(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", " ", text[: 2 * READ_CHARS], flags=re.S)[:READ_CHARS]
    if not any(sign.isalpha() for sign in bare):
        return ""
    bare = bare.encode("utf-8", "replace").decode()
    if bare == bare.upper():  # the model has seen little text in capitals
        bare = bare.lower()
    return str(_identifier().classify(bare)[0])


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def _codes() -> frozenset[str]:
    return frozenset(map(str, _identifier().nb_classes))


def language_code(value: Any) -> str:
    """The code of a language given by its code (de, de-AT) or its English name; raises Wrong."""
    given = text_of(value).strip().lower()
    code = NAMES.get(given, re.split(r"[-_]", given)[0])
    if code not in _codes():
        raise Wrong(f"language {given!r:.40}, allowed: a two-letter code such as en, de, zh, or its English name")
    return code


def _language(answer: str, value: Any) -> bool:
    code = language_code(value)
    found = written_in(answer)
    return found == code if found else bool(answer.strip())


CHECKS: dict[str, Check] = {
    "language": Check(
        _language,
        "form",
        "is written in this language",
        "a code (de, zh) or an English name",
        False,
        "97 languages; blocks of code and addresses are left out; figures alone pass",
        "answers of a few words, which are often mistaken; near kin (no and da, hr and sr, id and ms); mixed "
        "languages; more than 4,000 characters",
    ),
}

"""Multiple choice: the letter that an answer settles on, however it is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from eval.fold import holds, same
from eval.graders.row import Check, Wrong, only

LETTERS = ascii_uppercase[:10]
MAX_CHARS = 20_000  # of an answer, read; ours
_LETTER = rf"[*_`\"'$\\]*(?:boxed\{{|text\{{|mathbf\{{)*\s*[(\[]?(?P<letter>[{LETTERS}]|[a-j](?=[)\].:]))[)\]}}]*"
_END = r"(?![\w'\u2019-])"
_ALONE = re.compile(rf"\W*[(\[]?(?P<letter>[{LETTERS}{LETTERS.lower()}])[)\]]?\W*")
# "The answer is (B)", "Answer: B", "option B", "Antwort: B", "答案是B", \boxed{B}.
_SAID = re.compile(
    rf"(?:(?i:\b(?:answer|option|choice|choose|chose|select|pick|antwort|l[öo]sung|r[ée]ponse|respuesta|opci[óo]n|"
    rf"risposta|resposta|ответ|вариант)|答案|选项|正解)(?i:\s*(?:to the question|would be|should be|must be|is|are|ist|"
    rf"est|es|[èe]|seria|是|为|は|is clearly|is therefore))?\s*[:：=-]?\s*{_LETTER}{_END}|\\boxed\{{\W*(?:text\{{)?"
    rf"(?P<boxed>[{LETTERS}])\W*\}})"
)
_FIRST = re.compile(rf"\s*[*_]*[(\[]?(?P<letter>[{LETTERS}])(?:[)\].:]|\*\*)(?:\s|\*|\Z)")
_BRACKETED = re.compile(rf"[(\[](?P<letter>[{LETTERS}])[)\]]")
# "A" and "I" are words of English too: alone in a sentence they are no choice.
_BARE = re.compile(
    rf"(?<![\w'\u2019-])(?<!not )(?<!nicht )(?P<letter>[{LETTERS.replace('A', '').replace('I', '')}]){_END}(?!\.\w)"
)
_SEVERAL = re.compile(
    rf"(?<![\w'\u2019-])[{LETTERS}]\s*(?:,|/|&|\b(?:or|and|oder|und|ou|et|o|y|e)\b)\s*[{LETTERS}]{_END}"
)


def chosen(answer: str, options: dict[str, str] | None = None) -> str | None:
    """The letter A to J that an answer settles on; None where it names none or several.

    Read in this order: a letter alone; what is said to be the answer (the last time it is said); a letter that opens
    the answer; the one letter in brackets; the option whose text alone is there; the one bare letter.
    """
    # Runs of blanks folded: the patterns below have several optional ones in a row.
    text = re.sub(r"\s+", lambda run: "\n" if "\n" in run.group() else " ", answer[:MAX_CHARS])
    if alone := _ALONE.fullmatch(text.strip()[:40]) if len(text.strip()) <= 40 else None:
        return alone["letter"].upper()
    said = [match["letter"] or match["boxed"] for match in _SAID.finditer(text)]
    if said:
        return str(said[-1]).upper()
    if first := _FIRST.match(text):
        return first["letter"]
    bracketed = {match["letter"] for match in _BRACKETED.finditer(text)}
    if bracketed:
        return bracketed.pop() if len(bracketed) == 1 else None
    if options:
        whole = [letter for letter, option in options.items() if same(text, option)]
        told = whole or [letter for letter, option in options.items() if holds(text, option)]
        longest = [one for one in told if not any(o != one and holds(options[o], options[one]) for o in told)]
        if told:
            return longest[0] if len(longest) == 1 else None
    bare = {match["letter"] for match in _BARE.finditer(text)} if not _SEVERAL.search(text) else set()
    return bare.pop() if len(bare) == 1 else None


def _choice(answer: str, value: Any) -> bool:
    options: Any = None
    if isinstance(value, dict):
        only(value, "letter", "options")
        value, options = value.get("letter"), value.get("options")
    letter = re.sub(r"\W", "", str(value)).upper() if isinstance(value, str) else ""
    if len(letter) != 1 or letter not in LETTERS:
        raise Wrong(f"needs a letter from A to J, not {value!r:.40}")
    if isinstance(options, list):
        options = dict(zip(LETTERS, options, strict=False))
    if options is not None and not (isinstance(options, dict) and options and all(map(_is_option, options.items()))):
        raise Wrong(f"options: a list of texts, or an object from letter to text, not {options!r:.60}")
    if options and letter not in options:
        raise Wrong(f"the letter {letter} is not among the options {', '.join(options)}")
    return chosen(answer, options) == letter


def _is_option(pair: tuple[Any, Any]) -> bool:
    return pair[0] in LETTERS and len(pair[0]) == 1 and isinstance(pair[1], str) and bool(pair[1].strip())


def _made(references: Sequence[str]) -> str | None:
    given = re.fullmatch(rf"\s*\(?([{LETTERS}])[).]?\s*", references[0]) if len(references) == 1 else None
    return given.group(1) if given else None


CHECKS: dict[str, Check] = {
    "choice": Check(
        _choice,
        "content",
        "settles on this letter",
        "a letter A to J, or {letter, options: texts}",
        False,
        "`B`, `(B)`, `B. text`, `Answer: B`, `the answer is (B)`, \\boxed{B}, the text of the option alone; eight "
        "languages for `answer`",
        "an answer that names several letters fails unless it says which; `not B`; a small letter inside a sentence",
        made=_made,
    ),
}

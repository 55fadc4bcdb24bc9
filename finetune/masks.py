"""What of a row is trained and what is only read: in colour on a terminal, between marks where there is no colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

OPEN, CLOSE = "⟦", "⟧"  # seldom in text, unlike quotes, braces and brackets
SHOWN = 320  # characters of a stretch that are shown: its first and its last half
TRAINED, READ = "black on green", "dim"


@dataclass(frozen=True)
class Span:
    """A stretch of a row that is trained as a whole, or not at all."""

    text: str
    trained: bool


def spans(tokenizer: Any, row: Mapping[str, Sequence[int]], ignored: int) -> list[Span]:
    """A row {"input_ids", "labels"} as stretches of text, special tokens and all; labels `ignored` are only read.

    Tokens are decoded a stretch at a time, since a letter outside of ASCII may be several tokens. What a terminal would
    obey rather than show (rows come from logs) is written as its escape.
    """
    taught = [label != ignored for label in row["labels"]]
    found = []
    for trained, stretch in groupby(zip(row["input_ids"], taught, strict=True), key=lambda pair: pair[1]):
        text = tokenizer.decode([token for token, _ in stretch], clean_up_tokenization_spaces=False)
        found.append(Span(_harmless(str(text)), trained))
    return found


def plain(row: Sequence[Span]) -> str:
    """The row as text, what is trained between ⟦ and ⟧."""
    return "".join(f"{OPEN}{_short(s.text)}{CLOSE}" if s.trained else _short(s.text) for s in row)


def coloured(row: Sequence[Span]) -> Text:
    """The row for rich's console: what is trained on green, so that blanks are seen too; what is only read is dim."""
    from rich.text import Text

    return Text.assemble(*((_short(span.text), TRAINED if span.trained else READ) for span in row))


def _short(text: str) -> str:
    if len(text) <= SHOWN:
        return text
    half = SHOWN // 2
    return f"{text[:half]} [... {len(text) - 2 * half} characters ...] {text[-half:]}"


def _harmless(text: str) -> str:
    return "".join(c if c in "\n\t" or c.isprintable() else ascii(c)[1:-1] for c in text)

"""Documents to chunks capped in the embedder's own tokens, cut at headings, paragraphs and sentences."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rag.documents import Document
from rag.embed import Embedder
from rag.errors import RagError

# MiniLM reads 256 tokens and drops the rest silently; 200 leaves room and keeps two passages inside a short prompt.
CAP_TOKENS = 200
# Overlap as a share of the cap: a sentence or so, enough to keep a cut sentence whole on one side.
OVERLAP_SHARE = 0.1
# A heading path may take at most this share of the cap; a longer one loses its middle.
HEADER_SHARE = 0.25

HEADING = re.compile(
    r"^(#{1,6})[ \t]+(\S.*?)[ \t]*#*$|^(?!\s*[-=~]+\s*$)(\S.{0,120})\n(={3,}|-{3,}|~{3,})[ \t]*$", re.M
)
FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.M | re.S)
UNDERLINE_LEVEL = {"=": 1, "-": 2, "~": 3}
PARAGRAPH_END = re.compile(r"\n[ \t]*\n\s*")
SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*\s+|[。！？]|\n")
PARAGRAPH, SENTENCE, WORD = 3, 2, 1


class Chunk(NamedTuple):
    """A piece of a document: `text == document.text[start:end]`; `header` (title and headings) is read before it."""

    id: str
    document_id: str
    title: str
    header: str
    path: str
    start: int
    end: int
    text: str
    tokens: int

    @property
    def embedded_text(self) -> str:
        """What is embedded and searched: the header, then the text; its length in tokens is `tokens`."""
        return f"{self.header}\n{self.text}" if self.header else self.text


class _Section(NamedTuple):
    start: int
    end: int
    headings: tuple[str, ...]


class _Tokens(NamedTuple):
    starts: list[int]
    ends: list[int]
    words: list[int]


def default_overlap(cap_tokens: int) -> int:
    """Tokens shared by two chunks that were cut inside a paragraph, when none is asked for."""
    return int(cap_tokens * OVERLAP_SHARE)


def cut(
    documents: Sequence[Document],
    embedder: Embedder,
    *,
    cap_tokens: int = CAP_TOKENS,
    overlap_tokens: int | None = None,
) -> list[Chunk]:
    """Chunks of the documents in order, each at most `cap_tokens` of the embedder (header and special ones counted).

    Each document is tokenised once with offsets and cut there; every chunk is then counted as it will be embedded, and
    the rare one that grew at its cut (tokenizers that merge across words) is cut again. Overlap: a tenth unless given.
    """
    if not 32 <= cap_tokens <= embedder.max_tokens:
        raise RagError("cap_tokens", str(cap_tokens), f"32 to {embedder.max_tokens} (the embedder reads no further)")
    if overlap_tokens is None:
        overlap_tokens = default_overlap(cap_tokens)
    if not 0 <= overlap_tokens <= cap_tokens // 4:
        raise RagError("overlap_tokens", str(overlap_tokens), f"0 to {cap_tokens // 4} (a quarter of the cap)")
    chunks: list[Chunk] = []
    for document in documents:
        chunks += _cut_document(document, embedder, cap_tokens, overlap_tokens)
    return chunks


def _cut_document(document: Document, embedder: Embedder, cap: int, overlap: int) -> list[Chunk]:
    encoding = embedder.tokenizer.encode(document.text, add_special_tokens=False)
    offsets, words = encoding.offsets, encoding.word_ids  # each access copies the whole list
    real = [i for i, (start, end) in enumerate(offsets) if end > start]
    if not real:
        return []
    tokens = _Tokens(
        [offsets[i][0] for i in real],
        [offsets[i][1] for i in real],
        [words[i] if words[i] is not None else -1 - i for i in real],
    )
    breaks = _breaks(document.text, tokens)
    spans: list[tuple[int, int, str]] = []
    for section in _merge(_sections(document), tokens, cap):
        header = _header(document.title, section, document.text, embedder, cap)
        room = cap - (embedder.count_tokens([header])[0] if header else embedder.special_tokens)
        first, last = bisect_left(tokens.starts, section.start), bisect_left(tokens.starts, section.end)
        for a, b in _windows(first, last, room, overlap, breaks):
            spans.append((tokens.starts[a], tokens.ends[b - 1], header))
    return _counted(document, embedder, cap, spans)


def _sections(document: Document) -> list[_Section]:
    """The text between headings, each with the headings above it (its own among them)."""
    text = document.text
    fences = [m.span() for m in FENCE.finditer(text)]
    marks: list[tuple[int, int, str]] = []
    for m in HEADING.finditer(text):
        if any(a <= m.start() < b for a, b in fences):
            continue
        level = len(m.group(1)) if m.group(1) else UNDERLINE_LEVEL[m.group(4)[0]]
        marks.append((m.start(), level, (m.group(2) or m.group(3)).strip()))
    sections = [_Section(0, marks[0][0] if marks else len(text), ())]
    above: list[tuple[int, str]] = []
    for i, (start, level, name) in enumerate(marks):
        above = [(n, h) for n, h in above if n < level] + [(level, name)]
        end = marks[i + 1][0] if i + 1 < len(marks) else len(text)
        sections.append(_Section(start, end, tuple(h for _, h in above)))
    return [s for s in sections if text[s.start : s.end].strip()]


def _merge(sections: Sequence[_Section], tokens: _Tokens, cap: int) -> list[_Section]:
    """Join neighbours that are short together (half a cap), or a whole document that fits in one chunk."""

    def size(start: int, end: int) -> int:
        return bisect_left(tokens.starts, end) - bisect_left(tokens.starts, start)

    if not sections:
        return []
    whole = size(sections[0].start, sections[-1].end) <= cap * (1 - HEADER_SHARE)
    merged = [sections[0]]
    for section in sections[1:]:
        before = merged[-1]
        if whole or size(before.start, section.end) <= cap // 2:
            shared = [a for a, b in zip(before.headings, section.headings, strict=False) if a == b]
            merged[-1] = _Section(before.start, section.end, tuple(shared))
        else:
            merged.append(section)
    return merged


def _header(title: str, section: _Section, text: str, embedder: Embedder, cap: int) -> str:
    """Title and headings on one line, without repeats, cut to its share of the cap."""
    parts = list(dict.fromkeys(p for p in (" ".join(title.split()), *section.headings) if p))
    room = int(cap * HEADER_SHARE)
    while len(parts) > 2 and embedder.count_tokens([" > ".join(parts)])[0] > room:
        del parts[1]
    header = " > ".join(parts)
    encoding = embedder.tokenizer.encode(header, add_special_tokens=False)
    if len(encoding.ids) + embedder.special_tokens > room:
        header = header[: encoding.offsets[room - embedder.special_tokens - 1][1]]
    return header


def _breaks(text: str, tokens: _Tokens) -> list[int]:
    """Strength of a cut before each token: paragraph, sentence or line, word, or 0 inside a word."""
    breaks = [0, *(int(a != b) * WORD for a, b in zip(tokens.words, tokens.words[1:], strict=False))]
    for pattern, strength in ((SENTENCE_END, SENTENCE), (PARAGRAPH_END, PARAGRAPH)):
        for m in pattern.finditer(text):
            i = bisect_left(tokens.starts, m.end())
            if i < len(breaks):
                breaks[i] = strength
    breaks[0] = PARAGRAPH
    return breaks


def _windows(first: int, last: int, room: int, overlap: int, breaks: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Token spans of at most `room`, ended at the best break of their second half, with a little overlap."""
    start = first
    while start < last:
        if last - start <= room:
            yield start, last
            return
        furthest = start + room
        end = max(range(start + room // 2 + 1, furthest + 1), key=lambda i: (breaks[i], i))
        if breaks[end] == 0:
            end = furthest
        yield start, end
        # A cut between paragraphs needs no overlap; else go back to a sentence, else to a word.
        following = end
        if breaks[end] < PARAGRAPH and overlap:
            back = [i for i in range(max(start + 1, end - overlap), end) if breaks[i] >= WORD]
            sentences = [i for i in back if breaks[i] >= SENTENCE]
            if sentences or (back and breaks[end] < SENTENCE):
                following = (sentences or back)[0]
        start = following


def _counted(document: Document, embedder: Embedder, cap: int, spans: list[tuple[int, int, str]]) -> list[Chunk]:
    """Chunks of the spans with their true token counts; a span over the cap is halved at a space until it fits."""
    chunks: list[Chunk] = []
    while spans:
        texts = [f"{header}\n{document.text[a:b]}" if header else document.text[a:b] for a, b, header in spans]
        counts = embedder.count_tokens(texts)
        again: list[tuple[int, int, str]] = []
        for (a, b, header), count in zip(spans, counts, strict=True):
            if count > cap and b - a > 1:
                middle = document.text.rfind(" ", a + 1, (a + b) // 2) + 1 or (a + b) // 2
                again += [(a, middle, header), (middle, b, header)]
            else:
                text = document.text[a:b]
                chunks.append(Chunk("", document.id, document.title, header, document.path, a, b, text, count))
        spans = [s for s in again if document.text[s[0] : s[1]].strip()]
    chunks.sort(key=lambda chunk: chunk.start)
    return [chunk._replace(id=f"{document.id}#{i}") for i, chunk in enumerate(chunks)]

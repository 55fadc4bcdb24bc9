"""Files to documents: text only, encodings guessed safely, and a reason for every file that is left out."""

import codecs
import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rag.errors import RagError
from rag.html_text import html_to_text

SUFFIXES = (".md", ".markdown", ".txt", ".rst", ".html", ".htm", ".csv", ".json", ".jsonl")
MAX_BYTES = 20 * 2**20

# Byte-order marks, the longer first: UTF-32 LE begins with the mark of UTF-16 LE (Unicode 16.0, section 23.8).
BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
MD_TITLE = re.compile(r"^#{1,2}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
UNDERLINED_TITLE = re.compile(r"^(\S.{0,120})\n(={3,}|-{3,}|~{3,})[ \t]*$", re.MULTILINE)
LOG = logging.getLogger("rag")


class Document(NamedTuple):
    """A text with its place: `id` is unique (the path below the folder), line ends are "\\n"."""

    id: str
    title: str
    text: str
    path: str


class Skipped(NamedTuple):
    """A file or folder that was left out, and why."""

    path: str
    reason: str


class Reading(NamedTuple):
    """What was read: `skipped` are files without a document, `notes` are documents read with a doubt."""

    documents: list[Document]
    skipped: list[Skipped]
    notes: list[Skipped]


def read_documents(source: str | Path | Sequence[str | Path]) -> list[Document]:
    """Documents of a folder or files; what is skipped or doubtful is logged as a warning (`read` returns it)."""
    reading = read(source)
    for path, reason in (*reading.skipped, *reading.notes):
        LOG.warning("%s: %s", path, reason)
    return reading.documents


def read(source: str | Path | Sequence[str | Path]) -> Reading:
    """Read the text files of a folder, a file, or several of either, in order of path.

    Raises RagError if a path does not exist or no document is found.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    reading = Reading([], [], [])
    taken: set[str] = set()
    same: dict[str, str] = {}
    for given in sources:
        root = Path(given).expanduser()
        if not root.exists():
            raise RagError(str(given), "no such file or folder", "a folder or files of " + ", ".join(SUFFIXES))
        files = _walk(root, reading.skipped) if root.is_dir() else iter([(root.name, root)])
        for name, path in files:
            document = _read_file(name, path, reading)
            if document is None:
                continue
            digest = hashlib.sha256(document.text.encode()).hexdigest()
            if digest in same:
                reading.skipped.append(Skipped(str(path), f"same text as {same[digest]}"))
                continue
            same[digest] = str(path)
            unique = _free_id(document.id, taken)
            reading.documents.append(document._replace(id=unique))
    if not reading.documents:
        said = f" ({len(reading.skipped)} skipped; first: {reading.skipped[0].reason})" if reading.skipped else ""
        raise RagError(
            ", ".join(str(s) for s in sources), f"no document found{said}", "text files of " + ", ".join(SUFFIXES)
        )
    return reading


def documents_from_texts(pairs: Iterable[tuple[str, str]]) -> list[Document]:
    """Documents of (id, text) pairs, as the contexts of a log; empty texts and repeated texts are dropped.

    An id that comes again with another text gets a number behind it.
    """
    documents: list[Document] = []
    taken: set[str] = set()
    seen: set[str] = set()
    for name, raw in pairs:
        # JSON may hold half a surrogate pair, which is no text.
        text = raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        key = " ".join(text.split())
        if not key or key in seen:
            continue
        seen.add(key)
        documents.append(Document(_free_id(name, taken), _title_in(text), text, name))
    return documents


def _walk(root: Path, skipped: list[Skipped]) -> Iterator[tuple[str, Path]]:
    """Files below root by name; links, hidden entries and indexes of this package are reported, not followed."""
    for here, folders, files in os.walk(root, followlinks=False):
        place = Path(here)
        for folder in sorted(folders):
            reason = _folder_reason(place / folder)
            if reason:
                skipped.append(Skipped(str(place / folder), reason))
                folders.remove(folder)
        folders.sort()
        for file in sorted(files):
            path = place / file
            if path.is_symlink():
                inside = path.resolve().is_relative_to(root.resolve())
                reason = "link to a file of this folder" if inside else "link out of the folder"
                skipped.append(Skipped(str(path), reason))
            elif file.startswith("."):
                skipped.append(Skipped(str(path), "hidden"))
            elif not path.is_file():
                skipped.append(Skipped(str(path), "not a regular file"))
            else:
                yield path.relative_to(root).as_posix(), path


def _folder_reason(folder: Path) -> str:
    if folder.is_symlink():
        return "link to a folder, not followed"
    if folder.name.startswith("."):
        return "hidden"
    if (folder / "CURRENT").is_file() and (folder / "snapshots").is_dir():
        return "an index, not documents"
    return ""


def _read_file(name: str, path: Path, reading: Reading) -> Document | None:
    reason = ""
    text = ""
    size_bytes = path.stat().st_size
    if path.suffix.lower() not in SUFFIXES:
        reason = f"unknown type {path.suffix or '(no suffix)'}"
    elif size_bytes > MAX_BYTES:
        reason = f"too large: {size_bytes} bytes, at most {MAX_BYTES}"
    else:
        try:
            text, note = decode(path.read_bytes())
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        except ValueError as error:
            reason = str(error)
        else:
            if note:
                reading.notes.append(Skipped(str(path), note))
    title = ""
    if not reason and path.suffix.lower() in (".html", ".htm"):
        title, text = html_to_text(text)
    if not reason and not text.strip():
        reason = "empty"
    if reason:
        reading.skipped.append(Skipped(str(path), reason))
        return None
    if path.suffix.lower() not in (".csv", ".json", ".jsonl"):
        title = title or _title_in(text)
    return Document(name, title or path.stem.replace("_", " ").replace("-", " "), text, str(path))


def decode(raw: bytes) -> tuple[str, str]:
    """Text of the bytes and a note where the encoding is a guess; ValueError("binary") for what is no text.

    A byte-order mark decides; else UTF-8; else one byte a character: Latin-1, or its superset Windows-1252 where bytes
    80-9F occur, which are control characters in Latin-1 (WHATWG Encoding reads the label latin1 as windows-1252 too).
    """
    note = ""
    encoding = next((name for bom, name in BOMS if raw.startswith(bom)), "")
    if encoding:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            text = raw.decode(encoding, errors="replace")
            note = f"broken {encoding}: {text.count(chr(0xFFFD))} characters replaced"
    else:
        if b"\0" in raw:
            raise ValueError("binary")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            encoding = "windows-1252" if re.search(rb"[\x80-\x9f]", raw) else "latin-1"
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError:  # five bytes are undefined in Windows-1252
                raise ValueError("binary") from None
            note = f"not valid UTF-8, read as {encoding}"
    # A text has next to no control characters; a tenth is far beyond any log or listing with escape codes.
    if len(CONTROL.findall(text)) * 10 > len(text):
        raise ValueError("binary")
    return CONTROL.sub(" ", text).replace("\r\n", "\n").replace("\r", "\n"), note


def _title_in(text: str) -> str:
    start = text[:4000]
    found = [m for m in (MD_TITLE.search(start), UNDERLINED_TITLE.search(start)) if m]
    return min(found, key=lambda m: m.start()).group(1).strip() if found else ""


def _free_id(name: str, taken: set[str]) -> str:
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f"{name}~{number}"
    taken.add(unique)
    return unique

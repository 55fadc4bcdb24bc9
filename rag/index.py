"""The index: chunks, their vectors (FAISS) and words (BM25) as one snapshot that is swapped in whole."""

import datetime
import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rag.chunks import CAP_TOKENS, Chunk, cut, default_overlap
from rag.documents import Document
from rag.embed import Embedder, Vectors
from rag.errors import RagError
from rag.lexical import BM25_FILES, Bm25
from rag.snapshots import (
    FORMAT,
    KEPT_SNAPSHOTS,
    check_manifest,
    clean,
    current,
    hash_bytes,
    read_verified,
    set_current,
    snapshot_folder,
    sync_folder,
)

CHUNKS_FILE, VECTORS_FILE, BM25_FOLDER = "chunks.jsonl", "index.faiss", "bm25"
FILES = (CHUNKS_FILE, VECTORS_FILE, *(f"{BM25_FOLDER}/{name}" for name in BM25_FILES))


class Snapshot(NamedTuple):
    """What a build left behind; `built` is False when the same inputs were there already."""

    id: str
    folder: str
    documents: int
    chunks: int
    embedded: int
    built: bool


class Index(NamedTuple):
    """A loaded snapshot: chunk i has row i in `vectors` and in `bm25`."""

    id: str
    chunks: list[Chunk]
    vectors: Any
    bm25: Bm25
    embedder: Embedder
    manifest: Mapping[str, Any]


def build(
    documents: Sequence[Document],
    folder: str | Path,
    embedder: Embedder | None = None,
    *,
    cap_tokens: int = CAP_TOKENS,
    overlap_tokens: int | None = None,
) -> Snapshot:
    """Build the documents' snapshot under `folder` and make it the current one.

    The id is a hash of the documents, the embedder and the settings: the same inputs build nothing. Chunks that the
    current snapshot holds already keep their vectors. Until the one pointer file is replaced the old snapshot serves.
    """
    embedder = embedder or Embedder()
    root = Path(folder).expanduser()
    if not documents:
        raise RagError(str(root), "no documents to index", fix="give a folder with text files")
    ordered = sorted(documents, key=lambda document: document.id)
    if len({document.id for document in ordered}) < len(ordered):
        raise RagError("documents", "two documents have the same id", "one id for each document")
    overlap_tokens = default_overlap(cap_tokens) if overlap_tokens is None else overlap_tokens
    settings = {"cap_tokens": cap_tokens, "overlap_tokens": overlap_tokens}
    hashes = {d.id: hash_bytes(json.dumps([d.title, d.path, d.text]).encode()) for d in ordered}
    identity = json.dumps([FORMAT, embedder.identity, settings, hashes], sort_keys=True)
    snapshot = sha256(identity.encode()).hexdigest()[:16]

    _make_root(root)
    clean(root)
    there = _intact(root, snapshot)
    if there is not None:
        set_current(root, snapshot)
        return Snapshot(snapshot, str(root), len(ordered), int(there["counts"]["chunks"]), 0, False)

    chunks = cut(ordered, embedder, cap_tokens=cap_tokens, overlap_tokens=overlap_tokens)
    if not chunks:
        raise RagError(str(root), "the documents hold no words", "documents with text")
    vectors, embedded = _vectors(chunks, embedder, root)
    building = root / f".building-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        _write(building, chunks, vectors)
        manifest = {
            "format": FORMAT,
            "snapshot": snapshot,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "embedder": embedder.identity,
            "dimension": int(vectors.shape[1]),
            "chunking": settings,
            "counts": {"documents": len(ordered), "chunks": len(chunks)},
            "documents": hashes,
            "files": {name: hash_bytes((building / name).read_bytes()) for name in FILES},
        }
        (building / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        _swap(building, root, snapshot)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    clean(root, keep=KEPT_SNAPSHOTS)
    return Snapshot(snapshot, str(root), len(ordered), len(chunks), embedded, True)


def load(folder: str | Path, embedder: Embedder | None = None) -> Index:
    """Load the current snapshot; every file is read once, hashed, and only then parsed.

    RagError if there is none, a file differs from its hash, the format is another one, or the embedder is not the one
    that the index was built with.
    """
    root = Path(folder).expanduser()
    snapshot, manifest = current(root)
    embedder = embedder or Embedder()
    if manifest["embedder"] != embedder.identity:
        raise RagError(
            str(root), f"built with the embedder {manifest['embedder']}", embedder.identity, "build the index again"
        )
    check_manifest(root, manifest, FILES)
    place = snapshot_folder(root, snapshot)
    contents = {name: read_verified(place, name, manifest) for name in FILES}
    chunks = [_chunk(json.loads(line)) for line in contents[CHUNKS_FILE].decode("utf-8").splitlines()]
    vectors = _read_faiss(contents[VECTORS_FILE], place)
    count = int(manifest["counts"]["chunks"])
    if not len(chunks) == vectors.ntotal == count or vectors.d != manifest["dimension"]:
        raise RagError(str(place), "chunks and vectors do not belong together", fix="build the index again")
    return Index(snapshot, chunks, vectors, Bm25.load(place / BM25_FOLDER, count), embedder, manifest)


def status(folder: str | Path) -> dict[str, Any]:
    """Id, counts, settings and documents of the current snapshot, and whether its files are intact."""
    root = Path(folder).expanduser()
    snapshot, manifest = current(root)
    check_manifest(root, manifest, FILES)
    place = snapshot_folder(root, snapshot)
    sizes = {name: (place / name).stat().st_size if (place / name).is_file() else 0 for name in FILES}
    return {
        "snapshot": snapshot,
        "created": manifest["created"],
        "embedder": manifest["embedder"],
        "chunking": manifest["chunking"],
        "counts": manifest["counts"],
        "size_bytes": sum(sizes.values()),
        "intact": _intact(root, snapshot) is not None,
        "documents": sorted(manifest["documents"]),
    }


def _make_root(root: Path) -> None:
    if root.is_file():
        raise RagError(str(root), "is a file", "a folder for the index")
    if root.is_dir() and any(root.iterdir()) and not (root / "snapshots").is_dir():
        raise RagError(str(root), "is a folder with other things in it", "an empty or new folder, or an index")
    try:
        (root / "snapshots").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RagError(str(root), f"cannot be made: {error.strerror}", "a folder that you may write to") from None


def _intact(root: Path, snapshot: str) -> dict[str, Any] | None:
    """The manifest of a snapshot whose files all match their hashes, else None."""
    place = snapshot_folder(root, snapshot)
    try:
        manifest: dict[str, Any] = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        check_manifest(root, manifest, FILES)
        for name in FILES:
            read_verified(place, name, manifest)
    except (OSError, ValueError, KeyError, RagError):
        return None
    return manifest


def _vectors(chunks: Sequence[Chunk], embedder: Embedder, root: Path) -> tuple[Vectors, int]:
    """Unit rows of the chunks, and how many had to be embedded: equal texts keep their row of the old snapshot."""
    known: dict[str, int] = {}
    old: Vectors = np.zeros((0, 0), dtype=np.float32)
    try:
        index = load(root, embedder)
    except (RagError, OSError):
        pass
    else:
        old = index.vectors.reconstruct_n(0, index.vectors.ntotal)
        known = {chunk.embedded_text: row for row, chunk in enumerate(index.chunks)}
    fresh = sorted({c.embedded_text for c in chunks} - known.keys())
    made = embedder.encode(fresh) if fresh else old[:0]
    new = {text: row for row, text in enumerate(fresh)}
    texts = [chunk.embedded_text for chunk in chunks]
    rows = [made[new[text]] if text in new else old[known[text]] for text in texts]
    return np.ascontiguousarray(np.stack(rows), dtype=np.float32), len(fresh)


def _write(building: Path, chunks: Sequence[Chunk], vectors: Vectors) -> None:
    import faiss  # here, as in `_read_faiss`: prompts are built without an index too

    building.mkdir()
    lines = "".join(json.dumps(chunk._asdict(), ensure_ascii=True) + "\n" for chunk in chunks)
    (building / CHUNKS_FILE).write_text(lines, encoding="utf-8")
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    (building / VECTORS_FILE).write_bytes(faiss.serialize_index(index).tobytes())
    Bm25.of([chunk.embedded_text for chunk in chunks]).save(building / BM25_FOLDER)


def _swap(building: Path, root: Path, snapshot: str) -> None:
    """Make the finished folder the current snapshot: to disk, to its name, then the pointer in one step."""
    sync_folder(building)
    place = snapshot_folder(root, snapshot)
    if _intact(root, snapshot) is None:  # else another process has built the same meanwhile
        shutil.rmtree(place, ignore_errors=True)
        os.replace(building, place)
    sync_folder(place.parent, deep=False)
    set_current(root, snapshot)


def _read_faiss(raw: bytes, place: Path) -> Any:
    import faiss

    # A flat index is its vectors and a short head: nothing in the file may ask for more memory than the file has.
    faiss.set_deserialization_vector_byte_limit(len(raw))
    index = faiss.deserialize_index(np.frombuffer(raw, dtype=np.uint8))
    if type(index) is not faiss.IndexFlatIP:
        raise RagError(str(place), f"holds a FAISS {type(index).__name__}", "IndexFlatIP")
    return index


def _chunk(row: Mapping[str, Any]) -> Chunk:
    return Chunk(**{name: row[name] for name in Chunk._fields})

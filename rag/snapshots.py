"""Snapshots on disk: one pointer file names the current one, hashes tell whether it is what was built."""

import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from rag.errors import RagError

FORMAT = 1
# The current snapshot and two to go back to; a removed document is gone from disk after as many builds.
KEPT_SNAPSHOTS = 3
SNAPSHOT_ID = re.compile(r"[0-9a-f]{16}")
BUILD_AGAIN = "build the index again"


def hash_bytes(raw: bytes) -> str:
    """SHA-256 as hex."""
    return sha256(raw).hexdigest()


def snapshot_folder(root: Path, snapshot: str) -> Path:
    """Where a snapshot lies."""
    return root / "snapshots" / snapshot


def current(root: Path) -> tuple[str, dict[str, Any]]:
    """(id, manifest) of the current snapshot; RagError if there is none or its manifest is not the one pointed to."""
    pointer = root / "CURRENT"
    if not pointer.is_file():
        raise RagError(
            str(root), "no index here", "a folder made by `rag build`", "rag build DOCS --index " + str(root)
        )
    try:
        named = json.loads(pointer.read_text(encoding="utf-8"))
        snapshot, expected = str(named["snapshot"]), str(named["manifest_sha256"])
    except (ValueError, KeyError, TypeError):
        raise RagError(str(pointer), "not a pointer to a snapshot", fix=BUILD_AGAIN) from None
    if not SNAPSHOT_ID.fullmatch(snapshot):
        raise RagError(str(pointer), f"names the snapshot {snapshot[:40]!r}", "16 hex digits", BUILD_AGAIN)
    path = snapshot_folder(root, snapshot) / "manifest.json"
    if not path.is_file():
        raise RagError(str(path), "is missing", fix=BUILD_AGAIN)
    raw = path.read_bytes()
    if hash_bytes(raw) != expected:
        raise RagError(str(path), "was changed after it was built", fix=BUILD_AGAIN)
    manifest: dict[str, Any] = json.loads(raw)
    return snapshot, manifest


def check_manifest(root: Path, manifest: Mapping[str, Any], files: Sequence[str]) -> None:
    """RagError unless the manifest is of this format and lists exactly `files`."""
    if manifest.get("format") != FORMAT:
        raise RagError(str(root), f"index format {manifest.get('format')}", str(FORMAT), BUILD_AGAIN)
    if sorted(manifest.get("files", ())) != sorted(files):
        raise RagError(str(root), "the manifest lists other files", ", ".join(files), BUILD_AGAIN)


def read_verified(place: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    """Bytes of a file of the snapshot; RagError if it is missing, a link, or not what was built."""
    path = place / name
    if path.is_symlink() or not path.is_file():
        raise RagError(str(path), "is missing or a link", fix=BUILD_AGAIN)
    raw = path.read_bytes()
    if hash_bytes(raw) != manifest["files"][name]:
        raise RagError(str(path), "was changed after it was built", fix=BUILD_AGAIN)
    return raw


def set_current(root: Path, snapshot: str) -> None:
    """Point to a snapshot in one step: readers see the old one or the new one, never a half."""
    manifest = (snapshot_folder(root, snapshot) / "manifest.json").read_bytes()
    text = json.dumps({"snapshot": snapshot, "manifest_sha256": hash_bytes(manifest)})
    pointer = root / "CURRENT"
    if pointer.is_file() and pointer.read_text(encoding="utf-8") == text:
        return
    temporary = root / f".CURRENT-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, pointer)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(root, deep=False)


def sync_folder(folder: Path, deep: bool = True) -> None:
    """Write the folder's entries to disk, and with `deep` its files too (a folder cannot be opened on Windows)."""
    if deep:
        for path in folder.rglob("*"):
            if path.is_file():
                with open(path, "rb+") as file:
                    os.fsync(file.fileno())
    if os.name == "posix":
        for place in (folder, *(p for p in folder.rglob("*") if deep and p.is_dir())):
            descriptor = os.open(place, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def clean(root: Path, keep: int = 0) -> None:
    """Remove folders of killed builds and, with `keep`, all but the newest so many snapshots (never the current)."""
    for leftover in root.glob(".building-*"):
        pid = leftover.name.split("-")[1]
        if not pid.isdigit() or not _alive(int(pid)):
            shutil.rmtree(leftover, ignore_errors=True)
    if keep:
        named, _ = current(root)
        others = [p for p in (root / "snapshots").iterdir() if p.name != named and p.is_dir() and not p.is_symlink()]
        others.sort(key=lambda p: p.stat().st_mtime_ns, reverse=True)
        for old in others[keep - 1 :]:
            shutil.rmtree(old, ignore_errors=True)


def _alive(pid: int) -> bool:
    if os.name != "posix" or pid == os.getpid():
        return pid == os.getpid()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

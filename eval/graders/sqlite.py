"""Queries of a stranger on a SQLite file: read only, no other file, in a process that is ended when its time is up."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

QUERY_S = 0.7  # of one query; a function that does not look at the clock is ended with the process
PROCESS_S = 1.6
MAX_ROWS = 10_000
MAX_VALUE_BYTES = 1_000_000
MAX_QUERY_CHARS = 10_000
MAX_MEMORY_BYTES = 2**30
STEPS = 10_000  # of SQLite's virtual machine between two looks at the clock
_READS = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE))
_FORBIDDEN = frozenset(("load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"))
Row = list[Any]


def results(database: str, queries: Sequence[str]) -> list[list[Row] | str]:
    """For each query its rows, or why it has none: it writes, does not parse, runs too long, returns too much.

    Numbers are made comparable: 1 and 1.0 are one, floats have nine digits. The file is opened with mode=ro
    (https://sqlite.org/uri.html) under an authorizer that allows reads alone, so that neither ATTACH nor PRAGMA nor a
    write is compiled. Raises FileNotFoundError and ValueError for a file that is no SQLite database.
    """
    path = Path(database).resolve()
    if not path.is_file():  # a pipe would block, a folder cannot be opened
        raise FileNotFoundError(f"no SQLite file {database!r:.80}")
    with path.open("rb") as stream:
        if stream.read(16) != b"SQLite format 3\x00":
            raise ValueError(f"{database!r:.80} is not a SQLite file")
    try:
        ran = subprocess.run(
            [sys.executable, "-I", "-S", __file__],
            input=json.dumps([str(path), list(queries)]).encode(),
            capture_output=True,
            timeout=PROCESS_S,
        )
        said = ran.stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    read = [json.loads(line) for line in said.decode().split("\n")[:-1]]
    return [*read, *["it does not come to an end in time" for _ in queries[len(read) :]]]


def _run(database: Path, query: str) -> list[Row] | str:
    if len(query) > MAX_QUERY_CHARS or "\x00" in query:
        return f"it is longer than {MAX_QUERY_CHARS:,} characters or holds a NUL"
    if any("\ud800" <= sign <= "\udfff" for sign in query):
        return "it is not Unicode"
    with closing(_opened(database)) as connection:
        ends = time.monotonic() + QUERY_S
        connection.set_progress_handler(lambda: time.monotonic() > ends, STEPS)
        try:
            cursor = connection.execute(query)
            rows = cursor.fetchmany(MAX_ROWS + 1)
        except (sqlite3.Error, sqlite3.Warning, OverflowError, MemoryError) as error:
            return f"{error}"[:200] or "out of memory"
        if cursor.description is None:
            return "it is no query"
    return [list(map(_plain, row)) for row in rows] if len(rows) <= MAX_ROWS else f"it has more than {MAX_ROWS:,} rows"


def _plain(value: Any) -> Any:
    if isinstance(value, int | float):
        rounded = float(f"{value:.9g}")
        return value if isinstance(value, int) and value != rounded else rounded + 0.0
    return {"blob": value.hex()} if isinstance(value, bytes) else value


def _opened(path: Path) -> sqlite3.Connection:
    # `immutable` keeps SQLite from making -wal and -shm files beside it; where a -wal is there its pages are needed.
    wal = path.with_name(path.name + "-wal")
    immutable = "" if wal.exists() and wal.stat().st_size else "&immutable=1"
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro{immutable}", uri=True, timeout=QUERY_S)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200)

    def allowed(action: int, _: str | None, name: str | None, *__: str | None) -> int:
        refused = action not in _READS or (action == sqlite3.SQLITE_FUNCTION and str(name).lower() in _FORBIDDEN)
        return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

    connection.set_authorizer(allowed)
    return connection


def _main() -> None:
    """In the process of its own: a line of JSON for each query, as soon as it is done."""
    try:
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    except (ImportError, ValueError, OSError):
        pass
    database, queries = json.load(sys.stdin)
    for query in queries:
        print(json.dumps(_run(Path(database), query)), flush=True)


if __name__ == "__main__":
    _main()

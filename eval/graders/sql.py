"""SQL: one statement of a dialect, the same query, or a query with the same result on a given SQLite file."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from eval.graders.row import Check, Wrong, each, fields_of, only, text_of, texts_of
from eval.structure import equal_sql, found_sql, parsed_sql, sql_candidates


def _dialect(value: Any) -> str | None:
    if value in (None, True, ""):
        return None
    from sqlglot import Dialect

    if Dialect.get(str(value).lower()) is None:
        raise Wrong(f"dialect {value!r:.40} is not known to sqlglot")
    return str(value).lower()


def _is_sql(answer: str, value: Any) -> bool:
    return "```" not in answer and parsed_sql(answer, _dialect(value)) is not None


def _sql_equal(answer: str, value: Any) -> bool:
    wanted = [parsed_sql(text) for text in texts_of(value)]
    if None in wanted:
        raise Wrong("needs one SQL statement that parses")
    given = found_sql(answer)
    return given is not None and any(equal_sql(given, tree) for tree in wanted)


def _sql_result(answer: str, value: Any) -> bool:
    from eval.graders.sqlite import results

    query, database = map(text_of, fields_of(value, "query", "database"))
    only(value, "query", "database", "ordered")
    wanted, *found = results(database, [query, *sql_candidates(answer)])
    if isinstance(wanted, str):
        raise Wrong(f"its own query: {wanted}")
    given = next((rows for rows in found if not isinstance(rows, str)), None)
    if given is None or value.get("ordered", _is_ordered(query)):
        return given == wanted
    return Counter(map(json.dumps, given)) == Counter(map(json.dumps, wanted))


def _is_ordered(query: str) -> bool:
    tree = parsed_sql(query, "sqlite")
    if tree is None:
        return re.search(r"\border\s+by\b", query, re.I) is not None
    return tree.args.get("order") is not None


def looks_like_sql(text: str) -> bool:
    """Whether a text is one SQL statement and begins as one does."""
    start = re.match(r"\s*(?:select|with|insert\s+into|update|delete\s+from|create\s+table)\s+\S", text, re.I)
    return start is not None and parsed_sql(text) is not None


CHECKS: dict[str, Check] = {
    "is-sql": Check(
        _is_sql,
        "form",
        "the whole answer is one SQL statement (value: a dialect)",
        "nothing, or a dialect that sqlglot knows",
        True,
        "queries, changes and definitions; a semicolon at the end",
        "whether the tables exist, what the query returns; only the first 10,000 characters are parsed, for 0.4 s",
    ),
    "sql-equal": Check(
        _sql_equal,
        "content",
        "the SQL found in the answer is this query",
        "a query, or several of which one must fit",
        False,
        "a fence and prose around it, case and quoting of names, spaces, comments",
        "another query with the same result (other aliases, joins, order of conditions)",
        made=lambda references: each(references) if all(map(looks_like_sql, references)) else None,
    ),
    "sql-result": Check(
        _sql_result,
        "content",
        "the SQL found in the answer returns the rows that this query does",
        "{query, database: a SQLite file, ordered}",
        False,
        "any way to write it; order of rows only where the query has ORDER BY; floats to nine digits. Read only, no "
        "other file, 0.7 s and 10,000 rows a query",
        "names of columns; a wrong query that happens to return the same on this data, above all no row; ties under "
        "ORDER BY; other databases' SQL",
    ),
}

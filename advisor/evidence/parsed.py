"""Machine-readable answers: JSON, SQL, Python and function calls, strictly and after repair."""

from __future__ import annotations

import ast
import json
import logging
import re
import warnings
from functools import lru_cache
from typing import Any

import json_repair
import sqlglot
from sqlglot.errors import SqlglotError

from advisor.evidence.text import unfenced

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # its remarks on unsupported formats are not for our users
MAX_PARSED_CHARS = 20_000
NOTHING = object()  # null is a JSON value, so absence needs another one


def as_json(text: str) -> Any:
    """The JSON value that the text is as it stands, NOTHING when it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return NOTHING


@lru_cache(maxsize=2048)
def as_repaired_json(text: str) -> Any:
    """The object or array inside the text after unfencing and repair (json_repair), NOTHING when there is none."""
    inner = unfenced(text)[:MAX_PARSED_CHARS]
    start = min((at for at in (inner.find("{"), inner.find("[")) if at >= 0), default=-1)
    if start < 0:
        return NOTHING
    value = as_json(inner)
    if value is NOTHING:
        try:
            value = json_repair.loads(inner[start:])
        except (ValueError, RecursionError):
            return NOTHING
    return value if isinstance(value, dict | list) and value else NOTHING


def plain(value: Any) -> Any:
    """The JSON value without what form alone decides: key case, number or string, order of keys, folded text."""
    if isinstance(value, dict):
        return {str(key).strip().lower(): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return str(value).lower().replace("none", "null")
    if isinstance(value, int | float):
        return f"{float(value):.6g}"
    text = " ".join(str(value).split()).lower()
    try:
        return f"{float(text.replace(',', '')):.6g}"
    except ValueError:
        return text


@lru_cache(maxsize=4096)
def as_sql(text: str, dialect: str = "") -> tuple[str, int]:
    """(normal form of the first statement, number of statements); ("", 0) when sqlglot cannot parse the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trees = [t for t in sqlglot.parse(text[:MAX_PARSED_CHARS], read=dialect or None) if t is not None]
        if not trees or trees[0].key in ("command", "column", "alias", "literal", "identifier", "paren"):
            return "", 0
        return trees[0].sql(normalize=True, comments=False).lower().replace('"', "'"), len(trees)
    except (SqlglotError, RecursionError, ValueError, AttributeError, TypeError):
        return "", 0


@lru_cache(maxsize=2048)
def python_fault(code: str) -> str:
    """What stops Python's own parser on the code, "" when it parses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error) or type(error).__name__
    return ""


def is_calls(text: str) -> bool:
    """Whether the text is one call or a list of calls with literal arguments, and nothing else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    calls = tree.elts if isinstance(tree, ast.List) else [tree]
    return bool(calls) and all(isinstance(call, ast.Call) for call in calls)


def call_names(text: str) -> set[str]:
    """Names that are called anywhere in the text, dotted names whole."""
    return set(re.findall(r"([A-Za-z_][\w.]*)\s*\(", text))

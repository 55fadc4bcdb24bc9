"""SQL of another dialect than the one asked for: what the output uses that the asked dialect lacks."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

from advisor.evidence.dialects import NAMES, READ_AS, ROWS, TABLED, Row
from advisor.evidence.phrases import Prefiltered
from advisor.evidence.text import quoted, unfenced
from advisor.records import Evidence, Failure

RUNG = "sql"
FOREIGN = 7.0  # above proof by a reference: the manual of the asked dialect lacks what the output uses
MAX_CHARS, MAX_TRANSPILED_CHARS = 20_000, 3_000  # beyond these a text is read no further, or not transpiled
STATEMENT = re.compile(r"(?:select|with|insert|update|delete|create|merge into|replace into|truncate table)\b", re.I)
_ASIDE = r"--[^\n]*|/\*.*?(?:\*/|\Z)|\$\$.*?(?:\$\$|\Z)"  # comments, and bodies in another language
_STRING = re.compile(rf"'(?:[^']|'')*(?:'|\Z)|\"[^\"]*(?:\"|\Z)|{_ASIDE}", re.S)
# Only MySQL reads a backslash in a string as an escape and # as the start of a comment.
_ESCAPED = re.compile(rf"'(?:[^'\\]|''|\\.)*(?:'|\Z)|\"(?:[^\"\\]|\\.)*(?:\"|\Z)|#[^\n]*|{_ASIDE}", re.S)
_CONVERTS = re.compile(r"\b(?:convert|translate|migrate|port|rewrite|transpile)\b", re.I)
# What an author writes as a cast; without one, a cast or an order of nulls in a transpiled tree is sqlglot's own.
_CASTS = re.compile(r"::|\b(?:try_)?cast\s*\(|\bconvert\s*\(|\b(?:str_|to_)?date(?:time)?\s*\(|\btimestamp\b", re.I)
_CALLED = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
# What a translation may call without the table naming it: ISO/IEC 9075-2, that every dialect here has.
STANDARD = frozenset("ABS AVG CAST COALESCE COUNT LOWER MAX MIN NULLIF ROUND SUM UPPER".split())
_NULLS = re.compile(r"\bnulls\s+(?:first|last)\b", re.I)


_ANY_NAMED = Prefiltered("|".join(NAMES.values()))


def sql(failure: Failure) -> list[Evidence]:
    """Functions and syntax of a foreign dialect in SQL that the prompt wants in a named one."""
    asked = dialect_of(failure)
    if asked not in TABLED:
        return []
    for row, name, at in _used(written(failure), asked):
        if asked not in row.has:
            says = f"the prompt asks for {asked}; the output uses {name}, which {asked} does not have ({row.source})"
            return [Evidence(RUNG, "form", says, at, FOREIGN)]
    return []


def written(failure: Failure) -> str:
    """The SQL of the output: without its fence, and with the SELECT that a prompt ends with to be continued."""
    text = unfenced(failure.output).strip()
    if failure.prompt.rstrip().endswith("SELECT") and not re.match(r"(?:select|with)\b", text, re.I):
        return f"SELECT {text}"
    return text


def dialect_of(failure: Failure) -> str:
    """The one dialect that the prompt wants, "" where it is open: of several, or in a conversion, the one after to."""
    for text in dict.fromkeys((failure.asked, failure.prompt)):
        if not _ANY_NAMED.search(text):
            continue
        named = [dialect for dialect, name in NAMES.items() if re.search(name, text, re.I)]
        if len(named) > 1 or (named and _CONVERTS.search(text)):
            named = [d for d in named if re.search(rf"\b(?:to|into|for|in) (?:an? |valid )?(?:{NAMES[d]})", text, re.I)]
        if len(named) == 1:
            return named[0]
    return ""


def same_elsewhere(text: str, wanted: str, asked: str = "") -> tuple[str, str]:
    """(dialect of the text, dialect of the wanted query) when they are one query in two dialects, else ("", "").

    Shown by sqlglot: the one, transpiled, is the tree of the other. The wanted query is of the dialect asked for, or
    of the only one that has what it uses; the text is of one that lacks something there.
    """
    if max(len(text), len(wanted)) > MAX_TRANSPILED_CHARS or not STATEMENT.match(text):
        return "", ""
    there, home = _dialects(text, asked), _dialects(wanted, asked)
    asked = READ_AS.get(asked, asked) or (next(iter(home)) if len(home) == 1 else "")
    if not asked or asked in there or (home and asked in TABLED and asked not in home):
        return "", ""
    written_casts = bool(_CASTS.search(text) or _CASTS.search(wanted))
    written_nulls = bool(_NULLS.search(text) or _NULLS.search(wanted))
    for other in (dialect for dialect in NAMES if dialect in there):
        for one, read, two, write in ((text, other, wanted, asked), (wanted, asked, text, other)):
            tree = _tree(one, read, write, written_casts, written_nulls)
            if tree and tree == _tree(two, write, write, written_casts, written_nulls):
                return other, asked
    return "", ""


def in_dialect(text: str, asked: str) -> str:
    """The one statement of `text` in the dialect asked for, as sqlglot writes it; "" where that is not sure.

    Sure is what the table of dialects shows to be of another one, whose translation comes back as the same tree and
    calls nothing new that the table or the standard does not name; where it could be of several others, they agree.
    """
    text = text.strip().rstrip(";")
    home = READ_AS.get(asked, asked)
    there = _dialects(text, asked)
    if not home or asked not in TABLED or home in there or len(text) > MAX_TRANSPILED_CHARS:
        return ""
    written = bool(_CASTS.search(text)), bool(_NULLS.search(text))
    found = set()
    for other in sorted(there & set(NAMES)):
        moved = _moved(text, other, home)
        original = _tree(text, other, other, *written)
        same = bool(original) and _tree(moved, home, other, *written) == original
        called = {name.upper() for name in _CALLED.findall(moved)} - {name.upper() for name in _CALLED.findall(text)}
        known = all(name in STANDARD or _has(asked, name) for name in called)
        if same and known and all(asked in row.has for row, _, _ in _used(moved, asked)):
            found.add(moved)
    return found.pop() if len(found) == 1 else ""


def _has(dialect: str, function: str) -> bool:
    return any(dialect in row.has for row in ROWS if row.pattern.search(f"SELECT {function}("))


def _moved(text: str, read: str, write: str) -> str:
    """The statement in another dialect, "" where that lacks something."""
    import sqlglot
    from sqlglot.errors import ErrorLevel, SqlglotError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (moved,) = sqlglot.transpile(text, read=read, write=write, unsupported_level=ErrorLevel.RAISE)
            return str(moved)
    except (SqlglotError, RecursionError, ValueError, AttributeError, TypeError):
        return ""


@lru_cache(maxsize=2048)
def _used(text: str, dialect: str) -> tuple[tuple[Row, str, str], ...]:
    """(row, name of the form, quote) for each row of the table that the SQL uses; its own names are none."""
    text = text[:MAX_CHARS]
    if not STATEMENT.match(text):
        return ()
    bare = (_ESCAPED if dialect in ("mysql", "mariadb") else _STRING).sub("''", text)
    found = []
    for row in ROWS:
        if match := row.pattern.search(bare):
            word = match.group(0).rstrip("( \n").upper()
            if not _defines(bare, word):
                found.append((row, row.name or word, quoted(bare[match.start() :], 60)))
    return tuple(found)


def _defines(text: str, word: str) -> bool:
    """Whether the SQL makes or fills something of this name, so that a ( after it calls no built-in."""
    made = rf"\b(?:function|table|into|with|recursive|view|references)\s+(?:\w+\.)?{word}\b"
    return word.isidentifier() and bool(re.search(made, text, re.I))


def _dialects(text: str, dialect: str) -> frozenset[str]:
    """The dialects that have all that the SQL uses, as sqlglot calls them; empty when no row of the table fits."""
    having = [row.has for row, _, _ in _used(text.strip(), dialect)]
    return frozenset(READ_AS.get(d, d) for d in frozenset.intersection(*having)) if having else frozenset()


@lru_cache(maxsize=2048)
def _tree(text: str, read: str, write: str, casts: bool, nulls: bool) -> str:
    """The one statement of `text`, from one dialect to another, without quotes, case, comments; "" when it fails."""
    import sqlglot  # here, not above: few logs hold SQL of two dialects
    from sqlglot import exp
    from sqlglot.errors import ErrorLevel, SqlglotError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (tree,) = sqlglot.parse(text.strip().rstrip(";"), read=read)
            if tree is None or isinstance(tree, exp.Command):
                return ""
            if read != write:
                moved = tree.sql(write, unsupported_level=ErrorLevel.IGNORE)
                tree = sqlglot.parse_one(moved, read=write)
            for name in tree.find_all(exp.Identifier):
                name.set("quoted", False)
            if not nulls:
                for ordered in tree.find_all(exp.Ordered):
                    ordered.set("nulls_first", None)
            if not casts:
                tree = tree.transform(lambda node: node.this if isinstance(node, exp.Cast) else node)
            return str(tree.sql(write, normalize=True, comments=False, unsupported_level=ErrorLevel.IGNORE))
    except (SqlglotError, RecursionError, ValueError, AttributeError, TypeError):
        return ""

"""Code that parses: Python by ast, data formats by their readers, other languages by their tree-sitter grammar."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from eval.graders.row import Check, Wrong, only, text_of
from eval.structure import NOTHING, whole_json

MAX_CODE_CHARS = 50_000
MAX_PARSE_S = 1.5  # with the start of the process; ours
MAX_DOTS = 200  # in a line of TOML; ours
MAX_DEPTH = 100  # of YAML inside YAML; ours
_FENCE = re.compile(r"```[ \t]{0,9}([\w+#.-]{0,40})[^\n`]{0,200}\n(.*?)(?:```|\Z)", re.S)


def _python(code: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a wrong escape in the answer is no warning of ours
        try:
            return bool(ast.parse(code).body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False


def _yaml(code: str) -> bool:
    """A mapping or list, by its events: the C loader's composer breaks the process on deep nesting."""
    import yaml

    depth, first, anchors = 0, True, set()
    try:
        for event in yaml.parse(code, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent):
                if event.anchor not in anchors:
                    return False
            elif isinstance(event, yaml.NodeEvent):
                if first and not isinstance(event, yaml.CollectionStartEvent):
                    return False  # any prose is a YAML scalar
                first = False
                anchors.add(event.anchor)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                return False
    except (yaml.YAMLError, ValueError, RecursionError):
        return False
    return not first


def _toml(code: str) -> bool:
    import tomllib

    if any(line.count(".") > MAX_DOTS for line in code.splitlines()):
        raise Wrong(f"a line of the answer has more than {MAX_DOTS} dots: not parsed")  # tomllib is quadratic in them
    try:
        return bool(tomllib.loads(code))
    except (ValueError, RecursionError):
        return False


def _xml(code: str) -> bool:
    from xml.parsers import expat

    if re.search(r"<!(?:DOCTYPE|ENTITY)", code, re.I):
        return False  # entities that grow or reach outside
    try:
        expat.ParserCreate().Parse(code.strip(), True)
    except (expat.ExpatError, ValueError):
        return False
    return True


OWN: dict[str, Callable[[str], bool]] = {
    "python": _python,
    "json": lambda code: whole_json(code) is not NOTHING,
    "yaml": _yaml,
    "toml": _toml,
    "xml": _xml,
}
# Language -> the module of its grammar and the function that gives it; each is a wheel of its own on the index.
GRAMMARS = {
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "java": ("tree_sitter_java", "language"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "c": ("tree_sitter_c", "language"),
    "c++": ("tree_sitter_cpp", "language"),
    "c#": ("tree_sitter_c_sharp", "language"),
    "php": ("tree_sitter_php", "language_php"),
    "ruby": ("tree_sitter_ruby", "language"),
    "bash": ("tree_sitter_bash", "language"),
    "html": ("tree_sitter_html", "language"),
    "css": ("tree_sitter_css", "language"),
}
_CHILD = (
    "import json, sys; path, module, function = sys.argv[1:]; sys.path[:] = json.loads(path);"
    "import importlib, tree_sitter;"
    "grammar = tree_sitter.Language(getattr(importlib.import_module(module), function)());"
    "root = tree_sitter.Parser(grammar).parse(sys.stdin.buffer.read()).root_node;"
    "sys.stdout.write(str(int(root.named_child_count > 0 and not root.has_error)))"
)
ALIASES = {"py": "python", "python3": "python", "js": "javascript", "jsx": "javascript", "node": "javascript"}
ALIASES |= {"ts": "typescript", "yml": "yaml", "sh": "bash", "shell": "bash", "cpp": "c++", "cc": "c++"}
ALIASES |= {"cs": "c#", "csharp": "c#", "rs": "rust", "golang": "go", "rb": "ruby"}


@lru_cache(maxsize=1024)
def _grammar(language: str, code: str) -> bool:
    """Parsed in a process of its own: what mends errors can take minutes on nonsense and cannot be stopped."""
    module, function = GRAMMARS[language]
    if not all(_is_there(name) for name in ("tree_sitter", module)):
        raise Wrong(f"{language} needs a parser: pip install 'formfacts[code]'")
    try:
        ran = subprocess.run(
            [sys.executable, "-I", "-c", _CHILD, json.dumps(sys.path), module, function],
            input=code.encode("utf-8", "replace"),
            capture_output=True,
            timeout=MAX_PARSE_S,
        )
    except subprocess.TimeoutExpired:
        raise Wrong(f"the answer was not parsed as {language} in {MAX_PARSE_S:g} s") from None
    if ran.stdout not in (b"0", b"1"):
        raise Wrong(f"the parser of {language} broke: {ran.stderr.decode('utf-8', 'replace')[-100:]!r}")
    return ran.stdout == b"1"


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:
        return False


def _code(answer: str, value: Any) -> bool:
    whole = False
    if isinstance(value, dict):
        only(value, "language", "whole")
        value, whole = value.get("language"), value.get("whole", False) is True
    named = text_of(value).lower()
    language = ALIASES.get(named, named)
    if language not in OWN and language not in GRAMMARS:
        raise Wrong(f"language {named!r:.40}, allowed: {', '.join([*OWN, *GRAMMARS])}")
    code = answer if whole else _inside(answer, language)
    if len(code) > MAX_CODE_CHARS:
        raise Wrong(f"the answer has more than {MAX_CODE_CHARS:,} characters of code: not parsed")
    if not code.strip() or (whole and code.lstrip().startswith("```")):
        return False
    return OWN[language](code) if language in OWN else _grammar(language, code)


def _inside(answer: str, language: str) -> str:
    """The first fenced block of this language, else the first one; the whole answer where there is none."""
    blocks = [(ALIASES.get(tag.lower(), tag.lower()), code) for tag, code in _FENCE.findall(answer)]
    return next((code for tag, code in blocks if tag == language), blocks[0][1] if blocks else answer)


CHECKS: dict[str, Check] = {
    "code": Check(
        _code,
        "form",
        "holds code of this language that parses",
        f"a language ({', '.join([*OWN, *GRAMMARS])}), or {{language, whole: no fence and no prose around it}}",
        False,
        "the fenced block of that language, else the whole answer; other languages than the first five need the "
        "extra `code`",
        "whether it runs or does what was asked, names and types; prose that happens to parse (one word is Python, "
        "any line is bash); 50,000 characters and more",
    ),
}

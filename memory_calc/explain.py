"""Every formula with its numbers, read out of the code that computes them, so that the two cannot drift apart."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from memory_calc import estimate as estimate_module
from memory_calc.job import Job
from memory_calc.shapes import ModelShape

GIB = 2**30
WIDTH = 116
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")


@dataclass(frozen=True)
class Step:
    """One statement that ran: its code, the same with numbers, and the result."""

    code: str
    numbers: str
    value: float

    def __str__(self) -> str:
        return " = ".join(dict.fromkeys((self.code, self.numbers, _plain(repr(self.value)))))


@dataclass(frozen=True)
class Explained:
    """One function of the calculator on one job: what it says of itself, the statements that ran, what it called."""

    name: str
    where: str
    says: str
    steps: tuple[Step, ...]
    sources: tuple[str, ...]  # of the rows of tables that it read
    inner: tuple[Explained, ...]
    value: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = dict(vars(self), steps=[vars(step) for step in self.steps], sources=list(self.sources))
        return {**plain, "inner": [one.as_dict() for one in self.inner]}


def _plain(text: str) -> str:
    """Numbers with separators of thousands, six digits behind the point at most."""
    return NUMBER.sub(lambda hit: f"{float(hit[0]):,.6f}".rstrip("0").rstrip("."), text)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_term(function: object) -> bool:
    """Whether a function is one of this package's that says what it computes."""
    return inspect.isfunction(function) and function.__module__.startswith("memory_calc.") and bool(function.__doc__)


class _Numbers(ast.NodeTransformer):
    """Puts the value for every name, attribute, call and comparison that has a number as its value."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope

    def value(self, node: ast.expr) -> Any:
        """What an expression is in this scope; the functions here are pure, so asking again changes nothing."""
        return eval(compile(ast.Expression(node), "<formula>", "eval"), self.scope)  # our own source

    def visit(self, node: ast.AST) -> Any:
        """Replace what has no parts worth showing, descend into arithmetic and into int(), min(), max()."""
        if isinstance(node, ast.IfExp):
            return self.visit(node.body if self.value(node.test) else node.orelse)
        if isinstance(node, ast.BinOp | ast.UnaryOp):
            return self.generic_visit(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("int", "min", "max"):
            if not any(isinstance(part, ast.GeneratorExp | ast.Starred) for part in node.args) and not node.keywords:
                return ast.Call(node.func, [self.visit(part) for part in node.args], [])
        if isinstance(node, ast.expr):
            value = self.value(node)
            if isinstance(value, int | float):
                return ast.Constant(int(value) if isinstance(value, bool) else value)
            return node
        return self.generic_visit(node)


class _Trace:
    """Runs one function and keeps, for each simple statement, the names as they were just before it ran."""

    def __init__(self, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
        self.code = function.__code__
        lines, first = inspect.getsourcelines(function)
        tree = ast.increment_lineno(ast.parse(textwrap.dedent("".join(lines))), first - 1)
        simple = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)
        self.at = {
            line: node
            for node in ast.walk(tree)
            if isinstance(node, simple) and node.value
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        self.ran: list[tuple[Any, dict[str, Any]]] = []
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            self.value = function(**arguments)
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._line if frame.f_code is self.code and not self.ran else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        node = self.at.get(frame.f_lineno)
        if event == "line" and node is not None and not (self.ran and self.ran[-1][0] is node):
            self.ran.append((node, {**vars(builtins), **frame.f_globals, **frame.f_locals}))
        return self._line


def _taken(node: ast.AST, scope: dict[str, Any]) -> Iterator[ast.AST]:
    """The parts of an expression that were evaluated: of `a if test else b` one side; what runs in a loop left out."""
    if isinstance(node, ast.IfExp):
        yield from _taken(node.test, scope)
        yield from _taken(node.body if _Numbers(scope).value(node.test) else node.orelse, scope)
    elif not isinstance(node, ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp | ast.Lambda):
        yield node
        for part in ast.iter_child_nodes(node):
            yield from _taken(part, scope)


def _sources(node: ast.AST, scope: dict[str, Any]) -> Iterator[str]:
    """Sources in the rows of tables that an expression looks up: a `source`, or the text that ends a row."""
    for part in _taken(node, scope):
        if isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name) and part.value.id.isupper():
            row = _Numbers(scope).value(part)
            source = getattr(row, "source", row[-1] if isinstance(row, tuple) else "")
            if isinstance(source, str) and source:
                yield source


def _called(node: ast.AST, scope: dict[str, Any]) -> Iterator[Explained]:
    for part in _taken(node, scope):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
            function = scope.get(part.func.id)
            if inspect.isfunction(function) and _is_term(function):
                value = _Numbers(scope).value
                given = [value(argument) for argument in part.args]
                named = {word.arg: value(word.value) for word in part.keywords if word.arg}
                bound = inspect.signature(function).bind(*given, **named)
                found = explained_call(function, bound.arguments)
                if found is not None:
                    yield found


def _step(node: Any, scope: dict[str, Any]) -> Step | None:
    """A statement in numbers, None where what it makes is no number."""
    numbers = _Numbers(scope)
    value = numbers.value(node.value)
    if not _is_number(value):
        return None
    target = "" if isinstance(node, ast.Return) else ast.unparse(getattr(node, "target", None) or node.targets[0])
    sign = " +=" if isinstance(node, ast.AugAssign) else " ="
    code = ast.unparse(node.value)
    shown = ast.unparse(numbers.visit(ast.parse(code, mode="eval").body))
    return Step(f"{target}{sign} {code}" if target else code, _plain(shown), value)


def _parts(ran: Sequence[tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    """Steps, sources and calls of the statements that ran."""
    steps = [step for node, scope in ran if (step := _step(node, scope))]
    sources = [source for node, scope in ran for source in _sources(node.value, scope)]
    inner = {one.name: one for node, scope in ran for one in _called(node.value, scope)}
    return {"steps": tuple(steps), "sources": tuple(dict.fromkeys(sources)), "inner": tuple(inner.values())}


def explained_call(function: Callable[..., Any], arguments: dict[str, Any]) -> Explained | None:
    """A function of the calculator with its statements in numbers; None where its value is no number."""
    trace = _Trace(function, arguments)
    if not _is_number(trace.value):
        return None
    where = f"{function.__module__.replace('.', '/')}.py"
    says = inspect.cleandoc(function.__doc__ or "")
    return Explained(function.__name__, where, says, value=trace.value, **_parts(trace.ran))


def _names(node: ast.AST, scope: dict[str, Any]) -> set[str]:
    return {part.id for part in _taken(node, scope) if isinstance(part, ast.Name)}


def _behind(names: set[str], ran: Sequence[tuple[Any, dict[str, Any]]]) -> list[tuple[Any, dict[str, Any]]]:
    """The assignments among the statements that ran to these names, and those to the names behind them."""
    found = []
    for statement, scope in reversed(ran):
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id in names:
            names = names | _names(statement.value, scope)
            found.append((statement, scope))
    return found[::-1]


def explained(shape: ModelShape, job: Job) -> Iterator[Explained]:
    """Every term of the job that is not 0, as terms_of() puts it together, then what lies outside of tensors."""
    job = job.settled()
    trace = _Trace(estimate_module.terms_of, {"shape": shape, "job": job})
    returned, scope = trace.ran[-1]
    for key, expression in zip(returned.value.keys, returned.value.values, strict=True):
        value = trace.value[key.value]
        if value:
            last = () if isinstance(expression, ast.Name) else ((ast.Return(expression), scope),)
            ran = [*_behind(_names(expression, scope), trace.ran[:-1]), *last]
            yield Explained(key.value, "memory_calc/estimate.py", "", value=value, **_parts(ran))
    figures = _Trace(estimate_module.estimate, {"shape": shape, "job": job})
    for node, scope in figures.ran:
        for one in _called(node.value, scope):
            if one.where == "memory_calc/allocator.py":
                yield one


def lines(found: Explained, told: set[object], depth: int = 0) -> Iterator[str]:
    """One explained function as text; what has been told once is not told again."""
    pad = "    " * depth
    size = f"{found.value / GIB:,.3f} GiB" if depth == 0 else found.where
    yield f"{pad}{found.name}  [{size}]"
    if (found.name, found.value) in told:
        yield f"{pad}    = {_plain(repr(found.value))} (as above)"
        return
    if found.name not in told:
        yield from textwrap.wrap(found.says, WIDTH, initial_indent=f"{pad}    ", subsequent_indent=f"{pad}    ")
    told |= {found.name, (found.name, found.value)}
    for step in found.steps:
        yield from textwrap.wrap(str(step), WIDTH, initial_indent=f"{pad}    > ", subsequent_indent=f"{pad}        ")
    for source in found.sources:
        yield from textwrap.wrap(f"source: {source}", WIDTH, initial_indent=f"{pad}    ")
    for one in found.inner:
        yield from lines(one, told, depth + 1)

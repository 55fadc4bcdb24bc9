"""A user's own checks: the functions `check_...` of a file that the user names and so trusts."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from eval.errors import EvalError
from eval.graders.row import CrashedCheck

PASSES_AT = 0.5  # of a score from 0 to 1; ours, as promptfoo and DeepEval have it for theirs


class Ruling(NamedTuple):
    """What a check of the user's says of an answer; `passed` is None where it does not apply to the case."""

    passed: bool | None
    score: float
    says: str


OwnCheck = Callable[[str, Mapping[str, Any]], Ruling]


def load_checks(path: Path) -> dict[str, OwnCheck]:
    """The functions `check_...(answer, case)` of a Python file, by name, each wrapped so that it gives a Ruling.

    The file is code and is run as such: only a file that the user names may come here, never one that a log names.
    What a function returns: True or False; a number from 0 to 1, which passes from 0.5 up; a text, which is what is
    wrong (an empty one: nothing); None, where it has nothing to say of the case. An exception inside becomes a
    CrashedCheck with file, line and the case. Raises EvalError for a file that cannot be read or has no such function.
    """
    path = Path(path)
    module = _imported(path)
    found = {
        name: function
        for name, function in vars(module).items()
        if name.startswith("check_") and inspect.isfunction(function) and function.__module__ == module.__name__
    }
    if not found:
        raise EvalError(str(path), "has no function `check_...`", "def check_something(answer, case): ...")
    for name, function in found.items():
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise EvalError(f"{path}:{_line(function)}", f"{name} is async or a generator", "a plain function")
        try:
            inspect.signature(function).bind("answer", {})
        except TypeError:
            raise EvalError(
                f"{path}:{_line(function)}",
                f"{name}{inspect.signature(function)} cannot be called with (answer, case)",
                f"def {name}(answer: str, case: dict)",
            ) from None
    return {name: _wrapped(name, function, path) for name, function in found.items()}


def _line(function: Callable[..., Any]) -> int:
    return function.__code__.co_firstlineno


def _imported(path: Path) -> ModuleType:
    """The file as a module of its own name, from its path alone: no folder is searched, none is added."""
    if not path.is_file():
        raise EvalError(str(path), "is no file", "a Python file with functions `check_...(answer, case)`")
    name = f"_checks_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if path.suffix != ".py" or spec is None or spec.loader is None:
        raise EvalError(str(path), "is no Python file", "a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class up under its module's name
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise EvalError(f"{path}:{error.lineno or 0}", f"does not parse ({error.msg})") from None
    except (Exception, SystemExit) as error:
        raise EvalError(f"{path}:{_where(error, path)}", f"cannot be imported ({_named(error)})") from None
    return module


def _where(error: BaseException, path: Path) -> int:
    """The last line of the user's file that the error passed through."""
    here = str(path.resolve())
    frames = [at for at in traceback.extract_tb(error.__traceback__) if str(Path(at.filename).resolve()) == here]
    return (frames[-1].lineno or 0) if frames else 0


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200].replace("\n", " ")


def _case(case: Mapping[str, Any]) -> str:
    metadata = case.get("metadata")
    inner = metadata.get("id") if isinstance(metadata, Mapping) else None
    return str(case.get("id") or inner or "(no id)")[:80]


def _wrapped(name: str, function: Callable[..., Any], path: Path) -> OwnCheck:
    def check(answer: str, case: Mapping[str, Any]) -> Ruling:
        try:
            said = function(answer, dict(case))  # a copy: what it does to the case stays its own
        except (Exception, SystemExit) as error:
            reason = f"{path}:{_where(error, path)}: {_named(error)} (case {_case(case)})"
            raise CrashedCheck(name, reason) from error
        ruling = _ruling(said)
        if ruling is None:
            reason = f"{path}:{_line(function)}: gave {said!r:.60} for the case {_case(case)}"
            raise CrashedCheck(name, f"{reason}; allowed: True, False, a number from 0 to 1, a text, None")
        return ruling

    check.__name__, check.__doc__ = name, function.__doc__
    return check


def _ruling(said: Any) -> Ruling | None:
    """What was returned, read; None where it is nothing that is allowed (numpy's numbers are numbers)."""
    if said is None:
        return Ruling(None, 0.0, "does not apply")
    if isinstance(said, str):
        return Ruling(not said.strip(), float(not said.strip()), said.strip() or "passes")
    said = said.item() if hasattr(said, "item") and getattr(said, "ndim", 0) == 0 else said
    if isinstance(said, bool):
        return Ruling(said, float(said), "passes" if said else "fails")
    if isinstance(said, int | float) and math.isfinite(said) and 0 <= said <= 1:
        return Ruling(said >= PASSES_AT, float(said), f"scores {said:.3g}")
    return None

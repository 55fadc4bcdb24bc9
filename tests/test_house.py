"""The house: which package may import which, how light the commands start, what the README promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEAVES = ("memory_calc", "rag", "finetune", "eval")
PACKAGES = ("advisor", *LEAVES)
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
FORBIDDEN = {"utils", "util", "common", "helpers", "helper", "manager", "factory", "handler", "core", "misc"}
# What the light commands may load besides the standard library; torch and its kind cost seconds.
LIGHT = {
    "click",
    "memory_calc",
    "advisor",
    "rag",
    "finetune",
    "colorama",
    "_virtualenv",
    "__editable___formfacts_0_1_0_finder",
}


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import hides the arrow"
            found.add(node.module.split(".")[0])
    return found


def test_the_arrows_form_a_star() -> None:
    for path in MODULES:
        package = path.relative_to(ROOT).parts[0]
        others = imported(path) & set(PACKAGES) - {package}
        assert package == "advisor" or not others, f"{path.relative_to(ROOT)} imports {others}"
        assert "tests" not in imported(path) and "data" not in imported(path)


def test_the_story_is_one_short_function() -> None:
    tree = ast.parse((ROOT / "advisor" / "advise.py").read_text(encoding="utf-8"))
    story = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "advise")
    assert story.end_lineno is not None and story.end_lineno - story.lineno + 1 <= 20
    called = [
        node.func.id for node in ast.walk(story) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    order = ["read", "diagnosed", "replay", "make_plan", "launch", "prove_plan"]
    at = [
        min(n.lineno for n in ast.walk(story) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == name)
        for name in order
    ]
    assert set(order) <= set(called) and at == sorted(at)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_holds_and_no_name_is_a_drawer(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert path.stem not in FORBIDDEN
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


COMMANDS = {"memcalc": "memory_calc.cli", "advise": "advisor.cli", "rag": "rag.cli", "finetune": "finetune.cli"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command: str) -> None:
    program = (
        "import sys; before = set(sys.modules)\n"
        f"from {COMMANDS[command]} import {command} as command\n"
        "from click.testing import CliRunner\n"
        "result = CliRunner().invoke(command, ['--help'])\n"
        "assert result.exit_code == 0 and 'Usage' in result.output, result.output\n"
        "print('\\n'.join(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    heavy = {name for name in ran.stdout.split() if name not in sys.stdlib_module_names} - LIGHT
    assert not heavy


def test_memcalc_itself_answers_without_anything_heavy() -> None:
    program = (
        "import sys; before = set(sys.modules)\n"
        "from click.testing import CliRunner\n"
        "from memory_calc.cli import memcalc\n"
        "result = CliRunner().invoke(memcalc, ['--params', '13b', '--method', 'qlora', '--json'])\n"
        "assert result.exit_code == 0, result.output\n"
        "print('\\n'.join(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert {n for n in ran.stdout.split() if n not in sys.stdlib_module_names} <= LIGHT


def readme_commands() -> list[str]:
    """The commands in the README's shell blocks."""
    blocks = re.findall(
        r"```(?:sh|bash|console)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    lines = [line.removeprefix("$ ").strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.split(" ")[0] in (*COMMANDS, "make")]


def test_the_readme_names_real_commands_and_options() -> None:
    import importlib

    import click

    commands = readme_commands()
    assert any(line.startswith("make demo") for line in commands) and any(
        line.startswith("make test") for line in commands
    )
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for line in commands:
        name, *words = line.split("#")[0].split()
        if name == "make":
            assert set(words) <= set(targets), line
            continue
        command: click.Command = getattr(importlib.import_module(COMMANDS[name]), name)
        if isinstance(command, click.Group):
            sub = words[0] if words and words[0] in command.commands else "run"
            command = command.commands[sub]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, line


def test_the_readme_tree_names_every_module_that_there_is() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in MODULES:
        if path.stem not in ("__init__", "__main__"):
            assert re.search(rf"\b{path.stem}\.py\b", readme), (
                f"{path.relative_to(ROOT)} is missing from the README's tree"
            )

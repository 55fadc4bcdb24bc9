"""The command `finetune export`: the same recipe as a ready folder for axolotl, LLaMA-Factory, TRL or unsloth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from finetune.errors import FinetuneError
from finetune.recipe import Recipe

TOOLS = ("axolotl", "llama-factory", "trl", "unsloth")
# How a field of Recipe is written on the command line and in training.json, by its annotation.
TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "int | None": (int, type(None)),
    "float | None": (float, int, type(None)),
}
Command = TypeVar("Command", bound=Callable[..., Any])


def recipe_options(command: Command) -> Command:
    """An option for every field of Recipe, absent (None) where it is not typed."""
    for field in reversed(fields(Recipe)):
        name, kind = field.name.replace("_", "-"), TYPES[str(field.type)][0]
        words = f"--{name}/--no-{name}" if kind is bool else f"--{name}"
        shown = {"learning_rate": "of the method", "max_steps": "all epochs", "report_to": "none"}.get(
            field.name, str(field.default)
        )
        option = click.option(words, field.name, type=kind, default=None, help=f"[default: {shown}]")
        command = option(command)
    return command


def read_recipe(path: Path) -> dict[str, Any]:
    """The fields of the recipe in a training.json, or in a file that holds nothing but a recipe.

    Raises FinetuneError where it is no such file, or a field is unknown or of another type.
    """
    allowed = "a training.json as `finetune train` writes it"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        reason = getattr(problem, "strerror", None) or "not JSON"
        raise FinetuneError(str(path), f"cannot be read ({reason})", allowed) from None
    found = record.get("recipe", record) if isinstance(record, dict) else None
    if not isinstance(found, dict):
        raise FinetuneError(str(path), "holds no recipe", allowed)
    types = {field.name: TYPES[str(field.type)] for field in fields(Recipe)}
    for name, value in found.items():
        if name not in types:
            raise FinetuneError(f"{path}: recipe", f"unknown field {name!r:.60}", ", ".join(types))
        if not isinstance(value, types[name]) or (isinstance(value, bool) and bool not in types[name]):
            kinds = " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in types[name])
            raise FinetuneError(f"{path}: recipe.{name}", f"{value!r:.60}", kinds)
    return found


@click.command()
@click.argument("examples", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(TOOLS), required=True, help="The trainer to write for.")
@click.option("--base", default="embedded", show_default=True, help="A folder, a hub id, or embedded.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new or empty folder.")
@click.option("--recipe", type=click.Path(path_type=Path), help="A training.json; options that are typed go over it.")
@click.option("--json", "as_json", is_flag=True, help="What was written, as JSON.")
@recipe_options
def export(examples: Path, to: str, base: str, out: Path, recipe: Path | None, as_json: bool, **typed: Any) -> None:
    """Write the recipe and EXAMPLES as a ready folder for another trainer.

    What that trainer does not have of the recipe is said here and at the top of its file; examples that it could not
    train on as they are, or would cut, are left out and named.
    """
    from finetune.formats import read_examples

    given = read_recipe(recipe) if recipe else {}
    typed = {name: value for name, value in typed.items() if value is not None}
    if "method" in typed and "learning_rate" not in typed:
        given.pop("learning_rate", None)  # that of the file was for its own method
    asked = Recipe(**{**given, **typed})
    rows = read_examples(examples)

    from finetune.exports import export as write

    done = write(to, base, rows, out, asked)
    if as_json:
        click.echo(json.dumps({**asdict(done), "folder": str(done.folder)}, ensure_ascii=False, indent=1))
        return
    for dropped in done.left_out:
        click.echo(f"left out: {repr(dropped.id)[1:-1]}: {dropped.reason}", err=True)  # ids come from logs
    for sentence in done.not_carried:
        click.echo(f"not carried over: {sentence}", err=True)
    counts = f"{done.n_training} examples to train on, {done.n_validation} to validate, {len(done.left_out)} left out"
    click.echo(f"{done.folder}: {', '.join(done.files)}; {counts}; checked against {done.version}")
    click.echo(f"train: {done.command}")
    click.echo(f"serve: {done.serve}")

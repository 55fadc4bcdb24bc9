"""The command `finetune compare-bases`: which of some bases to train, ranked before money is spent."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from finetune.compare import Measured
    from finetune.saturation import Saturation

GIB = 2**30


@click.command("compare-bases")
@click.argument("bases", nargs=-1, required=True)
@click.option("--examples", "file", type=click.Path(path_type=Path), required=True, help="The task, as for `train`.")
@click.option("--steps", default=24, show_default=True, help="Of each tiny run.")
@click.option("--batch", default=8, show_default=True, help="Examples a step.")
@click.option("--rank", default=16, show_default=True, help="Of the tiny run; the ladder goes up to it.")
@click.option("--learning-rate", default=1e-3, show_default=True)
@click.option("--max-tokens", default=1024, show_default=True, help="Of prompt and completion.")
@click.option("--seeds", default=1, show_default=True, help="Runs of each size.")
@click.option("--quick", is_flag=True, help="The tiny run alone: the order, not where the gain saturates.")
@click.option("--target", type=float, help="Bits per byte after training: forecast the parameters that reach it.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep all runs here; killed, the same call carries on.")
@click.option("--json", "as_json", is_flag=True, help="All numbers on stdout.")
def compare_bases(
    bases: tuple[str, ...],
    file: Path,
    steps: int,
    batch: int,
    rank: int,
    learning_rate: float,
    max_tokens: int,
    seeds: int,
    quick: bool,
    target: float | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Rank BASES (folders, hub ids or `embedded`) for the task of the examples.

    Each is measured in bits per byte: of general text, of the task's completions, and of held-out completions after a
    tiny LoRA run, which decides; then of ever smaller runs, which show where the gain saturates. A few minutes a base.
    """
    from finetune.compare import Budget, compare
    from finetune.formats import read_examples

    budget = Budget(
        steps=steps,
        batch=batch,
        rank=rank,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        seeds=seeds,
        ladder=not quick,
    )
    examples = read_examples(file)
    with tempfile.TemporaryDirectory(prefix="compare-bases-") as temporary:
        groups = compare(bases, examples, out or Path(temporary), budget)
    if as_json:
        click.echo(json.dumps([row(one, place, target) for place, one in ranked(groups)], indent=1))
    else:
        show(groups, target)


def ranked(groups: Sequence[Sequence[Measured]]) -> list[tuple[int, Measured]]:
    """Each candidate with the number of its group, from 1."""
    return [(place, one) for place, group in enumerate(groups, start=1) for one in group]


def row(one: Measured, group: int, target: float | None) -> dict[str, Any]:
    """One candidate in JSON: what was measured, what follows from it; ranks are the order of the rows."""
    from dataclasses import asdict

    from finetune.saturation import forecast

    found = asdict(one) | {"group": group, "saturates": {k: asdict(v) for k, v in saturations(one).items()}}
    if target is not None:
        found["forecast"] = asdict(forecast(sizes(one), target))
    return found


def sizes(one: Measured) -> list[tuple[int, float]]:
    """(trainable parameters, loss) of all runs on all examples."""
    most = max(rung.examples for rung in one.rungs)
    return [(rung.trainable, rung.loss) for rung in one.rungs if rung.examples == most]


def saturations(one: Measured) -> dict[str, Saturation]:
    """Where the gain saturates in parameters, in rank (all layers adapted) and in examples; empty without a ladder."""
    from finetune.saturation import saturates

    layers, top = max(rung.layers for rung in one.rungs), max(rung.rank for rung in one.rungs)
    most = max(rung.examples for rung in one.rungs)
    whole = [rung for rung in one.rungs if rung.layers == layers]
    points = {
        "parameters": sizes(one),
        "rank": [(rung.rank, rung.loss) for rung in whole if rung.examples == most],
        "examples": [(rung.examples, rung.loss) for rung in whole if rung.rank == top],
    }
    return {name: saturates(some, one.task) for name, some in points.items() if len({size for size, _ in some}) > 1}


def show(groups: Sequence[Sequence[Measured]], target: float | None) -> None:
    """The order, where the gain saturates, and what has to be said about both."""
    from rich.console import Console
    from rich.text import Text

    from finetune.saturation import SHARE, forecast

    console = Console()
    order = _table(console, "base, best first", "general", "task", "tuned", "weights", "peak")
    gains = _table(console, "base", "parameters", "rank", "examples")
    for place, one in ranked(groups):
        losses = (f"{loss:.3f}" for loss in (one.general, one.task, one.tuned))
        order.add_row(Text(f"{place}. {one.base}"), *losses, _bytes(one.weights_bytes), _bytes(one.peak_bytes))
        at = saturations(one)
        gains.add_row(Text(one.base), *(_size(at.get(name)) for name in ("parameters", "rank", "examples")))
    console.print(order)
    console.print("Bits per byte of plain text, of held-out completions, and of these after a tiny LoRA run.")
    for group in groups:
        if len(group) > 1:
            names = ", ".join(one.base for one in group)
            told = f"not told apart by {len(group[0].held_bytes)} held-out completions; general text orders them."
            console.print(Text(f"{names}: {told}"))
    if any(saturations(one) for _, one in ranked(groups)):
        console.print(gains)
        console.print(f"The fewest that were tried with {SHARE:.0%} of the largest gain.")
    if target is None:
        return
    for _, one in ranked(groups):
        found = forecast(sizes(one), target)
        span = f"{found.likely:,} trainable parameters ({found.low:,} to {found.high:,})"
        console.print(Text(f"{one.base}, to {target:g} bits per byte: {found.refused or span}"))


def _table(console: Console, first: str, *others: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold", max_width=max(20, console.width - 13 * len(others)))
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _bytes(n: int) -> str:
    return f"{n / GIB:.2f} GiB"


def _size(found: Saturation | None) -> str:
    if found is None or found.at is None:
        return "-"
    return f"{'<= ' if found.smallest else ''}{found.at:,}{' or more' if found.largest else ''}"

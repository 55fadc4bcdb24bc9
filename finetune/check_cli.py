"""The command `finetune check`: one line a check, the masks of three rows, exit code 3 where a check says no."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from finetune.recipe import LAYOUTS, QUANTIZATIONS, RATES, VARIANTS, Recipe

if TYPE_CHECKING:
    from rich.console import Console

    from finetune.gate import Finding

CHECKS = ("lengths", "trained", "end", "render", "gradients", "accumulation", "documents", "memory")
GIB = 2**30
DEFAULT = Recipe()


@click.command()
@click.argument("examples", type=click.Path(path_type=Path))
@click.option("--base", default="embedded", show_default=True, help="A folder, a hub id, or embedded.")
@click.option("--max-tokens", default=DEFAULT.max_tokens, show_default=True, type=click.IntRange(2), help="Of a row.")
@click.option("--truncate", is_flag=True, help="Rows over it lose the oldest tokens of their prompts.")
@click.option("--method", type=click.Choice(list(RATES)), default=DEFAULT.method, show_default=True)
@click.option("--variant", type=click.Choice(VARIANTS), default=DEFAULT.variant, show_default=True)
@click.option("--rank", default=DEFAULT.rank, show_default=True)
@click.option("--alpha", default=DEFAULT.alpha, show_default=True)
@click.option("--targets", default=DEFAULT.targets, show_default=True, help="all-linear, or names with commas.")
@click.option("--batch", default=DEFAULT.batch, show_default=True, help="Examples of a micro-batch.")
@click.option("--accumulation", default=DEFAULT.accumulation, show_default=True, help="Micro-batches a step.")
@click.option("--layout", type=click.Choice(LAYOUTS), default=DEFAULT.layout, show_default=True)
@click.option("--quantization", type=click.Choice(QUANTIZATIONS), show_default="none, with qlora nf4")
@click.option("--gradient-checkpointing", is_flag=True, help="Compute activations twice to keep fewer.")
@click.option("--optimizer", default=DEFAULT.optimizer, show_default=True, help="A name of transformers' optim.")
@click.option(
    "--memory-limit", type=click.FloatRange(0, min_open=True), help="GiB that the process, or the card, may take."
)
@click.option("--accept", multiple=True, type=click.Choice(CHECKS), help="Let this check say no; may be repeated.")
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the base.")
@click.option("--json", "as_json", is_flag=True, help="Findings and masks as one JSON object.")
def check(
    examples: Path,
    base: str,
    memory_limit: float | None,
    accept: tuple[str, ...],
    trust_remote_code: bool,
    as_json: bool,
    **knobs: Any,
) -> None:
    """May training on EXAMPLES begin? Every check in one line, with what cures it; exit code 3 where one says no.

    Nothing is trained. Rows that training would leave out, cut, mask wrongly or render otherwise than they are served
    are named; then one step is rehearsed: gradients, accumulation, attention between documents, memory.
    """
    # What a library will rename one day is for the tests to show, not for a user.
    warnings.filterwarnings("ignore", category=FutureWarning)
    from rich.console import Console

    from finetune.base import load
    from finetune.batches import IGNORED
    from finetune.formats import read_examples
    from finetune.gate import EXIT_NO, inspect, telling
    from finetune.masks import spans
    from finetune.rehearsal import rehearsed

    knobs["quantization"] = knobs["quantization"] or ("nf4" if knobs["method"] == "qlora" else "none")
    recipe = Recipe(**knobs)
    found = read_examples(examples)
    console = Console(highlight=False, soft_wrap=True, quiet=as_json)
    loaded = load(base, quantization=recipe.quantization, trust_remote_code=trust_remote_code)
    inspection = inspect(loaded, found, recipe.max_tokens, truncate=recipe.truncate)
    masks = [
        (row.id, spans(loaded.tokenizer, {"input_ids": row.input_ids, "labels": row.labels}, IGNORED))
        for row in telling(inspection.rows)
    ]
    del loaded  # the run loads its own, fresh
    findings = list(inspection.findings)
    for finding in findings:
        _say(console, finding, accept)
    if inspection.ready:
        limit_bytes = None if memory_limit is None else round(memory_limit * GIB)
        for finding in rehearsed(base, inspection, recipe, limit_bytes, trust_remote_code=trust_remote_code):
            _say(console, finding, accept)
            findings.append(finding)
    _show(console, masks)
    wrong = [finding.name for finding in findings if not finding.ok and finding.name not in accept]
    if not inspection.ready:
        wrong.append("no row is left to train")
    console.print(f"training may not begin: {', '.join(wrong)}" if wrong else "training may begin", markup=False)
    if as_json:
        told = [{**asdict(finding), "accepted": finding.name in accept} for finding in findings]
        rows = [{"id": name, "spans": [asdict(span) for span in row]} for name, row in masks]
        click.echo(json.dumps({"passed": not wrong, "findings": told, "rows": rows}, ensure_ascii=False, indent=1))
    if wrong:
        raise SystemExit(EXIT_NO)


def _say(console: Console, finding: Finding, accept: tuple[str, ...]) -> None:
    from rich.text import Text

    style = "green" if finding.ok else "yellow" if finding.name in accept else "bold red"
    word, line = finding.line.split(" ", 1)
    console.print(Text.assemble((word, style), " ", line))


def _show(console: Console, masks: list[tuple[str, Any]]) -> None:
    """Three rows, what is trained on green, or between marks where the console has no colour."""
    from rich.text import Text

    from finetune.masks import CLOSE, OPEN, coloured, plain

    in_colour = console.is_terminal and not console.no_color
    where = "on green" if in_colour else f"between {OPEN} and {CLOSE}"
    for name, row in masks:
        console.print(Text(f"\nrow {name}, what is trained {where}:", style="bold"))
        console.print(coloured(row) if in_colour else Text(plain(row)))
    console.print()

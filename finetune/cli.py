"""The command `finetune`: train an adapter or all weights, or make the embedded base ready."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def finetune() -> None:
    """Examples in, adapter out."""


@finetune.command()
@click.option("--json", "as_json", is_flag=True, help="The folder as JSON.")
def base(as_json: bool) -> None:
    """Make the embedded base model ready, and print its folder."""
    from finetune.embedded import embedded_base

    folder = str(embedded_base())
    click.echo(json.dumps({"folder": folder}) if as_json else folder)


@finetune.command()
@click.argument("examples", type=click.Path(path_type=Path))
@click.option("--base", "base_model", default="embedded", show_default=True, help="A folder, a hub id, or embedded.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("adapter"), show_default=True)
@click.option("--method", type=click.Choice(["lora", "full"]), default="lora", show_default=True)
@click.option("--rank", default=16, show_default=True)
@click.option("--epochs", default=3, show_default=True)
@click.option("--batch", default=8, show_default=True, help="Examples a step.")
@click.option("--learning-rate", type=float, show_default="3e-4, with full 3e-5")
@click.option("--quantization", type=click.Choice(["none", "nf4"]), default="none", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="training.json on stdout.")
def train(
    examples: Path,
    base_model: str,
    out: Path,
    method: str,
    rank: int,
    epochs: int,
    batch: int,
    learning_rate: float | None,
    quantization: str,
    seed: int,
    as_json: bool,
) -> None:
    """Train an adapter (or all weights) on EXAMPLES, JSON lines.

    Each line has `messages` (or `prompt`) and `completion`, or plain `text` of which all is learned.
    """
    # What a library will rename one day is for the tests to show, not for a user.
    warnings.filterwarnings("ignore", category=FutureWarning)
    from finetune.examples import read_examples
    from finetune.recipe import Recipe
    from finetune.train import train as train_on

    rows = read_examples(examples)
    recipe = Recipe(
        method=method,
        rank=rank,
        alpha=2 * rank,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        quantization=quantization,
        seed=seed,
    )

    def progress(step: int, steps: int, loss: float) -> None:
        click.echo(f"step {step} of {steps}, loss {loss:.3f}", err=True)

    trained = train_on(base_model, rows, out, recipe, progress=progress)
    for dropped in trained.dropped:
        click.echo(f"not trained on: {dropped.id}: {dropped.reason}", err=True)
    if as_json:
        click.echo((out / "training.json").read_text(encoding="utf-8"))
    else:
        click.echo(
            f"{trained.folder}: {trained.n_examples} examples, {trained.steps} steps in {trained.seconds:.0f} s, "
            f"validation loss {trained.validation_loss_before:.3f} -> {trained.validation_loss:.3f}"
        )

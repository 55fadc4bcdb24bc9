"""The command `finetune train`: examples through the gate into an adapter, with progress, forecast and outcome."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from finetune.recipe import LAYOUTS, QUANTIZATIONS, RATES, VARIANTS, Recipe

if TYPE_CHECKING:
    from finetune.examples import Example
    from finetune.ladder import Climbed
    from finetune.train import Trained
    from finetune.watch import Step

DEFAULT = Recipe()
GIB = 2**30


@click.command()
@click.argument("examples", type=click.Path(path_type=Path))
@click.option("--base", default="embedded", show_default=True, help="A folder, a hub id, or embedded.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("adapter"), show_default=True)
@click.option(
    "--kind", type=click.Choice(["tone", "shape", "syntax"]), help="Sets rank and targets by what is learned."
)
@click.option("--method", type=click.Choice(list(RATES)), default=DEFAULT.method, show_default=True)
@click.option("--variant", type=click.Choice(VARIANTS), default=DEFAULT.variant, show_default=True)
@click.option("--rank", type=click.IntRange(1), show_default=str(DEFAULT.rank), help="Of the adapter.")
@click.option("--alpha", default=DEFAULT.alpha, show_default=True, help="The change is scaled by alpha / rank.")
@click.option("--targets", show_default=DEFAULT.targets, help="all-linear, or names with commas.")
@click.option("--learning-rate", type=float, show_default="by the base's width; full a tenth")
@click.option("--epochs", default=DEFAULT.epochs, show_default=True, type=click.IntRange(1))
@click.option("--max-steps", type=click.IntRange(1), help="Fewer steps than the epochs have.")
@click.option("--batch", default=DEFAULT.batch, show_default=True, type=click.IntRange(1), help="Of a micro-batch.")
@click.option("--accumulation", default=1, show_default=True, type=click.IntRange(1), help="Micro-batches a step.")
@click.option("--max-tokens", default=DEFAULT.max_tokens, show_default=True, type=click.IntRange(2), help="Of a row.")
@click.option("--truncate", is_flag=True, help="Rows over it lose the oldest tokens of their prompts.")
@click.option("--layout", type=click.Choice(LAYOUTS), default=DEFAULT.layout, show_default=True)
@click.option("--quantization", type=click.Choice(QUANTIZATIONS), show_default="none, with qlora nf4")
@click.option("--gradient-checkpointing", is_flag=True, help="Compute activations twice to keep fewer.")
@click.option("--optimizer", default=DEFAULT.optimizer, show_default=True, help="A name of transformers' optim.")
@click.option("--replay", default=DEFAULT.replay, show_default=True, help="Of the base's own answers, to forget less.")
@click.option("--patience", default=DEFAULT.patience, show_default=True, help="Epochs without gain; 0: all epochs.")
@click.option("--seed", default=DEFAULT.seed, show_default=True)
@click.option("--report-to", default="", help="tensorboard, mlflow, wandb, with commas.")
@click.option("--memory-limit", type=click.FloatRange(0, min_open=True), help="GiB that the run may take.")
@click.option("--ladder", is_flag=True, help="Escalate by evidence, one knob a run, on a quarter that is held out.")
@click.option("--larger-base", multiple=True, help="The ladder's last rung: a larger base; may be repeated.")
@click.option("--no-check", is_flag=True, help="Skip the gate (`finetune check`).")
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the base.")
@click.option("--json", "as_json", is_flag=True, help="training.json on stdout.")
def train(
    examples: Path,
    base: str,
    out: Path,
    kind: str | None,
    memory_limit: float | None,
    ladder: bool,
    larger_base: tuple[str, ...],
    no_check: bool,
    trust_remote_code: bool,
    as_json: bool,
    **knobs: Any,
) -> None:
    """Train an adapter (or all weights) on EXAMPLES, JSON lines or one JSON array.

    Rows are messages, prompt and completion, alpaca, sharegpt, OpenAI's, or plain text of which all is learned. The
    gate comes first; killed or stopped with Ctrl-C, the same command carries on.
    """
    # What a library will rename one day is for the tests to show, not for a user.
    warnings.filterwarnings("ignore", category=FutureWarning)
    from finetune.formats import distinct, read_examples

    found, doubles = distinct(read_examples(examples))
    if doubles:
        _say(f"{len(doubles)} exact duplicates are trained on once: {_some([d.id for d in doubles])}")
    recipe = chosen(base, found, kind, knobs, trust_remote_code)
    if recipe.method == "full":
        _say(sizes(base, trust_remote_code))
    limit_bytes = None if memory_limit is None else round(memory_limit * GIB)
    if (out / "training.json").is_file():
        no_check = True  # it is finished, or refused by what it holds
    if not no_check:
        found = gated(base, found, recipe, limit_bytes, trust_remote_code)
    if ladder:
        from finetune.ladder import climb

        climbed = climb(base, found, out, recipe, larger=larger_base, say=_say, trust_remote_code=trust_remote_code)
        if as_json:
            click.echo((out.with_name(f"{out.name}.ladder") / "ladder.json").read_text(encoding="utf-8"))
        else:
            show_ladder(climbed)
            show(climbed.trained, climbed.state.base)
        return
    from finetune.train import train as train_on

    try:
        trained = train_on(
            base,
            found,
            out,
            recipe,
            progress=_progress,
            say=_say,
            memory_limit_bytes=limit_bytes,
            trust_remote_code=trust_remote_code,
        )
    except KeyboardInterrupt as stopped:
        raise click.ClickException(str(stopped) or "stopped; the same command carries on") from None
    if as_json:
        click.echo((out / "training.json").read_text(encoding="utf-8"))
    else:
        show(trained, base)


def chosen(
    base: str, examples: Sequence[Example], kind: str | None, knobs: Mapping[str, Any], trust_remote_code: bool
) -> Recipe:
    """The recipe of what was typed, the rest from the table of defaults: by kind, and by the base's width."""
    from transformers import AutoConfig

    from finetune.base import locate
    from finetune.defaults import DEFAULTS, learning_rate

    given = {name: value for name, value in knobs.items() if value is not None}
    given.setdefault("quantization", "nf4" if given["method"] == "qlora" else "none")
    if kind is not None:
        given.setdefault("rank", DEFAULTS[kind].rank)
        given.setdefault("targets", DEFAULTS[kind].targets)
    if "learning_rate" not in given:
        try:
            config = AutoConfig.from_pretrained(locate(base), trust_remote_code=trust_remote_code).get_text_config()
            given["learning_rate"] = learning_rate(config.hidden_size, config.model_type, given["method"])
        except (OSError, ValueError, AttributeError):
            pass  # `load` says what is wrong with the base
    return Recipe(**given)


def sizes(base: str, trust_remote_code: bool) -> str:
    """What training all weights takes beside what LoRA takes, from the base's config alone."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from finetune.base import locate
    from finetune.defaults import both_sizes
    from finetune.train import linear_names

    config = AutoConfig.from_pretrained(locate(base), trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    head = model.get_output_embeddings()
    shapes = [m.weight.shape for n in linear_names(model) if (m := model.get_submodule(n)) is not head]
    return both_sizes(model.num_parameters(), sum(sum(shape) for shape in shapes), DEFAULT.rank)


def gated(base: str, examples: list[Example], recipe: Recipe, limit_bytes: int | None, trust: bool) -> list[Example]:
    """The examples that pass the gate; exit code 3, each line and its cure printed, where a check says no."""
    from finetune.base import load
    from finetune.gate import EXIT_NO, inspect
    from finetune.rehearsal import rehearsed

    loaded = load(base, quantization=recipe.quantization, trust_remote_code=trust)
    inspection = inspect(loaded, examples, recipe.max_tokens, truncate=recipe.truncate)
    del loaded  # the run loads its own, fresh
    findings = list(inspection.findings)
    if inspection.ready and all(finding.ok for finding in findings):
        findings += rehearsed(base, inspection, recipe, limit_bytes, trust_remote_code=trust)
    for finding in findings:
        if not finding.ok:
            _say(finding.line)
    if not inspection.ready or not all(finding.ok for finding in findings):
        _say("training may not begin; `finetune check` shows all of it, --no-check trains all the same")
        raise SystemExit(EXIT_NO)
    _say(f"gate: {len(findings)} checks passed")
    return list(inspection.examples)


def show(trained: Trained, base: str) -> None:
    """What came of a run: forecast beside outcome, what was learned, what was forgotten, how to serve it."""
    from finetune.exports import serve_line

    for dropped in trained.dropped:
        _say(f"not trained on: {dropped.id}: {dropped.reason}")
    before, after = trained.kept[0][1], trained.kept[-1][1]
    click.echo(
        f"{trained.folder}: {trained.n_examples} examples, {trained.steps} steps ({trained.stopped}) in "
        f"{trained.seconds:.0f} s at {trained.tokens_per_s:.0f} trained tokens/s, {trained.layout}"
    )
    click.echo(
        f"validation loss {trained.validation_loss_before:.3f} -> {trained.validation_loss:.3f}; general text "
        f"{before.text_loss:.3f} -> {after.text_loss:.3f}, questions {before.right} -> {after.right} of {after.asked}"
    )
    saved = 1 - trained.weights_bytes / trained.weights_bf16_bytes
    if trained.ran.quantization != "none":
        click.echo(f"the base takes {trained.weights_bytes / GIB:.2f} GiB, {saved:.0%} less than in bf16")
    if trained.forecast is not None:
        f = trained.forecast
        low, likely, high = f.steps_s
        least, middle, most = (n / GIB for n in f.peak_bytes)
        click.echo(
            f"after {f.after_steps} steps: {likely:.0f} s of steps ({low:.0f} to {high:.0f}), outcome "
            f"{trained.steps_s:.0f}; peak {middle:.2f} GiB ({least:.2f} to {most:.2f}), outcome "
            f"{trained.peak_bytes / GIB:.2f}"
        )
    if trained.recipe.method != "full":
        click.echo(f"serve: {serve_line(base, trained.folder, trained.ran.rank)}")


def show_ladder(climbed: Climbed) -> None:
    """The rungs as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("rung", "changed", "pass", "loss", "general", "s", "", box=None)
    u = climbed.untouched
    table.add_row("untouched", "", f"{u.passed}/{u.of}", f"{u.loss:.3f}", f"{u.right}/{u.asked}", "", "")
    for rung in climbed.rungs:
        j, end = rung.judged, "kept" if rung.kept else "taken back"
        row = f"{j.passed}/{j.of}", f"{j.loss:.3f}", f"{j.right}/{j.asked}", f"{rung.seconds:.0f}", end
        table.add_row(rung.name, rung.changed, *row)
    Console(highlight=False).print(table)


def _progress(at: Step) -> None:
    left = "" if math.isinf(at.left_s) else f", {at.left_s:.0f} s left"
    _say(
        f"step {at.step} of {at.steps}: loss {at.loss:.3f}, {at.tokens_per_s:.0f} trained tokens/s, "
        f"peak {at.peak_bytes / GIB:.2f} GiB{left}"
    )


def _say(text: str) -> None:
    click.echo(text, err=True)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

"""How fast does `finetune train` train, and in how much memory, beside TRL's SFTTrainer with the same recipe?

    python benchmarks/finetune.py [--examples FILE] [--base embedded] [--steps 24] [--rounds 2] [--json FILE]

Ours (`finetune.train`), TRL as it comes (every default of SFTConfig but the recipe) and TRL at its best here: of all
settings in BEST that could help it, each tried for a few steps, the fastest. All get the same tokenised rows in the
same order (checked, batch by batch), base, LoRA, rate, schedule, steps and seed; no rows are replayed. The examples are
the form failures of data/demo, or those of FILE; every fourth is held out.

Each runs in a process of its own, taking turns, for so many rounds. One meter sits in transformers' Trainer below both:
tokens that are no pads, over the wall clock from the second batch to the last, the first one being a warm-up. Printed:
medians and ranges over the rounds, the ratios within a round, loss on the held-out completions (one judge for all),
the smallest gradient norm (a step without gradient ends the run), the peak of resident memory (VmHWM), and the share
of this machine's bf16 matrix-product rate that is reached, measured in the same process right after the run:
`needed` counts what any run must compute, `done` also what checkpointing computes twice. Exit code 1 where a goal is
missed. About twelve minutes on two quiet cores. Needs the extras `finetune` and `bench`.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
# This script has the name of the package, and python looks beside a script first.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
DEMO = HERE.parent / "data" / "demo"

OURS, COMES, AT_BEST = "ours", "TRL as it comes", "TRL at its best"
FASTER, AS_FAST, SAME_LOSS = 1.5, 1.0, 0.01  # the goals: times TRL as it comes, times TRL at its best, relative
HELD = 4  # one of so many examples is held out
TRIED_STEPS = 5
MAX_TOKENS = 1024
PRODUCT = 2048  # width of the square matrices whose product is timed
MIB = 2**20

BF16 = {"gradient_checkpointing": False, "model_init_kwargs": {"dtype": "bfloat16"}}
EAGER = {**BF16, "model_init_kwargs": {"dtype": "bfloat16", "attn_implementation": "eager"}}
# What could make TRL faster on a CPU and changes neither the loss nor which examples a step sees. `padding_free` is
# right on a CPU: transformers derives a mask from the positions that keeps documents apart; packing is the same forward
# pass over other batches. `nll` is TRL's only loss of this kind (chunked_nll is its old name).
BEST: dict[str, dict[str, Any]] = {
    "no checkpointing": {"gradient_checkpointing": False},
    "bf16 weights": BF16,
    "bf16 weights, eager attention": EAGER,
    "bf16 weights, padding-free": {**BF16, "padding_free": True, "max_length": None},
    "bf16 weights, padding-free, eager attention": {**EAGER, "padding_free": True, "max_length": None},
    "bf16 weights, eager attention, no autocast": {**EAGER, "bf16": False},
}
# Length grouping changes which examples meet in a step, so that losses cannot be compared: it is only timed.
GROUPED = {"bf16 weights, eager attention, grouped by length": {**EAGER, "train_sampling_strategy": "group_by_length"}}


@dataclass(frozen=True)
class Job:
    """What all contestants are given."""

    base: str
    train: tuple[Mapping[str, Any], ...]  # messages, completion, id
    held: tuple[Mapping[str, Any], ...]
    threads: int


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    tokens_per_s: float
    tokens_per_cpu_s: float  # of all threads; a busy machine moves it less than the wall clock
    batches: tuple[int, ...]  # a checksum of the tokens of each step
    taught_rate: float  # share of the tokens that are learned
    losses: tuple[float, ...]
    gradient_norms: tuple[float, ...]
    peak_bytes: int
    needed: float  # share of the bf16 rate
    done: float
    bf16_flops: float  # products of matrices, operations a second
    fp32_flops: float


def demo_examples() -> list[dict[str, Any]]:
    """The form failures of the demo's log, each with its reference as what should have come."""
    labels = {row["id"]: row["label"] for row in _rows(DEMO / "key.jsonl")}
    rows = [row for row in _rows(DEMO / "failures.jsonl") if labels[row["metadata"]["id"]] == "form"]
    return [{"messages": r["messages"], "completion": r["reference"], "id": r["metadata"]["id"]} for r in rows]


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


class Seen(NamedTuple):
    """A step as it begins: when, by the wall clock and in CPU seconds, and what it will be shown."""

    at: float
    cpu_at: float
    tokens: int
    taught: int
    batch: int  # a checksum of its tokens, in whatever layout


class Meter:
    """Counts and times each step of whatever Trainer this process makes; with it come losses and gradient norms."""

    def __init__(self) -> None:
        self.steps: list[Seen] = []
        self.losses: list[float] = []
        self.norms: list[float] = []

    def attach(self) -> None:
        """Sit in transformers' Trainer, below TRL's and ours."""
        import transformers.trainer as library

        meter, fetch = self, library.Trainer.get_batch_samples

        def get_batch_samples(trainer: Any, *given: Any) -> Any:
            now = time.perf_counter(), time.process_time()
            samples, count = fetch(trainer, *given)
            meter.steps.append(Seen(*now, *counted(samples)))
            return samples, count

        class Listen(library.TrainerCallback):  # type: ignore[misc]
            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
                if "grad_norm" in (logs or {}):
                    meter.losses.append(float(logs["loss"]))
                    meter.norms.append(float(logs["grad_norm"]))

        library.Trainer.get_batch_samples = get_batch_samples
        library.DEFAULT_CALLBACKS.append(Listen)

    def rate(self, clock: str) -> float:
        """Tokens a second of the clock from the second batch to the last."""
        first, *_, last = times = [getattr(step, clock) for step in self.steps[1:]]
        return sum(step.tokens for step in self.steps[1 : len(times)]) / (last - first)


def counted(samples: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Tokens, taught tokens and a checksum of the micro-batches of one step, padded or not."""
    ids: list[int] = []
    taught = 0
    for batch in samples:
        mask = batch.get("attention_mask")
        ids += (batch["input_ids"] if mask is None else batch["input_ids"][mask.bool()]).flatten().tolist()
        taught += int((batch["labels" if "labels" in batch else "targets"] != -100).sum())
    return len(ids), taught, zlib.crc32(str(sorted(ids)).encode())


def compete(job: Job, options: Mapping[str, Any] | None, steps: int, out: Path) -> Outcome:
    """One run, in a process that does nothing else: ours with options None, else TRL's with these of SFTConfig."""
    import torch

    from finetune.peak import peak_bytes
    from finetune.recipe import Recipe

    torch.set_num_threads(job.threads)
    recipe = Recipe(replay=0, validation_rate=0.0, max_tokens=MAX_TOKENS, max_steps=steps)
    meter = Meter()
    meter.attach()
    if options is None:
        train_ours(job, recipe, out)
    else:
        train_trl(job, recipe, options, out)
    peak = peak_bytes()
    if len(meter.norms) != steps or not all(0 < norm < float("inf") for norm in meter.norms):
        raise click.ClickException(f"{out.name}: {steps} gradient norms above 0 expected, found {meter.norms}")
    rates = [product_rate(dtype) for dtype in (torch.bfloat16, torch.float32)]
    taught_rate = sum(step.taught for step in meter.steps) / sum(step.tokens for step in meter.steps)
    needed, twice = flops_per_token(job, recipe, taught_rate)
    done = needed + twice * (options is not None and options.get("gradient_checkpointing", True))
    rate = meter.rate("at")
    return Outcome(
        tokens_per_s=rate,
        tokens_per_cpu_s=meter.rate("cpu_at"),
        batches=tuple(step.batch for step in meter.steps),
        taught_rate=taught_rate,
        losses=tuple(meter.losses),
        gradient_norms=tuple(meter.norms),
        peak_bytes=peak,
        needed=needed * rate / rates[0],
        done=done * rate / rates[0],
        bf16_flops=rates[0],
        fp32_flops=rates[1],
    )


def train_ours(job: Job, recipe: Any, out: Path) -> None:
    """As `finetune train` does it."""
    from finetune.train import train

    train(job.base, _examples(job.train), out, recipe)


def train_trl(job: Job, recipe: Any, options: Mapping[str, Any], out: Path) -> None:
    """As TRL does it: model by path, rows already tokenised, all that the recipe does not say left to SFTConfig."""
    import warnings

    warnings.simplefilter("ignore", FutureWarning)
    import datasets
    from peft import LoraConfig
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    from finetune.base import load, locate

    datasets.disable_progress_bars()
    tokenizer, rows = (base := load(job.base)).tokenizer, _tokenised(base, job.train)
    del base
    args = SFTConfig(
        output_dir=str(out),
        use_cpu=True,  # SFTConfig's bf16 refuses a CPU otherwise
        max_steps=recipe.max_steps,
        per_device_train_batch_size=recipe.batch,
        gradient_accumulation_steps=recipe.accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(recipe.warmup_rate * recipe.max_steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        seed=recipe.seed,
        logging_steps=1,  # for the gradient norm of each step
        report_to=[],
        disable_tqdm=True,
        **options,
    )
    trainer = SFTTrainer(
        model=locate(job.base),
        args=args,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=recipe.rank, lora_alpha=recipe.alpha, target_modules=recipe.targets, task_type="CAUSAL_LM"
        ),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.model.save_pretrained(str(out))


def _examples(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    from finetune.examples import Example

    return [Example(row["messages"], row["completion"], row["id"]) for row in rows]


def _tokenised(base: Any, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    from finetune.examples import tokenize_all

    return tokenize_all(base, _examples(rows), MAX_TOKENS)[0]


def flops_per_token(job: Job, recipe: Any, taught_rate: float) -> tuple[float, float]:
    """Operations that a token needs, and those that checkpointing repeats.

    Frozen matrices: 2 forward and 2 for the gradient of their input a parameter, and no gradient of their own; adapters
    6; the head at taught tokens alone; the embedding is looked up. Attention by PaLM's 12 L H Q T for forward and
    backward (Chowdhery et al. 2022, appendix B), halved because it is causal, with the mean length that a token sees.
    Checkpointing repeats the forward pass of the layers: 6 instead of 4 a frozen parameter.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from finetune.base import load, locate

    config = AutoConfig.from_pretrained(locate(job.base))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    body = sum(m.weight.numel() for m in linears)
    adapters = sum(recipe.rank * (m.in_features + m.out_features) for m in linears)
    lengths = [len(row["input_ids"]) for row in _tokenised(load(job.base), job.train)]
    seen = sum(n * n for n in lengths) / sum(lengths)
    heads = config.num_attention_heads * getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
    attention = 6 * config.num_hidden_layers * heads * seen
    needed = 4 * body + 6 * adapters + 4 * taught_rate * head.weight.numel() + attention
    return needed, 2 * body + 2 * adapters + attention / 3


def product_rate(dtype: Any) -> float:
    """Operations a second of a product of two square matrices, the best of ten."""
    import torch

    one, other = (torch.randn(PRODUCT, PRODUCT).to(dtype) for _ in range(2))
    took = []
    for _ in range(10):
        started = time.perf_counter()
        one @ other
        took.append(time.perf_counter() - started)
    return 2 * PRODUCT**3 / min(took)


def judge(job: Job, adapter: Path | None) -> float:
    """Mean loss over the tokens of the held-out completions, in nats: plain transformers and peft, a row at a time."""
    import torch
    from torch.nn.functional import cross_entropy

    from finetune.base import load

    torch.set_num_threads(job.threads)
    base = load(job.base, adapter=adapter)
    total, n = 0.0, 0
    with torch.inference_mode():
        for row in _tokenised(base, job.held):
            logits = base.model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1].float()
            labels = torch.tensor(row["labels"][1:])
            total += float(cross_entropy(logits, labels, reduction="sum", ignore_index=-100))
            n += int((labels != -100).sum())
    return total / n


def alone(work: Callable[..., Any], *given: Any) -> Any:
    """What the work gives, done in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *given).result()


def table(outcomes: Mapping[str, Sequence[Outcome]], losses: Mapping[str, Sequence[float]]) -> Table:
    """A line a contestant: median (lowest to highest) over the rounds."""
    found = Table("", "tokens/s", "tokens/CPU s", "x TRL", "held-out loss", "least grad", "MiB", "needed", "done")
    for name, runs in outcomes.items():
        found.add_row(
            name,
            spread([run.tokens_per_s for run in runs], "{:.0f}"),
            spread([run.tokens_per_cpu_s for run in runs], "{:.0f}"),
            spread(ratios(runs, outcomes[COMES]), "{:.2f}"),
            spread(losses[name], "{:.4f}"),
            f"{min(norm for run in runs for norm in run.gradient_norms):.3g}",
            spread([run.peak_bytes / MIB for run in runs], "{:.0f}"),
            spread([100 * run.needed for run in runs], "{:.0f} %"),
            spread([100 * run.done for run in runs], "{:.0f} %"),
        )
    return found


def ratios(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> list[float]:
    """Speed over speed, within each round."""
    return [one.tokens_per_s / other.tokens_per_s for one, other in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float], form: str) -> str:
    """Median (lowest to highest)."""
    middle, low, high = (form.format(f(values)) for f in (statistics.median, min, max))
    return middle if low == high else f"{middle} ({low} to {high})"


def goals(
    outcomes: Mapping[str, Sequence[Outcome]], losses: Mapping[str, Sequence[float]], grouping: float
) -> dict[str, bool]:
    """Each goal in words, and whether it is met, by the medians; `grouping` is what length grouping adds to TRL's best."""
    speed = {name: statistics.median(ratios(outcomes[OURS], outcomes[name])) for name in (COMES, AT_BEST)}
    loss = {name: statistics.median(found) for name, found in losses.items()}
    apart = {name: loss[OURS] / loss[name] - 1 for name in (COMES, AT_BEST)}
    peak = {name: statistics.median(run.peak_bytes for run in runs) for name, runs in outcomes.items()}
    same = len({run.batches for runs in outcomes.values() for run in runs}) == 1
    grouped = speed[AT_BEST] / grouping
    return {
        f"{speed[COMES]:.2f} times the speed of TRL as it comes (goal {FASTER})": speed[COMES] >= FASTER,
        f"{speed[AT_BEST]:.2f} times the speed of TRL at its best (goal {AS_FAST})": speed[AT_BEST] >= AS_FAST,
        f"{grouped:.2f} times that, were its rows grouped by length too (goal {AS_FAST})": grouped >= AS_FAST,
        **{
            f"held-out loss {100 * off:+.2f} % against {name} (goal within {100 * SAME_LOSS:.0f} %)": abs(off)
            <= SAME_LOSS
            for name, off in apart.items()
        },
        **{
            f"peak memory {peak[OURS] / MIB:.0f} MiB, {name} {peak[name] / MIB:.0f}": peak[OURS] <= peak[name]
            for name in (COMES, AT_BEST)
        },
        "the same examples in each step of every run": same,
        "a gradient above 0 in each step of every run": True,  # else there would be no outcome
    }


@click.command(help=__doc__)
@click.option("--examples", "path", type=click.Path(exists=True, path_type=Path), help="Instead of the demo's.")
@click.option("--base", default="embedded", show_default=True)
@click.option("--steps", type=click.IntRange(4), default=24, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True)
@click.option("--threads", type=click.IntRange(1), help="As many as there are cores, unless given.")
@click.option("--json", "kept", type=click.Path(path_type=Path), help="Where all that was measured is written.")
def main(path: Path | None, base: str, steps: int, rounds: int, threads: int | None, kept: Path | None) -> None:
    """Choose TRL's best, let all run in turns, judge, print."""
    threads = threads or len(os.sched_getaffinity(0))
    os.environ |= {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    examples = demo_examples() if path is None else alone(read_file, path)
    random.Random(0).shuffle(examples)
    held = [row for at, row in enumerate(examples) if at % HELD == 0]
    train = [row for at, row in enumerate(examples) if at % HELD]
    job = Job(base, tuple(train), tuple(held), threads)
    console = Console(width=max(Console().width, 150))  # a table that is piped is not to be wrapped
    console.print(f"{len(train)} examples, {len(held)} held out; {steps} steps; {threads} threads")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tried = {}
        for name, options in (BEST | GROUPED).items():
            tried[name] = alone(compete, job, options, TRIED_STEPS, folder / "tried").tokens_per_s
            console.print(f"tried TRL with {name}: {tried[name]:.0f} tokens/s")
        best = max(BEST, key=lambda name: tried[name])
        contestants: dict[str, dict[str, Any] | None] = {OURS: None, COMES: {}, AT_BEST: BEST[best]}
        outcomes: dict[str, list[Outcome]] = {name: [] for name in contestants}
        losses: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(1, rounds + 1):
            for name, options in contestants.items():
                out = folder / f"{name} {number}".replace(" ", "-")
                outcomes[name].append(alone(compete, job, options, steps, out))
                losses[name].append(alone(judge, job, out))
                one = outcomes[name][-1]
                console.print(f"round {number}, {name}: {one.tokens_per_s:.0f} tokens/s, loss {losses[name][-1]:.4f}")
        untrained = alone(judge, job, None)
    runs = [run for found in outcomes.values() for run in found]
    bf16, fp32 = (statistics.median(rates) for rates in zip(*((r.bf16_flops, r.fp32_flops) for r in runs), strict=True))
    console.print(table(outcomes, losses))
    console.print(f"TRL at its best: {best}. Held-out loss before training: {untrained:.4f}.")
    console.print(f"Matrix products here: bf16 {bf16 / 1e9:.0f}, fp32 {fp32 / 1e9:.0f} GFLOP/s.")
    met = goals(outcomes, losses, max(tried.values()) / tried[best])
    for goal, is_met in met.items():
        console.print(f"{'met   ' if is_met else 'MISSED'} {goal}")
    if kept:
        record = {name: [asdict(run) for run in found] for name, found in outcomes.items()}
        record = {"tried": tried, "best": best, "runs": record, "losses": losses, "untrained": untrained, "goals": met}
        kept.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(met.values()) else 1)


def read_file(path: Path) -> list[dict[str, Any]]:
    """The examples of a file in any format that `finetune` reads."""
    from finetune.formats import read_examples

    return [{"messages": e.messages, "completion": e.completion, "id": e.id} for e in read_examples(path)]


if __name__ == "__main__":
    main()

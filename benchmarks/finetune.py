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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
# This script has the name of the package, and python looks beside a script first: here it looks there last.
sys.path[:] = [str(HERE.parent), *(entry for entry in sys.path if Path(entry or ".").resolve() != HERE), str(HERE)]
from finetune_run import Job, Outcome, compete, judge  # noqa: E402

DEMO = HERE.parent / "data" / "demo"

OURS, COMES, AT_BEST = "ours", "TRL as it comes", "TRL at its best"
FASTER, AS_FAST, SAME_LOSS = 1.5, 1.0, 0.01  # the goals: times TRL as it comes, times TRL at its best, relative
HELD = 4  # one of so many examples is held out
TRIED_STEPS = 5
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


def demo_examples() -> list[dict[str, Any]]:
    """The form failures of the demo's log, each with its reference as what should have come."""
    labels = {row["id"]: row["label"] for row in _rows(DEMO / "key.jsonl")}
    rows = [row for row in _rows(DEMO / "failures.jsonl") if labels[row["metadata"]["id"]] == "form"]
    return [{"messages": r["messages"], "completion": r["reference"], "id": r["metadata"]["id"]} for r in rows]


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


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
    """Each goal in words, and whether it is met, by medians; `grouping` is what grouping by length does for TRL."""
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
        each = {name: [asdict(run) for run in found] for name, found in outcomes.items()}
        record = {"tried": tried, "best": best, "runs": each, "losses": losses, "untrained": untrained, "goals": met}
        kept.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(met.values()) else 1)


def read_file(path: Path) -> list[dict[str, Any]]:
    """The examples of a file in any format that `finetune` reads."""
    from finetune.formats import read_examples

    return [{"messages": e.messages, "completion": e.completion, "id": e.id} for e in read_examples(path)]


if __name__ == "__main__":
    main()

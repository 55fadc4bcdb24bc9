"""The recipe of a training run that fits the card at hand, why it and no other, and what it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from advisor.errors import AnswerIsNo
from advisor.kind import Kind
from advisor.machine import Machine
from advisor.run import EMBEDDED
from advisor.wording import GIB, gib_span
from finetune.defaults import (
    ALPHA,
    DEFAULTS,
    LEAST_STEPS,
    MARGIN,
    Default,
    batch_for,
    epochs_for,
    learning_rate,
    rank_cap,
    targets_of,
)
from memory_calc.configs import shape_of
from memory_calc.errors import MemcalcError
from memory_calc.estimate import Estimate, Job, estimate
from memory_calc.shapes import ModelShape
from memory_calc.terms import adapter_params

EMBEDDED_SHAPE = "SmolLM2-135M"
# What is trained whatever the kind, until a run of each kind has been measured on the demo; None: the kind decides.
IN_FORCE: Default | None = replace(DEFAULTS["syntax"], capped=False, because="what proved itself on the demo")
REPLAYED, REPLAYED_TOKENS = 32, 90
TEMPLATE_TOKENS = 40  # role marks and a default system message of a chat template; an estimate
VALIDATION_RATE, LEAST_VALIDATION = 0.1, 4  # of the rows, held back to choose the checkpoint (finetune.recipe)
# Multiply-adds of one token through N weights cost 2N operations forward; a LoRA step adds 2N for the gradients of
# the inputs (those of frozen weights are not computed), and recomputing the forward pass with checkpointing 2N more.
TRAIN_OPS, CHECKPOINT_OPS, FORWARD_OPS = 4, 2, 2
# A token decoded in a batch of 16 takes about this many times one read in a prompt: measured on two CPU cores.
DECODE_FACTOR = 9
LOAD_S = 15.0  # imports and weights of a small model; an estimate
FUSED, EIGHT_BIT = "adamw_torch_fused", "adamw_8bit"


def shape_for(base: str) -> ModelShape | None:
    """The shape of the base: the embedded one, a folder's config.json, a known name; None for an unknown hub id."""
    if base == EMBEDDED:
        return shape_of(EMBEDDED_SHAPE)
    if Path(base).exists():
        return shape_of(base)
    try:
        return shape_of(base.rsplit("/", 1)[-1])
    except MemcalcError:
        return None


def default_for(kind: Kind) -> Default:
    """The row of the defaults that a kind is trained by."""
    return IN_FORCE or DEFAULTS[kind.name]


def size(
    shape: ModelShape,
    lengths_tokens: Sequence[int],
    machine: Machine,
    default: Default = DEFAULTS["syntax"],
    *,
    completion_tokens: int | None = None,
    asked: str = "",
) -> tuple[dict[str, Any], Estimate]:
    """The recipe of a row of finetune.defaults that fits the card, and its memory.

    `lengths_tokens` are those of the examples, prompt and completion; `completion_tokens` what of them is learned, in
    one epoch (None: all of it); `asked` says what the cases call for. The effective batch is kept; to make it fit come,
    in this order, a smaller micro-batch with more accumulation, checkpointing and the 8-bit optimizer, and then the
    same on a 4-bit base. LoRA on the bf16 base is taken if it leaves MARGIN of the usable memory free and fits at the
    high end of its interval; the 4-bit base if it fits at the high end. `why` of the recipe says all of this, a
    sentence each. Raises AnswerIsNo (exit code 3) where nothing fits.
    """
    rows = _trained_rows(len(lengths_tokens))
    batch = batch_for(rows)
    epochs = epochs_for(rows, batch, least_steps=LEAST_STEPS)
    targets = _of_shape(shape, default.targets)
    learned = sum(lengths_tokens) if completion_tokens is None else completion_tokens
    cap = rank_cap(
        adapter_params(shape, Job(rank=1, targets=targets)),
        round(epochs * learned * (rows - REPLAYED) / len(lengths_tokens)),
    )
    rank = min(default.rank, cap.rank) if default.capped else default.rank
    lengths = [n + TEMPLATE_TOKENS for n in (*lengths_tokens, *[REPLAYED_TOKENS] * REPLAYED)]
    job = Job(rank=rank, targets=targets, batch=batch, loss="finetune", upcast="none", device=machine.card.device)
    if machine.card.device == "cuda":
        job = replace(job, gpu=machine.card.name)
    jobs = list(_from_the_mildest(job, lengths))
    found = next(((job, memory) for job in jobs if _fits(memory := estimate(shape, job), job, machine)), None)
    if found is None:
        need = min(estimate(shape, job).process.high for job in jobs) / GIB
        raise AnswerIsNo(
            "--gpu",
            f"{machine.card.name} has {machine.card.usable_bytes / GIB:.1f} GiB, the smallest run needs {need:.1f} GiB",
            fix="a smaller --base, a larger --gpu, or shorter examples",
        )
    job, memory = found
    recipe = {
        "method": job.method,
        "rank": rank,
        "alpha": ALPHA,
        "targets": default.targets,
        "learning_rate": learning_rate(shape.hidden, shape.model_type),
        "epochs": epochs,
        "batch": job.batch,
        "accumulation": job.accumulation,
        "steps": epochs * math.ceil(rows / batch),
        "max_tokens": max(lengths),
        "quantization": "nf4" if job.method == "qlora" else "none",
        "gradient_checkpointing": job.gradient_checkpointing,
        "optimizer": job.optimizer,
        "replay": REPLAYED,
    }
    where = "all linear layers" if default.targets == "all-linear" else default.targets.replace(",", ", ")
    capped = [cap.says] if default.capped and cap.rank < default.rank else []
    why = [
        f"rank {rank} on {where}, alpha {ALPHA}: {default.because}" + (f" ({asked})" if asked else ""),
        *capped,
        f"rate {recipe['learning_rate']:g}: LoRA's own formula for a hidden size of {shape.hidden}",
        *_why_memory(shape, jobs[0], job, memory, machine),
    ]
    return recipe | {"why": why}, memory


def _trained_rows(n: int) -> int:
    """Rows of an epoch: the examples but those that validate, and the replayed answers."""
    return n - max(LEAST_VALIDATION, round(VALIDATION_RATE * n)) + REPLAYED


def _of_shape(shape: ModelShape, targets: str) -> tuple[str, ...]:
    """The targets by the names that the shape has for them."""
    parts = shape.parts()
    names = [f"attention.{m.name}" for m in parts.attention] + [f"mlp.{m.name}" for m in parts.mlp]
    return tuple(targets_of(targets, names).split(","))


def _from_the_mildest(start: Job, lengths: Sequence[int]) -> Iterator[Job]:
    """Jobs with the same effective batch, each a step that takes less memory and more time, or rounds more."""
    for method in ("lora", "qlora"):
        for optimizer, checkpointing in ((FUSED, False), (FUSED, True), (EIGHT_BIT, True)):
            for batch in (start.batch >> halved for halved in range(start.batch.bit_length())):
                yield replace(
                    start,
                    method=method,
                    optimizer=optimizer,
                    gradient_checkpointing=checkpointing,
                    batch=batch,
                    accumulation=start.batch // batch,
                    seq_tokens=math.ceil(sum(sorted(lengths)[-batch:]) / batch),  # of the heaviest micro-batch
                )


def _fits(found: Estimate, job: Job, machine: Machine) -> bool:
    usable = machine.card.usable_bytes
    spare = MARGIN if job.method == "lora" else 0.0
    return found.process.high <= usable and found.process.likely <= (1 - spare) * usable


def _why_memory(shape: ModelShape, wanted: Job, job: Job, memory: Estimate, machine: Machine) -> Iterator[str]:
    """What the recipe takes of the card, what was done to make it fit, and what training all weights would take."""
    usable = machine.card.usable_bytes
    of = f"{gib_span(memory.process)} of the {usable / GIB:.1f} GiB of {machine.card.name}"
    if job.method == "lora":
        yield f"LoRA on the bf16 base takes {of}: {1 - memory.process.likely / usable:.0%} stay free of {MARGIN:.0%}"
    else:
        yield f"the 4-bit base (NF4, double quantisation, bf16 compute) takes {of}"
    done = [
        f"micro-batch {job.batch} with accumulation {job.accumulation}" if job.accumulation > 1 else "",
        "activations computed twice" if job.gradient_checkpointing else "",
        "optimizer states in 8 bits" if job.optimizer == EIGHT_BIT else "",
        "base in 4 bits" if job.method == "qlora" else "",
    ]
    if any(done):
        before = gib_span(estimate(shape, wanted).process)
        yield f"to fit: {', '.join(filter(None, done))}; without, {before}; the effective batch stays {wanted.batch}"
    whole = replace(job, method="full", dtype="float32", autocast=True, optimizer=FUSED)
    yield f"training all weights in the same batches would take {gib_span(estimate(shape, whole).process)}"


def training_s(
    shape: ModelShape, lengths_tokens: Sequence[int], recipe: dict[str, Any], machine: Machine
) -> list[float] | None:
    """Seconds of a training run: low, likely, high; None where the card's rate is unknown."""
    tokens = recipe["epochs"] * (
        sum(n + TEMPLATE_TOKENS for n in lengths_tokens) + recipe["replay"] * (REPLAYED_TOKENS + TEMPLATE_TOKENS)
    )
    return _seconds(_operations(shape, recipe) * tokens, machine)


def training_tokens_per_s(shape: ModelShape, recipe: dict[str, Any], machine: Machine) -> list[float] | None:
    """Tokens a second that a training run takes in, no pads among them: low, likely, high; None as above."""
    if machine.flops_per_s is None:
        return None
    return [round(rate / _operations(shape, recipe), 1) for rate in machine.flops_per_s]


def _operations(shape: ModelShape, recipe: dict[str, Any]) -> int:
    """Floating point operations of one trained token."""
    return shape.n_params * (TRAIN_OPS + (CHECKPOINT_OPS if recipe["gradient_checkpointing"] else 0))


def answering_s(
    shape: ModelShape, n_answers: int, prompt_tokens: float, answer_tokens: float, machine: Machine
) -> list[float] | None:
    """Seconds of answering: low, likely, high."""
    work = prompt_tokens + TEMPLATE_TOKENS + answer_tokens * DECODE_FACTOR
    return _seconds(FORWARD_OPS * shape.n_params * n_answers * work, machine)


def _seconds(operations: float, machine: Machine) -> list[float] | None:
    if machine.flops_per_s is None:
        return None
    low, likely, high = machine.flops_per_s
    return [round(LOAD_S + operations / rate, 1) for rate in (high, likely, low)]

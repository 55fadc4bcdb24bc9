"""From live tensors to what the card shows: the caching allocator, the context, and how sure each figure is."""

from __future__ import annotations

from typing import NamedTuple

from memory_calc.job import Job
from memory_calc.losses import LOSSES

MIB = 2**20
GIB = 2**30


class Bytes(NamedTuple):
    """A figure with its interval, in bytes."""

    low: int
    likely: int
    high: int


# Bytes the allocator holds on top, as a share of the step's transient bytes (all but weights, adapters, states):
# medians of (process - context - allocated) / transient over measured runs. Blocks as large as the logits cannot be
# reused by the layers, so the loss path decides where the loss binds.
FRAGMENTED_LAYERS = 0.13  # 1 GPU, layer phase binds: 13 fms rows .08-.15
FRAGMENTED_LOSS = {"hf-legacy": 0.33, "fused-ce": 0.58}  # 10 and 15 fms rows
FRAGMENTED_LOSS_ELSE = 0.15  # hf-kept: 19 fitcheck rows with sdpa .05-.29, 4 peft rows .09-.15
FRAGMENTED_EAGER = 0.40  # 22 fitcheck rows .11-.62
FRAGMENTED_FSDP = 0.15  # more, on 2 and 4 GPUs: flat parameters of every unit come and go

# CUDA context, libraries' code and what the driver keeps. T4: 140.9 MiB (fitcheck-llm, torch 2.10-2.14, read beside
# torch's own counters); A100: 0.47 GiB with lazy loading (torch 2.1.1); H100 and newer taken as the A100's.
CONTEXT_BYTES = {"T4": 141 * MIB, "": 480 * MIB}
# NCCL's buffers after the first collective: 0.55 -> 2.00 GiB on an A100 (torch 2.1)
NCCL_BYTES = 1500 * MIB

# On a CPU the process holds the interpreter and its libraries instead of a context. Resident size measured with
# Python 3.11, torch 2.13, transformers 5.23, peft 0.21: 445 MB after the imports, about 480 after a first step; an
# estimate elsewhere.
CPU_RESIDENT_BYTES = 480 * 10**6
# malloc keeps much of what tensors below its mmap threshold gave back: (resident - tensors - interpreter) / transient
# bytes in four jobs of a 135M Llama in float32: 0.5, 0.5, 0.6 and, the smallest, 1.1 (docs/memcalc.md)
CPU_KEPT = 0.6


def reserved_bytes(peak: int, transient: int, loss_binds: bool, job: Job) -> int:
    """Bytes the caching allocator holds at its peak: peak + share x transient; on a CPU malloc's share.

    The shares are measured (tables above). `loss_binds`: the loss's phases are the largest of the transient ones.
    """
    if job.device == "cpu":
        return int(peak + CPU_KEPT * transient)
    share = FRAGMENTED_LAYERS
    if job.attention == "eager":
        share = FRAGMENTED_EAGER
    elif loss_binds and not LOSSES[job.loss].fused_head:
        share = FRAGMENTED_LOSS.get(job.loss, FRAGMENTED_LOSS_ELSE)
    if job.sharding == "fsdp" and job.n_gpus > 1:
        share += FRAGMENTED_FSDP
    return int(peak + share * transient)


def outside_bytes(job: Job) -> int:
    """Bytes of the process that no tensor holds: the context (and NCCL's buffers), or the interpreter on a CPU."""
    if job.device == "cpu":
        return CPU_RESIDENT_BYTES
    context = next((size for name, size in CONTEXT_BYTES.items() if name and name in job.gpu), CONTEXT_BYTES[""])
    return context + (NCCL_BYTES if job.n_gpus > 1 else 0)


# Low and high as factors on likely: the 5 % and 95 % ratios measured / likely of the development rows of quality A,
# sources weighted alike, widened until 90 % of a source that is left out lie inside (docs/memcalc.md, "Intervals").
# Reserved takes the process's, less what lies outside of tensors. Printed by
# `python -m memory_calc.calibrate ROWS.jsonl`.
SPREAD: dict[tuple[str, str], tuple[float, float]] = {
    ("process", "one"): (0.674, 1.227),
    ("allocated", "one"): (0.958, 1.044),
    ("allocated", "full-fsdp"): (0.480, 1.049),
    ("process", "full-fsdp"): (0.456, 1.535),
    ("allocated", "many"): (0.932, 1.069),
    ("process", "many"): (0.610, 1.405),
}
UNMEASURED = 1.5  # factor on the interval of what no development row measures (CPU; experts; 8-bit optimizers)


def group_of(job: Job) -> str:
    """The group of measured rows that a job's interval is taken from."""
    if job.n_gpus == 1:
        return "one"
    return "full-fsdp" if job.method == "full" and job.sharding == "fsdp" else "many"


def spread(likely: int, metric: str, job: Job, *, measured: bool = True) -> Bytes:
    """The figure with its interval: likely x the 5 % and 95 % ratios of its metric and group (SPREAD)."""
    low, high = SPREAD[metric, group_of(job)]
    if not measured:
        low, high = 1 - (1 - low) * UNMEASURED, 1 + (high - 1) * UNMEASURED
    return Bytes(int(likely * low), likely, int(likely * high))

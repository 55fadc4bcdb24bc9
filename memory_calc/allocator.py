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
FRAGMENTED_LOSS = {"hf-legacy": 0.33, "fused-ce": 0.6}  # 10 rows .18-.46 and 13 rows .35-.71
FRAGMENTED_LOSS_ELSE = 0.15  # hf-kept: 19 fitcheck rows with sdpa .05-.29, 4 peft rows .09-.15
FRAGMENTED_EAGER = 0.43  # layer phase binds: 12 fitcheck rows .18-.62
FRAGMENTED_EAGER_LOSS = 0.25  # 9 fitcheck rows .11-.42
FRAGMENTED_FSDP = 0.03  # more under FSDP: flat parameters of every unit come and go

# A quantised base is whole on every device before it is sharded: this share of what is freed then is not used again
# (44 rows on 2 and 4 GPUs: .3-.5 fit alike; more for a 7B, .2 for a 70B)
LOADED_WHOLE = 0.4

# Where every batch has a length of its own, blocks of the logits' size fit no later batch: this many times their bytes
# is kept beside them. Runs whose batches are padded to their longest, medians of three models 2.1, 2.2 and 2.3; less
# the higher the limit lies above 2048 tokens, as fewer samples reach it: .6 of it at 4096, .3 at 8192. The allocator's
# own rules (best fit, splitting, segments of 2 MiB) replayed over lengths drawn at random give .8-1.2, over one .04.
VARIED_LOGITS = 2.15
VARIED_TOKENS, VARIED_POWER = 2048, 0.6

# CUDA context, libraries' code and what the driver keeps. T4: 140.9 MiB (fitcheck-llm, torch 2.10-2.14, read beside
# torch's own counters); A100: 0.47 GiB with lazy loading (torch 2.1.1); H100 and newer taken as the A100's.
T4_CONTEXT_BYTES, CONTEXT_BYTES = 141 * MIB, 480 * MIB
# NCCL's buffers after the first collective: 0.55 -> 2.00 GiB on an A100 (torch 2.1)
NCCL_BYTES = 1500 * MIB

# On a CPU the process holds the interpreter and its libraries instead of a context. Resident size measured with
# Python 3.11, torch 2.13, transformers 5.23, peft 0.21: 445 MB after the imports, about 480 after a first step; an
# estimate elsewhere.
CPU_RESIDENT_BYTES = 480 * 10**6
# malloc keeps much of what tensors below its mmap threshold gave back: (resident - tensors - interpreter) / transient
# bytes in four jobs of a 135M Llama in float32: 0.5, 0.5, 0.6 and, the smallest, 1.1 (docs/memcalc.md)
CPU_KEPT = 0.6


def kept_bytes(peak: int, step: int, transient: int, logits: int, weights: int, *, loss_binds: bool, job: Job) -> int:
    """Bytes the caching allocator holds on top of the peak: share x transient; on a CPU malloc's share.

    `step` is the optimizer step's sum, `transient` what forward and backward take beside the states, `logits` the
    logits' part of it; `loss_binds`: the loss's phases are the largest of the transient ones. In full training nothing
    that the step takes is reused by the passes (gradients and foreach's lists are blocks of other sizes): step +
    transient, to -7 and +11 % in 17 full runs on 1, 2 and 4 GPUs that did not fill the card.
    """
    if job.device == "cpu":
        return int(CPU_KEPT * transient)
    share = FRAGMENTED_LAYERS
    if job.attention == "eager":
        share = FRAGMENTED_EAGER_LOSS if loss_binds else FRAGMENTED_EAGER
    elif loss_binds and not LOSSES[job.loss].fused_head:
        share = FRAGMENTED_LOSS.get(job.loss, FRAGMENTED_LOSS_ELSE)
    if job.sharding == "fsdp" and job.n_gpus > 1:
        share += FRAGMENTED_FSDP
    kept = share * transient
    if job.method == "full":
        kept = max(0, step + transient - peak)
    elif job.quantization != "none" and job.sharding in ("fsdp", "zero3"):
        kept += LOADED_WHOLE * (job.n_gpus - 1) * weights
    if job.padding == "longest":
        times = VARIED_LOGITS * min(1.0, VARIED_TOKENS / job.seq_tokens) ** VARIED_POWER
        kept = max(kept, times * logits + FRAGMENTED_LAYERS * (transient - logits))
    return int(kept)


def within(reserved: int, peak: int, room: int) -> int:
    """Reserved bytes on a card that has room for so many: where they would not fit, halfway from the peak to the room.

    The allocator then gives back all cached blocks and goes on with what is live (CUDACachingAllocator
    release_cached_blocks), and fills up again: 17 runs that would not have fitted ended .04-.88 of the way.
    """
    return reserved if reserved <= room else (peak + max(peak, room)) // 2


def outside_bytes(job: Job) -> int:
    """Bytes of the process that no tensor holds: the context (and NCCL's buffers), or the interpreter on a CPU."""
    if job.device == "cpu":
        return CPU_RESIDENT_BYTES
    context = T4_CONTEXT_BYTES if "T4" in job.gpu else CONTEXT_BYTES
    return context + (NCCL_BYTES if job.n_gpus > 1 else 0)


# Low and high as factors on likely: the 5 % and 95 % ratios measured / likely of development rows, sources weighted
# alike, widened until 90 % of a source, and of the models, that are left out lie inside (docs/memcalc.md, "Intervals").
# Reserved takes the process's, less what lies outside of tensors. Printed by
# `python -m memory_calc.calibrate ROWS.jsonl`.
SPREAD: dict[tuple[str, str], tuple[float, float]] = {
    ("process", "one"): (0.874, 1.093),
    ("allocated", "one"): (0.963, 1.078),
    ("allocated", "full-fsdp"): (0.481, 1.092),
    ("process", "full-fsdp"): (0.446, 1.275),
    ("allocated", "many"): (0.952, 1.105),
    ("process", "many"): (0.801, 1.265),
    ("process", "varied"): (0.720, 1.405),
}
UNMEASURED = 1.5  # factor on the interval of what no development row measures
MEASURED_LOSSES = ("hf-legacy", "hf-kept", "fused-ce", "fused-linear-ce")


def measured(job: Job, experts: int) -> bool:
    """Whether development rows hold jobs of this kind: dense models on CUDA, alone or under FSDP, by these losses."""
    return (
        job.device == "cuda"
        and not experts
        and job.loss in MEASURED_LOSSES
        and job.sharding in ("none", "fsdp")
        and job.kernels != "compile"
        and not job.offload
    )


def group_of(metric: str, job: Job) -> str:
    """The group of measured rows that a metric's interval for a job is taken from."""
    if job.n_gpus == 1:
        return "varied" if metric == "process" and job.padding == "longest" else "one"
    return "full-fsdp" if job.method == "full" and job.sharding == "fsdp" and job.fsdp_fp32 else "many"


def spread(likely: int, metric: str, job: Job, *, usual: bool = True) -> Bytes:
    """The figure with its interval: likely x the 5 % and 95 % ratios of its metric and group (SPREAD).

    Widened by UNMEASURED unless the job is of a usual kind (`measured`).
    """
    low, high = SPREAD[metric, group_of(metric, job)]
    if not usual:
        low, high = 1 - (1 - low) * UNMEASURED, 1 + (high - 1) * UNMEASURED
    return Bytes(int(likely * low), likely, int(likely * high))

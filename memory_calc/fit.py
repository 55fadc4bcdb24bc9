"""Whether a job fits a card, and the largest batch that does, by the same estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from memory_calc.allocator import outside_bytes
from memory_calc.cards import Card
from memory_calc.estimate import Estimate, estimate
from memory_calc.job import Job
from memory_calc.shapes import ModelShape

LARGEST_BATCH = 65536


def needed_bytes(found: Estimate, job: Job) -> int:
    """Bytes that a card must give: the high end of allocated and what the process needs beside tensors.

    Not the process figure: most of its surplus is memory that the allocator keeps and gives back before it fails
    (torch CUDA caching allocator frees its cached blocks and tries again). malloc does not: on a CPU it is the process.
    """
    if job.device == "cpu":
        return found.process.likely
    return found.allocated.high + outside_bytes(job)


def verdict(found: Estimate, job: Job, card: Card) -> str:
    """One of "fits", "tight" (fits, but the process will fill the card) and "does not fit"."""
    if needed_bytes(found, job) > card.usable_bytes:
        return "does not fit"
    shown = found.process.high if job.device == "cpu" else found.process.likely
    return "fits" if shown <= card.usable_bytes else "tight"


def largest_batch(shape: ModelShape, job: Job, memory_bytes: int) -> int:
    """The most sequences of one micro-step that fit into memory_bytes, 0 where not even one does.

    Bisection on the estimate itself (needed_bytes <= memory_bytes), so the answer cannot disagree with it.
    """
    return largest_batch_of([shape], job, memory_bytes)


def largest_batch_of(shapes: Sequence[ModelShape], job: Job, memory_bytes: int) -> int:
    """The same for the most demanding of several shapes."""

    def fits(batch: int) -> bool:
        tried = replace(job, batch=batch)
        return all(needed_bytes(estimate(shape, tried), tried) <= memory_bytes for shape in shapes)

    if not fits(1):
        return 0
    low, high = 1, 2
    while high < LARGEST_BATCH and fits(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low

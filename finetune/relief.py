"""What a run does when memory runs out: one step at a time, the effective batch kept, nothing cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from finetune.recipe import Recipe

EIGHT_BIT = "paged_adamw_8bit"  # bitsandbytes; states in 8 bits, on a GPU paged to the host when memory is short
EIGHT_BIT_CPU = "adamw_8bit"


class OutOfMemory(RuntimeError):
    """A run passed the memory that it was given."""


def ran_out(problem: BaseException) -> bool:
    """Whether an exception says that memory ran out: a card's, the host's allocator, Python's, or the given limit's."""
    if isinstance(problem, torch.OutOfMemoryError | MemoryError | OutOfMemory):
        return True
    words = str(problem).lower()  # the host's allocator has no class of its own (c10/core/impl/alloc_cpu.cpp)
    return isinstance(problem, RuntimeError) and ("can't allocate memory" in words or "out of memory" in words)


def relieved(recipe: Recipe) -> tuple[Recipe, str] | None:
    """The recipe with the mildest thing done that is left to do, and what was done; None where nothing is left.

    In this order: half the micro-batch with twice the accumulation (as long as it has two examples), checkpointing, the
    8-bit optimizer, the 4-bit base. The effective batch stays the same, as does every example.
    """
    return next(_steps(recipe), None)


def _steps(recipe: Recipe) -> Iterator[tuple[Recipe, str]]:
    size = recipe.batch * recipe.accumulation
    half = next((n for n in range(recipe.batch // 2, 0, -1) if size % n == 0), 0)
    if half:
        less = replace(recipe, batch=half, accumulation=size // half)
        yield less, f"micro-batch {recipe.batch} -> {half}, accumulation {recipe.accumulation} -> {less.accumulation}"
    if not recipe.gradient_checkpointing:
        yield replace(recipe, gradient_checkpointing=True), "activations are computed twice (gradient checkpointing)"
    if "8bit" not in recipe.optimizer:
        name = EIGHT_BIT if torch.cuda.is_available() else EIGHT_BIT_CPU
        yield replace(recipe, optimizer=name), f"optimizer {recipe.optimizer} -> {name}"
    if recipe.method != "full" and recipe.quantization == "none":
        packed = replace(recipe, method="qlora", quantization="nf4")
        yield packed, "base bf16 -> 4 bits (NF4, double quantisation)"


Said = Callable[[str], None]

"""How a batch is laid out: all tokens in one row where attention keeps documents apart, else padded by length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from finetune.attention import keep_documents_apart
from finetune.base import asking
from finetune.batches import Row, flatten, pad
from finetune.errors import FinetuneError
from finetune.loss import Head

# Relative distance of hidden states that rounding explains: bf16 keeps 8 bits, and a sum made in another order moves by
# some of its last ones; a document that sees its neighbour moves by a multiple of that.
NOISE = 0.05

Collate = Callable[[Sequence[Row]], dict[str, Any]]


def choose_layout(causal: Any, rows: Sequence[Row], wanted: str) -> str:
    """`padding-free` or `grouped`; auto is padding-free where it changes nothing, which two of the rows are asked for.

    Raises FinetuneError where padding-free is demanded of a model that lets documents see each other.
    """
    if wanted == "grouped":
        return wanted
    shortest = sorted(rows, key=lambda row: len(row["input_ids"]))[:2]
    longest = max(len(row["input_ids"]) for row in rows)
    if keep_documents_apart(causal, longest) and (len(shortest) < 2 or distance(causal, shortest) < NOISE):
        return "padding-free"
    if wanted == "padding-free":
        raise FinetuneError(
            "layout", "padding-free, but this model lets documents in one row see each other", "auto, grouped"
        )
    return "grouped"


def distance(causal: Any, rows: Sequence[Row]) -> float:
    """Relative distance between the hidden states of rows laid out in one row and of each alone, 0 for none."""
    head = Head(causal)
    seen = [
        {k: v for k, v in flatten(some).items() if k not in ("targets", "kept", "teacher")}
        for some in (rows, *([row] for row in rows))
    ]
    with torch.inference_mode(), asking(causal):
        together, *alone = (head.hidden(**on(causal.device, batch))[0].float() for batch in seen)
    apart = torch.cat(alone)
    return float((together - apart).norm() / apart.norm())


def on(device: torch.device, batch: dict[str, Any]) -> dict[str, Any]:
    """The batch with its tensors on a device."""
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def collator(layout: str, pad_id: int) -> Collate:
    """The function that turns rows into one batch of the layout."""
    return flatten if layout == "padding-free" else lambda rows: pad(rows, pad_id)

"""Tokenised rows to what a model is shown: all of a batch in one row without pads, or padded to the longest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch

IGNORED = -100  # the label that torch's cross entropy leaves out

Row = Mapping[str, Any]  # input_ids, labels; of a replayed one also `teacher`, the base's last hidden states


def targets_of(row: Row) -> list[int]:
    """For each token the one to be learned after it, IGNORED where none is; a replayed row teaches none."""
    n = len(row["input_ids"])
    return [IGNORED] * n if "teacher" in row else [*row["labels"][1:], IGNORED][:n]


def kept_of(row: Row) -> list[bool]:
    """For each token whether the base's own guess of the next one is to be kept: all but the last of a replayed row."""
    n = len(row["input_ids"])
    return [("teacher" in row) and at < n - 1 for at in range(n)]


def flatten(rows: Sequence[Row]) -> dict[str, Any]:
    """One row of all tokens: input_ids, position_ids, targets and kept (1, tokens), no pads.

    Positions begin anew with each document; `cu_seq_lens_q` and `_k` (documents + 1) say where. The names are those
    of transformers' DataCollatorWithFlattening, which attention kernels read.
    """
    lengths = [len(row["input_ids"]) for row in rows]
    bounds = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    longest = max(lengths)
    return {
        "input_ids": torch.tensor([[i for row in rows for i in row["input_ids"]]]),
        "position_ids": torch.tensor([[at for n in lengths for at in range(n)]]),
        "targets": torch.tensor([[t for row in rows for t in targets_of(row)]]),
        "kept": torch.tensor([[k for row in rows for k in kept_of(row)]]),
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
        **_teacher(rows),
    }


def pad(rows: Sequence[Row], pad_id: int) -> dict[str, Any]:
    """Rows to tensors (n, longest): padded on the right, attention 0 and target IGNORED on the padding."""
    longest = max(len(row["input_ids"]) for row in rows)

    def column(values: Sequence[Sequence[Any]], fill: Any) -> torch.Tensor:
        return torch.tensor([[*value, *[fill] * (longest - len(value))] for value in values])

    return {
        "input_ids": column([row["input_ids"] for row in rows], pad_id),
        "attention_mask": column([[1] * len(row["input_ids"]) for row in rows], 0),
        "targets": column([targets_of(row) for row in rows], IGNORED),
        "kept": column([kept_of(row) for row in rows], False),
        **_teacher(rows),
    }


def _teacher(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    known = [row["teacher"][:-1] for row in rows if "teacher" in row]
    return {"teacher": torch.cat(known)} if known else {}

"""Examples to token ids: of a chat the loss is on the completion alone, of plain text on all of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from finetune.answer import Question, render
from finetune.base import Base
from finetune.batches import IGNORED


@dataclass(frozen=True)
class Example:
    """One thing to learn: the question as chat messages, and the completion that should have come.

    Without messages the completion is plain text, a document say, of which every token is learned.
    """

    messages: Question
    completion: str
    id: str = ""
    ends: bool = True  # False: the text was cut, so the model must not learn to stop there
    origin: str = ""  # where the completion is from: correction, reference, repair, sampled, replay


@dataclass(frozen=True)
class Dropped:
    """An example that cannot be trained on, and why."""

    id: str
    reason: str


def tokenize(base: Base, example: Example) -> dict[str, list[int]]:
    """`input_ids` and `labels` of one example; the labels of the prompt are IGNORED.

    The prompt is rendered by the same function that serves it, and the completion ends with the end-of-turn token, so
    that what is trained is what will be asked, and the model learns to stop. Plain text (no messages) is taken as it
    is, with what its tokenizer itself puts around a text and no end of turn; all of its labels count.
    """
    if not example.messages:
        ids = base.tokenizer(example.completion)["input_ids"]
        return {"input_ids": ids, "labels": list(ids)}
    prompt = render(base, example.messages)
    whole = str(
        base.tokenizer.apply_chat_template(
            [*example.messages, {"role": "assistant", "content": example.completion}], tokenize=False
        )
    )
    # Some templates rewrite earlier turns; then the completion is closed by hand.
    completion = whole[len(prompt) :].rstrip() if whole.startswith(prompt) else example.completion
    end = base.tokenizer.eos_token
    completion = completion.removesuffix(end) + (end if example.ends else "")
    prompt_ids = base.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    completion_ids = base.tokenizer(completion, add_special_tokens=False)["input_ids"]
    return {
        "input_ids": prompt_ids + completion_ids,
        "labels": [IGNORED] * len(prompt_ids) + completion_ids,
    }


def tokenize_all(
    base: Base, examples: Sequence[Example], max_tokens: int, *, truncate: bool = False
) -> tuple[list[dict[str, list[int]]], list[Dropped]]:
    """All rows that can be trained on, and the examples that cannot with the reason; nothing is cut off.

    With `truncate` a row that is too long loses the oldest tokens of its prompt, as answering shortens a prompt. Plain
    text longer than `max_tokens` becomes several rows of about the same length.
    """
    rows, dropped = [], []
    for example in examples:
        row = tokenize(base, example)
        if not example.completion.strip():
            dropped.append(Dropped(example.id, "its completion is empty"))
        elif not example.messages:
            chunks = _chunks(row["input_ids"], max_tokens)
            rows += [{"input_ids": ids, "labels": list(ids)} for ids in chunks]
            if not chunks:
                dropped.append(Dropped(example.id, "a single token: nothing follows that could be learned"))
        elif truncate and max_tokens < len(row["input_ids"]) < max_tokens + row["labels"].count(IGNORED):
            rows.append({name: ids[-max_tokens:] for name, ids in row.items()})
        elif len(row["input_ids"]) > max_tokens:
            dropped.append(Dropped(example.id, f"{len(row['input_ids'])} tokens, more than {max_tokens}"))
        else:
            rows.append(row)
    return rows, dropped


def _chunks(ids: list[int], max_tokens: int) -> list[list[int]]:
    """The ids in as few runs of at most `max_tokens` as there must be, all but equally long, each with a next token."""
    n = math.ceil(len(ids) / max_tokens)
    bounds = [len(ids) * i // n for i in range(n + 1)]
    return [ids[start:stop] for start, stop in pairwise(bounds) if stop - start > 1]

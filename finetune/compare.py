"""Which base to train? Bits per byte before and after a fixed tiny LoRA budget, what more would buy, memory of each."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from finetune.base import Base, asking, load
from finetune.batches import IGNORED, Row
from finetune.errors import FinetuneError
from finetune.examples import Example, tokenize
from finetune.general import TEXTS
from finetune.recipe import Recipe
from finetune.saturation import Rung, paired_interval
from finetune.train import Trained, train

FEWEST = 8  # examples: four to train on and four to be held out say something, fewer do not
Say = Callable[[str], None]


@dataclass(frozen=True)
class Budget:
    """What every candidate is given, the same for all of them."""

    steps: int = 24  # of each run, whatever it trains: the ladder compares parameters and examples, not patience
    batch: int = 8
    rank: int = 16  # of the tiny run, on all linear layers; the highest rung of the ladder
    learning_rate: float = 1e-3
    held_rate: float = 1 / 3  # of the examples, never trained on
    max_tokens: int = 1024  # of prompt and completion, in the tokens of each candidate
    seeds: int = 1  # runs of each rung; their spread is the noise that a forecast has to live with
    ladder: bool = True  # False: the tiny run alone


@dataclass(frozen=True)
class Measured:
    """One candidate: all losses in bits per byte, so that tokenizers do not matter; memory as it was measured."""

    base: str
    parameters: int
    general: float  # of plain text
    task: float  # of the held-out completions, given their prompts, untrained
    tuned: float  # of the same after the tiny run
    task_bits: tuple[float, ...]  # of each held-out completion, and their bytes
    tuned_bits: tuple[float, ...]
    held_bytes: tuple[int, ...]
    weights_bytes: int  # of the loaded weights
    peak_bytes: int  # of the tiny run: reserved on the card, or resident in its process
    tiny_s: float  # the tiny run's steps
    rungs: tuple[Rung, ...]  # of the ladder, the tiny run among them


def bits(base: Base, rows: Sequence[Row]) -> list[float]:
    """Bits that the labels of each row take, given what stands before them (n).

    The negative log2-likelihood, summed; over the bytes of the text it is bits per byte, which does not depend on the
    tokenizer as a loss per token does (Gao et al. 2020, "The Pile", arXiv 2101.00027, section 3.1). Row by row: no
    pads, and the logits of one text at a time.
    """
    found = []
    with torch.inference_mode(), asking(base.model):
        for row in rows:
            labels = torch.tensor(row["labels"][1:], device=base.device)
            logits = base.model(input_ids=torch.tensor([row["input_ids"]], device=base.device)).logits[0, :-1]
            counted = labels != IGNORED
            nats = cross_entropy(logits[counted].float(), labels[counted], reduction="sum")
            found.append(float(nats) / math.log(2))
    return found


def text_row(base: Base, text: str) -> tuple[Row, int]:
    """A plain text as a row, and how many of its bytes count: those after its first word, which is given.

    So every candidate has to tell the same bytes, and none pays for what its tokenizer puts before a text.
    """
    if not base.tokenizer.is_fast:
        raise FinetuneError(base.source, "a tokenizer that does not tell offsets", "one with a tokenizer.json")
    read = base.tokenizer(text, return_offsets_mapping=True)
    given = len(text) - len(text.lstrip()) + len(text.split(maxsplit=1)[0])
    labels = [i if end > given else IGNORED for i, (_, end) in zip(read["input_ids"], read["offset_mapping"], strict=True)]
    return {"input_ids": read["input_ids"], "labels": labels}, len(text[given:].encode())


def completion_rows(base: Base, examples: Sequence[Example], max_tokens: int) -> list[Row]:
    """Examples as rows, as they are trained: the completion and its end of turn count. Raises where one is too long."""
    rows = [tokenize(base, example) for example in examples]
    for example, row in zip(examples, rows, strict=True):
        n = len(row["input_ids"])
        if n > max_tokens:
            fix = f"--max-tokens {n}, or leave it out for all candidates"
            raise FinetuneError(f"example {example.id}", f"{n} tokens for {base.source}", f"up to {max_tokens}", fix)
    return rows


def split(examples: Sequence[Example], budget: Budget) -> tuple[list[Example], list[Example]]:
    """What is trained on and what is held out: the same for every candidate, no example twice."""
    unlike = list({(str(e.messages), e.completion): e for e in examples if e.messages and e.completion.strip()}.values())
    if len(unlike) < FEWEST:
        allowed = f"{FEWEST} different ones at least, with messages (or a prompt) and a completion"
        raise FinetuneError("examples", f"{len(unlike)} that can be compared on", allowed)
    random.Random(0).shuffle(unlike)
    n = max(4, round(budget.held_rate * len(unlike)))
    return unlike[n:], unlike[:n]


def blocks(model: Any) -> list[list[str]]:
    """The names of the linear modules of each decoder layer, in order."""
    found: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        layer = re.match(r"\D*\.(\d+)\.", name)
        if layer and isinstance(module, torch.nn.Linear):
            found.setdefault(int(layer[1]), []).append(name)
    return [found[at] for at in sorted(found)]


def spread(n: int, k: int) -> list[int]:
    """`k` of `n` layers, evenly spread, such that every smaller choice is part of a larger one (van der Corput)."""
    order: list[int] = []
    at = 1
    while len(order) < n:
        digits = f"{at:b}"
        layer = int(n * int(digits[::-1], 2) / 2 ** len(digits))
        if layer not in order:
            order.append(layer)
        at += 1
    return sorted(order[:k])


def measure(base: str, examples: Sequence[Example], out: Path, budget: Budget, say: Say) -> Measured:
    """All that is measured of one candidate; every run lies in `out` and is not made again by the same call.

    The tiny run comes first, for its peak is the process's where a system cannot forget an earlier one.
    """
    taught, held = split(examples, budget)
    fresh = load(base)
    layers = blocks(fresh.model)
    rows = completion_rows(fresh, held, budget.max_tokens)
    completion_rows(fresh, taught, budget.max_tokens)
    held_bytes = tuple(len(example.completion.encode()) for example in held)
    texts = [text_row(fresh, text) for text in TEXTS]
    say(f"{base}: {len(taught)} examples to train on, {len(held)} held out")
    general = sum(bits(fresh, [row for row, _ in texts])) / sum(n for _, n in texts)
    untrained = bits(fresh, rows)
    del fresh
    runs = plan(len(layers), len(taught), budget)
    tiny: Trained | None = None
    tuned: list[float] = []
    rungs = []
    for number, run in enumerate(runs, start=1):
        found, trained = _run(base, taught[: run.examples], run, layers, out, budget)
        spent = bits(load(base, adapter=trained.folder), rows)
        rungs.append(replace(run, trainable=trained.trainable, loss=sum(spent) / sum(held_bytes)))
        say(f"{base}: run {number} of {len(runs)}, {rungs[-1].trainable:,} parameters, {rungs[-1].loss:.3f} bits a byte")
        if tiny is None:
            tiny, tuned = trained, spent
    return Measured()

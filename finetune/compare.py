"""Which base to train? Bits per byte before and after a fixed tiny LoRA, what saturates where, the memory of each."""

from __future__ import annotations

import gc
import json
import math
import random
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from finetune.base import Base, asking, load, locate
from finetune.batches import IGNORED, Row
from finetune.errors import FinetuneError
from finetune.examples import Example, tokenize
from finetune.general import TEXTS
from finetune.recipe import Recipe
from finetune.saturation import Rung
from finetune.train import Trained, train

FEWEST = 8  # examples; of fewer than four to train on and four held out nothing can be told
RESAMPLES = 2000
# Of the loss after the tiny run: what is closer is called equal, for runs differ by chance, and no resampling of the
# held-out completions shows that. Two bases that 1 % of noise sets apart came out 15 % apart (docs/compare-bases.md).
# With several seeds their mean counts, and the margin shrinks with the root of their number.
MARGIN = 0.25
Say = Callable[[str], None]


@dataclass(frozen=True)
class Budget:
    """What every candidate is given, the same for all."""

    steps: int = 24  # of each run, whatever it trains
    batch: int = 8
    rank: int = 16  # of the tiny run, on all linear layers, and the highest of the ladder
    # Above the default of a real run, for the tiny one has few steps. One rate serves all ranks (alpha / rank scaling).
    learning_rate: float = 1e-3
    held_rate: float = 1 / 3  # of the examples, never trained on
    max_tokens: int = 1024  # of prompt and completion, in each candidate's own tokens
    seeds: int = 1  # runs of each rung of the ladder
    ladder: bool = True  # False: the tiny run alone

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "rank", "max_tokens", "seeds"):
            if getattr(self, name) < 1:
                raise FinetuneError(name, str(getattr(self, name)), "a whole number from 1", exit_code=2)


@dataclass(frozen=True)
class Measured:
    """One candidate. Losses are bits per byte, so that tokenizers do not matter; memory is as it was measured."""

    base: str
    parameters: int
    general: float  # of plain text
    task: float  # of the held-out completions given their prompts, before any training
    tuned: float  # of the same after the tiny run
    tuned_bits: tuple[float, ...]  # of each held-out completion, a mean over the seeds, and its bytes
    held_bytes: tuple[int, ...]
    seeds: int
    weights_bytes: int  # of the loaded weights
    peak_bytes: int  # of the tiny run: reserved on the card, or resident in its process
    tiny_s: float  # the tiny run's optimizer steps
    rungs: tuple[Rung, ...]  # all runs, the tiny one among them


def compare(bases: Sequence[str], examples: Sequence[Example], out: Path, budget: Budget) -> list[list[Measured]]:
    """Measure each candidate in a process of its own, and rank them (see `rank`); progress goes to stderr.

    Every run is kept in `out`: killed, the same call carries on. Raises FinetuneError for a base that cannot be loaded,
    an example that is too long for one of them, and fewer than FEWEST examples.
    """
    for at, base in enumerate(bases):
        locate(base)  # a wrong name is told before anything is spent
        if base in bases[:at]:
            raise FinetuneError("bases", f"{base} twice", "each candidate once", exit_code=2)
    split(examples, budget)
    found = []
    for base in bases:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:  # its peak is no other's
            try:
                got = alone.submit(_measured, base, list(examples), out, budget).result()
            except BrokenProcessPool:
                given, fix = "its process was killed, most likely for want of memory", "--batch 1, or a smaller base"
                raise FinetuneError(base, given, fix=fix) from None
        if isinstance(got, tuple):
            where, given = got[0].split(": ", 1)
            raise FinetuneError(where, given, exit_code=got[1])
        found.append(got)
    return rank(found)


def rank(measured: Sequence[Measured]) -> list[list[Measured]]:
    """The candidates from best to worst, in groups that the held-out completions tell apart.

    By the loss after the tiny run; a candidate that is not told apart from the best of a group joins it, and within a
    group, where the task decides nothing, the one that tells general text with fewer bits comes first.
    """
    groups: list[list[Measured]] = []
    for candidate in sorted(measured, key=lambda one: one.tuned):
        if groups and not told_apart(groups[-1][0], candidate):
            groups[-1].append(candidate)
        else:
            groups.append([candidate])
    return [sorted(group, key=lambda one: one.general) for group in groups]


def told_apart(one: Measured, other: Measured) -> bool:
    """Whether the losses after the tiny run differ by more than MARGIN, and by more than the completions explain.

    That is, whether the 95 % interval of their difference leaves out 0, in a paired bootstrap over the held-out
    completions (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13, percentile interval).
    """
    if abs(other.tuned - one.tuned) <= MARGIN / math.sqrt(one.seeds) * min(one.tuned, other.tuned):
        return False
    difference = np.array(other.tuned_bits) - np.array(one.tuned_bits)
    drawn = np.random.default_rng(0).integers(len(difference), size=(RESAMPLES, len(difference)))
    low, high = np.quantile(difference[drawn].sum(1), [0.025, 0.975])
    return bool(low > 0 or high < 0)


def measure(base: str, examples: Sequence[Example], out: Path, budget: Budget, say: Say) -> Measured:
    """All that is measured of one candidate, in this process.

    The tiny run comes first: where a system cannot forget an earlier peak of memory, the first run's is its own.
    """
    taught, held = split(examples, budget)
    fresh = load(base)
    layers = blocks(fresh.model)
    rows = completion_rows(fresh, held, budget.max_tokens)
    completion_rows(fresh, taught, budget.max_tokens)  # refused before anything is spent
    held_bytes = [len(example.completion.encode()) for example in held]
    texts = [text_row(fresh, text) for text in TEXTS]
    left = len(examples) - len(taught) - len(held)
    rest = f", {left} left out (plain text, no completion, or the same again)" if left else ""
    say(f"{base}: {len(taught)} examples to train on, {len(held)} held out{rest}")
    general = sum(bits(fresh, [row for row, _ in texts])) / sum(n for _, n in texts)
    task = sum(bits(fresh, rows)) / sum(held_bytes)
    del fresh
    gc.collect()  # or the tiny run's peak would have these weights twice
    rungs, tuned = [], []
    tiny: Trained | None = None
    planned = ladder(len(layers), len(taught), budget)
    place = out / identity(base, taught, held, budget)
    for number, rung in enumerate(planned, start=1):
        name = f"{rung.layers}-layers-rank-{rung.rank}-{rung.examples}-examples-seed-{rung.seed}"
        trained = train(base, taught[: rung.examples], place / name, recipe(rung, layers, budget))
        spent = bits(load(base, adapter=trained.folder), rows)
        rungs.append(replace(rung, trainable=trained.trainable, loss=sum(spent) / sum(held_bytes)))
        if replace(rung, seed=0) == planned[0]:
            tiny = tiny or trained
            tuned.append(spent)
        told = f"{trained.trainable:,} parameters, {rung.examples} examples: {rungs[-1].loss:.3f} bits per byte"
        say(f"{base}: run {number} of {len(planned)}, {told}")
    assert tiny is not None
    mean_bits = [sum(column) / len(tuned) for column in zip(*tuned, strict=True)]
    return Measured(
        base=base,
        parameters=tiny.parameters - tiny.trainable,
        general=general,
        task=task,
        tuned=sum(mean_bits) / sum(held_bytes),
        tuned_bits=tuple(mean_bits),
        held_bytes=tuple(held_bytes),
        seeds=len(tuned),
        weights_bytes=tiny.weights_bytes,
        peak_bytes=tiny.peak_bytes,
        tiny_s=tiny.steps_s,
        rungs=tuple(rungs),
    )


def _measured(base: str, examples: Sequence[Example], out: Path, budget: Budget) -> Measured | tuple[str, int]:
    """`measure` in a process of its own; an error comes back as its line and exit code, for it cannot be pickled."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        return measure(base, examples, out, budget, lambda line: print(line, file=sys.stderr, flush=True))
    except FinetuneError as problem:
        return problem.message, problem.exit_code


def bits(base: Base, rows: Sequence[Row]) -> list[float]:
    """Bits that the labels of each row take, given all that stands before them.

    The negative log2-likelihood, summed. Over the bytes of the text it is bits per byte, which a tokenizer cannot
    flatter as it can a loss per token (Gao et al. 2020, "The Pile", arXiv 2101.00027, section 3.1). Row by row, so no
    pads, and only one row's logits at a time.
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

    So every candidate tells the same bytes, and none pays for what its tokenizer puts before a text.
    """
    if not base.tokenizer.is_fast:
        raise FinetuneError(base.source, "a tokenizer that tells no offsets", "one with a tokenizer.json")
    read = base.tokenizer(text, return_offsets_mapping=True)
    given = len(text) - len(text.lstrip()) + len(text.split(maxsplit=1)[0])
    places = zip(read["input_ids"], read["offset_mapping"], strict=True)
    labels = [token if end > given else IGNORED for token, (_, end) in places]
    return {"input_ids": read["input_ids"], "labels": labels}, len(text[given:].encode())


def completion_rows(base: Base, examples: Sequence[Example], max_tokens: int) -> Sequence[Row]:
    """Examples as they are trained: the completion and its end of turn count. Raises where one is too long."""
    rows = [tokenize(base, example) for example in examples]
    for example, row in zip(examples, rows, strict=True):
        n = len(row["input_ids"])
        if n > max_tokens:
            where, given = f"example {example.id}", f"{n} tokens for {base.source}"
            raise FinetuneError(where, given, f"up to {max_tokens}", f"--max-tokens {n}, or leave the example out")
    return rows


def split(examples: Sequence[Example], budget: Budget) -> tuple[list[Example], list[Example]]:
    """What is trained on and what is held out, the same for every candidate; equal examples count once."""
    chats = [example for example in examples if example.messages and example.completion.strip()]
    unlike = list({json.dumps([list(e.messages), e.completion]): e for e in chats}.values())
    if len(unlike) < FEWEST:
        allowed = f"at least {FEWEST} different ones with messages (or a prompt) and a completion"
        raise FinetuneError("examples", f"{len(unlike)} that can be compared on", allowed)
    random.Random(0).shuffle(unlike)
    n = max(4, round(budget.held_rate * len(unlike)))
    return unlike[n:], unlike[:n]


def identity(base: str, taught: Sequence[Example], held: Sequence[Example], budget: Budget) -> str:
    """A name for such runs of this base: other weights, other examples or another budget have another."""
    place = Path(locate(base))
    files = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in sorted(place.glob("*.safetensors"))]
    rows = [[list(e.messages), e.completion] for e in (*taught, *held)]
    knobs = [budget.steps, budget.batch, budget.learning_rate, budget.max_tokens]
    return sha256(json.dumps([str(place), files, knobs, len(taught), rows]).encode()).hexdigest()[:16]


def blocks(model: Any) -> list[list[str]]:
    """The names of the linear modules of each decoder layer, in order."""
    found: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        layer = re.match(r"\D*\.(\d+)\.", name)
        if layer and isinstance(module, torch.nn.Linear):
            found.setdefault(int(layer[1]), []).append(name)
    return [found[at] for at in sorted(found)]


def spread(n: int, k: int) -> list[int]:
    """`k` of `n` layers, evenly spread, a smaller choice being part of each larger one (van der Corput 1935)."""
    order: list[int] = []
    at = 1
    while len(order) < n:
        digits = f"{at:b}"
        layer = n * int(digits[::-1], 2) // 2 ** len(digits)
        if layer not in order:
            order.append(layer)
        at += 1
    return sorted(order[:k])


def ladder(n_layers: int, n_examples: int, budget: Budget) -> list[Rung]:
    """The runs of one candidate: the tiny one; fewer parameters, by rank and below rank 1 by layers; fewer examples."""
    tiny = Rung(n_layers, budget.rank, n_examples, 0)
    if not budget.ladder:
        return [tiny]
    fewer = [replace(tiny, layers=2**at, rank=1) for at in range(n_layers.bit_length()) if 2**at < n_layers]
    ranks = [replace(tiny, rank=4**at) for at in range(budget.rank.bit_length()) if 4**at < budget.rank]
    shares = [replace(tiny, examples=n_examples // 2**at) for at in (3, 2, 1) if n_examples // 2**at >= 4]
    return [replace(rung, seed=seed) for seed in range(budget.seeds) for rung in (tiny, *fewer, *ranks, *shares)]


def recipe(rung: Rung, layers: Sequence[Sequence[str]], budget: Budget) -> Recipe:
    """How a rung is trained: a fixed number of steps at one rate, nothing replayed, no checkpoint chosen."""
    names = [name for at in spread(len(layers), rung.layers) for name in layers[at]]
    return Recipe(
        rank=rung.rank,
        targets="all-linear" if rung.layers == len(layers) else ",".join(names),
        learning_rate=budget.learning_rate,
        epochs=math.ceil(budget.steps * budget.batch / rung.examples),
        max_steps=budget.steps,
        batch=budget.batch,
        max_tokens=budget.max_tokens,
        replay=0,
        validation_rate=0.0,
        seed=rung.seed,
    )

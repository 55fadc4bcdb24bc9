"""The checks of the gate that run the model: one step rehearsed through the trainer of the run, and taken back.

Nothing is learned: gradients are dropped, the one step has a rate of 0, and the state of the random numbers comes back.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from finetune import peak
from finetune.base import asking
from finetune.batches import Row
from finetune.gate import Finding, Inspection
from finetune.layout import NOISE, distance
from finetune.recipe import Recipe
from finetune.relief import ran_out, relieved
from finetune.train import _Run
from finetune.trainer import TeachingTrainer, autocast, validation_loss

GIB = 2**30
FOUR = 4  # rows of the batch that is compared with as many micro-batches
COMPARED = 2**24  # numbers of a gradient that are compared at most: a full run has too many to be held twice
# The relative distance that bf16 explains. A rounding errs by up to u = 2^-8; in sums of n terms, made in another
# order, independent errors grow to about sqrt(n) u (Higham and Mary 2019, "A New Approach to Probabilistic Rounding
# Error Analysis", SIAM J. Sci. Comput. 41(5)), and a model of 30 layers adds about 60 branches to its residual stream:
# 3 % of a state or a gradient, which NOISE leaves room for. A loss is a mean over tokens, of which the errors cancel:
# 1 % is room enough. Measured is far less, and faults do far more: docs/check.md.
LOSS_NOISE = 0.01


def rehearsed(
    base: str | Path,
    inspection: Inspection,
    recipe: Recipe,
    limit_bytes: int | None = None,
    *,
    trust_remote_code: bool = False,
) -> Iterator[Finding]:
    """The findings of a run of these rows that is set up as `finetune.train.train` does it, and not begun.

    Without replayed rows, which the base would first have to write; they are mostly shorter than what is taught.
    """
    rows = inspection.ready
    longest = max(len(row["input_ids"]) for row in rows)
    # What is too long was refused, left out or shortened by now: the run is to take all of them.
    as_is = replace(recipe, replay=0, report_to="", max_tokens=max(longest, recipe.max_tokens))
    with tempfile.TemporaryDirectory() as work:
        run = _Run(base, inspection.examples, as_is, Path(work), None, None, None, trust_remote_code)
        yield from rehearse(run.trainer, rows, limit_bytes)


def rehearse(trainer: TeachingTrainer, rows: Sequence[Row], limit_bytes: int | None = None) -> Iterator[Finding]:
    """The findings of all checks of this module, each as soon as it is known; the model is left as it was.

    `rows` are those that will be trained, {"input_ids", "labels"}; `limit_bytes` is what was forecast for the process,
    or for the card where there is one.
    """
    with rehearsing(trainer):
        yield check_gradients(trainer, rows)
        yield check_accumulation(trainer, rows)
        yield check_documents(trainer, rows)
        yield check_memory(trainer, rows, limit_bytes)


@contextmanager
def rehearsing(trainer: TeachingTrainer) -> Iterator[None]:
    """What steps leave behind is gone after the `with`: gradients, the optimizer, counted tokens, random numbers."""
    tokens, training = trainer.watching.tokens, trainer.model.training
    # The Trainer wraps the model into autocast when training begins; until then its steps are wrapped here.
    trainer.compute_loss_context_manager = partial(autocast, trainer.args.device)
    with torch.random.fork_rng():
        try:
            yield
        finally:
            del trainer.compute_loss_context_manager
            trainer.model.zero_grad(set_to_none=True)
            trainer.optimizer = None
            trainer.watching.tokens = tokens
            trainer.model.train(training)


def step(trainer: TeachingTrainer, batches: Sequence[Sequence[Row]]) -> float:
    """The loss of the trainer's own step over these micro-batches; their gradients stay on the model."""
    trainer.model.zero_grad(set_to_none=True)
    collated = map(trainer.data_collator, batches)
    samples, counts = trainer.get_batch_samples(collated, len(batches), trainer.args.device)
    trainer.current_gradient_accumulation_steps = len(batches)
    return sum(float(trainer.training_step(trainer.model, batch, counts)) for batch in samples)


def gradient(model: Any) -> torch.Tensor:
    """The gradients on a model as one float32 vector, of the first COMPARED numbers or so."""
    parts, size = [], 0
    for parameter in model.parameters():
        if parameter.grad is not None and size < COMPARED:
            parts.append(parameter.grad.flatten().float())
            size += parameter.numel()
    return torch.cat(parts) if parts else torch.zeros(1)


def check_gradients(trainer: TeachingTrainer, rows: Sequence[Row]) -> Finding:
    """After one backward pass all gradients of adapter B (with method full of all weights) are finite, some not 0.

    B begins at 0, so that A has no gradient before the first step. A 4-bit layer is also asked for the gradient of its
    input: one that has answered on a CPU has none (bitsandbytes repacks it), and what lies before it learns nothing.
    """
    name = "gradients"
    step(trainer, [sorted(rows, key=_length)[: min(FOUR, trainer.recipe.batch)]])
    if not packed_layer_passes_on(trainer.model):
        says = "a 4-bit layer gives its input no gradient: this model has answered on a CPU, and was repacked for that"
        return Finding(name, False, says, "train on the base as freshly loaded, or --quantization none")
    of = "adapter B" if trainer.recipe.method != "full" else "weight"
    given = [
        parameter.grad
        for key, parameter in trainer.model.named_parameters()
        if parameter.requires_grad and (of == "weight" or "lora_B" in key)
    ]
    known = [g for g in given if g is not None]
    wrong = sum(not bool(g.isfinite().all()) for g in known)
    if wrong:
        cure = "a lower --alpha, or --quantization none: something overflows before the first step"
        return Finding(name, False, f"{wrong} of {len(given)} {of} gradients are not finite", cure)
    moving = sum(bool(g.any()) for g in known)
    if not moving:
        says = f"none of {len(given)} {of} gradients is other than 0: nothing would be learned"
        return Finding(name, False, says, "--targets all-linear, or --quantization none")
    norm = math.sqrt(sum(float(g.float().square().sum()) for g in known))
    return Finding(name, True, f"{moving} of {len(given)} {of} gradients flow, all are finite, norm {norm:.3g}")


def packed_layer_passes_on(model: Any) -> bool:
    """Whether the first 4-bit layer gives its input a gradient; True of a model without such layers."""
    # peft's own class of that name goes round the layer and always has a gradient, through the adapter
    packed = (m for m in model.modules() if type(m).__name__ == "Linear4bit" and not hasattr(m, "base_layer"))
    if (layer := next(packed, None)) is None:
        return True
    given = torch.ones(2, layer.in_features, dtype=torch.bfloat16, device=layer.weight.device, requires_grad=True)
    with torch.enable_grad(), asking(model):
        out = layer(given).float().sum()
    return out.requires_grad and torch.autograd.grad(out, given, allow_unused=True)[0] is not None


def check_accumulation(trainer: TeachingTrainer, rows: Sequence[Row]) -> Finding:
    """Loss and gradient of a batch of 4 are those of 4 micro-batches of 1.

    The two rows with the fewest tokens to train and the two with the most: a mean of means weighs the short ones too
    much (https://huggingface.co/blog/gradient_accumulation), which the gradient shows even where the losses agree.
    """
    by_length = sorted(rows, key=_length)
    room = trainer.recipe.batch * _length(by_length[-1]) // FOUR  # so that they need no more memory than the run does
    few = [row for row in by_length if _length(row) <= room]
    by_taught = sorted(few if few[1:] else by_length[:2], key=lambda row: sum(label >= 0 for label in row["labels"]))
    some = [*by_taught[:2], *by_taught[2:][-2:]]
    n = len(some)
    at_once, together = step(trainer, [some]), gradient(trainer.model)
    in_turn, added = step(trainer, [[row] for row in some]), gradient(trainer.model)
    apart = float((together - added).norm() / together.norm().clamp_min(1e-12))
    off = abs(at_once - in_turn) / max(abs(at_once), 1e-12)
    says = (
        f"loss {at_once:.4f} of a batch of {n}, {in_turn:.4f} of {n} accumulated ({off:.2%} apart, bf16 explains "
        f"{LOSS_NOISE:.0%}); gradients {apart:.1%} apart ({NOISE:.0%})"
    )
    ok = off <= LOSS_NOISE and apart <= NOISE
    whole = trainer.recipe.batch * trainer.recipe.accumulation
    return Finding("accumulation", ok, says, "" if ok else f"--batch {whole} --accumulation 1")


def check_documents(trainer: TeachingTrainer, rows: Sequence[Row]) -> Finding:
    """The loss of documents laid out as in training is that of each alone.

    The first stands there twice: where documents see each other, the second time it is known by heart. In one row
    without pads the hidden states are compared as well.
    """
    by_length = sorted(rows, key=_length)
    usual = by_length[len(rows) // 2]
    some = [usual, by_length[0], usual]
    collate, base = trainer.data_collator, trainer.base
    together, alone = (validation_loss(base, some, collate, n) for n in (len(some), 1))
    off = abs(together - alone) / max(abs(alone), 1e-12)
    padded = "attention_mask" in collate(some)
    moved = 0.0 if padded else distance(_causal(base.model), some)
    says = (
        f"loss {together:.4f} of {len(some)} documents {'padded' if padded else 'in one row without pads'}, "
        f"{alone:.4f} of each alone ({off:.2%} apart, bf16 explains {LOSS_NOISE:.0%})"
    )
    if not padded:
        says += f"; hidden states {moved:.1%} apart ({NOISE:.0%})"
    ok = off <= LOSS_NOISE and moved <= NOISE
    return Finding("documents", ok, says, "" if ok else "--batch 1" if padded else "--layout grouped")


def check_memory(trainer: TeachingTrainer, rows: Sequence[Row], limit_bytes: int | None) -> Finding:
    """The longest batch takes one training step, its optimizer's included, and one of evaluation within the limit.

    Measured as `finetune.peak` does: what was reserved on the card, else the most that was resident in this process. A
    rate of 0 leaves the weights as they are.
    """
    longest = sorted(rows, key=_length)[-trainer.recipe.batch :]
    what = f"the longest batch ({len(longest)} rows, {sum(map(_length, longest))} tokens)"
    trainer.model.zero_grad(set_to_none=True)
    peak.mark()
    try:
        step(trainer, [longest])
        optimizer = trainer.create_optimizer()
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        optimizer.step()
        validation_loss(trainer.base, longest, trainer.data_collator, trainer.args.per_device_eval_batch_size)
    except (RuntimeError, MemoryError) as problem:
        if not ran_out(problem):
            raise
        return Finding("memory", False, f"{what} runs out of memory", _relief(trainer.recipe))
    took = peak.peak_bytes()
    says = f"{what} takes {took / GIB:.2f} GiB for a step of training and one of evaluation"
    if limit_bytes is None:
        return Finding("memory", True, f"{says}; no forecast was given to hold it against (--memory-limit)")
    if took <= limit_bytes:
        return Finding("memory", True, f"{says}, within the limit of {limit_bytes / GIB:.2f} GiB")
    return Finding("memory", False, f"{says}, over the limit of {limit_bytes / GIB:.2f} GiB", _relief(trainer.recipe))


def _relief(recipe: Recipe) -> str:
    """The mildest relief that is left (finetune.relief), as flags."""
    found = relieved(recipe)
    if found is None:
        return "a smaller --base, or a lower --max-tokens"
    less = found[0]
    flags = [
        f"--{name.replace('_', '-')}" + ("" if name == "gradient_checkpointing" else f" {getattr(less, name)}")
        for name in ("batch", "accumulation", "gradient_checkpointing", "optimizer", "method", "quantization")
        if getattr(less, name) != getattr(recipe, name)
    ]
    return " ".join(flags)


def _causal(model: Any) -> Any:
    """The model inside of its adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _length(row: Row) -> int:
    return len(row["input_ids"])

"""The checks of the gate that run the model: one step rehearsed through the trainer of the run, and taken back.

Nothing is learned: gradients are dropped, the one step has a rate of 0, and the state of the random numbers comes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from finetune import peak
from finetune.batches import IGNORED, Row, targets_of
from finetune.gate import Finding
from finetune.layout import collator
from finetune.relief import ran_out
from finetune.trainer import TeachingTrainer, autocast, validation_loss

FOUR = 4  # rows of the batch that is compared with four micro-batches
GIB = 2**30


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


def step(trainer: TeachingTrainer, batches: Sequence[Sequence[Row]]) -> tuple[float, torch.Tensor]:
    """Loss and gradient (all trained parameters, one vector) of the trainer's own step over these micro-batches."""
    model, device = trainer.model, trainer.args.device
    model.zero_grad(set_to_none=True)
    samples, counts = trainer.get_batch_samples(map(trainer.data_collator, batches), len(batches), device)
    trainer.current_gradient_accumulation_steps = len(batches)
    loss = sum(float(trainer.training_step(model, batch, counts)) for batch in samples)
    return loss, torch.cat([p.grad.flatten().float() for p in _trained(model).values() if p.grad is not None])


def _trained(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}

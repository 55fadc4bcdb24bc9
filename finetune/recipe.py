"""Every knob of a LoRA run, with its unit, its default and where the default comes from."""

from __future__ import annotations

from dataclasses import dataclass

from finetune.errors import FinetuneError


@dataclass(frozen=True)
class Recipe:
    """One LoRA or QLoRA run. Defaults: 'LoRA Without Regret' (2025) unless said otherwise."""

    rank: int = 16  # form needs few bits: rank moves the loss least of all knobs (tinker-cookbook sweep)
    alpha: int = 32  # held fixed with alpha / rank scaling, so that the rate does not depend on the rank
    targets: str = "all-linear"  # attention alone is worse even at equal parameters
    dropout: float = 0.0
    learning_rate: float = 3e-4  # about ten times a full run's; the optimum of 14 of 24 models in the same sweep
    epochs: int = 3
    batch: int = 8  # examples a step; small data tolerates at most 32
    accumulation: int = 1
    warmup_rate: float = 0.05
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_tokens: int = 1024  # of prompt and completion; longer examples are refused and named, never cut
    quantization: str = "none"  # none | nf4
    gradient_checkpointing: bool = False
    replay: int = 32  # of the base's own answers to general questions, against forgetting
    # Of the divergence from the base on replayed rows, beside the loss on what is learned: at 1 a 135M base lost
    # 8 of 29 cases that it had answered right, at 5 one, with as much learned (dev/LOG.md, 2026-11-24).
    keep_weight: float = 5.0
    validation_rate: float = 0.1  # of the examples, to choose the best checkpoint; at least four
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rank", "alpha", "epochs", "batch", "accumulation", "max_tokens"):
            if getattr(self, name) < 1:
                raise FinetuneError(f"recipe.{name}", str(getattr(self, name)), "a whole number from 1", exit_code=2)
        if self.quantization not in ("none", "nf4"):
            raise FinetuneError("recipe.quantization", self.quantization, "none, nf4", exit_code=2)

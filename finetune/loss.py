"""The loss of a run, made in chunks: cross entropy on what is taught, divergence from the base on what is replayed."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from finetune.batches import IGNORED

# Tokens whose logits exist at once (litgpt's lm_head_chunk_size; TRL's chunked_nll has 256): a divergence holds some
# eight float32 copies of them.
CHUNK_TOKENS = 128
Cost = Callable[[torch.Tensor, slice], torch.Tensor]


class _Chunked(torch.autograd.Function):
    """Sum of a cost over chunks of hidden states; the gradient of each chunk is made while its logits exist.

    As Liger's fused linear cross entropy (liger_kernel ops/fused_linear_cross_entropy.py): no logits are kept for the
    backward pass, none are computed twice.
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, cost: Cost, *weights: torch.Tensor) -> torch.Tensor:
        total = hidden.new_zeros((), dtype=torch.float32)
        gradient = torch.empty_like(hidden)
        of_weights = [torch.zeros_like(weight) for weight in weights]
        for start in range(0, len(hidden), CHUNK_TOKENS):
            where = slice(start, start + CHUNK_TOKENS)
            with torch.enable_grad():
                part = hidden[where].detach().requires_grad_()
                loss = cost(part, where)
                got = torch.autograd.grad(loss, [part, *weights])
            total += loss.detach()
            gradient[where] = got[0]
            for sum_, new in zip(of_weights, got[1:], strict=True):
                sum_ += new
        ctx.save_for_backward(gradient, *of_weights)
        return total

    @staticmethod
    def backward(ctx: Any, *above: torch.Tensor) -> Any:
        hidden, *weights = ctx.saved_tensors
        return (above[0] * hidden, None, *(above[0] * weight for weight in weights))


def summed(hidden: torch.Tensor, cost: Cost, weights: Sequence[torch.Tensor] = ()) -> torch.Tensor:
    """Sum of `cost(part, where)` over chunks of `hidden` (n, width), with gradients in hidden and `weights`."""
    if torch.is_grad_enabled():
        return _Chunked.apply(hidden, cost, *weights)  # type: ignore[no-any-return, no-untyped-call]
    starts = range(0, len(hidden), CHUNK_TOKENS)
    parts = [cost(hidden[at : at + CHUNK_TOKENS], slice(at, at + CHUNK_TOKENS)) for at in starts]
    return torch.stack(parts).sum() if parts else hidden.new_zeros((), dtype=torch.float32)


class Head:
    """What turns a causal model's last hidden states into logits, its scaling and soft cap included.

    `whole` is for models whose head does something else: their own logits stand in for the hidden states.
    """

    def __init__(self, causal: Any, *, whole: bool = False) -> None:
        config = causal.config.get_text_config()
        self.causal, self.whole = causal, whole
        self.module = causal.get_output_embeddings()
        self.cap = getattr(config, "final_logit_softcapping", None)  # gemma2
        self.scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)

    def hidden(self, **seen: Any) -> torch.Tensor:
        """Last hidden states (n, tokens, width) of a batch; with `whole` the logits themselves."""
        if self.whole:
            return self.original(**seen, use_cache=False).logits  # type: ignore[no-any-return]
        return self.causal.base_model(**seen, use_cache=False).last_hidden_state  # type: ignore[no-any-return]

    @functools.cached_property
    def original(self) -> functools.partial[Any]:
        """The model's own forward, which `teach` replaces on the object."""
        return functools.partial(type(self.causal).forward, self.causal)

    def logits(self, hidden: torch.Tensor, module: Any = None) -> torch.Tensor:
        """Float32 logits (n, vocabulary) of hidden states (n, width)."""
        if self.whole:
            return hidden.float()
        logits: torch.Tensor = (module or self.module)(hidden).float()
        logits = logits if self.scale == 1.0 else logits * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)


def teach(causal: Any, keep_weight: float, *, frozen_head: bool, whole: bool = False) -> None:
    """Let the model return the loss of a batch that holds `targets`; any other call goes to its own forward.

    The loss is inside the model's forward so that what wraps it (DDP, FSDP, autocast) sees an ordinary call. With
    n_taught and n_kept, the counts of the whole effective batch:

        sum over taught tokens of -log p(target) / n_taught + keep_weight * sum over kept of KL(base || model) / n_kept

    KL to the base on replayed tokens as in knowledge distillation against forgetting (Li and Hoiem 2016, "Learning
    without Forgetting", arXiv 1606.09282): the base's distribution holds more than its one sampled answer. The base's
    side comes from its last hidden states (`teacher`), computed once: no second model and no second pass.
    """
    head = Head(causal, whole=whole)
    # A full run moves the head too: the base's own is kept beside it.
    old = None if frozen_head or whole else copy.deepcopy(head.module).requires_grad_(False)
    own = head.original

    @functools.wraps(own.func)
    def forward(*given: Any, targets: Any = None, kept: Any = None, teacher: Any = None, **known: Any) -> Any:
        if targets is None:
            return own(*given, **known)
        n_taught, n_kept = known.pop("n_taught"), known.pop("n_kept")
        seen = {name: value for name, value in known.items() if value is not None and name not in OUTPUTS}
        hidden = head.hidden(**seen)
        weights = [] if whole else [p for p in head.module.parameters() if p.requires_grad]
        taught = targets != IGNORED
        labels = targets[taught]

        def nll(part: torch.Tensor, where: slice) -> torch.Tensor:
            return cross_entropy(head.logits(part), labels[where], reduction="sum")

        loss = summed(hidden[taught], nll, weights) / max(n_taught, 1)
        if teacher is not None:

            def divergence(part: torch.Tensor, where: slice) -> torch.Tensor:
                with torch.no_grad():
                    wanted = log_softmax(head.logits(teacher[where], old), -1)
                return kl_div(log_softmax(head.logits(part), -1), wanted, log_target=True, reduction="sum")

            loss = loss + keep_weight * summed(hidden[kept], divergence, weights) / max(n_kept, 1)
        return {"loss": loss}

    causal.forward = forward


# What peft and transformers hand to every forward and a loss has no use for.
OUTPUTS = ("labels", "output_attentions", "output_hidden_states", "return_dict", "inputs_embeds", "use_cache")

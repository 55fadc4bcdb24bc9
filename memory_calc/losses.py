"""What the logits and the loss cost: copies of the (tokens x vocabulary) matrix by the path that makes the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a job checks its loss against the table below
    from memory_calc.job import Job
    from memory_calc.shapes import ModelShape


@dataclass(frozen=True)
class Loss:
    """Bytes a logit (one of tokens x vocabulary) at the two peaks of a loss path.

    `forward` and `backward` are for logits of 2 bytes, `*_fp32` for a head that computes in 4 bytes.
    """

    forward: float
    backward: float
    forward_fp32: float
    backward_fp32: float
    source: str
    fused_head: bool = False  # the head's product is made in chunks inside the loss: no matrix of logits
    chunk: int = 8  # bytes a logit of the one chunk that a fused head holds: in 4 bytes, twice
    chunk_tokens: int = 256  # trl chunked_nll; liger's chunks are of this order


LOSSES: dict[str, Loss] = {
    # 2 logits, 4 float copy, 4 log-softmax; then 4 log-softmax, 4 its gradient, 4 gradient of its input
    "hf": Loss(10, 12, 8, 12, "transformers loss_utils.ForCausalLMLoss since PR 35646 (4.49), outputs freed"),
    # as hf, with the logits alive in the caller's variable
    "hf-kept": Loss(10, 14, 8, 16, "the same with `outputs` kept during backward"),
    # 2 logits, 4 float copy, 4 contiguous shift, 4 log-softmax
    "hf-legacy": Loss(14, 14, 12, 12, "transformers <= 4.48 modeling_llama.forward: logits.float(), shifted copy"),
    # 2 logits, 4 float copy, 2 kernel output; then 4 gradient in place of the copy, 2 gradient of its input
    "fused-ce": Loss(8, 6, 8, 6, "unsloth / fms cross-entropy kernel (kernels/cross_entropy_loss.py)"),
    "liger-ce": Loss(6, 6, 4, 4, "liger_kernel cross_entropy: gradient written into the logits"),
    "fused-linear-ce": Loss(0, 0, 0, 0, "liger_kernel fused_linear_cross_entropy, cut-cross-entropy", True),
    "chunked-nll": Loss(0, 0, 0, 0, "trl SFTConfig(loss_type='chunked_nll'): 256 tokens at a time", True),
    # a chunk of replayed tokens: 4 log-probabilities of the base, 4 of the model, 4 their exponential, 4 difference,
    # 4 product (torch kl_div with log_target); one of taught tokens has 12: log-softmax and two gradients. Measured on
    # a CPU over 100,000 words: 21 and 13
    "finetune": Loss(0, 0, 0, 0, "finetune/loss.py: cross entropy and divergence, 128 tokens at a time", True, 20, 128),
    # the list of logit chunks stays whole (2), each chunk's log-softmax is saved in the same dtype (2)
    "chunked": Loss(4, 4, 8, 8, "litgpt chunked_cross_entropy, lm_head_chunk_size=128"),
    # chunks of logits (2), every chunk's float log-softmax (4), one float chunk (4/8)
    "chunked-8": Loss(6.5, 6.5, 8, 8.5, "torchtune CEWithChunkedOutputLoss, 8 chunks"),
    # logits 2, log-softmax 2, its gradient 2, gradient of its input 2; no float copy
    "litgpt-full": Loss(4, 8, 8, 16, "litgpt loss on whole logits in the model's dtype"),
}


# Bytes a logit of the path hf-legacy where the model's own code differs from Llama's: no float copy in these (2 logits,
# 2 shift, 2 log-softmax, 2 gradient; transformers 4.4x modeling_gpt_bigcode.forward), and scaled logits that are freed
# before the shift in Granite (4 + 4 + 4; modeling_granite.forward).
LEGACY_BYTES = {"gpt_bigcode": 8, "gpt2": 8, "gpt_neox": 8, "granite": 12}
# Where the code makes no float copy, autocast makes one for cross_entropy and keeps both (2 + 2 + 4 + 4 + 4).
NO_FLOAT_AUTOCAST = {"hf-legacy": 16, "fused-ce": 12}
# without autocast the fused kernel needs no shift's copy of its own: 2 logits, 2 shift, 2 kernel output
NO_FLOAT = {"hf-legacy": 8, "fused-ce": 6}


# their logits go through tanh(logits / cap) by default (final_logit_softcapping)
SOFT_CAPPED = ("gemma2", "vaultgemma")


def logits_bytes(shape: ModelShape, job: Job, logit_bytes: int, *, backward: bool) -> int:
    """Bytes of logits and their copies at the loss: tokens x vocab x bytes a logit of that path.

    The source of each number is in its row of LOSSES. A soft cap keeps the tanh of the logits for its own backward: one
    matrix of their dtype more (transformers modeling_gemma2.py Gemma2ForCausalLM.forward).
    """
    row = LOSSES[job.loss]
    capped = logit_bytes * (shape.model_type in SOFT_CAPPED and not row.fused_head)
    no_float = LEGACY_BYTES.get(shape.model_type) == 8
    each: float
    if no_float and job.loss in NO_FLOAT_AUTOCAST:
        each = (NO_FLOAT_AUTOCAST if job.autocast else NO_FLOAT)[job.loss]
    elif job.loss == "hf-legacy" and shape.model_type in LEGACY_BYTES:
        each = LEGACY_BYTES[shape.model_type]
    elif logit_bytes == 4:
        each = row.backward_fp32 if backward else row.forward_fp32
    else:
        each = row.backward if backward else row.forward
    return int(job.tokens * shape.vocab * (each + capped))


def chunk_bytes(loss: str, tokens: int, vocab: int, hidden: int) -> int:
    """Bytes that a fused head keeps: one chunk of logits and its copies, and the gradient of the hidden states.

    chunk x min(tokens, chunk_tokens) x vocab + 2 x tokens x hidden, with the bytes a logit and the tokens of its row of
    LOSSES; 0 for the other paths (liger_kernel ops/fused_linear_cross_entropy.py).
    """
    row = LOSSES[loss]
    if not row.fused_head:
        return 0
    return row.chunk * min(tokens, row.chunk_tokens) * vocab + 2 * tokens * hidden

"""What forward keeps for backward, layer by layer, and what one layer takes while it is worked on."""

from __future__ import annotations

from dataclasses import dataclass

from memory_calc.job import DTYPE_BYTES, Job
from memory_calc.shapes import Linear, ModelShape
from memory_calc.terms import master_in_fp32, targeted


@dataclass(frozen=True)
class Precision:
    """Bytes an element of what flows: inside layers, on the residual stream, and as logits."""

    inner: int
    residual: int
    logits: int


def precision(shape: ModelShape, job: Job) -> Precision:
    """The dtypes that the values have, by weights, upcast and autocast.

    A float32 embedding makes the residual stream float32; autocast computes the products in 2 bytes all the same
    (torch.amp op reference); without it float32 inputs stay so through bitsandbytes' Linear4bit, which returns the
    dtype that it was given. With upcast "norms" a float32 norm does the same to the stream (measured: twice the bytes
    a checkpoint, fms-acceleration). Autocast runs torch's own layer_norm in float32, and a frozen LayerNorm model is
    measured with a float32 stream under it (gpt_bigcode, 6 runs); RMSNorm is plain code that autocast leaves alone.
    """
    plain = DTYPE_BYTES[job.dtype]
    mixed = bool(job.autocast)
    if master_in_fp32(job) and job.sharding == "fsdp" and job.dtype != "float32":
        return Precision(plain, plain, plain)  # FSDP casts its unit to the compute dtype before it runs
    if job.quantization != "none" and job.upcast == "kbit":
        return Precision(plain if mixed else 4, 4, plain if mixed else 4)
    if job.upcast == "norms" and job.sharding != "fsdp":  # FSDP casts the norms back with their unit
        return Precision(plain, 4, plain)
    if plain == 4:
        return Precision(2, 4, 2) if mixed else Precision(4, 4, 4)
    if mixed and shape.norm_bias and job.method != "full":
        return Precision(plain, 4, plain)
    return Precision(plain, plain, plain)


def mlp_width(shape: ModelShape) -> float:
    """Feed-forward width that one token passes: ffn, or experts_per_token x ffn and the shared expert's."""
    return shape.ffn * shape.experts_per_token + shape.shared_ffn if shape.experts else shape.ffn


def _adapter_inputs(shape: ModelShape, job: Job, inner: int, chosen: tuple[Linear, ...]) -> float:
    """Bytes a token that adapters on the chosen matrices keep beyond what the frozen layer keeps: their inputs.

    An adapter of another dtype than its input makes a copy of its own (peft tuners/lora/layer.py
    `_cast_input_dtype`): 4 bytes an element, or 2 under autocast, which casts it back. One of the same dtype shares
    what its neighbours keep. The rank-wide result between the two matrices is kept too.
    """
    adapter = 2 if job.autocast else DTYPE_BYTES[job.adapter_dtype]
    experts = max(1, shape.experts_per_token)
    narrow = sum(adapter * job.rank * min(linear.copies, experts) for linear in chosen)
    if DTYPE_BYTES[job.adapter_dtype] != inner:
        return narrow + adapter * sum(linear.d_in * min(linear.copies, experts) for linear in chosen)
    from_stream = any(linear.d_in == shape.hidden and linear.name not in OUTWARD for linear in chosen)
    # the output projection's input is the attention's result, which is kept anyway
    return narrow + inner * (shape.hidden * from_stream + mlp_width(shape) * any("down" in c.name for c in chosen))


OUTWARD = ("o_proj", "c_proj")


def _normalised(shape: ModelShape, inner: int) -> int:
    """Bytes an element of what a trained norm keeps before its weight: 4 in Gemma, which multiplies in float32."""
    return 4 if shape.model_type.startswith("gemma") else inner


def attention_saved_bytes(shape: ModelShape, job: Job) -> float:
    """Bytes a token that the attention half of a layer keeps for backward: norm, q, k, v, result, scores.

    With a = bytes of inner values, H hidden, Q and K query and key width: 4H (float32 norm) + a (2Q + 2K), and
    a 2H more where the weights are trained (the norm's result before and after its weight), else what the adapters
    keep; eager adds heads x seq x (a softmax and its float32 form). Counted with a storage tracker on transformers
    5.23 Llama, exact to 0.2 % (docs/memcalc.md). transformers <= 4.48 with sdpa copies keys and values for every
    query head and keeps the rotated and the contiguous form (multiples in stas00/ml-engineering): 3Q - K more.
    """
    a, h, q, k = precision(shape, job).inner, shape.hidden, shape.q_dim, shape.kv_dim
    kept = 4 * h + a * (2 * q + 2 * k) + (4 * (q + k) if shape.qk_norm else 0)
    if job.loss == "hf-legacy" and job.attention == "sdpa" and shape.kv_heads != shape.heads:
        kept += a * (3 * q - k)
    if job.attention == "eager":
        kept += shape.heads * job.seq_tokens * (4 if a == 4 else 6)
    if job.method == "full":
        return kept + (a + _normalised(shape, a)) * h
    chosen = tuple(linear for linear in targeted(shape, job.targets) if linear in shape.attention_linears())
    return kept + _adapter_inputs(shape, job, a, chosen)


def mlp_saved_bytes(shape: ModelShape, job: Job) -> float:
    """Bytes a token that the feed-forward half keeps: norm, gate, its activation, up, and their product.

    4H (float32 norm) + a 4I trained, a 3I frozen (a frozen matrix keeps no input), one I less without a gate; a 2H
    more where trained, else what the adapters keep. Source as for the attention half. I counts the experts of a token.
    """
    a, h, i = precision(shape, job).inner, shape.hidden, mlp_width(shape)
    kept = 4 * h * (shape.norms_per_layer - 1) + a * i * (3 if shape.gated else 2)
    if job.method == "full":
        return kept + a * (i + h) + _normalised(shape, a) * h * (shape.norms_per_layer - 1)
    return kept + _adapter_inputs(shape, job, a, _mlp_targets(shape, job))


def _mlp_targets(shape: ModelShape, job: Job) -> tuple[Linear, ...]:
    return tuple(linear for linear in targeted(shape, job.targets) if linear in shape.mlp_linears())


def saved_layer_bytes(shape: ModelShape, job: Job) -> float:
    """Bytes a token that one layer keeps for its backward pass without checkpointing: its two halves."""
    return attention_saved_bytes(shape, job) + mlp_saved_bytes(shape, job)


def checkpoint_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes that gradient checkpointing keeps: tokens x layers x hidden x bytes of the residual stream.

    Korthikanti et al. 2205.05198, table 2 (full recompute).
    """
    return job.tokens * shape.layers * shape.hidden * precision(shape, job).residual


def fsdp_kept_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes that FSDP with adapters holds in the layers' backward: one more 2-byte stream a layer.

    Measured, not derived: 31 runs of fms-acceleration on 2 and 4 GPUs grow by 2 x tokens x layers x hidden x 2 B
    where the layer phase binds, and by half of it where the loss binds.
    """
    if job.sharding != "fsdp" or job.method == "full" or job.n_gpus == 1 or not job.gradient_checkpointing:
        return 0
    return job.tokens * shape.layers * shape.hidden * (4 - precision(shape, job).residual)


def saved_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes of all that forward keeps in the layers: checkpoints, or every layer's saved values."""
    if job.gradient_checkpointing:
        return checkpoint_bytes(shape, job)
    return int(job.tokens * shape.layers * saved_layer_bytes(shape, job))


def layer_workspace_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes one layer takes in backward beyond what forward kept: the larger of its two moments.

    Feed-forward moment: the layer's saved values (made again under checkpointing) and the gradients on their way.
    Attention moment: the attention half's values, 5H of gradients, and with eager attention the gradients of the
    scores. Without checkpointing only the gradients count, at least five float32 vectors of the hidden size (the final
    norm). Counted with a storage tracker on transformers 5.23 (docs/memcalc.md); eager: 14 B a score measured on T4.
    """
    a, h = precision(shape, job).inner, shape.hidden
    stream = h * (precision(shape, job).residual - a) * 5 if a == 2 else 0
    flow = a * flowing_elements(shape, job) + stream
    scores = shape.heads * job.seq_tokens * (12 if a == 4 else 8) if job.attention == "eager" else 0
    if not job.gradient_checkpointing:
        return int(job.tokens * max(20 * h, flow - a * h, scores))
    mlp_moment = saved_layer_bytes(shape, job) + flow
    attention_moment = attention_saved_bytes(shape, job) + a * 5 * h + stream + scores
    return int(job.tokens * max(mlp_moment, attention_moment))


def flowing_elements(shape: ModelShape, job: Job) -> float:
    """Elements a token of the gradients at the widest moment of the feed-forward part.

    2I + H/2 trained; 3I + 1.3H under a frozen one, whose saved values wait for all three gradients; with adapters on
    it 2I + 1.3H, or 2I + 6.3H where their dtype differs and each casts its gradient. Counted (docs/memcalc.md).
    Experts: all of a token's at once as transformers 5 groups them, but one after another in what older code runs.
    """
    h, i = shape.hidden, mlp_width(shape)
    if shape.experts and job.loss != "hf":
        i *= shape.experts_per_token / shape.experts / max(1, shape.experts_per_token)
    if job.method == "full":
        return 2 * i + 0.5 * h
    if not _mlp_targets(shape, job):
        return 3 * i + 1.3 * h
    same = job.autocast or DTYPE_BYTES[job.adapter_dtype] == precision(shape, job).inner
    return 2 * i + (1.3 if same else 6.3) * h


def dequantized_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes of the largest matrix unpacked to 2 bytes, as the backward pass of a packed one needs it.

    bitsandbytes autograd MatMul4Bit.backward: dequantize_4bit(B).to(grad.dtype). 0 without quantisation.
    """
    if job.quantization == "none":
        return 0
    largest = max(linear.d_in * linear.d_out for linear in shape.linears())
    return largest * DTYPE_BYTES[job.dtype]

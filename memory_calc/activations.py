"""What forward keeps for backward, layer by layer, and what one layer takes while it is worked on."""

from __future__ import annotations

from typing import NamedTuple

from memory_calc.job import DTYPE_BYTES, Job
from memory_calc.shapes import Matrices, ModelShape
from memory_calc.terms import master_in_fp32, targeted


class Precision(NamedTuple):
    """Bytes an element of what flows: inside layers, on the residual stream, and as logits."""

    inner: int
    residual: int
    logits: int


def precision(shape: ModelShape, job: Job) -> Precision:
    """The dtypes that the values have, by weights, upcast and autocast.

    A float32 embedding makes the residual stream float32; autocast computes the products in 2 bytes all the same
    (torch.amp op reference); without it float32 inputs stay so through bitsandbytes' Linear4bit, which returns the
    dtype that it was given. With upcast "norms" a float32 norm does the same to the stream (measured: twice the bytes
    a checkpoint, fms-acceleration). Autocast runs torch's own layer_norm in float32; the products after it cast its
    result, so that what is added to the stream has 2 bytes and so has the stream (transformers 5.23 modeling_phi.py,
    modeling_gpt_neox.py). The older code is measured with a float32 stream (gpt_bigcode, 6 runs).
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
    if mixed and shape.norm_bias and job.method != "full" and job.loss not in TODAY:
        return Precision(plain, 4, plain)
    return Precision(plain, plain, plain)


def mlp_width(shape: ModelShape) -> float:
    """Feed-forward width that one token passes: ffn, or experts_per_token x ffn and the shared expert's."""
    return shape.ffn * shape.experts_per_token + shape.shared_ffn if shape.experts else shape.ffn


def _adapter_inputs(shape: ModelShape, job: Job, inner: int, chosen: Matrices) -> float:
    """Bytes a token that adapters on the chosen matrices keep beyond what the frozen layer keeps: their inputs.

    An adapter of another dtype than its input makes a copy of its own (peft tuners/lora/layer.py
    `_cast_input_dtype`): 4 bytes an element, or 2 under autocast, which casts it back. One of the same dtype shares
    what its neighbours keep. The rank-wide result between the two matrices is kept too. DoRA scales the frozen
    matrix's result and the adapter's, and keeps both for the scale's gradient (peft tuners/lora/dora.py; counted).
    """
    if not chosen:
        return 0
    adapter = 2 if job.autocast else DTYPE_BYTES[job.adapter_dtype]
    experts = max(1, shape.experts_per_token)
    inputs = results = narrow = 0
    for _, d_in, d_out, _, copies in chosen:
        used = min(copies, experts)
        inputs += used * d_in
        results += used * d_out
        narrow += used * job.rank
    kept = adapter * narrow + (inner + adapter) * results * job.use_dora
    if DTYPE_BYTES[job.adapter_dtype] != inner:
        return kept + adapter * inputs
    # the output projection's input is the attention's result, which is kept anyway
    from_stream = any(each.d_in == shape.hidden and each.name not in OUTWARD for each in chosen)
    into_down = any("down" in each.name for each in chosen)
    return kept + inner * (shape.hidden * from_stream + mlp_width(shape) * into_down)


OUTWARD = ("o_proj", "c_proj")
WRITTEN_OUT_GELU = ("phi", "phi-msft", "gpt2", "gptj", "codegen", "gpt_neo")  # hidden_act gelu_new by default
FLOAT_WEIGHT = ("gemma", "olmo2", "olmo3", "cohere")  # their norms multiply by the weight before they cast back
# the rotated part of the query is joined with the rest, which puts heads before tokens; the result comes back in that
# order and is copied for the output projection
JOINED_QUERY = ("phi", "phi3", "phi-msft", "gpt_neox", "stablelm", "glm", "glm4", "nemotron", "persimmon")
ONE_INPUT = ("gpt_neox", "falcon")  # both halves of a layer norm the same input, each by its own LayerNorm
# losses on the model code of transformers 5
TODAY = ("hf", "hf-kept", "liger-ce", "fused-linear-ce", "chunked-nll", "finetune")


def _normalised(shape: ModelShape, job: Job, flow: Precision) -> int:
    """Bytes an element of what a trained norm keeps before its weight: 4 where that is multiplied in float32."""
    if job.method != "full":
        return 0
    return 4 if shape.model_type.startswith(FLOAT_WEIGHT) else flow.inner


def norm_saved_bytes(shape: ModelShape, job: Job, flow: Precision) -> float:
    """Bytes a token that one norm of the hidden size keeps: its float32 input, and where trained its result as well.

    RMSNorm is written out in Python: 4H, and a H before the weight where that is trained (4H in Gemma and others).
    LayerNorm is one kernel that keeps its input alone, in the bytes of the residual stream or 4 under autocast, but
    Cohere's is written out and subtracts the mean twice: 8H. Counted on transformers 5.23. Fused kernels keep the input
    alone too (unsloth kernels/rms_layernorm.py, liger_kernel ops/rms_norm.py).
    """
    if shape.norm_bias or job.kernels == "fused":
        return (4 if shape.norm_bias and job.autocast else flow.residual) * shape.hidden
    float_input = 8 if shape.model_type.startswith("cohere") else 4
    return (float_input + _normalised(shape, job, flow)) * shape.hidden


def repeated_bytes(shape: ModelShape, job: Job, flow: Precision) -> float:
    """Bytes a token of keys and values that are kept in more than one form or for every query head.

    transformers <= 4.48 with sdpa copies both for every query head and keeps the rotated and the contiguous form
    (multiples in stas00/ml-engineering): 3Q - K. litgpt (model.py CausalSelfAttention) and torchtune
    (modules/attention.py) copy both once: 2Q - 2K. Where q, k and v are one product, values that are not copied are a
    view that keeps all of it: Q + K (transformers' fused models, and litgpt's), but with learned positions nothing is
    rotated, so that all three are such views. Windows: windowed_bytes.
    """
    q, k, grouped = shape.q_dim, shape.kv_dim, shape.kv_heads != shape.heads
    litgpt = job.loss in ("chunked", "litgpt-full")
    if grouped and job.loss == "hf-legacy" and job.attention == "sdpa":
        return flow.inner * (3 * q - k)
    if grouped and (litgpt or job.loss == "chunked-8"):
        return flow.inner * (2 * q - 2 * k)
    return flow.inner * (q + k) * (shape.fused_qkv and not shape.positions or litgpt)


def windowed_bytes(shape: ModelShape, job: Job, flow: Precision) -> float:
    """Bytes a token and layer, over all layers, that sdpa keeps more where the sequence fills the sliding window.

    Below the window the causal flag does; from it on transformers makes a mask (masking_utils.py
    `_ignore_causal_mask_sdpa`), with which keys and values are copied for every query head (integrations/
    sdpa_attention.py `use_gqa_in_sdpa`): 2Q - 2K, a view where there is one key head; the mask is kept as one value a
    pair of tokens.
    """
    if job.attention != "sdpa" or job.loss not in TODAY or not 0 < shape.window_tokens <= job.seq_tokens:
        return 0
    copies = (2 * shape.q_dim - 2 * shape.kv_dim) * (shape.kv_heads > 1)
    share = shape.window_layers / shape.layers
    return flow.inner * (copies + job.seq_tokens) * share


def attention_saved_bytes(shape: ModelShape, job: Job, flow: Precision) -> float:
    """Bytes a token that the attention half of a layer keeps for backward: norm, q, k, v, result, scores.

    With a = bytes of inner values, H hidden, Q and K query and key width: the norm + a (2Q + 2K), and a H more where
    the weights are trained (the norm's result), else what the adapters keep. Norms of q and k: 4 (Q + K), and as much
    as for H where trained. sdpa and FlashAttention keep 4 for each head (log-sum-exp); eager heads x seq x (a softmax
    and its float32 form; Gemma 2's soft cap one more). A trained output projection keeps a copy of the result where
    that has another order (JOINED_QUERY). Latent attention keeps unfolded keys of the queries' width, values of the
    result's, and the latents beside their float32 norms (transformers modeling_deepseek_v3.py). Counted on transformers
    5.23, to 0.5 % (docs/memcalc.md).
    """
    a, h, q, k = flow.inner, shape.hidden, shape.q_dim, shape.kv_dim
    kept = norm_saved_bytes(shape, job, flow) + repeated_bytes(shape, job, flow) + windowed_bytes(shape, job, flow)
    if shape.kv_latent:
        kept += a * 2 * (q + shape.out_dim) + (a + 4) * (shape.q_latent + shape.kv_latent)
    else:
        kept += a * (2 * q + 2 * k) + (4 + _normalised(shape, job, flow)) * (q + k) * shape.qk_norm
    if job.attention == "eager":
        kept += shape.heads * job.seq_tokens * ((4 if a == 4 else 6) + a * (shape.model_type == "gemma2"))
    else:
        kept += 4 * shape.heads
    if job.method == "full":
        return kept + a * h + a * q * (shape.model_type in JOINED_QUERY or job.loss in ("chunked", "litgpt-full"))
    return kept + _adapter_inputs(shape, job, a, targeted(shape, job.targets).attention)


def mlp_saved_bytes(shape: ModelShape, job: Job, flow: Precision) -> float:
    """Bytes a token that the feed-forward half keeps: norm, gate, its activation, up, and their product.

    The norms + a 4I trained, a 3I frozen (a frozen matrix keeps no input), two I less without a gate; a H more where
    trained, else what the adapters keep. Source as for the attention half. I counts the experts of a token; their k
    results are kept for the gradient of the routing weights, and where trained their k gathered inputs (transformers
    integrations/moe.py grouped_mm_experts_forward): kH each, and the router's float32 softmax. A GELU that is written
    out in Python keeps three more of its steps (transformers activations.py NewGELUActivation): 6I, or 12I under
    autocast, whose pow is in float32 (a float copy of the input, tanh, 1 + tanh). The second norm of the same input
    (ONE_INPUT) keeps that one again only where autocast makes a float copy of it.
    """
    a, h, i = flow.inner, shape.hidden, mlp_width(shape)
    written_out = (12 if job.autocast else 3 * a) * (shape.model_type in WRITTEN_OUT_GELU)
    norms = shape.norms_per_layer - 1
    if shape.model_type in ONE_INPUT and not job.autocast:
        norms = 0
    kept = norm_saved_bytes(shape, job, flow) * norms + (a * (3 if shape.gated else 1) + written_out) * i
    kept += a * shape.experts_per_token * h * (2 if job.method == "full" else 1) + 4 * shape.experts
    if job.method == "full":
        return kept + a * (i + h * (shape.norms_per_layer > 1))
    return kept + _adapter_inputs(shape, job, a, targeted(shape, job.targets).mlp)


def checkpoint_bytes(shape: ModelShape, job: Job, flow: Precision) -> int:
    """Bytes that gradient checkpointing keeps: tokens x layers x hidden x bytes of the residual stream.

    Korthikanti et al. 2205.05198, table 2 (full recompute).
    """
    return job.tokens * shape.layers * shape.hidden * flow.residual


def fsdp_kept_bytes(shape: ModelShape, job: Job, flow: Precision) -> int:
    """Bytes that FSDP with adapters holds in the layers' backward: one more 2-byte stream a layer.

    Measured, not derived: 31 runs of fms-acceleration on 2 and 4 GPUs grow by 2 x tokens x layers x hidden x 2 B
    where the layer phase binds, and by half of it where the loss binds.
    """
    if job.sharding != "fsdp" or job.method == "full" or job.n_gpus == 1 or not job.gradient_checkpointing:
        return 0
    return job.tokens * shape.layers * shape.hidden * (4 - flow.residual)


def saved_bytes(shape: ModelShape, job: Job, layer_saved: float, trained: int) -> int:
    """Bytes of all that forward keeps in the layers without checkpointing: tokens x layers x a layer's saved values."""
    return int(job.tokens * shape.layers * layer_saved) + adapter_casts_bytes(job, trained)


def adapter_casts_bytes(job: Job, trained: int) -> int:
    """Bytes of the 2-byte copies that autocast makes of float32 adapters and backward needs: 2 x their parameters.

    torch.amp casts a weight once a forward pass (aten autocast_mode.cpp cached_cast); under checkpointing the copies go
    with the pass.
    """
    if job.method == "full" or not job.autocast or job.adapter_dtype != "float32":
        return 0
    return 2 * trained


def layer_workspace_bytes(
    shape: ModelShape, job: Job, flow: Precision, attention_saved: float, layer_saved: float
) -> int:
    """Bytes one layer takes in backward beyond what forward kept: the larger of its two moments.

    Feed-forward moment: the layer's saved values (made again under checkpointing) and the gradients on their way.
    Attention moment: the attention half's values, 5H of gradients, and with eager attention the gradients of the
    scores. Without checkpointing only the gradients count, at least five float32 vectors of the hidden size (the final
    norm). Counted with a storage tracker on transformers 5.23 (docs/memcalc.md); eager: 14 B a score measured on T4.
    DoRA's moment: the layer is made again, the last of its matrices is normed (dora_matrix_bytes).
    """
    a, h = flow.inner, shape.hidden
    stream = h * (flow.residual - a) * 5 if a == 2 else 0
    gradients = a * flowing_elements(shape, job, flow) + stream
    scores = shape.heads * job.seq_tokens * (12 if a == 4 else 8) if job.attention == "eager" else 0
    if not job.gradient_checkpointing:
        return max(int(job.tokens * max(20 * h, gradients - a * h, scores)), dora_matrix_bytes(shape, job))
    mlp_moment = layer_saved + gradients
    attention_moment = attention_saved + a * 5 * h + stream + scores
    dora_moment = job.tokens * layer_saved + dora_matrix_bytes(shape, job)
    return int(max(job.tokens * max(mlp_moment, attention_moment), dora_moment))


def dora_matrix_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes that DoRA takes to norm the largest adapted matrix: c (d_in^2 + 4 d_in d_out), c bytes of the adapters.

    The adapter's product from an identity of d_in, that product scaled, the weight in the same dtype, and their sum
    (peft tuners/lora/dora.py get_lora_weight, get_weight_norm). 0 without DoRA.
    """
    if not job.use_dora or job.method == "full":
        return 0
    each = DTYPE_BYTES[job.adapter_dtype]
    return each * max(c.d_in * c.d_in + 4 * c.d_in * c.d_out for c in targeted(shape, job.targets).matrices)


def flowing_elements(shape: ModelShape, job: Job, flow: Precision) -> float:
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
    if not targeted(shape, job.targets).mlp:
        return 3 * i + 1.3 * h
    same = job.autocast or DTYPE_BYTES[job.adapter_dtype] == flow.inner
    return 2 * i + (1.3 if same else 6.3) * h


def dequantized_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes of the largest matrix unpacked to 2 bytes, as the backward pass of a packed one needs it.

    bitsandbytes autograd MatMul4Bit.backward: dequantize_4bit(B).to(grad.dtype). 0 without quantisation.
    """
    if job.quantization == "none":
        return 0
    largest = max([linear.d_in * linear.d_out for linear in shape.linears()])
    return largest * DTYPE_BYTES[job.dtype]

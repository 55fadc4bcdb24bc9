"""What stays in memory the whole step: weights, adapters, gradients, optimizer states. One function a term."""

from __future__ import annotations

import re
from collections.abc import Sequence

from memory_calc.errors import MemcalcError
from memory_calc.job import DTYPE_BYTES, Job
from memory_calc.shapes import Linear, ModelShape

# Bytes an element that quantisation packs, with its constants.
#   nf4     0.5 + 4/64: 4 bits and one float32 absmax a block of 64 (bitsandbytes functional.quantize_4bit)
#   nf4-dq  0.5 + 1/64 + 4/(64*256): absmax in 8 bits with one float32 a second-level block of 256 (QLoRA, section 3)
#   int8    1 byte; row scales are counted with the rounding (LLM.int8)
#   gptq4   0.5 + (2 + 0.5)/128: float16 scale and packed zero a group of 128 (AutoGPTQ, group_size 128)
PACKED_BYTES = {
    "nf4": 0.5 + 4 / 64,
    "nf4-dq": 0.5 + 1 / 64 + 4 / (64 * 256),
    "int8": 1.0,
    "gptq4": 0.5 + 2.5 / 128,
}

# name -> (state bytes for one 4-byte and for one 2-byte parameter, temporaries of the step in parameter sizes, source)
OPTIMIZERS: dict[str, tuple[float, float, float, str]] = {
    "adamw_torch_fused": (8, 4, 0, "torch.optim.AdamW(fused=True): two states in the parameter's dtype"),
    "adamw_torch": (8, 4, 1, "torch.optim.AdamW, foreach: one list of params-sized temporaries at the step"),
    "adamw_8bit": (2 * (1 + 4 / 256), 2 * (1 + 4 / 256), 0, "bitsandbytes AdamW8bit: two bytes and blocks of 256"),
    "paged_adamw_8bit": (2 * (1 + 4 / 256), 2 * (1 + 4 / 256), 0, "the same, counted as not paged out"),
    "paged_adamw_32bit": (8, 8, 0, "bitsandbytes PagedAdamW32bit, counted as not paged out"),
    "sgd": (0, 0, 1, "torch.optim.SGD without momentum, foreach"),
    "sgd_momentum": (4, 2, 1, "torch.optim.SGD with momentum, foreach"),
    "adafactor": (0.01, 0.01, 1, "transformers Adafactor: one row and one column a matrix"),
}

# words that trainers put around the name of Adam, taken out in this order ("torch foreach" would hide an "hf")
_AROUND_ADAM = ("torch", "foreach", "bnb", "optim", "lorafa", "32bit", "fused", "paged", "8bit", "hf")


def optimizer_named(name: str) -> str:
    """The row of OPTIMIZERS that a name means: "adamw_torch (foreach)" and AdamW are adamw_torch.

    Raises MemcalcError (exit code 2) for a name that is not known.
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    exact = {row.replace("_", ""): row for row in OPTIMIZERS}
    if plain in exact:
        return exact[plain]
    rest, found = plain, set()
    for word in _AROUND_ADAM:
        if word in rest:
            found.add(word)
            rest = rest.replace(word, "")
    if rest not in ("adam", "adamw") and not (rest == "" and "lorafa" in found):
        raise MemcalcError("--optimizer", repr(name), allowed=", ".join(OPTIMIZERS))
    if "paged" in found:
        return "paged_adamw_8bit" if "8bit" in found else "paged_adamw_32bit"
    if "8bit" in found:
        return "adamw_8bit"
    return "adamw_torch_fused" if "fused" in found else "adamw_torch"


def targeted(shape: ModelShape, targets: Sequence[str]) -> tuple[Linear, ...]:
    """The matrices of one layer that an adapter is put on.

    "all-linear" is every one but the router, as PEFT reads it. A name may be that of a fused matrix's part or whole
    (q_proj on a fused qkv): the fused one is taken. Raises MemcalcError (exit code 2) where nothing has the name.
    """
    linears = [linear for linear in shape.linears() if linear.name != "router"]
    if "all-linear" in targets:
        return tuple(linears)
    found = []
    for target in targets:
        name = target.rsplit(".", 1)[-1]
        hits = [linear for linear in linears if linear.name == name or _covers(linear.name, name)]
        if not hits:
            names = ", ".join(dict.fromkeys(linear.name for linear in linears))
            raise MemcalcError("--targets", repr(target), allowed=f"all-linear, {names}")
        found += [hit for hit in hits if hit not in found]
    return tuple(found)


# names of the same matrices in other model code: c_attn, W_pack and query_key_value hold q, k and v; w1, w2, w3 are
# gate, down and up (Mixtral, Qwen 1)
_PARTS = {
    "c_attn": ("q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "W_pack"),
    "qkv_proj": ("q_proj", "k_proj", "v_proj", "query_key_value", "c_attn", "W_pack"),
    "gate_up_proj": ("gate_proj", "up_proj"),
    "c_proj": ("o_proj", "dense"),
    "o_proj": ("dense", "c_proj", "out_proj", "output_proj"),
    "gate_proj": ("w1",),
    "down_proj": ("w2", "fc2"),
    "up_proj": ("w3", "fc1", "c_fc"),
}


def _covers(own: str, asked: str) -> bool:
    return asked in _PARTS.get(own, ())


def adapter_params(shape: ModelShape, job: Job) -> int:
    """Parameters of the adapters: layers x sum of rank x (d_in + d_out) a targeted matrix, d_out more with DoRA.

    LoRA, arXiv 2106.09685 section 4.1; DoRA, arXiv 2402.09353. Experts count once each.
    """
    each = sum(
        linear.copies * (job.rank * (linear.d_in + linear.d_out) + linear.d_out * job.use_dora)
        for linear in targeted(shape, job.targets)
    )
    return shape.layers * each


def trainable_params(shape: ModelShape, job: Job) -> int:
    """Parameters that the optimizer sees: all of them in full training, else the adapters'."""
    return shape.n_params if job.method == "full" else adapter_params(shape, job)


def master_in_fp32(job: Job) -> bool:
    """Whether full training keeps parameters, gradients and states in 4 bytes under 2-byte compute.

    True for float32 weights, and for FSDP with mixed precision, where accelerate upcasts every trainable parameter
    (accelerate/accelerator.py, "Upcasted low precision parameters").
    """
    return job.method == "full" and (job.dtype == "float32" or job.sharding == "fsdp")


def weights_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes of the base's parameters.

    Plain: parameters x bytes of the dtype. Quantised: the layers' matrices at PACKED_BYTES an element, the rest
    (tables, head, norms, biases) at 2 bytes, or 4 after `prepare_model_for_kbit_training` (upcast "kbit");
    "norms" leaves only the norms in 4 (trl `peft_module_casting_to_bf16`). The router of a mixture is not packed.
    """
    plain = 4 if master_in_fp32(job) else DTYPE_BYTES[job.dtype]
    if job.quantization == "none":
        return shape.n_params * plain
    router = shape.layers * shape.hidden * shape.experts
    packed = shape.n_linear - router
    rest = shape.n_params - packed
    total = packed * PACKED_BYTES[job.quantization]
    if job.upcast == "kbit":
        return int(total + 4 * rest)
    return int(total + plain * rest + (4 - plain) * shape.n_norm * (job.upcast == "norms"))


def head_cast_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes of the 2-byte copy of a 4-byte head that autocast makes and keeps for backward: 2 x vocab x hidden.

    torch.amp caches casts of leaves that require a gradient; a frozen head's copy is held by its saved input instead.
    """
    fp32_head = (job.quantization != "none" and job.upcast == "kbit") or job.dtype == "float32" or master_in_fp32(job)
    return 2 * shape.vocab * shape.hidden if job.autocast and fp32_head else 0


def adapter_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes of the adapters' own weights: adapter parameters x bytes of the adapter dtype; 0 in full training."""
    return 0 if job.method == "full" else adapter_params(shape, job) * DTYPE_BYTES[job.adapter_dtype]


def trainable_bytes_each(job: Job) -> int:
    """Bytes of one trained parameter (its gradient has the same dtype)."""
    if job.method != "full":
        return DTYPE_BYTES[job.adapter_dtype]
    return 4 if master_in_fp32(job) else DTYPE_BYTES[job.dtype]


def gradients_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes of all gradients: trained parameters x bytes of their dtype (torch: a gradient has its parameter's)."""
    return trainable_params(shape, job) * trainable_bytes_each(job)


def optimizer_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes of the optimizer's states: trained parameters x the row of OPTIMIZERS for their dtype."""
    four, two, _, _ = OPTIMIZERS[optimizer_named(job.optimizer)]
    return int(trainable_params(shape, job) * (four if trainable_bytes_each(job) == 4 else two))


def ddp_bucket_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes of the buckets that DistributedDataParallel reduces gradients in: as many as the gradients.

    torch DDP with gradient_as_bucket_view=False, the default of torch and accelerate; 0 without DDP.
    """
    return gradients_bytes(shape, job) if job.sharding == "ddp" and job.n_gpus > 1 else 0


def step_temporary_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes that the optimizer's step takes for itself.

    foreach kernels hold one list as large as the parameters. torch uses them on CUDA only (torch.optim.Optimizer
    `_default_to_fused_or_foreach`); on a CPU it goes tensor by tensor with two temporaries of the largest one.
    """
    _, _, lists, _ = OPTIMIZERS[optimizer_named(job.optimizer)]
    if job.device == "cpu":
        adapted = (
            [0] if job.method == "full" else [max(c.d_in, c.d_out) * job.rank for c in targeted(shape, job.targets)]
        )
        largest = max(shape.vocab * shape.hidden if job.method == "full" else 0, *adapted)
        return int(2 * lists * largest * trainable_bytes_each(job))
    return int(lists * gradients_bytes(shape, job))

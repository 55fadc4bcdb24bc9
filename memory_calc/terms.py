"""What stays in memory the whole step: weights, adapters, gradients, optimizer states. One function a term."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from memory_calc.errors import MemcalcError
from memory_calc.job import DTYPE_BYTES, Job
from memory_calc.optimizers import OPTIMIZERS, optimizer_named
from memory_calc.shapes import Matrices, ModelShape

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

# bitsandbytes puts a state of at least this many elements into unified memory, outside of torch's allocator
# (optim/optimizer.py Optimizer8bit.get_state_buffer)
PAGED_ELEMENTS = 100_000

# DeepSpeed's bucket for reducing (and, in stages 1 and 2, gathering) in elements: reduce_bucket_size and
# allgather_bucket_size (deepspeed/runtime/zero/config.py). The "auto" of transformers is hidden x hidden.
ZERO_BUCKET_ELEMENTS = 500_000_000
# parameters that stage 3 keeps gathered before it frees them: stage3_max_live_parameters (the same file)
ZERO_LIVE_ELEMENTS = 1_000_000_000


class Targeted(NamedTuple):
    """The matrices that adapters are put on, in one layer's halves, and their widths summed over the whole model."""

    attention: Matrices
    mlp: Matrices
    d_in: int  # summed over every layer and every expert
    d_out: int

    @property
    def matrices(self) -> Matrices:
        """Those of one layer."""
        return self.attention + self.mlp


def targeted(shape: ModelShape, targets: Sequence[str]) -> Targeted:
    """The matrices that an adapter is put on; a mixture's dense layers have adapters of their own width.

    "all-linear" is every one but the router, as PEFT reads it. A name may be that of a fused matrix's part or whole
    (q_proj on a fused qkv): the fused one is taken. Raises MemcalcError (exit code 2) where nothing has the name.
    """
    asked = tuple(targets)
    found: Targeted | None = shape.kept.get(asked)  # one estimate asks five times
    if found is None:
        found = shape.kept[asked] = _targeted(shape, asked)
    return found


def _targeted(shape: ModelShape, targets: tuple[str, ...]) -> Targeted:
    names = _named(tuple([linear.name for linear in shape.linears()]), targets)
    attention, mlp, dense = [tuple([linear for linear in part if linear.name in names]) for part in shape.parts()]
    total_in = total_out = 0
    for part, layers in zip((attention, mlp, dense), shape.layers_by_part, strict=True):
        for _, d_in, d_out, _, copies in part:
            total_in += layers * copies * d_in
            total_out += layers * copies * d_out
    return Targeted(attention, mlp, total_in, total_out)


@lru_cache(maxsize=256)  # models of one family have matrices of the same names
def _named(names: tuple[str, ...], targets: tuple[str, ...]) -> frozenset[str]:
    """The names of matrices that the targets mean."""
    linears = [name for name in names if name != "router"]
    if "all-linear" in targets:
        return frozenset(linears)
    for target in targets:
        if not any(_is_target(name, target) for name in linears):
            allowed = f"all-linear, {', '.join(dict.fromkeys(linears))}"
            raise MemcalcError("--targets", repr(target), allowed=allowed)
    return frozenset(name for name in linears for target in targets if _is_target(name, target))


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


def _is_target(name: str, target: str) -> bool:
    last = target.rsplit(".", 1)[-1]
    return name == last or last in _PARTS.get(name, ())


def adapter_params(shape: ModelShape, job: Job) -> int:
    """Parameters of the adapters: rank x (d_in + d_out) of every targeted matrix, d_out more with DoRA.

    LoRA, arXiv 2106.09685 section 4.1; DoRA, arXiv 2402.09353. Experts count once each.
    """
    chosen = targeted(shape, job.targets)
    return job.rank * (chosen.d_in + chosen.d_out) + chosen.d_out * job.use_dora


def trainable_params(shape: ModelShape, job: Job) -> int:
    """Parameters that the optimizer sees: all of them in full training, else the adapters'."""
    return shape.n_params if job.method == "full" else adapter_params(shape, job)


class Shards(NamedTuple):
    """Into how many parts weights, gradients and optimizer states are cut."""

    weights: int
    gradients: int
    states: int


def shards(job: Job) -> Shards:
    """The parts by --sharding: states with zero1, gradients too with zero2, weights too with zero3 and fsdp.

    ZeRO, arXiv 1910.02054 section 5 (P_os, P_os+g, P_os+g+p); torch FullyShardedDataParallel FULL_SHARD as the last.
    """
    n, by = job.n_gpus, job.sharding
    return Shards(
        weights=n if by in ("zero3", "fsdp") else 1,
        gradients=n if by in ("zero2", "zero3", "fsdp") else 1,
        states=n if by in ("zero1", "zero2", "zero3", "fsdp") else 1,
    )


def weights_on_host(job: Job) -> bool:
    """Whether --offload keeps the parameters on the host: zero3 and fsdp gather them from there.

    DeepSpeed offload_param (stage 3 only, runtime/zero/offload_config.py), torch FSDP CPUOffload(offload_params=True).
    """
    return job.offload and job.sharding in ("zero3", "fsdp")


def flat_fp32(job: Job) -> bool:
    """Whether the optimizer holds a flat float32 copy of 2-byte parameters: DeepSpeed's stages do.

    runtime/zero/stage_1_and_2.py single_partition_of_fp32_groups, stage3.py fp32_partitioned_groups_flat; the
    ZeRO paper's K = 12 bytes of states (arXiv 1910.02054 section 3.1).
    """
    return job.sharding.startswith("zero") and trainable_bytes_each(job) == 2


def master_in_fp32(job: Job) -> bool:
    """Whether full training keeps parameters, gradients and states in 4 bytes under 2-byte compute.

    True for float32 weights, and for FSDP with mixed precision, where accelerate upcasts every trainable parameter
    (accelerate/accelerator.py, "Upcasted low precision parameters"; since 0.30, not in a pure 2-byte loop).
    """
    return job.method == "full" and (job.dtype == "float32" or (job.sharding == "fsdp" and job.fsdp_fp32))


def weights_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes of the base's parameters.

    Plain: parameters x bytes of the dtype. Quantised: the layers' matrices at PACKED_BYTES an element, the rest
    (tables, head, norms, biases) at 2 bytes, or 4 after `prepare_model_for_kbit_training` (upcast "kbit");
    "norms" leaves only the norms in 4 (trl `peft_module_casting_to_bf16`). The router of a mixture is not packed.
    """
    plain = 4 if master_in_fp32(job) else DTYPE_BYTES[job.dtype]
    if job.quantization == "none":
        return shape.n_params * plain
    packed = shape.n_linear - shape.n_router
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


def adapter_bytes(job: Job, trained: int) -> int:
    """Bytes of the adapters' own weights: adapter parameters x bytes of the adapter dtype; 0 in full training."""
    return 0 if job.method == "full" else trained * DTYPE_BYTES[job.adapter_dtype]


def trainable_bytes_each(job: Job) -> int:
    """Bytes of one trained parameter (its gradient has the same dtype)."""
    if job.method != "full":
        return DTYPE_BYTES[job.adapter_dtype]
    return 4 if master_in_fp32(job) else DTYPE_BYTES[job.dtype]


def gradients_bytes(job: Job, trained: int) -> int:
    """Bytes of all gradients: trained parameters x bytes of their dtype (torch: a gradient has its parameter's)."""
    return trained * trainable_bytes_each(job)


def optimizer_bytes(job: Job, trained: int) -> int:
    """Bytes of the optimizer's states: trained parameters x the row of OPTIMIZERS for their dtype.

    DeepSpeed's stages add 4 for the flat float32 copy, whose states have 4 bytes an element too (flat_fp32).
    """
    four, two, _, _ = OPTIMIZERS[optimizer_named(job.optimizer)]
    each = 4 + four if flat_fp32(job) else four if trainable_bytes_each(job) == 4 else two
    return int(trained * each)


def paged_bytes(shape: ModelShape, job: Job, trained: int) -> int:
    """Bytes of the states that a paged optimizer puts into unified memory: those of tensors of 100,000 elements up.

    torch's counters do not see them; the card gives them up when it is full (bitsandbytes functional.get_paged,
    cudaMallocManaged). Of a fully trained model everything but norms is that large.
    """
    if "paged" not in optimizer_named(job.optimizer) or job.device == "cpu" or job.offload:
        return 0
    states = optimizer_bytes(job, trained)
    if job.method == "full":
        return states // shards(job).states
    sides = [
        (linear.copies * size, size * job.rank >= PAGED_ELEMENTS)
        for linear in targeted(shape, job.targets).matrices
        for size in (linear.d_in, linear.d_out)
    ]
    large = shape.layers * job.rank * sum(size for size, paged in sides if paged)
    return int(states * large / trained) // shards(job).states


def bucket_bytes(job: Job, trained: int) -> int:
    """Bytes of the buffers that gradients are reduced in; 0 on one device.

    DDP: as many as the gradients (torch, gradient_as_bucket_view=False, the default of torch and accelerate).
    ZeRO: ZERO_BUCKET_ELEMENTS at most, in the gradients' dtype, two of them from stage 2 on, where reducing overlaps
    with the backward pass (overlap_comm; stage_1_and_2.py ipg_buffer).
    """
    if job.n_gpus == 1:
        return 0
    if job.sharding == "ddp":
        return gradients_bytes(job, trained)
    if not job.sharding.startswith("zero"):
        return 0
    elements = min(trained, ZERO_BUCKET_ELEMENTS)
    return elements * trainable_bytes_each(job) * (1 if job.sharding == "zero1" else 2)


def gathered_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes of the parameters that are whole through forward and backward although they are sharded.

    FSDP: the root unit (tables, head). ZeRO-3: that too, or as many as stage3_max_live_parameters lets stay. 0 on one
    device, unless the host holds them.
    """
    if job.sharding not in ("fsdp", "zero3") or (job.n_gpus == 1 and not weights_on_host(job)):
        return 0
    each = DTYPE_BYTES[job.dtype]
    root = (shape.n_embedding + shape.n_head) * each
    if job.sharding == "fsdp":
        return root
    packed = PACKED_BYTES.get(job.quantization, float(each))
    return int(max(root, min(shape.n_params, ZERO_LIVE_ELEMENTS) * packed))


def gathered_layer_bytes(shape: ModelShape, job: Job, gathered: int) -> int:
    """Bytes of the layer that is whole while it is worked on, where layers are sharded and others gathered."""
    if not gathered:
        return 0
    return int(shape.n_layer * PACKED_BYTES.get(job.quantization, float(DTYPE_BYTES[job.dtype])))


def step_temporary_bytes(shape: ModelShape, job: Job, trained: int) -> int:
    """Bytes that the optimizer's step takes for itself.

    foreach kernels hold one list as large as the parameters. torch uses them on CUDA only (torch.optim.Optimizer
    `_default_to_fused_or_foreach`); on a CPU it goes tensor by tensor with two temporaries of the largest one.
    DeepSpeed's stages turn their part of the gradients to float32 first (stage_1_and_2.py step).
    """
    _, _, lists, _ = OPTIMIZERS[optimizer_named(job.optimizer)]
    if job.offload or job.optimizer_in_backward:
        return 0
    if flat_fp32(job):
        return int(4 * (1 + lists) * trained)
    if job.device == "cpu":
        if job.method == "full":
            largest = shape.vocab * shape.hidden
        else:
            largest = job.rank * max(max(each.d_in, each.d_out) for each in targeted(shape, job.targets).matrices)
        return int(2 * lists * largest * trainable_bytes_each(job))
    return int(lists * gradients_bytes(job, trained))

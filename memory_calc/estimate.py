"""Peak memory of a training step: the largest of its phases, as three numbers with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from memory_calc.activations import (
    dequantized_bytes,
    fsdp_kept_bytes,
    layer_workspace_bytes,
    precision,
    saved_bytes,
)
from memory_calc.allocator import Bytes, outside_bytes, reserved_bytes, spread
from memory_calc.cards import GPUS, card
from memory_calc.job import DTYPE_BYTES, Job
from memory_calc.losses import chunk_bytes, logits_bytes
from memory_calc.shapes import ModelShape
from memory_calc.terms import (
    PACKED_BYTES,
    adapter_bytes,
    ddp_bucket_bytes,
    gradients_bytes,
    head_cast_bytes,
    optimizer_bytes,
    step_temporary_bytes,
    trainable_bytes_each,
    trainable_params,
    weights_bytes,
)

__all__ = ["Bytes", "Estimate", "Job", "estimate", "estimate_params"]

CUBLAS_BYTES = 8_519_680  # the workspace cuBLAS takes at its first product (torch CUDA semantics: 8.125 MiB)


@dataclass(frozen=True)
class Estimate:
    """What a job takes: three peaks in bytes, the phases behind them, the terms, and the textbook's view."""

    allocated: Bytes
    reserved: Bytes
    process: Bytes
    phases: Mapping[str, int]
    terms: Mapping[str, int]
    phase_terms: Mapping[str, tuple[str, ...]]
    textbook: Mapping[str, int]
    trainable_params: int
    n_params: int
    shapes: tuple[str, ...] = ()

    @property
    def binding_phase(self) -> str:
        """The phase whose sum is the peak."""
        return max(self.phases, key=lambda name: self.phases[name])

    @property
    def dominant_term(self) -> str:
        """The largest term of the phase that binds."""
        return max(self.phase_terms[self.binding_phase], key=lambda name: self.terms[name])

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {
            "allocated_bytes": self.allocated._asdict(),
            "reserved_bytes": self.reserved._asdict(),
            "process_bytes": self.process._asdict(),
            "phases": dict(self.phases),
            "binding_phase": self.binding_phase,
            "terms": dict(self.terms),
            "dominant_term": self.dominant_term,
            "textbook": dict(self.textbook),
            "trainable_params": self.trainable_params,
            "n_params": self.n_params,
            "shapes": list(self.shapes),
        }


def _gathered_bytes(shape: ModelShape, job: Job) -> int:
    """Bytes of the parameters that FSDP has whole at one moment: the root unit (tables, head) and one layer.

    The root unit stays gathered through forward and backward (torch FSDP, `reshard_after_forward` of the root).
    """
    if job.sharding != "fsdp" or job.n_gpus == 1:
        return 0
    each = DTYPE_BYTES[job.dtype]
    packed = PACKED_BYTES.get(job.quantization, float(each))
    return int((shape.n_embedding + shape.n_head) * each + shape.n_layer * packed)


def terms_of(shape: ModelShape, job: Job) -> dict[str, int]:
    """Every term in bytes, for one device; see the function of each for formula and source."""
    shards = job.n_gpus if job.sharding == "fsdp" else 1
    width = precision(shape, job)
    t, h = job.tokens, shape.hidden
    trained = trainable_bytes_each(job)
    whole = DTYPE_BYTES[job.dtype] if job.sharding == "fsdp" else trained  # FSDP's whole gradients are in compute dtype
    head_grad = shape.vocab * h * whole if job.method == "full" else 0
    layer_grad = whole * (shape.n_layer if job.method == "full" else trainable_params(shape, job) // shape.layers)
    return {
        "weights": weights_bytes(shape, job) // shards,
        "adapters": adapter_bytes(shape, job) // shards,
        "optimizer states": optimizer_bytes(shape, job) // shards,
        "ddp buckets": ddp_bucket_bytes(shape, job),
        "gradients": gradients_bytes(shape, job) // shards,
        "gradients kept": gradients_bytes(shape, job) // shards if job.accumulation > 1 else 0,
        "gradients of head": head_grad,
        "gradients of one layer": layer_grad,
        "gathered parameters": _gathered_bytes(shape, job),
        "saved activations": saved_bytes(shape, job),
        "layer workspace": layer_workspace_bytes(shape, job),
        "final norm": t * h * (4 + width.residual),
        "logits in forward": logits_bytes(shape, job, width.logits, backward=False),
        "logits in backward": logits_bytes(shape, job, width.logits, backward=True),
        "logits kept": t * shape.vocab * width.logits if job.loss == "hf-kept" else 0,
        "kept by fsdp": fsdp_kept_bytes(shape, job),
        "loss chunk": chunk_bytes(job.loss, t, shape.vocab, h),
        "head cast": head_cast_bytes(shape, job),
        "dequantised matrix": dequantized_bytes(shape, job),
        "optimizer temporaries": step_temporary_bytes(shape, job) // shards,
        "largest tensor in loading": shape.vocab * h * DTYPE_BYTES[job.dtype],
        "cublas workspace": CUBLAS_BYTES if job.device == "cuda" else 0,
    }


STATES = ("weights", "adapters", "optimizer states", "ddp buckets", "cublas workspace")
RUNNING = (*STATES, "gathered parameters", "saved activations", "head cast")
PHASES: dict[str, tuple[str, ...]] = {
    "load": ("weights", "largest tensor in loading"),
    "forward and loss": (*RUNNING, "gradients kept", "final norm", "logits in forward", "loss chunk"),
    "backward of head": (*RUNNING, "gradients kept", "final norm", "logits in backward", "loss chunk",
                         "gradients of head"),
    "backward of one layer": (*RUNNING, "layer workspace", "logits kept", "kept by fsdp", "gradients of head",
                              "gradients of one layer", "gradients kept", "dequantised matrix"),
    "optimizer step": (*STATES, "gradients", "optimizer temporaries"),
}  # fmt: skip


def _phases(terms: Mapping[str, int], job: Job, layers: int) -> dict[str, int]:
    """The sum of each phase. Full training's layer phase is the larger of its two ends: at the top all checkpoints
    and one layer's gradients are there, at the bottom all gradients and one checkpoint.
    """
    sums = {name: sum(terms[term] for term in used) for name, used in PHASES.items()}
    if job.method == "full" and job.accumulation == 1:
        states = sum(terms[name] for name in (*STATES, "gathered parameters", "head cast"))
        saved = terms["saved activations"] // layers
        bottom = states + terms["gradients"] + saved + terms["layer workspace"]
        sums["backward of one layer"] = max(sums["backward of one layer"], bottom)
    return sums


def _textbook(n_params: int, trained: int, job: Job, activations: int) -> dict[str, int]:
    """weights + 3 x trainable + activations, every parameter at the bytes of its dtype.

    The rule of thumb of the textbooks: for each trained parameter a gradient and Adam's two moments.
    """
    each = PACKED_BYTES.get(job.quantization, float(DTYPE_BYTES[job.dtype]))
    trained_each = DTYPE_BYTES[job.dtype] if job.method == "full" else DTYPE_BYTES[job.adapter_dtype]
    return {
        "weights_bytes": int(n_params * each),
        "trainable_bytes": trained * trained_each,
        "three_x_trainable_bytes": 3 * trained * trained_each,
        "activations_bytes": activations,
    }


def estimate(shape: ModelShape, job: Job) -> Estimate:
    """What the job takes on one device, in bytes.

    allocated: peak of live tensors (torch max_memory_allocated). reserved: peak of the caching allocator. process:
    what nvidia-smi or the system's monitor shows. Raises MemcalcError (exit code 2) for a knob without sense.
    """
    job = job.settled()
    terms = terms_of(shape, job)
    phases = _phases(terms, job, shape.layers)
    peak = max(phases.values())
    transient_phases = {name: total for name, total in phases.items() if name not in ("load", "optimizer step")}
    transient = max(0, max(transient_phases.values()) - sum(terms[name] for name in STATES))
    loss_binds = max(transient_phases, key=lambda name: transient_phases[name]) != "backward of one layer"
    reserved = reserved_bytes(peak, transient, loss_binds, job)
    outside = outside_bytes(job)
    if job.gpu in GPUS:  # the allocator gives back what it only keeps before it fails
        reserved = max(min(reserved, card(job.gpu).usable_bytes - outside), peak)
    trained = trainable_params(shape, job)
    logits = max(terms["logits in backward"], terms["logits in forward"])
    activations = terms["saved activations"] + max(terms["layer workspace"], logits)
    measured = job.device == "cuda" and not shape.experts
    allocated = spread(peak, "allocated", job, measured=measured)
    shown = spread(reserved + outside, "process", job, measured=measured)
    shown = shown._replace(low=max(shown.low, allocated.low + outside), high=max(shown.high, allocated.high + outside))
    return Estimate(
        allocated=allocated,
        reserved=Bytes(max(allocated.low, shown.low - outside), reserved, shown.high - outside),
        process=shown,
        phases=phases,
        terms=terms,
        phase_terms=PHASES,
        textbook=_textbook(shape.n_params, trained, job, activations),
        trainable_params=trained,
        n_params=shape.n_params,
        shapes=(shape.name,),
    )


def estimate_params(n_params: int, shapes: Sequence[ModelShape], job: Job) -> Estimate:
    """What the job takes where only the number of parameters is known: the middle of the plausible shapes.

    Low and high are the lowest and highest of all shapes' intervals; the textbook's view counts n_params as given.
    """
    found = sorted((estimate(shape, job) for shape in shapes), key=lambda one: one.allocated.likely)
    middle = found[(len(found) - 1) // 2]

    def hull(name: str) -> Bytes:
        values: list[Bytes] = [getattr(one, name) for one in found]
        return Bytes(min(v.low for v in values), getattr(middle, name).likely, max(v.high for v in values))

    trained = n_params if job.method == "full" else middle.trainable_params
    book = _textbook(n_params, trained, job.settled(), middle.textbook["activations_bytes"])
    return replace(
        middle,
        allocated=hull("allocated"),
        reserved=hull("reserved"),
        process=hull("process"),
        textbook=book,
        trainable_params=trained,
        n_params=n_params,
        shapes=tuple(name for one in found for name in one.shapes),
    )

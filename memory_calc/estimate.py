"""Peak memory of a training step: the largest of its phases, as three numbers with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from memory_calc.activations import (
    attention_saved_bytes,
    checkpoint_bytes,
    dequantized_bytes,
    fsdp_kept_bytes,
    layer_workspace_bytes,
    mlp_saved_bytes,
    precision,
    saved_bytes,
)
from memory_calc.allocator import Bytes, kept_bytes, measured, outside_bytes, spread, within
from memory_calc.cards import GPUS, card
from memory_calc.job import DTYPE_BYTES, Job
from memory_calc.losses import chunk_bytes, logits_bytes
from memory_calc.shapes import ModelShape
from memory_calc.terms import (
    PACKED_BYTES,
    adapter_bytes,
    bucket_bytes,
    gathered_bytes,
    gathered_layer_bytes,
    gradients_bytes,
    head_cast_bytes,
    optimizer_bytes,
    paged_bytes,
    shards,
    step_temporary_bytes,
    trainable_bytes_each,
    trainable_params,
    weights_bytes,
    weights_on_host,
)

__all__ = ["Bytes", "Estimate", "Job", "estimate", "estimate_params"]

CUBLAS_BYTES = 8_519_680  # the workspace cuBLAS takes at its first product (torch CUDA semantics: 8.125 MiB)


class Estimate(NamedTuple):
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


def terms_of(shape: ModelShape, job: Job) -> dict[str, int]:
    """Every term in bytes, for one device; see the function of each for formula and source."""
    parts = shards(job)
    flow = precision(shape, job)
    trained = trainable_params(shape, job)
    attention_saved = attention_saved_bytes(shape, job, flow)
    layer_saved = attention_saved + mlp_saved_bytes(shape, job, flow)
    checkpointed = job.gradient_checkpointing
    saved = checkpoint_bytes(shape, job, flow) if checkpointed else saved_bytes(shape, job, layer_saved, trained)
    t, h = job.tokens, shape.hidden
    # whole gradients before they are reduced: in the compute dtype under FSDP
    whole = DTYPE_BYTES[job.dtype] if job.sharding == "fsdp" else trainable_bytes_each(job)
    head_grad = shape.vocab * h * whole if job.method == "full" else 0
    layer_grad = whole * (shape.n_layer if job.method == "full" else trained // shape.layers)
    # reduced gradients leave the device at once where the step is made on the host, or are used up in backward
    leave = job.optimizer_in_backward or (job.offload and job.sharding in ("zero2", "zero3", "fsdp"))
    gradients = 0 if leave else gradients_bytes(job, trained) // parts.gradients
    states = 0 if job.offload else optimizer_bytes(job, trained) // parts.states - paged_bytes(shape, job, trained)
    gathered = gathered_bytes(shape, job)
    return {
        "weights": 0 if weights_on_host(job) else weights_bytes(shape, job) // parts.weights,
        "adapters": 0 if weights_on_host(job) else adapter_bytes(job, trained) // parts.weights,
        "optimizer states": states,
        "communication buckets": bucket_bytes(job, trained),
        "gradients": gradients,
        "gradients kept": gradients if job.accumulation > 1 else 0,
        "gradients of head": head_grad,
        "gradients of one layer": layer_grad,
        "gathered parameters": gathered,
        "gathered layer": gathered_layer_bytes(shape, job, gathered),
        "saved activations": saved,
        "layer workspace": layer_workspace_bytes(shape, job, flow, attention_saved, layer_saved),
        "final norm": t * h * (4 + flow.residual),
        "logits in forward": logits_bytes(shape, job, flow.logits, backward=False),
        "logits in backward": logits_bytes(shape, job, flow.logits, backward=True),
        "logits kept": t * shape.vocab * flow.logits if job.loss == "hf-kept" else 0,
        "kept by fsdp": fsdp_kept_bytes(shape, job, flow),
        "loss chunk": chunk_bytes(job.loss, t, shape.vocab, h),
        "head cast": head_cast_bytes(shape, job),
        "dequantised matrix": dequantized_bytes(shape, job),
        "optimizer temporaries": step_temporary_bytes(shape, job, trained) // parts.states,
        "largest tensor in loading": shape.vocab * h * DTYPE_BYTES[job.dtype],
        "cublas workspace": CUBLAS_BYTES if job.device == "cuda" else 0,
    }


STATES = ("weights", "adapters", "optimizer states", "communication buckets", "cublas workspace")
RUNNING = (*STATES, "gathered parameters", "saved activations", "head cast")
PHASES: dict[str, tuple[str, ...]] = {
    "load": ("weights", "largest tensor in loading"),
    "forward and loss": (*RUNNING, "gradients kept", "final norm", "logits in forward", "loss chunk"),
    "backward of head": (*RUNNING, "gradients kept", "final norm", "logits in backward", "loss chunk",
                         "gradients of head"),
    "backward of one layer": (*RUNNING, "gathered layer", "layer workspace", "logits kept", "kept by fsdp",
                              "gradients of head", "gradients of one layer", "gradients kept", "dequantised matrix"),
    "optimizer step": (*STATES, "gradients", "optimizer temporaries"),
}  # fmt: skip
ADDENDS = {name: itemgetter(*used) for name, used in PHASES.items()}  # takes what a phase sums out of the terms


def _moments(sums: dict[str, int], terms: Mapping[str, int], shape: ModelShape, job: Job) -> dict[str, int]:
    """The sums of full training's phases: of each the largest of the moments in it, which do not coexist.

    Head: the loss's copies of the logits, then the head's gradient beside theirs, the only one that is left (older
    transformers code is measured with both at once). Layers: at the top all checkpoints, one layer's gradients and the
    head's; in the last layer one checkpoint and all gradients but that layer's and the table's; at the end all, and of
    a tied table two more: its use as head, as table, and their sum (torch autograd input_buffer.cpp; measured on a CPU,
    3.0 tables against 2.0 untied). Counted with benchmarks/memory_fake.py.
    """
    sums = dict(sums)
    table = terms["gradients of head"]
    if job.loss == "hf":
        copies = terms["logits in backward"] - job.tokens * shape.vocab * precision(shape, job).logits
        sums["backward of head"] -= min(copies, table)
    if job.accumulation == 1:
        states = sum(terms[name] for name in (*STATES, "gathered parameters", "gathered layer", "head cast"))
        later = (terms["gradients of one layer"] + table * (not shape.tied)) // shards(job).gradients
        saved = terms["saved activations"] // shape.layers
        last_layer = max(0, terms["gradients"] - later) + saved + terms["layer workspace"]
        end = terms["gradients"] + 2 * table * shape.tied + saved
        sums["backward of one layer"] = max(sums["backward of one layer"], states + max(last_layer, end))
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
    sums = {name: sum(taken(terms)) for name, taken in ADDENDS.items()}
    phases = _moments(sums, terms, shape, job) if job.method == "full" else sums
    peak = max(phases.values())
    loss, layers = max(sums["forward and loss"], sums["backward of head"]), sums["backward of one layer"]
    lasting = sum([terms[name] for name in STATES])
    logits = max(terms["logits in backward"], terms["logits in forward"])
    reserved = peak + kept_bytes(
        peak, phases["optimizer step"], max(0, max(loss, layers) - lasting), logits, terms["weights"],
        loss_binds=loss >= layers, job=job,
    )  # fmt: skip
    trained = trainable_params(shape, job)
    paged = paged_bytes(shape, job, trained)
    outside = outside_bytes(job)
    if job.gpu in GPUS:
        room = card(job.gpu).usable_bytes - outside
        reserved = max(peak, within(reserved, peak, room))
        paged = max(0, min(paged, room - reserved))
    outside += paged
    activations = terms["saved activations"] + max(terms["layer workspace"], logits)
    usual = measured(job, shape.experts)
    allocated = spread(peak, "allocated", job, usual=usual)
    shown = spread(reserved + outside, "process", job, usual=usual)
    low, high = max(shown.low, allocated.low + outside), max(shown.high, allocated.high + outside)
    return Estimate(
        allocated=allocated,
        reserved=Bytes(max(allocated.low, low - outside), reserved, high - outside),
        process=Bytes(low, shown.likely, high),
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
    return middle._replace(
        allocated=hull("allocated"),
        reserved=hull("reserved"),
        process=hull("process"),
        textbook=book,
        trainable_params=trained,
        n_params=n_params,
        shapes=tuple(name for one in found for name in one.shapes),
    )

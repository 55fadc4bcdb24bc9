"""What would help: each knob turned alone, in order of harm, with the bytes that it saves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from memory_calc.cards import Card
from memory_calc.estimate import estimate
from memory_calc.fit import needed_bytes
from memory_calc.job import Job
from memory_calc.losses import LOSSES
from memory_calc.optimizers import optimizer_named
from memory_calc.shapes import ModelShape

LEAST_SAVED = 0.02  # share of the peak below which a knob is not worth naming


@dataclass(frozen=True)
class Knob:
    """One knob: the job with it turned (None where it is turned already), the words to type, what it costs."""

    turned: Callable[[Job], Job | None]
    words: Callable[[Job], str]  # of the job after turning
    cost: str


@dataclass(frozen=True)
class Relief:
    """A knob's effect on one job: what to type, bytes of the allocated peak saved, bytes the card must give then."""

    words: str
    saved_bytes: int
    needed_bytes: int
    cost: str


def _attention(job: Job) -> Job | None:
    return replace(job, attention="flash_attention_2") if job.attention == "eager" else None


def _loss(job: Job) -> Job | None:
    return None if LOSSES[job.loss].fused_head else replace(job, loss="chunked-nll")


def _fused_step(job: Job) -> Job | None:
    return replace(job, optimizer="adamw_torch_fused") if optimizer_named(job.optimizer) == "adamw_torch" else None


def _upcast(job: Job) -> Job | None:
    return replace(job, upcast="norms") if job.upcast == "kbit" else None


def _checkpointing(job: Job) -> Job | None:
    return None if job.gradient_checkpointing else replace(job, gradient_checkpointing=True)


def _batch(job: Job) -> Job | None:
    half = job.batch // 2
    return replace(job, batch=half, accumulation=job.accumulation * -(-job.batch // half)) if half else None


def _sharding(job: Job) -> Job | None:
    return replace(job, sharding="fsdp") if job.n_gpus > 1 and job.sharding in ("none", "ddp") else None


def _offload(job: Job) -> Job | None:
    return None if job.offload or job.device == "cpu" else replace(job, offload=True)


def _eight_bit(job: Job) -> Job | None:
    eight = "8bit" in job.optimizer or optimizer_named(job.optimizer) in ("sgd", "adafactor")
    return None if eight else replace(job, optimizer="paged_adamw_8bit")


def _adapter_dtype(job: Job) -> Job | None:
    plain = job.method == "full" or job.adapter_dtype != "float32" or job.dtype == "float32"
    return None if plain else replace(job, adapter_dtype=job.dtype)


def _four_bit(job: Job) -> Job | None:
    if job.method == "full" or job.quantization == "nf4-dq":
        return None
    upcast = "auto" if job.quantization == "none" else job.upcast
    return replace(job, method="qlora", quantization="nf4-dq", upcast=upcast, autocast=None)


def _rank(job: Job) -> Job | None:
    return replace(job, rank=job.rank // 2) if job.method != "full" and job.rank > 1 else None


def _adapters(job: Job) -> Job | None:
    return replace(job, method="lora", autocast=None) if job.method == "full" else None


def _shorter(job: Job) -> Job | None:
    return replace(job, seq_tokens=job.seq_tokens // 2) if job.seq_tokens > 1 else None


# From the least harm to the most: first what leaves every number of the run as it is, then what costs time, then what
# rounds states or weights, last what trains less of the model or on less of the text.
KNOBS: tuple[Knob, ...] = (
    Knob(_attention, lambda _: "--attention flash_attention_2", "nothing: the same sums in another order"),
    Knob(_loss, lambda _: "--loss chunked-nll", "nothing: the same loss, made in pieces"),
    Knob(_fused_step, lambda _: "--optimizer adamw_torch_fused", "nothing: the same step in one kernel"),
    Knob(_upcast, lambda _: "--upcast norms", "table and head stay in 2 bytes"),
    Knob(_checkpointing, lambda _: "--gradient-checkpointing", "time: one more forward pass, about a third"),
    Knob(_batch, lambda job: f"--batch {job.batch} --accumulation {job.accumulation}", "time: smaller products"),
    Knob(_sharding, lambda _: "--sharding fsdp", "time: weights travel between the GPUs"),
    Knob(_offload, lambda _: "--offload", "time: states travel to the host and back"),
    Knob(_eight_bit, lambda _: "--optimizer paged_adamw_8bit", "rounding of the states (arXiv 2110.02861: no loss)"),
    Knob(_adapter_dtype, lambda job: f"--adapter-dtype {job.adapter_dtype}", "rounding of the adapters' updates"),
    Knob(_four_bit, lambda job: "--method qlora --quantization nf4-dq" + " --dora" * job.use_dora,
         "rounding of the base (arXiv 2305.14314)"),
    Knob(_rank, lambda job: f"--rank {job.rank}", "half of the adapters' capacity"),
    Knob(_adapters, lambda _: "--method lora", "only adapters learn"),
    Knob(_shorter, lambda job: f"--seq {job.seq_tokens}", "longer texts are cut"),
)  # fmt: skip


def reliefs(shape: ModelShape, worst: ModelShape, job: Job) -> Iterator[Relief]:
    """Every knob that saves at least LEAST_SAVED of the peak when it is turned alone, in order of harm.

    What is saved is that of the shape; what the card must give then that of the worst (most demanding) shape.
    """
    job = job.settled()
    before = estimate(shape, job).allocated.likely
    for knob in KNOBS:
        turned = knob.turned(job)
        if turned is None:
            continue
        turned = turned.settled()
        after = estimate(shape, turned)
        saved = before - after.allocated.likely
        if saved >= LEAST_SAVED * before:
            most = after if worst == shape else estimate(worst, turned)
            yield Relief(knob.words(turned), saved, needed_bytes(most, turned), knob.cost)


def enough(shape: ModelShape, job: Job, card: Card) -> tuple[str, ...]:
    """The knobs that together make a job fit the card: turned in order of harm until it fits, then those taken back
    that were not needed. Empty where it fits as it is, or where all of them are not enough.
    """

    def fits(tried: Job) -> bool:
        return needed_bytes(estimate(shape, tried), tried) <= card.usable_bytes

    def after(knobs: Sequence[Knob]) -> Job:
        turned = job.settled()
        for knob in knobs:
            turned = (knob.turned(turned) or turned).settled()
        return turned

    chosen: list[Knob] = []
    for knob in (*KNOBS, *KNOBS):  # twice: adapters open knobs that full training has not; halves as often as it takes
        while not fits(now := after(chosen)) and knob.turned(now) is not None:
            chosen.append(knob)
    if not fits(after(chosen)):
        return ()
    for knob in reversed(tuple(chosen)):
        fewer = list(chosen)
        fewer.remove(knob)
        if fits(after(fewer)):
            chosen = fewer
    final, options = after(chosen), {}
    for knob in chosen:  # a later knob's value of the same option is the one that holds
        for words in knob.words(final).removeprefix("--").split(" --"):
            name, _, value = words.partition(" ")
            options[name] = value
    return tuple(f"--{name} {value}".strip() for name, value in options.items())


def cheapest(helping: Sequence[Relief], needed: int, card: Card | None) -> Relief | None:
    """The first in order of harm; where the job does not fit the card, the first that makes it fit, if one does."""
    if card is not None and needed > card.usable_bytes:
        alone = next((one for one in helping if one.needed_bytes <= card.usable_bytes), None)
        if alone is not None:
            return alone
    return helping[0] if helping else None

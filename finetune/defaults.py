"""The one table of defaults of a training run: what is adapted, how strongly, how long, each row with its source."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from finetune.errors import FinetuneError

QV, ATTENTION, ALL_LINEAR = "q_proj,v_proj", "q_proj,k_proj,v_proj,o_proj", "all-linear"
MLP = "gate_proj,up_proj,down_proj"  # MLP alone: as good as q and v at equal size and forgets less (peft's benchmark)


@dataclass(frozen=True)
class Default:
    """What is trained for one kind of form: rank, targets (as Recipe has them), whether the data caps the rank."""

    kind: str
    rank: int
    most_rank: int  # up to which a run may go where the first rank learns too little
    targets: str
    capped: bool
    because: str
    source: str


# From the least that is to be learned to the most. Rows of one kind that are mixed with another take the larger.
DEFAULTS: Mapping[str, Default] = {
    row.kind: row
    for row in (
        Default(
            "tone",
            rank=8,
            most_rank=16,
            targets=QV,
            capped=True,
            because="length, register and style are choices among what the base writes anyway",
            source="LoRA (arXiv 2106.09685, section 7.1: q and v at a small rank; 7.2: rank 8 of them suffices); "
            "about 100 rows teach a style (arXiv 2507.04889)",
        ),
        Default(
            "shape",
            rank=8,
            most_rank=16,
            targets=ATTENTION,
            capped=True,
            because="the base knows the pieces of such an answer; which come in which order is attention's",
            source="LoRA (arXiv 2106.09685, section 7.1: all four attention matrices are best at equal parameters); "
            "rank moves the loss least of all knobs (tinker-cookbook's sweep: 16 -> 128 by 0.003)",
        ),
        Default(
            "syntax",
            rank=16,
            most_rank=32,
            targets=ALL_LINEAR,
            capped=True,
            because="a notation that the base does not write has to be put into all layers",
            source="LoRA Without Regret (2025): attention alone is worse even at equal parameters; "
            "QLoRA (arXiv 2305.14314, section 4: all linear layers are needed, the rank is not)",
        ),
    )
}
KINDS = tuple(DEFAULTS)


class Row(NamedTuple):
    """One knob that does not depend on the kind: its default, and where it is from."""

    knob: str
    value: float | str | tuple[float, ...]
    source: str


ALPHA = 32
DROPOUT = 0.0
BATCH = (8, 32)  # rows of one optimizer step, least and most
EPOCHS = (3, 10)
LEAST_STEPS = 60  # fewer leave the adapter near where it began: epochs are added until these are reached
STEPS_FOR_MORE = 100  # a larger batch is taken only where as many steps are left
RATE, LORA_TIMES, WIDTH = 5e-5, 10, 2000
EXPONENTS = {"llama": 0.781, "qwen": 0.0775}
LOWEST_RATE, HIGHEST_RATE = 1e-4, 5e-4
WARMUP_RATE = 0.05
MAX_GRAD_NORM = 1.0
MARGIN = 0.15  # share of the memory that a recipe leaves free

TABLE = (
    Row("alpha", ALPHA, "LoRA Without Regret (2025): alpha / rank with alpha 32 makes the rate independent of rank"),
    Row("dropout", DROPOUT, "LoRA Without Regret (2025) trains without; kernels that fuse adapters want none"),
    Row("batch", BATCH, "TRL's guide 'LoRA Without Regret': LoRA bears less than 32; tinker-cookbook: 100 steps first"),
    Row("learning_rate", RATE, "x 10 x (2000 / hidden)^P: tinker-cookbook hyperparam_utils (2025); see learning_rate"),
    Row("learning_rate bounds", (LOWEST_RATE, HIGHEST_RATE), "tinker-cookbook's sweep: of 80 that diverged 72 at 3e-3"),
    Row("learning_rate of full", 0.1, "LoRA Without Regret (2025): a tenth of LoRA's; TRL's guide: 2e-5 for 2e-4"),
    Row("epochs", EPOCHS, "ours: dev/LOG.md, 2026-11-24; early stop ends them sooner"),
    Row("least steps", LEAST_STEPS, "ours: dev/LOG.md, 2026-11-24"),
    Row("warmup_rate", WARMUP_RATE, "QLoRA's scripts have 0.03; 3 to 5 % is usual"),
    Row("max_grad_norm", MAX_GRAD_NORM, "transformers' TrainingArguments"),
    Row(
        "free memory", MARGIN, "between what torch and what the driver counts lay 0 to 30 GiB of 80 (fms-acceleration)"
    ),
)


class Cap(NamedTuple):
    """The largest rank that the data allows, and the sentence that a plan prints where it binds."""

    rank: int
    says: str


def rank_cap(trainable_per_rank: int, completion_tokens: int) -> Cap:
    """The largest rank at which trainable parameters stay below the completion tokens trained on, at least 1.

    `trainable_per_rank` are the parameters of an adapter of rank 1, the sum of d_in + d_out over its matrices (LoRA,
    arXiv 2106.09685, section 4.1); `completion_tokens` those that the loss sees, over all epochs.

    Two readings of one rule of thumb exist. Here it is a cap against learning by heart: no more parameters than tokens
    to settle them. "LoRA Without Regret" (2025) has it from the other side, as capacity: an adapter holds about 2 bits
    a parameter and a completion token brings about 1, so that an adapter which is to hold its whole data needs about as
    many parameters as tokens, and more do no harm. Whether a kind is capped stands in its row (`Default.capped`).
    """
    rank = max(1, (completion_tokens - 1) // trainable_per_rank)
    trained = rank * trainable_per_rank
    if trained < completion_tokens:
        says = f"rank capped at {rank}: {trained:,} trainable parameters stay below the {completion_tokens:,} "
        return Cap(rank, says + "completion tokens trained on, over all epochs")
    says = f"rank capped at 1, the least: even that trains {trained:,} parameters, more than the {completion_tokens:,} "
    return Cap(rank, says + "completion tokens trained on, over all epochs")


def learning_rate(hidden: int, model_type: str = "llama", method: str = "lora") -> float:
    """The rate for a base of this width: 5e-5 x 10 x (2000 / hidden)^P within 1e-4 and 5e-4; full a tenth of it.

    P is .0775 for Qwen and .781 for Llama, which is also taken for all others (tinker-cookbook hyperparam_utils.get_lr
    as of 2025; later versions hold a table of swept rates, 1e-4 to 1e-3, instead). The bounds are ours.
    """
    power = EXPONENTS["qwen" if model_type.startswith("qwen") else "llama"]
    rate = min(HIGHEST_RATE, max(LOWEST_RATE, RATE * LORA_TIMES * math.pow(WIDTH / hidden, power)))
    return round(rate / LORA_TIMES if method == "full" else rate, 7)


def state_bytes(parameters: int, trainable: int) -> int:
    """Bytes that stay in memory the whole step, activations aside: weights, gradients and AdamW's two states.

    What is trained is held in float32, 16 bytes each (4 weight, 4 gradient, 8 states); what is frozen in bf16, 2 bytes.
    """
    return 16 * trainable + 2 * (parameters - trainable)


def both_sizes(parameters: int, per_rank: int, rank: int) -> str:
    """All weights of a base of so many parameters beside an adapter, as a sentence for who asks for all of them."""
    adapter = rank * per_rank
    whole, small = state_bytes(parameters, parameters) / 1e9, state_bytes(parameters + adapter, adapter) / 1e9
    return (
        f"all {parameters:,} weights take {whole:.2f} GB in training, activations aside; LoRA at rank {rank} trains "
        f"{adapter:,} and takes {small:.2f} GB: where it fits it is the one to take"
    )


def batch_for(rows: int, *, least: int = BATCH[0], most: int = BATCH[1]) -> int:
    """Rows of one optimizer step: the largest of 8, 16, 32 that leaves STEPS_FOR_MORE steps in the fewest epochs."""
    batch = least
    while 2 * batch <= most and EPOCHS[0] * math.ceil(rows / (2 * batch)) >= STEPS_FOR_MORE:
        batch *= 2
    return batch


def epochs_for(rows: int, batch: int, *, least_steps: int = LEAST_STEPS) -> int:
    """Epochs that make at least `least_steps` optimizer steps of `rows` rows, within EPOCHS."""
    return min(EPOCHS[1], max(EPOCHS[0], math.ceil(least_steps / math.ceil(rows / batch))))


# What other model code calls the matrices that Llama's names mean. Fused ones hold several and are taken whole
# (transformers modeling_gpt2.py, modeling_gpt_neox.py, modeling_phi3.py, modeling_falcon.py, modeling_mpt.py,
# modeling_opt.py, modeling_gptj.py, modeling_deepseek_v3.py, modeling_mixtral.py; InternLM2 and Qwen 1 remote code).
_FUSED = ("qkv_proj", "c_attn", "query_key_value", "W_pack", "Wqkv", "wqkv", "qkv")
_LATENT = ("kv_b_proj", "kv_a_proj_with_mqa")
_SAME = {
    "q_proj": ("query", "wq", "q_lin", "q_a_proj", "q_b_proj", *_FUSED),
    "k_proj": ("key", "wk", "k_lin", *_LATENT, *_FUSED),
    "v_proj": ("value", "wv", "v_lin", *_LATENT, *_FUSED),
    "o_proj": ("out_proj", "dense", "c_proj", "wo", "out_lin", "output_proj"),
    "gate_proj": ("gate_up_proj", "w1"),
    "up_proj": ("gate_up_proj", "w3", "fc1", "c_fc", "fc_in", "dense_h_to_4h"),
    "down_proj": ("w2", "fc2", "c_proj", "fc_out", "dense_4h_to_h"),
}
_OF_MLP = MLP.split(",")


def targets_of(kind: str, names: Iterable[str]) -> str:
    """The targets of a kind (or names with commas, or all-linear) as names that this model really has, with commas.

    `names` are the dotted names of the model's Linear (and Conv1D) modules. A name of Llama's is looked up under what
    other architectures call it; where that name occurs in attention and MLP alike (c_proj of GPT-2) the part of the
    path before it is kept, which peft matches as a suffix. Raises FinetuneError (exit code 2) that lists the names that
    there are.
    """
    wanted = DEFAULTS[kind].targets if kind in DEFAULTS else kind
    if wanted == ALL_LINEAR:
        return wanted
    modules = [name.split(".") for name in names]
    last = sorted({parts[-1] for parts in modules} - {"lm_head"})
    found: dict[str, None] = {}
    for target in (part.strip() for part in wanted.split(",")):
        own = [parts for parts in modules if ".".join(parts).endswith(f".{target}") or ".".join(parts) == target]
        if own:
            found[target] = None
            continue
        if target not in _SAME:
            allowed = f"{ALL_LINEAR}, {', '.join(KINDS)}, {', '.join(last)}"
            raise FinetuneError("targets", f"{target}: this model has no such matrix", allowed, exit_code=2)
        of_mlp = target in _OF_MLP
        for parts in modules:
            if parts[-1] in _SAME[target] and of_mlp != _in_attention(parts):
                elsewhere = any(o[-1] == parts[-1] and _in_attention(o) != _in_attention(parts) for o in modules)
                found[".".join(parts[-2:]) if elsewhere else parts[-1]] = None
    if not found:
        allowed = f"{ALL_LINEAR}, {', '.join(last)}"
        raise FinetuneError("targets", f"{wanted}: this model has no such matrices", allowed, exit_code=2)
    return ",".join(found)


def _in_attention(parts: list[str]) -> bool:
    return any("attn" in part.lower() or "attention" in part.lower() for part in parts[:-1])

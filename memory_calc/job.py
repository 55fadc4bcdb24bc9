"""One training job: every knob that moves its memory, with defaults and where they are from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from memory_calc.errors import MemcalcError
from memory_calc.losses import LOSSES
from memory_calc.optimizers import optimizer_named

METHODS = ("full", "lora", "qlora", "dora")
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
DTYPE_ALIASES = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32"}
QUANTIZATIONS = ("none", "nf4", "nf4-dq", "int8", "gptq4")
ATTENTIONS = ("sdpa", "flash_attention_2", "eager")
UPCASTS = ("none", "norms", "kbit")
SHARDINGS = ("none", "ddp", "zero1", "zero2", "zero3", "fsdp")
PADDINGS = ("fixed", "longest")
AUTO_QUANTIZATIONS, AUTO_UPCASTS, AUTO_DTYPES = (("auto", *words) for words in (QUANTIZATIONS, UPCASTS, DTYPE_BYTES))


@dataclass(unsafe_hash=True)  # never changed, but not frozen: making one would take twice as long
class Job:
    """How a model is trained. Values "auto" are settled by `settled()` from the other knobs.

    Defaults: batch, dtype and checkpointing as TRL's SFTTrainer (1.x: bf16 and checkpointing on); optimizer as
    transformers' TrainingArguments on torch >= 2.8 (`adamw_torch_fused`); rank and adapter dtype as PEFT writes them
    in its QLoRA guide (r 16, all-linear) and does by default (fp32 adapters, `autocast_adapter_dtype=True`); upcast
    as `peft.prepare_model_for_kbit_training` does for a quantised base.
    """

    method: str = "lora"
    rank: int = 16
    targets: Sequence[str] = ("all-linear",)  # names of matrices; one string is split at commas
    use_dora: bool = False
    batch: int = 1  # sequences of one device in one micro-step
    seq_tokens: int = 2048
    dtype: str = "bfloat16"
    quantization: str = "auto"
    optimizer: str = "adamw_torch_fused"
    attention: str = "sdpa"
    gradient_checkpointing: bool = True
    loss: str = "hf"
    upcast: str = "auto"
    adapter_dtype: str = "auto"
    autocast: bool | None = None  # None: on for a 2-byte adapter run under Trainer, as its bf16 and fp16 flags do
    accumulation: int = 1
    n_gpus: int = 1
    sharding: str = "none"
    offload: bool = False  # to the host: optimizer states and their gradients; with zero3 and fsdp parameters as well
    fsdp_fp32: bool = True  # accelerate's FSDP keeps what is trained in 4 bytes; litgpt, torchtune and own loops do not
    optimizer_in_backward: bool = False  # each gradient is used and freed as soon as it is there
    padding: str = "fixed"  # longest: every batch has a length of its own, at most seq_tokens
    kernels: str = "none"
    device: str = "cuda"  # cuda or cpu
    gpu: str = ""  # only for the size of the context

    def settled(self) -> Job:
        """The same job with every "auto" decided and every value checked.

        Raises MemcalcError (exit code 2) that names the option, the value and what is allowed.
        """
        dtype = DTYPE_ALIASES.get(self.dtype, self.dtype)
        adapter = DTYPE_ALIASES.get(self.adapter_dtype, self.adapter_dtype)
        for option, word, allowed in (
            ("--method", self.method, METHODS), ("--dtype", dtype, DTYPE_BYTES),
            ("--attention", self.attention, ATTENTIONS), ("--loss", self.loss, LOSSES),
            ("--upcast", self.upcast, AUTO_UPCASTS), ("--quantization", self.quantization, AUTO_QUANTIZATIONS),
            ("--adapter-dtype", adapter, AUTO_DTYPES), ("--sharding", self.sharding, SHARDINGS),
            ("--padding", self.padding, PADDINGS),
        ):  # fmt: skip
            if word not in allowed:
                raise MemcalcError(option, repr(word), allowed=", ".join(allowed))
        optimizer_named(self.optimizer)
        for option, value in (
            ("--rank", self.rank), ("--batch", self.batch), ("--seq", self.seq_tokens), ("--gpus", self.n_gpus),
            ("--accumulation", self.accumulation),
        ):  # fmt: skip
            if value < 1:
                raise MemcalcError(option, str(value), allowed="a whole number above 0")
        if not self.targets and self.method != "full":
            raise MemcalcError("--targets", "none", allowed="all-linear, or names as q_proj,v_proj")
        quantization = self.quantization
        if quantization == "auto":
            quantization = "nf4-dq" if self.method == "qlora" else "none"
        if self.method == "qlora" and quantization == "none":
            raise MemcalcError("--quantization", "none with --method qlora", allowed=", ".join(QUANTIZATIONS[1:]))
        if self.method == "full" and quantization != "none":
            raise MemcalcError("--quantization", f"{quantization} with --method full", allowed="none")
        deepspeed = self.sharding.startswith("zero")
        upcast = self.upcast
        if upcast == "auto":
            upcast = "kbit" if quantization != "none" and not deepspeed else "none"
        autocast = self.autocast
        if autocast is None:
            autocast = self.method != "full" and dtype != "float32" and self.loss != "hf-kept" and not deepspeed
        if adapter == "auto":
            adapter = dtype if deepspeed else "float32"  # DeepSpeed's engine casts the whole module
        targets = tuple(self.targets.split(",")) if isinstance(self.targets, str) else tuple(self.targets)
        settled = {
            "method": "lora" if self.method == "dora" else self.method,
            "use_dora": self.use_dora or self.method == "dora",
            "dtype": dtype,
            "targets": targets,
            "quantization": quantization,
            "upcast": upcast,
            "autocast": autocast,
            "adapter_dtype": adapter,
        }
        return Job(**{**vars(self), **settled})

    @property
    def tokens(self) -> int:
        """Tokens of one micro-step on one device, padding counted."""
        return self.batch * self.seq_tokens

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in fields(self)}

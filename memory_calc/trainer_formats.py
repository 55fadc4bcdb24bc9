"""Which options of memcalc each trainer's options mean: one reader a format, and what the formats share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from memory_calc.errors import MemcalcError
from memory_calc.job import DTYPE_ALIASES, DTYPE_BYTES
from memory_calc.settings import Knobs, Settings
from memory_calc.trainer_keys import OFFLOADED, REFERENCE
from memory_calc.trainer_sharding import several, split

# --- what several formats share


def _put(knobs: Knobs, name: str, value: Any) -> None:
    if value is not None:
        knobs[name] = value


def _hf_batch(settings: Settings, knobs: Knobs) -> None:
    """TrainingArguments: 8 sequences a device unless said (training_args.py)."""
    knobs["batch"] = settings.whole("per_device_train_batch_size", "per_gpu_train_batch_size") or 8
    _put(knobs, "accumulation", settings.whole("gradient_accumulation_steps"))


def _optimizer(settings: Settings, knobs: Knobs, key: str) -> None:
    from memory_calc.optimizers import optimizer_named

    name = settings.text(key).rsplit(".", 1)[-1]  # a class of torchtune's: bitsandbytes.optim.PagedAdamW8bit
    if not name:
        return
    try:
        knobs["optimizer"] = optimizer_named(name)
    except MemcalcError:
        settings.note(key, "its states; counted as the framework's AdamW")


def _attention(settings: Settings, knobs: Knobs, *keys: str) -> None:
    said = settings.text(*keys).replace("kernels-community/", "")
    if said in ("", "auto"):
        return
    if said in ("fa2", "fa3") or "flash" in said:
        knobs["attention"] = "flash_attention_2"
    elif said in ("sdpa", "eager", "disabled"):
        knobs["attention"] = "sdpa" if said == "sdpa" else "eager"
    else:
        settings.note(keys[0], "counted as sdpa")


def _targets(settings: Settings, knobs: Knobs, key: str) -> None:
    """Adapters on the named matrices; those on the head or the embeddings are named as not modelled."""
    names = settings.names(key)
    if "all" in names or "all-linear" in names or "all_linear" in names:
        knobs["targets"] = "all-linear"
    elif any(re.search(r"[*()|\\^$]", name) for name in names):
        settings.note(key, "a pattern; counted as all-linear")
        knobs["targets"] = "all-linear"
    elif names:
        inside = [name for name in names if name.rsplit(".", 1)[-1] not in ("lm_head", "embed_tokens", "output", "wte")]
        if inside != names:
            settings.note(key, "adapters on the head or the embeddings; counted without")
        if inside:
            knobs["targets"] = ",".join(inside)


def _bits(settings: Settings, knobs: Knobs, *, double: bool | None) -> None:
    """Quantisation by bitsandbytes flags; `double`: whether the constants are quantised again."""
    four, eight = settings.flag("load_in_4bit"), settings.flag("load_in_8bit")
    stored, gptq = settings.text("quant_method"), settings.flag("gptq")
    if four:
        knobs.update(method="qlora", quantization="nf4-dq" if double else "nf4")
    elif eight:
        knobs.update(method="lora", quantization="int8")
    if stored == "gptq" or gptq:
        knobs.update(method="lora", quantization="gptq4")


def _dtype(settings: Settings, *keys: str) -> str | None:
    said = settings.text(*keys)
    said = DTYPE_ALIASES.get(said, said)
    if said and said != "auto" and said not in DTYPE_BYTES:
        settings.note(keys[0], "counted in the framework's dtype")
    return said if said in DTYPE_BYTES else None


def _offloaded_checkpoints(settings: Settings, knobs: Knobs, key: str) -> None:
    """gradient_checkpointing: yes, no, or the name of a way to move the checkpoints to the host."""
    said = settings.flag(key)
    _put(knobs, "gradient_checkpointing", said)
    if said and settings.text(key) not in ("true", "1", "yes", "on"):
        settings.note(key, OFFLOADED)


# --- one reader a format


def _axolotl(settings: Settings, knobs: Knobs) -> None:
    """axolotl utils/schemas/*.py (names, defaults), loaders/model.py (quantisation), utils/config (dtypes)."""
    adapter = settings.text("adapter")
    knobs.update(method="lora" if adapter else "full", batch=settings.whole("micro_batch_size") or 1)
    knobs["seq"] = settings.whole("sequence_len") or 512
    steps, whole_batch = settings.whole("gradient_accumulation_steps"), settings.whole("batch_size")
    _put(knobs, "accumulation", steps or (whole_batch and max(1, whole_batch // knobs["batch"])))
    if adapter not in ("", "lora", "qlora"):
        settings.note("adapter", "counted as lora")
    _bits(settings, knobs, double=settings.flag("bnb_config_kwargs.bnb_4bit_use_double_quant") is not False)
    weights = settings.text("peft.weight_dtype")
    if weights in ("nf4", "int4", "int8"):
        knobs.update(method="lora", quantization="int8") if weights == "int8" else knobs.update(
            method="qlora", quantization="nf4" if settings.text("peft.backend") == "torchao" else "nf4-dq"
        )
    settings.used.update({"peft.backend", "peft.group_size"})
    if adapter:
        _put(knobs, "rank", settings.whole("lora_r"))
        knobs["targets"] = "q_proj,v_proj"  # PEFT's own for Llama and its kin, where the file names none
        _targets(settings, knobs, "lora_target_modules")
        if settings.flag("lora_target_linear"):
            knobs["targets"] = "all-linear"
        _put(knobs, "dora", settings.flag("peft_use_dora"))
        if settings.flag("peft_autocast_adapter_dtype") is False:
            knobs["adapter_dtype"] = "bfloat16"
    _optimizer(settings, knobs, "optimizer")
    _offloaded_checkpoints(settings, knobs, "gradient_checkpointing")
    _axolotl_dtype(settings, knobs)
    _axolotl_kernels(settings, knobs)
    several(settings, knobs)
    _put(knobs, "gpus", settings.whole("dp_shard_size"))
    split(settings, "tensor_parallel_size", "context_parallel_size", "sequence_parallel_degree",
           "expert_parallel_size", "dp_replicate_size")  # fmt: skip


def _axolotl_dtype(settings: Settings, knobs: Knobs) -> None:
    """bf16 and fp16 mean autocast, bfloat16 and float16 do without; bf16 is "auto" unless said (resolve_dtype)."""
    bf16, fp16, whole = settings.text("bf16"), settings.flag("fp16"), settings.flag("float32")
    pure16, pure_half, eight = settings.flag("bfloat16"), settings.flag("float16"), settings.flag("load_in_8bit")
    on = bf16 in ("true", "full") or (bf16 in ("", "auto") and not (fp16 or pure_half or whole))
    if on or pure16:
        knobs["dtype"] = "bfloat16"
    else:
        knobs["dtype"] = "float16" if fp16 or pure_half or eight else "float32"
    if bf16 == "full" or pure16 or pure_half or knobs["dtype"] == "float32":
        knobs["autocast"] = False


def _axolotl_kernels(settings: Settings, knobs: Knobs) -> None:
    """Attention and loss, each by a switch of its own (loaders/model.py, integrations/liger, cut_cross_entropy)."""
    _attention(settings, knobs, "attn_implementation")
    for key, name in (("flash_attention", "flash_attention_2"), ("eager_attention", "eager")):
        if settings.flag(key):
            knobs["attention"] = name
    for key in ("xformers_attention", "flex_attention", "s2_attention", "sage_attention"):
        if settings.flag(key):
            settings.note(key, "counted as sdpa")
    plugins = " ".join(settings.names("plugins")).lower()
    cut = settings.flag("cut_cross_entropy")
    for asked, loss in (
        (settings.flag("flash_attn_cross_entropy"), "fused-ce"),
        (settings.flag("unsloth_cross_entropy_loss"), "fused-ce"),
        (settings.flag("chunked_cross_entropy"), "chunked-8"),
        (settings.flag("liger_cross_entropy"), "liger-ce"),
        (settings.flag("liger_fused_linear_cross_entropy"), "fused-linear-ce"),
        (cut or (cut is None and "cut_cross_entropy" in plugins), "fused-linear-ce"),
    ):
        if asked:
            knobs["loss"] = loss


def _llamafactory(settings: Settings, knobs: Knobs) -> None:
    """LLaMA-Factory hparams/*.py (names, defaults), model/adapter.py and model/patcher.py (dtypes)."""
    kind = settings.text("finetuning_type") or "lora"
    knobs.update(method="full" if kind in ("full", "freeze") else "lora", seq=settings.whole("cutoff_len") or 2048)
    if kind not in ("lora", "full"):
        settings.note("finetuning_type", f"counted as {knobs['method']}")
    if settings.text("stage") not in ("", "sft", "pt"):
        settings.note("stage", REFERENCE)
    _hf_batch(settings, knobs)
    if knobs["method"] == "lora":
        knobs.update(rank=settings.whole("lora_rank") or 8, targets="all-linear")
        _targets(settings, knobs, "lora_target")
        _put(knobs, "dora", settings.flag("use_dora"))
    bits = settings.whole("quantization_bit")
    if bits:
        double = settings.flag("double_quantization") is not False
        four = {"method": "qlora", "quantization": "nf4-dq" if double else "nf4"}
        knobs.update({"method": "lora", "quantization": "int8"} if bits == 8 else four)
        by = settings.text("quantization_method")
        if bits not in (4, 8) or by not in ("", "bnb", "bitsandbytes"):
            settings.note("quantization_bit", "counted as bitsandbytes would, with 8 or 4 bits")
    settings.used.update({"quantization_type", "quantization_method", "double_quantization"})
    _optimizer(settings, knobs, "optim")
    _attention(settings, knobs, "flash_attn", "attn")
    knobs["gradient_checkpointing"] = not settings.flag("disable_gradient_checkpointing")
    settings.used.update({"gradient_checkpointing", "activation_checkpointing"})  # its own switch above decides
    if settings.flag("enable_liger_kernel", "use_liger_kernel"):
        knobs["loss"] = "fused-linear-ce"
    if settings.flag("use_unsloth"):
        knobs["loss"] = "fused-linear-ce"
        settings.note("use_unsloth", "its layers and checkpoints on the host are not modelled, its loss is")
    if settings.flag("upcast_layernorm"):
        knobs["upcast"] = "norms"
    pure, bf16, fp16 = settings.flag("pure_bf16"), settings.flag("bf16"), settings.flag("fp16")
    several(settings, knobs)
    if knobs["method"] != "full" or pure or knobs.get("sharding") in ("fsdp", "zero3"):
        knobs["dtype"] = "float16" if fp16 else "bfloat16"  # full training else: float32, from the framework's preset
    if pure or not (bf16 or fp16):
        knobs["autocast"] = False


def _transformers(settings: Settings, knobs: Knobs) -> None:
    """TrainingArguments, LoraConfig and BitsAndBytesConfig; they hold no length."""
    _hugging_face(settings, knobs, trl=False)


def _trl(settings: Settings, knobs: Knobs) -> None:
    """SFTConfig (1,024 tokens unless said) and ModelConfig, beside those of transformers."""
    knobs["seq"] = settings.whole("max_length", "max_seq_length") or 1024
    _hugging_face(settings, knobs, trl=True)


def _hugging_face(settings: Settings, knobs: Knobs, *, trl: bool) -> None:
    adapted = settings.flag("use_peft")
    plain = settings.get("r", "target_modules", "peft_type") is not None  # a LoraConfig
    knobs["method"] = "lora" if adapted or plain else "full"
    _hf_batch(settings, knobs)
    _bits(settings, knobs, double=settings.flag("bnb_4bit_use_double_quant", "use_bnb_nested_quant"))
    rank, dora = settings.whole("lora_r", "r"), settings.flag("use_dora")
    names = "target_modules" if plain else "lora_target_modules"
    if knobs["method"] == "full":
        if settings.find("lora_r"):
            settings.note("lora_r", "has no effect, use_peft is not set: every parameter is trained")
        settings.used.add("lora_target_modules")
    else:
        knobs.update(rank=rank or (8 if plain else 16), targets="q_proj,v_proj")  # PEFT's own for Llama and its kin
        _targets(settings, knobs, names)
        _put(knobs, "dora", dora)
    _optimizer(settings, knobs, "optim")
    _offloaded_checkpoints(settings, knobs, "gradient_checkpointing")
    _put(knobs, "gradient_checkpointing", settings.flag("activation_checkpointing"))
    _attention(settings, knobs, "attn_implementation")
    if settings.flag("use_flash_attention_2"):
        knobs["attention"] = "flash_attention_2"
    bf16, fp16, weights = settings.flag("bf16"), settings.flag("fp16"), _dtype(settings, "dtype", "torch_dtype")
    _put(knobs, "dtype", weights or ("float16" if fp16 and not trl else None))
    if not bf16 and not fp16 and (bf16 is False or not trl):
        knobs["autocast"] = False
    elif knobs.get("dtype") == "float32":
        knobs["autocast"] = True
    _hf_loss(settings, knobs)
    several(settings, knobs)


def _hf_loss(settings: Settings, knobs: Knobs) -> None:
    """SFTConfig: chunked_nll, or nll under Liger, whose kernel then makes the loss (sft_config.py loss_type)."""
    kind = settings.text("loss_type")
    liger = settings.flag("use_liger_kernel", "use_liger", "use_liger_loss")
    off = settings.flag("liger_kernel_config.fused_linear_cross_entropy") is False
    if liger:
        knobs["loss"] = "liger-ce" if off else "fused-linear-ce"
    elif kind in ("chunked_nll", "nll"):
        knobs["loss"] = {"nll": "hf"}.get(kind, "chunked-nll")
    elif kind:
        settings.note("loss_type", "counted as the plain loss")
        knobs["loss"] = "hf"


def _torchtune(settings: Settings, knobs: Knobs) -> None:
    """torchtune recipes/configs: the model's builder tells the method; lists of modules tell the targets."""
    builder = settings.text("model._component_").rsplit(".", 1)[-1]
    ways = set(builder.split("_")[:1]) & {"lora", "qlora", "dora", "qdora"}
    quantized = bool(ways & {"qlora", "qdora"}) or bool(settings.flag("model.quantize_base"))
    knobs["method"] = "qlora" if quantized else "lora" if ways else "full"
    knobs["batch"] = settings.whole("batch_size") or 1
    _put(knobs, "accumulation", settings.whole("gradient_accumulation_steps"))
    _put(knobs, "seq", settings.whole("tokenizer.max_seq_len", "dataset.max_seq_len"))
    if knobs["method"] != "full":
        targets = [name.replace("output_proj", "o_proj") for name in settings.names("model.lora_attn_modules")]
        if settings.flag("model.apply_lora_to_mlp"):
            targets += ["gate_proj", "up_proj", "down_proj"]
        knobs.update(rank=settings.whole("model.lora_rank") or 8, targets=",".join(targets) or "q_proj,v_proj")
        _put(knobs, "dora", True if ways & {"dora", "qdora"} else settings.flag("model.use_dora"))
    _optimizer(settings, knobs, "optimizer._component_")
    if knobs.get("optimizer") == "adamw_torch":
        if settings.flag("optimizer.fused") or settings.flag("optimizer.foreach") is False:
            knobs["optimizer"] = "adamw_torch_fused"  # neither holds a list of temporaries
    loss = settings.text("loss._component_").rsplit(".", 1)[-1]
    if loss not in ("", "cewithchunkedoutputloss", "linearcrossentropyloss"):
        settings.note("loss._component_", "counted as the loss of transformers")
        knobs["loss"] = "hf"
    _put(knobs, "gradient_checkpointing", settings.flag("enable_activation_checkpointing"))
    dtype = _dtype(settings, "dtype")
    if dtype:
        knobs.update(dtype=dtype, adapter_dtype=dtype)
    _put(knobs, "offload", settings.flag("fsdp_cpu_offload"))
    _put(knobs, "optimizer_in_backward", settings.flag("optimizer_in_bwd"))
    if settings.text("data_parallel_shard_dim").isdigit():
        knobs["gpus"] = settings.whole("data_parallel_shard_dim")
    split(settings, "tensor_parallel_dim", "context_parallel_dim", "data_parallel_replicate_dim")


def _litgpt(settings: Settings, knobs: Knobs) -> None:
    """litgpt config_hub/finetune: switches for the matrices, precision and quantize (finetune/lora.py, full.py)."""
    said = settings.text("quantize").removeprefix("bnb.")
    adapted = [key for key in settings.entries if key.startswith("lora_")]
    knobs.update(method="lora" if adapted else "full", batch=settings.whole("train.micro_batch_size") or 1)
    if said:
        plain = said.replace("fp4", "nf4").replace("int8-training", "int8")  # fp4 takes the bytes of nf4
        knobs.update(method="lora" if plain == "int8" else "qlora", quantization=plain)
    _put(knobs, "seq", settings.whole("train.max_seq_length"))
    devices = settings.whole("devices") if settings.text("devices").isdigit() else None
    _put(knobs, "gpus", devices and devices * (settings.whole("num_nodes") or 1))
    whole_batch = settings.whole("train.global_batch_size")
    _put(knobs, "accumulation", whole_batch and max(1, whole_batch // (knobs["batch"] * knobs.get("gpus", 1))))
    if adapted:
        switches = (("query", "q_proj", True), ("key", "k_proj", False), ("value", "v_proj", True),
                    ("projection", "o_proj", False), ("mlp", "gate_proj,up_proj,down_proj", False))  # fmt: skip
        flags = {name: settings.flag(f"lora_{name}") for name, _, _ in switches}
        on = [names for name, names, default in switches if flags[name] or (flags[name] is None and default)]
        knobs.update(rank=settings.whole("lora_r") or 8, targets=",".join(on))
    dtype = {"bf16": "bfloat16", "16": "float16", "32": "float32"}.get(settings.text("precision").split("-")[0])
    if dtype:
        mixed = settings.text("precision").endswith("mixed")
        knobs.update(dtype="float32" if mixed else dtype, adapter_dtype="float32" if mixed else dtype, autocast=mixed)
    name = settings.text("optimizer.class_path", "optimizer")
    if name and name.rsplit(".", 1)[-1] != "adamw":
        _optimizer(settings, knobs, "optimizer.class_path" if settings.get("optimizer.class_path") else "optimizer")


READERS: dict[str, Callable[[Settings, Knobs], None]] = {
    "axolotl": _axolotl,
    "llamafactory": _llamafactory,
    "trl": _trl,
    "transformers": _transformers,
    "torchtune": _torchtune,
    "litgpt": _litgpt,
}

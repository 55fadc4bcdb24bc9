"""Each trainer's own words for a recipe: axolotl, LLaMA-Factory, TRL and unsloth, and what of it each does not have."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetune.recipe import Recipe

if TYPE_CHECKING:
    from finetune.examples import Example

Settings = dict[str, Any]

LORA_PLUS_RATIO = 16  # rate of B over that of A (Hayou et al. 2024, "LoRA+", arXiv 2402.12354, section 5)
TRAINING, VALIDATION = "train.jsonl", "validation.jsonl"


@dataclass(frozen=True)
class Job:
    """What an export is written from."""

    base: str  # a folder or a hub id
    recipe: Recipe
    n_training: int
    n_validation: int
    end: str  # the token with which the chat template closes an answer
    after: str  # what it writes after that
    eos: str
    thinks: bool  # its template knows of thoughts

    @property
    def steps_an_epoch(self) -> int:
        """Optimizer steps of one epoch on one device."""
        return math.ceil(self.n_training / (self.recipe.batch * self.recipe.accumulation))

    @property
    def every(self) -> int:
        """Steps between two evaluations and checkpoints: an epoch, at most 200, as `finetune train` has it."""
        return min(self.steps_an_epoch, 200)

    @property
    def warmup_steps(self) -> int:
        """The recipe's share of all steps, as a number that every version of every trainer takes."""
        return round(self.recipe.warmup_rate * (self.recipe.max_steps or self.steps_an_epoch * self.recipe.epochs))


@dataclass(frozen=True)
class Tool:
    """How a trainer is written for: its file and settings, a row of its examples, and what starts it."""

    name: str
    file: str
    settings: Callable[[Job], Settings]
    row: Callable[[Example], Settings]
    command: str
    checked: str  # the release against whose own argument classes or source the settings were checked
    script: str = ""  # a module of this package that is copied beside the file


# --- a row of examples


def turns_of(example: Example) -> list[Settings]:
    """The example as OpenAI messages, its answer last."""
    asked = [{"role": turn["role"], "content": turn["content"]} for turn in example.messages]
    return [*asked, {"role": "assistant", "content": example.completion}]


def _marked(example: Example) -> Settings:
    """OpenAI messages, each with whether it is trained: earlier answers in a prompt are not."""
    messages = turns_of(example)
    return {"messages": [{**turn, "training": turn is messages[-1]} for turn in messages]}


def _parted(example: Example) -> Settings:
    """TRL's conversational prompt and completion."""
    *prompt, completion = turns_of(example)
    return {"prompt": prompt, "completion": [completion]}


# --- settings


def _axolotl(job: Job) -> Settings:
    """axolotl utils/schemas/*.py (names), prompt_strategies/chat_template.py (what is trained), core/builders."""
    recipe, adapted = job.recipe, job.recipe.method != "full"
    data = {
        "ds_type": "json",
        "type": "chat_template",
        "field_messages": "messages",
        "message_field_training": "training",
        "roles_to_train": [],
        "train_on_eos": "turn",
    }
    settings: Settings = {
        "base_model": job.base,
        "chat_template": "tokenizer_default",
        "eot_tokens": None if job.end == job.eos else [job.end],
        "datasets": [{"path": TRAINING, **data}],
        "test_datasets": [{"path": VALIDATION, "split": "train", **data}] if job.n_validation else None,
        "val_set_size": 0,
        "dataset_prepared_path": "prepared",
        "sequence_len": recipe.max_tokens,
        "excess_length_strategy": "raise",
        "sample_packing": False,
        "pad_to_sequence_len": False,
        "train_on_inputs": False,
        "group_by_length": recipe.layout == "grouped",
    }
    if adapted:
        linear = recipe.targets == "all-linear"
        settings |= {
            "adapter": "qlora" if recipe.quantization == "nf4" else "lora",
            "load_in_4bit": recipe.quantization == "nf4",
            "load_in_8bit": recipe.quantization == "int8",
            "bnb_config_kwargs": {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
            if recipe.quantization == "nf4"
            else None,
            "lora_r": recipe.rank,
            "lora_alpha": recipe.alpha,
            "lora_dropout": recipe.dropout,
            "lora_target_linear": True if linear else None,
            "lora_target_modules": None if linear else recipe.targets.split(","),
            "peft_use_rslora": True if recipe.variant == "rslora" else None,
            "peft_use_dora": True if recipe.variant == "dora" else None,
            "peft_init_lora_weights": "pissa" if recipe.variant == "pissa" else None,
            "loraplus_lr_ratio": LORA_PLUS_RATIO if recipe.variant == "lora+" else None,
        }
    settings |= {
        "bf16": True,
        "micro_batch_size": recipe.batch,
        "gradient_accumulation_steps": recipe.accumulation,
        "num_epochs": recipe.epochs,
        "max_steps": recipe.max_steps,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler": "cosine",
        "warmup_steps": job.warmup_steps,
        "optimizer": recipe.optimizer,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if recipe.gradient_checkpointing else None,
        "eval_steps": job.every if job.n_validation else None,
        "save_steps": job.every,
        "save_total_limit": 2,
        "load_best_model_at_end": bool(job.n_validation),
        "metric_for_best_model": "eval_loss" if job.n_validation else None,
        "greater_is_better": False if job.n_validation else None,
        "early_stopping_patience": recipe.patience if job.n_validation and recipe.patience else None,
        "logging_steps": 1,
        "seed": recipe.seed,
        "output_dir": "adapter",
    }
    settings |= {f"use_{tracker}": True for tracker in _trackers(recipe)}
    return _without_none(settings)


def _trainer(job: Job) -> Settings:
    """transformers TrainingArguments, which LLaMA-Factory, TRL and unsloth all take."""
    recipe = job.recipe
    settings = {
        "per_device_train_batch_size": recipe.batch,
        "per_device_eval_batch_size": recipe.batch,
        "gradient_accumulation_steps": recipe.accumulation,
        "num_train_epochs": recipe.epochs,
        "max_steps": recipe.max_steps,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": job.warmup_steps,
        "optim": recipe.optimizer,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "bf16": True,
        "train_sampling_strategy": "group_by_length" if recipe.layout == "grouped" else None,
        "save_strategy": "steps",
        "save_steps": job.every,
        "save_total_limit": 2,
        "eval_strategy": "steps" if job.n_validation else "no",
        "eval_steps": job.every if job.n_validation else None,
        "load_best_model_at_end": bool(job.n_validation),
        "metric_for_best_model": "eval_loss" if job.n_validation else None,
        "greater_is_better": False if job.n_validation else None,
        "logging_steps": 1,
        "report_to": _trackers(recipe) or "none",
        "seed": recipe.seed,
    }
    return _without_none(settings)


def _llama_factory(job: Job) -> Settings:
    """LLaMA-Factory hparams/*.py; no `template`: then it is parsed from the tokenizer (data/template.py)."""
    recipe, variant = job.recipe, job.recipe.variant
    settings: Settings = {
        "model_name_or_path": job.base,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full" if recipe.method == "full" else "lora",
        "dataset_dir": ".",
        "dataset": "training",
        "eval_dataset": "validation" if job.n_validation else None,
        "cutoff_len": recipe.max_tokens,
        "train_on_prompt": False,
        "mask_history": True,
        "packing": False,
    }
    if recipe.method != "full":
        settings |= {
            "lora_rank": recipe.rank,
            "lora_alpha": recipe.alpha,
            "lora_dropout": recipe.dropout,
            "lora_target": "all" if recipe.targets == "all-linear" else recipe.targets,
            "use_rslora": True if variant == "rslora" else None,
            "use_dora": True if variant == "dora" else None,
            "pissa_init": True if variant == "pissa" and recipe.quantization == "none" else None,
            "pissa_iter": -1 if variant == "pissa" and recipe.quantization == "none" else None,
            "loraplus_lr_ratio": LORA_PLUS_RATIO if variant == "lora+" else None,
        }
    if recipe.quantization != "none":
        settings |= {"quantization_method": "bnb", "quantization_bit": 8 if recipe.quantization == "int8" else 4}
    if recipe.quantization == "nf4":
        settings |= {"quantization_type": "nf4", "double_quantization": True}
    patience = recipe.patience if job.n_validation and recipe.patience else None
    settings |= {"disable_gradient_checkpointing": not recipe.gradient_checkpointing, "early_stopping_steps": patience}
    return _without_none(settings | _trainer(job) | {"output_dir": "adapter"})


def dataset_info(job: Job) -> Settings:
    """dataset_info.json of LLaMA-Factory, whose form `openai` would add "detailed thinking off" to every system prompt.

    So it is `sharegpt` with OpenAI's names (data/converter.py OpenAIDatasetConverter, SharegptDatasetConverter).
    """
    shape = {
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }
    info = {"training": {"file_name": TRAINING, **shape}}
    return info | ({"validation": {"file_name": VALIDATION, **shape}} if job.n_validation else {})


def _trl(job: Job) -> Settings:
    """What finetune/script_trl.py reads: SFTConfig, LoraConfig and BitsAndBytesConfig, each a section of its own."""
    recipe = job.recipe
    sft = {
        "output_dir": "checkpoints",
        "max_length": recipe.max_tokens,
        "packing": False,
        "completion_only_loss": True,
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if recipe.gradient_checkpointing else None,
    }
    settings: Settings = {
        "model_name_or_path": job.base,
        "dtype": "float32" if recipe.method == "full" else "bfloat16",
        "sft": _without_none(sft | _trainer(job)),
        "quantization": _bits_and_bytes(recipe),
        "lora": None if recipe.method == "full" else _lora(recipe) | {"task_type": "CAUSAL_LM"},
        "loraplus_lr_ratio": LORA_PLUS_RATIO if recipe.variant == "lora+" and recipe.method != "full" else None,
        "early_stopping_patience": recipe.patience if job.n_validation and recipe.patience else None,
    }
    return _without_none(settings)


def _unsloth(job: Job) -> Settings:
    """What finetune/script_unsloth.py reads: arguments of FastLanguageModel (models/loader.py, models/llama.py)."""
    recipe = job.recipe
    checkpointing = {"use_gradient_checkpointing": recipe.gradient_checkpointing}
    sft = {
        "output_dir": "checkpoints",
        "max_length": recipe.max_tokens,
        "packing": False,
        "completion_only_loss": True,
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "loraplus_lr_ratio": LORA_PLUS_RATIO if recipe.variant == "lora+" and recipe.method != "full" else None,
    }
    settings: Settings = {
        "model": {
            "model_name": job.base,
            "use_exact_model_name": True,  # else it loads a copy of its own, quantised by others, where it has one
            "max_seq_length": recipe.max_tokens,
            "load_in_4bit": recipe.quantization == "nf4",
            "load_in_8bit": recipe.quantization == "int8",
            "full_finetuning": recipe.method == "full",
            **({"float32_mixed_precision": True} if recipe.method == "full" else {}),
            **checkpointing,
        },
        "quantization": _bits_and_bytes(recipe) if recipe.quantization == "nf4" else None,
        "lora": None if recipe.method == "full" else _lora(recipe) | checkpointing | {"random_state": recipe.seed},
        "sft": _without_none(sft | _trainer(job)),
        "early_stopping_patience": recipe.patience if job.n_validation and recipe.patience else None,
    }
    return _without_none(settings)


def _lora(recipe: Recipe) -> Settings:
    """peft LoraConfig."""
    settings = {
        "r": recipe.rank,
        "lora_alpha": recipe.alpha,
        "lora_dropout": recipe.dropout,
        "target_modules": "all-linear" if recipe.targets == "all-linear" else recipe.targets.split(","),
        "bias": "none",
        "use_rslora": True if recipe.variant == "rslora" else None,
        "use_dora": True if recipe.variant == "dora" else None,
        "init_lora_weights": "pissa" if recipe.variant == "pissa" else None,
    }
    return _without_none(settings)


def _bits_and_bytes(recipe: Recipe) -> Settings | None:
    """transformers BitsAndBytesConfig; NF4 as in QLoRA (Dettmers et al. 2023, arXiv 2305.14314)."""
    if recipe.quantization == "nf4":
        return {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": "bfloat16",
        }
    return {"load_in_8bit": True} if recipe.quantization == "int8" else None


def _trackers(recipe: Recipe) -> list[str]:
    return [tracker for tracker in recipe.report_to.split(",") if tracker]


def _without_none(settings: Settings) -> Settings:
    return {name: value for name, value in settings.items() if value is not None}


# --- what a trainer does not have


def not_carried(tool: Tool, job: Job) -> Iterator[str]:
    """One sentence for each thing that `finetune train` does with this recipe and the trainer does not, or not so.

    Sources: the same files as the settings; trl trainer/sft_trainer.py (adapters of a quantised base).
    """
    recipe, name = job.recipe, tool.name
    if recipe.replay:
        yield (
            f"replay {recipe.replay}, keep_weight {recipe.keep_weight:g}: {name} holds nothing to the base's own "
            "answers by KL divergence, so more of what the base knew will be forgotten"
        )
    if recipe.layout != "grouped":
        yield f"layout {recipe.layout}: batches are padded here, with the same loss in more time and memory"
    if job.after and name != "axolotl":
        yield f"masks: what the chat template writes after {job.end!r} ({job.after!r}) is trained too"
    if job.end != job.eos:
        yield f"end token: answers end with {job.end!r} as the template writes it; `finetune train` adds {job.eos!r}"
    if name == "axolotl" and recipe.method == "full":
        yield "full: axolotl keeps the weights in bf16; `finetune train` keeps them in fp32 under bf16 autocast"
    if name == "axolotl" and job.warmup_steps == 1:
        yield "warmup_rate: one step of warm-up, which axolotl makes two"
    if name == "TRL" and recipe.quantization != "none":
        yield f"{recipe.quantization}: TRL trains the adapters of a quantised base in bf16, `finetune train` in fp32"
    if name == "LLaMA-Factory":
        if recipe.variant == "pissa" and recipe.quantization != "none":
            yield "variant pissa: LLaMA-Factory refuses it on a quantised base; the adapter begins as a plain LoRA"
        if job.thinks:
            yield (
                "chat template: LLaMA-Factory parses it and puts the block of thoughts in by rules of its own; compare "
                "the example that it prints with `finetune check`"
            )


TOOLS = {
    "axolotl": Tool(
        "axolotl", "axolotl.yaml", _axolotl, _marked, "axolotl train axolotl.yaml", "axolotl 0.19.0"
    ),
    "llama-factory": Tool(
        "LLaMA-Factory", "llama_factory.yaml", _llama_factory, lambda example: {"messages": turns_of(example)},
        "llamafactory-cli train llama_factory.yaml", "LLaMA-Factory 0.9.5",
    ),
    "trl": Tool("TRL", "trl.yaml", _trl, _parted, "python train_trl.py", "TRL 1.16.0", "script_trl.py"),
    "unsloth": Tool(
        "unsloth", "unsloth.yaml", _unsloth, _parted, "python train_unsloth.py", "unsloth 2026.10.9",
        "script_unsloth.py",
    ),
}  # fmt: skip

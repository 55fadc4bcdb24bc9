"""Trains with TRL's SFTTrainer as trl.yaml beside this file says; `finetune export --to trl` copies it there."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, EarlyStoppingCallback
from trl import SFTConfig, SFTTrainer


def chats(path: Path, tokenizer: Any, longest: int) -> Any:
    """The rows of a file, prompt and completion; a row over `longest` tokens ends the program: TRL would cut it."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    for number, row in enumerate(rows, start=1):
        text = tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=False)
        n = len(tokenizer(text, add_special_tokens=False)["input_ids"])
        if n > longest:
            sys.exit(f"{path}:{number}: {n} tokens, over max_length {longest}: raise it, or take the row out")
    return Dataset.from_list(rows)


def main() -> None:
    """Train, and write the adapter (or the whole model) to the folder `adapter`."""
    os.chdir(Path(__file__).resolve().parent)
    settings = yaml.safe_load(Path("trl.yaml").read_text(encoding="utf-8"))
    arguments = SFTConfig(use_cpu=not torch.accelerator.is_available(), **settings["sft"])
    tokenizer = AutoTokenizer.from_pretrained(settings["model_name_or_path"])
    training = chats(Path("train.jsonl"), tokenizer, arguments.max_length)
    held = Path("validation.jsonl")
    validation = chats(held, tokenizer, arguments.max_length) if held.is_file() else None

    bits = settings.get("quantization")
    model = AutoModelForCausalLM.from_pretrained(
        settings["model_name_or_path"],
        dtype=settings["dtype"],
        **({"quantization_config": BitsAndBytesConfig(**bits)} if bits else {}),
    )
    optimizer = None
    if "lora" in settings:
        torch.manual_seed(arguments.seed)  # the adapter's first weights
        model = get_peft_model(model, LoraConfig(**settings["lora"]))
    if "loraplus_lr_ratio" in settings:
        kind, options = SFTTrainer.get_optimizer_cls_and_kwargs(arguments, model)
        optimizer = create_loraplus_optimizer(model, kind, loraplus_lr_ratio=settings["loraplus_lr_ratio"], **options)
    patience = settings.get("early_stopping_patience")
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=training,
        eval_dataset=validation,
        callbacks=[EarlyStoppingCallback(patience)] if patience else [],
        optimizers=(optimizer, None),
    )
    trainer.train()
    trainer.save_model("adapter")


if __name__ == "__main__":
    main()

"""Trains with unsloth as unsloth.yaml beside this file says; `finetune export --to unsloth` copies it there."""

from __future__ import annotations

from unsloth import FastLanguageModel, UnslothTrainer, UnslothTrainingArguments  # before what it patches

# isort: split
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import Dataset
from transformers import BitsAndBytesConfig, EarlyStoppingCallback


def chats(path: Path, tokenizer: Any, longest: int) -> Any:
    """The rows of a file, prompt and completion; a row over `longest` tokens ends the program: unsloth would cut it."""
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
    settings = yaml.safe_load(Path("unsloth.yaml").read_text(encoding="utf-8"))
    bits = settings.get("quantization")
    model, tokenizer = FastLanguageModel.from_pretrained(
        dtype=torch.bfloat16,
        **settings["model"],
        **({"quantization_config": BitsAndBytesConfig(**bits)} if bits else {}),
    )
    arguments = UnslothTrainingArguments(**settings["sft"])
    training = chats(Path("train.jsonl"), tokenizer, arguments.max_length)
    held = Path("validation.jsonl")
    validation = chats(held, tokenizer, arguments.max_length) if held.is_file() else None
    if "lora" in settings:
        model = FastLanguageModel.get_peft_model(model, **settings["lora"])
    patience = settings.get("early_stopping_patience")
    trainer = UnslothTrainer(
        model=model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=training,
        eval_dataset=validation,
        callbacks=[EarlyStoppingCallback(patience)] if patience else [],
    )
    trainer.train()
    trainer.save_model("adapter")


if __name__ == "__main__":
    main()

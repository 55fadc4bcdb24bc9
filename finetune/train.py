"""Train a LoRA adapter: examples in, a peft folder out. Killed at any moment, the same call carries on."""

from __future__ import annotations

import json
import math
import os
import random
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from finetune.base import Base, load
from finetune.errors import FinetuneError
from finetune.examples import IGNORED, Dropped, Example, pad, tokenize_all
from finetune.recipe import Recipe
from finetune.replay import own_answers

LEARNED = 1e-3  # nats a token; below it a gradient of 0 is what is to be expected
Progress = Callable[[int, int, float], None]  # step, of how many, training loss


@dataclass(frozen=True)
class Trained:
    """What a finished run left behind; also written beside the adapter as training.json."""

    adapter: Path
    n_examples: int
    n_replayed: int
    dropped: tuple[Dropped, ...]
    steps: int
    trained_tokens: int
    completion_tokens: int
    seconds: float
    validation_loss_before: float
    validation_loss: float
    peak_process_bytes: int
    recipe: Recipe


def train(
    base: str | Path,
    examples: Sequence[Example],
    out: Path,
    recipe: Recipe | None = None,
    *,
    progress: Progress | None = None,
    trust_remote_code: bool = False,
) -> Trained:
    """Train one adapter on `examples` and write it to `out`.

    LoRA through peft and transformers' Trainer: bf16 base, fp32 adapters, loss on the completion alone, some of the
    base's own answers mixed in, the checkpoint with the lowest validation loss kept, resumed from the last checkpoint
    in `out` after a kill. Raises FinetuneError where no example can be trained on.
    """
    recipe = recipe or Recipe()
    done = out / "training.json"
    if done.is_file() and (out / "adapter_model.safetensors").is_file():
        return _read(out)
    work = out.parent / f".{out.name}.work"
    work.mkdir(parents=True, exist_ok=True)
    replayed = _replayed(base, recipe, work, trust_remote_code)
    # Fresh weights: bitsandbytes repacks NF4 for inference on CPU once it has generated, and then trains nothing.
    model = load(base, quantization=recipe.quantization, trust_remote_code=trust_remote_code)
    rows, dropped = tokenize_all(model, examples, recipe.max_tokens)
    if not rows:
        reasons = "; ".join(f"{d.id}: {d.reason}" for d in dropped[:3]) or "none was given"
        raise FinetuneError("examples", f"none can be trained on ({reasons})", f"up to {recipe.max_tokens} tokens each")
    held, kept = _hold_out(rows, recipe)
    old = [{**row, "replayed": True} for row in tokenize_all(model, replayed, recipe.max_tokens)[0]]
    trainer = _trainer(model, kept + old, held, work, recipe, progress)
    before = float(trainer.evaluate()["eval_loss"])
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(work)))
    seconds = time.monotonic() - started
    after = float(trainer.evaluate()["eval_loss"])
    trained = Trained(
        adapter=out,
        n_examples=len(rows),
        n_replayed=len(old),
        dropped=tuple(dropped),
        steps=int(trainer.state.global_step),
        trained_tokens=recipe.epochs * sum(len(r["input_ids"]) for r in kept + old),
        completion_tokens=recipe.epochs * sum(label != IGNORED for r in kept + old for label in r["labels"]),
        seconds=seconds,
        validation_loss_before=before,
        validation_loss=after,
        peak_process_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        recipe=recipe,
    )
    _write(trainer.model, trained, work)
    return trained


def _replayed(base: str | Path, recipe: Recipe, work: Path, trust_remote_code: bool) -> list[Example]:
    kept = work / "replay.json"
    if not recipe.replay:
        return []
    if not kept.is_file():
        fresh = load(base, quantization=recipe.quantization, trust_remote_code=trust_remote_code)
        rows = [asdict(example) for example in own_answers(fresh, recipe.replay)]
        temporary = work / "replay.json.part"
        temporary.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        os.replace(temporary, kept)
    return [Example(**row) for row in json.loads(kept.read_text(encoding="utf-8"))]


def _hold_out(rows: list[dict[str, list[int]]], recipe: Recipe) -> tuple[list[Any], list[Any]]:
    """A validation part that chooses the checkpoint, and the part that trains."""
    order = list(range(len(rows)))
    random.Random(recipe.seed).shuffle(order)
    n = max(min(4, len(rows) // 3), round(recipe.validation_rate * len(rows)))
    held = [rows[i] for i in order[:n]] or rows  # a single example validates itself: there is nothing to choose
    return held, [rows[i] for i in order[n:]]


def _trainer(
    base: Base, rows: list[Any], held: list[Any], work: Path, recipe: Recipe, progress: Progress | None
) -> Trainer:
    model = base.model
    if recipe.quantization == "nf4":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=recipe.gradient_checkpointing)
    torch.manual_seed(recipe.seed)  # the adapter's first weights
    adapted = get_peft_model(
        model,
        LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            target_modules=recipe.targets if recipe.targets == "all-linear" else recipe.targets.split(","),
            lora_dropout=recipe.dropout,
            task_type="CAUSAL_LM",
        ),
    )
    steps = math.ceil(len(rows) / (recipe.batch * recipe.accumulation))
    every = min(steps, 200)  # an epoch, but no more than 200 steps are ever lost to a kill
    if recipe.gradient_checkpointing:
        adapted.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        adapted.enable_input_require_grads()
    arguments = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=recipe.batch,
        gradient_accumulation_steps=recipe.accumulation,
        learning_rate=recipe.learning_rate,
        warmup_steps=round(recipe.warmup_rate * steps * recipe.epochs),
        lr_scheduler_type="cosine",
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        bf16=True,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=every,
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        seed=recipe.seed,
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        label_names=["labels"],
        prediction_loss_only=True,
    )
    trainer = _Keeping(
        keep_weight=recipe.keep_weight,
        model=adapted,
        args=arguments,
        train_dataset=rows,
        eval_dataset=held,
        data_collator=lambda batch: pad(batch, base.tokenizer.pad_token_id),
        callbacks=[_Watch(progress)],
    )
    trainer.remove_callback(PrinterCallback)  # the caller shows the progress
    return trainer


class _Keeping(Trainer):  # type: ignore[misc]
    """Cross entropy on what is to be learned, and on replayed rows the divergence from the untouched base.

    The base's whole distribution at every token holds more than its one sampled answer: KL(base || adapted), as in
    knowledge distillation against forgetting (Li and Hoiem 2016, "Learning without Forgetting", arXiv 1606.09282).
    """

    def __init__(self, keep_weight: float, **given: Any) -> None:
        super().__init__(**given)
        self.keep_weight = keep_weight
        # Both terms are means over their own tokens, so the Trainer has to average micro-batches itself.
        self.model_accepts_loss_kwargs = False

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        replayed, labels = inputs["replayed"], inputs["labels"]
        seen = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
        outputs = model(**seen)
        new = outputs.logits[:, :-1].float()
        loss = new.sum() * 0.0
        if not replayed.all():
            taught = labels[~replayed][:, 1:]
            loss = loss + cross_entropy(new[~replayed].flatten(0, 1), taught.flatten(), ignore_index=IGNORED)
        if replayed.any():
            kept = {name: tensor[replayed] for name, tensor in seen.items()}
            with torch.no_grad(), model.disable_adapter():
                old = model(**kept).logits[:, :-1].float()
            real = kept["attention_mask"][:, 1:].bool()
            loss = loss + self.keep_weight * kl_div(
                log_softmax(new[replayed][real], -1), log_softmax(old[real], -1), log_target=True, reduction="batchmean"
            )
        return (loss, outputs) if return_outputs else loss


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Tells the progress, and stops a run that cannot learn: no gradient at all, or one that is not a number."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        norm = logs.get("grad_norm", 1.0)
        # A loss that has come down to nothing has no gradient either, and is no fault.
        if (norm == 0 and logs["loss"] > LEARNED) or not math.isfinite(norm):
            raise FinetuneError(
                f"training step {state.global_step}",
                f"gradient norm {norm}: nothing is learned",
                "a finite norm above 0",
            )
        if self.progress is not None:
            self.progress(state.global_step, state.max_steps, logs["loss"])


def _write(model: Any, trained: Trained, work: Path) -> None:
    """The adapter and its training.json, complete or not there at all; the checkpoints go once it stands."""
    finished = work / "finished"
    shutil.rmtree(finished, ignore_errors=True)
    model.save_pretrained(str(finished), safe_serialization=True)
    record = asdict(trained)
    record["adapter"] = str(trained.adapter)
    (finished / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(trained.adapter, ignore_errors=True)
    os.replace(finished, trained.adapter)
    shutil.rmtree(work, ignore_errors=True)


def _read(out: Path) -> Trained:
    record = json.loads((out / "training.json").read_text(encoding="utf-8"))
    record["adapter"] = out
    record["recipe"] = Recipe(**record["recipe"])
    record["dropped"] = tuple(Dropped(**d) for d in record["dropped"])
    return Trained(**record)

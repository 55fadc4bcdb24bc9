"""Train a LoRA adapter or all weights: examples in, a folder out. Killed at any moment, the same call carries on."""

from __future__ import annotations

import json
import math
import os
import random
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
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
Until = Callable[[Base], bool]


@dataclass(frozen=True)
class Trained:
    """What a finished run left behind; also written beside the weights as training.json."""

    folder: Path  # a peft adapter, or with method full a whole model that is a base of its own
    n_examples: int
    n_replayed: int
    dropped: tuple[Dropped, ...]
    steps: int
    epochs: int  # that were done
    stopped: str  # until | epochs: by what the run ended
    trainable: int  # parameters that were trained, and out of how many with them
    parameters: int
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
    until: Until | None = None,
    progress: Progress | None = None,
    trust_remote_code: bool = False,
) -> Trained:
    """Train one adapter, or with method full a whole model, on `examples` and write it to `out`.

    Through transformers' Trainer, LoRA through peft: bf16 base, fp32 adapters (full: fp32 weights under bf16 autocast,
    written as bf16), loss on the completion alone, some of the base's own answers mixed in, the checkpoint with the
    lowest validation loss kept, resumed from the last checkpoint in `out` after a kill.
    `until` is asked at the end of every epoch with the model as it is then; training ends when it says true, and the
    last weights are kept rather than those with the lowest validation loss. A kill between a yes and the end of the
    call costs one more epoch. Raises FinetuneError where no example can be trained on.
    """
    recipe = recipe or Recipe()
    if (out / "training.json").is_file() and any(out.glob("*.safetensors")):
        return _read(out, recipe)
    if until is not None and recipe.quantization == "nf4" and not torch.cuda.is_available():
        # See below: what has generated on a CPU trains nothing any more.
        raise FinetuneError("until", "asked of an nf4 base on a CPU", "with nf4 a CUDA device", "use quantization none")
    work = out.parent / f".{out.name}.work"
    work.mkdir(parents=True, exist_ok=True)
    replayed = _replayed(base, recipe, work, trust_remote_code)
    # Fresh weights: bitsandbytes repacks NF4 for inference on CPU once it has generated, and then trains nothing.
    fresh = load(base, quantization=recipe.quantization, trust_remote_code=trust_remote_code)
    rows, dropped = tokenize_all(fresh, examples, recipe.max_tokens)
    if not rows:
        reasons = "; ".join(f"{d.id}: {d.reason}" for d in dropped[:3]) or "none was given"
        raise FinetuneError("examples", f"none can be trained on ({reasons})", f"up to {recipe.max_tokens} tokens each")
    held, kept = _hold_out(rows, recipe)
    old = [{**row, "replayed": True} for row in tokenize_all(fresh, replayed, recipe.max_tokens)[0]]
    model = _trainable(fresh, recipe)
    # LoRA has its untouched base inside; a full run needs a second one beside it.
    untouched = load(base, trust_remote_code=trust_remote_code).model if recipe.method == "full" and old else None
    asking = _Until(until, replace(fresh, model=model))
    trainer = _Keeping(
        keep_weight=recipe.keep_weight,
        untouched=untouched,
        model=model,
        args=_arguments(recipe, len(kept + old), work, choosing=until is None and recipe.validation_rate > 0),
        train_dataset=kept + old,
        eval_dataset=held,
        data_collator=lambda batch: pad(batch, fresh.tokenizer.pad_token_id),
        callbacks=[_Watch(progress), *([asking] if until is not None else [])],
    )
    trainer.remove_callback(PrinterCallback)  # the caller shows the progress
    before = float(trainer.evaluate()["eval_loss"])
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(work)))
    seconds = time.monotonic() - started
    if recipe.method == "full":
        model.to(torch.bfloat16)  # as it is written and served, and so as it is measured
    after = float(trainer.evaluate()["eval_loss"])
    epochs = round(trainer.state.epoch)
    met = until is not None and asking.met_at(trainer.state.global_step)
    trained = Trained(
        folder=out,
        n_examples=len(examples) - len(dropped),
        n_replayed=len(old),
        dropped=tuple(dropped),
        steps=int(trainer.state.global_step),
        epochs=epochs,
        stopped="until" if met else "epochs",
        trainable=model.num_parameters(only_trainable=True),
        parameters=model.num_parameters(),
        trained_tokens=epochs * sum(len(r["input_ids"]) for r in kept + old),
        completion_tokens=epochs * sum(label != IGNORED for r in kept + old for label in r["labels"]),
        seconds=seconds,
        validation_loss_before=before,
        validation_loss=after,
        peak_process_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        recipe=recipe,
    )
    _write(model, fresh.tokenizer, trained, work)
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
    if not recipe.validation_rate:
        return rows, rows  # the loss is told of what is learned, and chooses nothing
    order = list(range(len(rows)))
    random.Random(recipe.seed).shuffle(order)
    n = max(min(4, len(rows) // 3), round(recipe.validation_rate * len(rows)))
    held = [rows[i] for i in order[:n]] or rows  # a single example validates itself: there is nothing to choose
    return held, [rows[i] for i in order[n:]]


def _trainable(base: Base, recipe: Recipe) -> Any:
    """The model with what is to be trained: adapters in fp32, or all of its weights in fp32."""
    model = base.model
    if recipe.method == "full":
        # AdamW's steps are smaller than bf16 can tell apart: fp32 weights, bf16 in autocast only (Micikevicius et al.
        # 2018, "Mixed Precision Training", arXiv 1710.03740, section 3.1).
        model = model.float()
    else:
        if recipe.quantization == "nf4":
            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=recipe.gradient_checkpointing)
        torch.manual_seed(recipe.seed)  # the adapter's first weights
        model = get_peft_model(
            model,
            LoraConfig(
                r=recipe.rank,
                lora_alpha=recipe.alpha,
                target_modules=recipe.targets if recipe.targets == "all-linear" else recipe.targets.split(","),
                lora_dropout=recipe.dropout,
                task_type="CAUSAL_LM",
            ),
        )
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    return model


def _arguments(recipe: Recipe, n_rows: int, work: Path, *, choosing: bool) -> TrainingArguments:
    steps = math.ceil(n_rows / (recipe.batch * recipe.accumulation))
    every = min(steps, 200)  # an epoch, but no more than 200 steps are ever lost to a kill
    return TrainingArguments(
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
        eval_strategy="steps" if choosing else "no",
        save_strategy="steps",
        eval_steps=every,
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=choosing,
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


class _Keeping(Trainer):  # type: ignore[misc]
    """Cross entropy on what is to be learned, and on replayed rows the divergence from the untouched base.

    The base's whole distribution at every token holds more than its one sampled answer: KL(base || adapted), as in
    knowledge distillation against forgetting (Li and Hoiem 2016, "Learning without Forgetting", arXiv 1606.09282).
    """

    def __init__(self, keep_weight: float, untouched: Any | None, **given: Any) -> None:
        super().__init__(**given)
        self.keep_weight, self.untouched = keep_weight, untouched
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
            with torch.no_grad(), nullcontext() if self.untouched else model.disable_adapter():
                old = (self.untouched or model)(**kept).logits[:, :-1].float()
            real = kept["attention_mask"][:, 1:].bool()
            loss = loss + self.keep_weight * kl_div(
                log_softmax(new[replayed][real], -1), log_softmax(old[real], -1), log_target=True, reduction="batchmean"
            )
        return (loss, outputs) if return_outputs else loss


class _Until(TrainerCallback):  # type: ignore[misc]
    """Asks at the end of every epoch whether enough is learned; the checkpoint of that step waits for the answer."""

    def __init__(self, until: Until | None, base: Base) -> None:
        self.until, self.base = until, base
        self.met: dict[int, bool] = {}  # step -> what was answered

    def met_at(self, step: int) -> bool:
        """Whether it is met after this step: as answered then, or asked now where a kill came in between."""
        if self.until is not None and step not in self.met:
            self.base.model.eval()
            self.met[step] = bool(self.until(self.base))
        return self.met.get(step, False)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.epoch == round(state.epoch):
            control.should_save = False  # else a run killed while it is asked would go on without having been asked

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop |= self.met_at(state.global_step)
        control.should_save = True


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


def _write(model: Any, tokenizer: Any, trained: Trained, work: Path) -> None:
    """The weights and their training.json, complete or not there at all; the checkpoints go once they stand."""
    finished = work / "finished"
    shutil.rmtree(finished, ignore_errors=True)
    model.save_pretrained(str(finished), safe_serialization=True)
    if trained.recipe.method == "full":
        tokenizer.save_pretrained(str(finished))
    record = asdict(trained)
    record["folder"] = str(trained.folder)
    (finished / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(trained.folder, ignore_errors=True)
    os.replace(finished, trained.folder)
    shutil.rmtree(work, ignore_errors=True)


def _read(out: Path, recipe: Recipe) -> Trained:
    """What a finished run wrote. Raises FinetuneError where it was another recipe's or another version's."""
    try:
        record = json.loads((out / "training.json").read_text(encoding="utf-8"))
        record["folder"] = out
        record["recipe"] = Recipe(**record["recipe"])
        record["dropped"] = tuple(Dropped(**d) for d in record["dropped"])
        trained = Trained(**record)
    except (ValueError, KeyError, TypeError):
        trained = None
    if trained is None or trained.recipe != recipe:
        whose = "another recipe" if trained else "another version of this program"
        raise FinetuneError(str(out), f"holds a finished run of {whose}", fix="name another folder, or remove this one")
    return trained

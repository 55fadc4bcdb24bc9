"""transformers' Trainer with our loss, batches counted whole, validation by tokens, and forgetting watched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft.helpers import disable_input_dtype_casting
from peft.optimizers import create_loraplus_optimizer
from transformers import Trainer, TrainingArguments

from finetune.base import Base, asking
from finetune.batches import IGNORED, Row
from finetune.general import Kept, kept
from finetune.layout import Collate, on
from finetune.recipe import Recipe
from finetune.watch import Watch

LORA_PLUS_RATIO = 16  # rate of B over that of A (Hayou et al. 2024, "LoRA+", arXiv 2402.12354, section 5)


class TeachingTrainer(Trainer):  # type: ignore[misc]
    """A Trainer whose model returns the loss of `finetune.loss.teach`; each step is normalised over its whole batch."""

    # compute_loss gives a micro-batch's share of the whole step: nothing is left to divide by the accumulation.
    loss_is_scaled_for_ga = True

    def __init__(self, base: Base, recipe: Recipe, watch: Watch, questions: bool, **given: Any) -> None:
        super().__init__(model=base.model, **given)
        self.model_accepts_loss_kwargs = True  # the same, said to transformers before it knew the line above
        self.control: Any
        self.optimizer: Any
        self.base, self.recipe, self.watching, self.questions = base, recipe, watch, questions

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The micro-batches of one step, and how many tokens they teach and keep, over all devices."""
        samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = torch.tensor([counted(samples)], device=device)
        counts = self.accelerator.gather(counts).sum(0)
        for batch in samples:
            self.watching.seen(_tokens(batch))
        return samples, counts

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The share of this micro-batch in the step's loss: the shares of all add up to the loss of the whole batch."""
        n_taught, n_kept = num_items_in_batch.tolist()
        # peft would cast what each adapter reads to the adapter's float32, for autocast to cast it back
        with disable_input_dtype_casting(model, active=self.recipe.method != "full"):
            loss = model(**inputs, n_taught=n_taught, n_kept=n_kept)["loss"] * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> Any:
        """Validation loss, a mean over tokens, and what is left of general knowledge."""
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        loss = validation_loss(self.base, rows, self.data_collator, self.args.per_device_eval_batch_size)
        now = kept(self.base, questions=self.questions)
        metrics = {"eval_loss": loss, "eval_general_loss": now.text_loss}
        metrics |= {"eval_general_right": now.right, "eval_general_asked": now.asked}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def create_optimizer(self, *given: Any) -> Any:
        """The Trainer's own, or LoRA+'s: the same with a higher rate for B."""
        if self.recipe.variant == "lora+" and self.optimizer is None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            self.optimizer = create_loraplus_optimizer(self.model, kind, loraplus_lr_ratio=LORA_PLUS_RATIO, **options)
        return super().create_optimizer(*given) if self.optimizer is None else self.optimizer


def kept_at(row: dict[str, Any]) -> Kept:
    """What was left of general knowledge by one evaluation of the Trainer's log."""
    return Kept(row["eval_general_loss"], int(row["eval_general_right"]), int(row["eval_general_asked"]))


def counted(batches: Sequence[dict[str, Any]]) -> list[int]:
    """Tokens taught and tokens kept in some batches."""
    taught = sum(int((batch["targets"] != IGNORED).sum()) for batch in batches)
    return [taught, sum(int(batch["kept"].sum()) for batch in batches)]


def _tokens(batch: dict[str, Any]) -> int:
    mask = batch.get("attention_mask")
    return int(batch["input_ids"].numel() if mask is None else mask.sum())


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bf16 for what is computed, as the Trainer does while it trains; nothing where the device has no autocast."""
    return torch.autocast(device.type, torch.bfloat16) if device.type in ("cpu", "cuda") else nullcontext()


@torch.no_grad()
def validation_loss(base: Base, rows: Sequence[Row], collate: Collate, batch: int) -> float:
    """Mean negative log-likelihood over all taught tokens of the rows, in nats; of a model that `teach` prepared."""
    total, tokens = 0.0, 0
    with asking(base.model), autocast(base.device):
        for start in range(0, len(rows), batch):
            some = collate(rows[start : start + batch])
            n, _ = counted([some])
            total += float(base.model(**on(base.device, some), n_taught=1, n_kept=1)["loss"])
            tokens += n
    return total / max(tokens, 1)


def arguments(recipe: Recipe, layout: str, n_rows: int, work: Path, *, choosing: bool) -> TrainingArguments:
    """The recipe in the Trainer's words; `choosing` keeps the checkpoint with the lowest validation loss."""
    steps = math.ceil(n_rows / (recipe.batch * recipe.accumulation))
    total = recipe.max_steps or steps * recipe.epochs
    every = min(steps, 200)  # an epoch, but no more than 200 steps are ever lost to a kill
    return TrainingArguments(
        output_dir=str(work),
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=recipe.batch,
        gradient_accumulation_steps=recipe.accumulation,
        train_sampling_strategy="random" if layout == "padding-free" else "group_by_length",
        optim=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        warmup_steps=round(recipe.warmup_rate * total),
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
        report_to=[tracker for tracker in recipe.report_to.split(",") if tracker],
        disable_tqdm=True,
        seed=recipe.seed,
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        label_names=["targets"],
        prediction_loss_only=True,
    )

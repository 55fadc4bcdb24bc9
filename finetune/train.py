"""Train a LoRA adapter or all weights: examples in, a folder out. Killed at any moment, the same call carries on."""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import EarlyStoppingCallback, PrinterCallback
from transformers.pytorch_utils import Conv1D
from transformers.trainer_utils import get_last_checkpoint

from finetune import peak
from finetune.base import Base, asking, load
from finetune.batches import IGNORED, Row
from finetune.defaults import ALL_LINEAR, targets_of
from finetune.errors import FinetuneError
from finetune.examples import Dropped, Example, tokenize_all
from finetune.general import Kept
from finetune.layout import choose_layout, collator
from finetune.loss import Head, teach
from finetune.recipe import Recipe
from finetune.relief import ran_out, relieved
from finetune.replay import own_answers
from finetune.trainer import TeachingTrainer, arguments, autocast, kept_at, validation_loss
from finetune.watch import AskUntil, Forecast, Progress, SaveOnInterrupt, Until, Watch, steepest


@dataclass(frozen=True)
class Trained:
    """What a finished run left behind; also written beside the weights as training.json."""

    folder: Path  # a peft adapter, or with method full a whole model that is a base of its own
    n_examples: int
    n_replayed: int
    dropped: tuple[Dropped, ...]
    steps: int
    epochs: int  # that were done
    stopped: str  # until | patience | epochs: by what the run ended
    trainable: int  # parameters that were trained, and out of how many with them
    parameters: int
    trained_tokens: int  # that went through the model, no pads among them
    completion_tokens: int  # of these the ones that were to be learned
    tokens_per_s: float  # trained tokens, in the steps alone
    steps_s: float  # in optimizer steps; of a resumed run from the mean of those after it
    seconds: float  # with evaluations and checkpoints
    validation_loss_before: float
    validation_loss: float
    losses: tuple[float, ...]  # of each step
    kept: tuple[tuple[int, Kept], ...]  # general knowledge after so many steps, 0: before
    layout: str
    peak_bytes: int  # since training began: reserved on the card, or resident in this process
    weights_bytes: int  # of the loaded base, and of the same in bf16
    weights_bf16_bytes: int
    forecast: Forecast | None  # None of a run too short for one
    reliefs: tuple[str, ...]  # what was done because memory ran out
    recipe: Recipe  # as asked for
    ran: Recipe  # as it ran, after the reliefs


def train(
    base: str | Path,
    examples: Sequence[Example],
    out: Path,
    recipe: Recipe | None = None,
    *,
    until: Until | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
    memory_limit_bytes: int | None = None,
    trust_remote_code: bool = False,
) -> Trained:
    """Train one adapter, or with method full a whole model, on `examples` and write it to `out`.

    Through transformers' Trainer, LoRA through peft: bf16 base, fp32 adapters (full: fp32 weights under bf16 autocast,
    written as bf16), loss on the completion alone, some of the base's own answers mixed in, the checkpoint with the
    lowest validation loss kept (and the last beside it, in `last/`), resumed from the last checkpoint in `out` after a
    kill. `until` is asked at the end of every epoch with the model as it is then; training ends when it says true, and
    the last weights are kept rather than those with the lowest validation loss. A kill between a yes and the end of the
    call costs one more epoch. Where memory runs out, or `memory_limit_bytes` is passed, the run begins again with the
    mildest relief that is left (finetune.relief), and says so. Raises FinetuneError where no example can be trained on.
    """
    recipe = recipe or Recipe()
    if (out / "training.json").is_file() and any(out.glob("*.safetensors")):
        return _read(out, recipe)
    work = out.parent / f".{out.name}.work"
    work.mkdir(parents=True, exist_ok=True)
    ran, reliefs = _tried(work, recipe)
    while True:
        try:
            run = _Run(base, examples, ran, work, until, progress, memory_limit_bytes, trust_remote_code)
            trained = run.trained(out, recipe, reliefs)
            run.write(trained)
            return trained
        except (RuntimeError, MemoryError) as problem:
            if not ran_out(problem):
                raise
            found = relieved(ran)
        if found is None:
            raise FinetuneError("memory", "not enough for the smallest run", fix="a smaller base or shorter examples")
        # What failed hangs on to its tensors until its frames are gone, which is here.
        gc.collect()
        torch.cuda.empty_cache()
        ran, done = found
        reliefs = (*reliefs, done)
        if say is not None:
            say(f"out of memory: {done}; the effective batch stays {ran.batch * ran.accumulation}")
        for checkpoint in work.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        _keep(work / "ran.json", {"asked": asdict(recipe), "ran": asdict(ran), "reliefs": reliefs})


class _Run:
    """One try: a fresh base, what it is to be taught, the trainer, and what came out."""

    def __init__(
        self,
        base: str | Path,
        examples: Sequence[Example],
        recipe: Recipe,
        work: Path,
        until: Until | None,
        progress: Progress | None,
        limit_bytes: int | None,
        trust_remote_code: bool,
    ) -> None:
        self.recipe, self.work, self.examples = recipe, work, examples
        replayed = _replayed(base, recipe, work, trust_remote_code)
        peak.mark()
        # Fresh weights: bitsandbytes repacks NF4 for inference on CPU once it has generated, and then trains nothing.
        fresh = load(base, quantization=recipe.quantization, trust_remote_code=trust_remote_code)
        rows, self.dropped = tokenize_all(fresh, examples, recipe.max_tokens, truncate=recipe.truncate)
        if not rows:
            reasons = "; ".join(f"{d.id}: {d.reason}" for d in self.dropped[:3]) or "none was given"
            allowed = f"up to {recipe.max_tokens} tokens each"
            raise FinetuneError("examples", f"none can be trained on ({reasons})", allowed)
        self.held, self.taught = _hold_out(rows, recipe)
        old = tokenize_all(fresh, replayed, recipe.max_tokens)[0]
        self.layout = choose_layout(fresh.model, rows, recipe.layout)
        whole = not _head_is_plain(fresh.model, rows[0])
        self.old = _with_teacher(fresh, old, whole)
        self.weights_bytes = fresh.model.get_memory_footprint()
        self.weights_bf16_bytes = 2 * sum(_size(p) for p in fresh.model.parameters())
        teach(fresh.model, recipe.keep_weight, frozen_head=recipe.method != "full", whole=whole)
        self.base = replace(fresh, model=_trainable(fresh, recipe))
        self.asking = AskUntil(until, self.base)
        choosing = until is None and recipe.validation_rate > 0
        worst = sum(sorted((len(row["input_ids"]) for row in rows), reverse=True)[: recipe.batch])
        scale = 1.0 if recipe.method == "full" else _scale(recipe)
        self.watch = Watch(progress, limit_bytes, steepest(scale), worst)
        self.interrupt = SaveOnInterrupt()
        self.patient = choosing and recipe.patience > 0
        n_rows = len(self.taught) + len(self.old)
        self.trainer = TeachingTrainer(
            self.base,
            recipe,
            self.watch,
            # int8 has kernels for a card alone that are fast enough to be asked questions
            questions=recipe.quantization != "int8" or torch.cuda.is_available(),
            args=arguments(recipe, self.layout, n_rows, work, choosing=choosing),
            train_dataset=[*self.taught, *self.old],
            eval_dataset=self.held,
            data_collator=collator(self.layout, fresh.tokenizer.pad_token_id),
            callbacks=[
                self.watch,
                self.interrupt,
                *([self.asking] if until is not None else []),
                *([EarlyStoppingCallback(recipe.patience)] if self.patient else []),
            ],
        )
        self.trainer.remove_callback(PrinterCallback)  # the caller shows the progress

    def trained(self, out: Path, asked: Recipe, reliefs: Sequence[str]) -> Trained:
        """Train, and say what came of it."""
        trainer, recipe, model = self.trainer, self.recipe, self.base.model
        measure = partial(validation_loss, self.base, self.held, trainer.data_collator, recipe.batch)
        before = trainer.evaluate()
        started = time.monotonic()
        try:
            trainer.train(resume_from_checkpoint=get_last_checkpoint(str(self.work)))
        finally:
            self.interrupt.restore()
        seconds = time.monotonic() - started
        if self.interrupt.asked:
            raise KeyboardInterrupt(f"saved after step {trainer.state.global_step}; the same call carries on")
        if recipe.method == "full":
            model.to(torch.bfloat16)  # as it is written and served, and so as it is measured
        state = trainer.state
        told = [(row["step"], kept_at(row)) for row in state.log_history if "eval_general_loss" in row]
        epochs = max(1, round(state.epoch))
        early = self.patient and state.global_step < state.max_steps
        met = self.asking.until is not None and self.asking.met_at(state.global_step)
        rows = [*self.taught, *self.old]
        step_s = self.watch.step_s
        return Trained(
            folder=out,
            n_examples=len(self.examples) - len(self.dropped),
            n_replayed=len(self.old),
            dropped=tuple(self.dropped),
            steps=int(state.global_step),
            epochs=epochs,
            stopped="until" if met else "patience" if early else "epochs",
            trainable=model.num_parameters(only_trainable=True),
            parameters=sum(_size(p) for p in model.parameters()),
            trained_tokens=epochs * sum(len(row["input_ids"]) for row in rows),
            completion_tokens=epochs * sum(label != IGNORED for row in self.taught for label in row["labels"]),
            tokens_per_s=self.watch.tokens / sum(step_s) if step_s else 0.0,
            steps_s=sum(step_s) / max(len(step_s), 1) * state.global_step,
            seconds=seconds,
            validation_loss_before=before["eval_loss"],
            validation_loss=measure(),
            losses=tuple(row["loss"] for row in state.log_history if "loss" in row),
            kept=((0, kept_at(before)), *told),
            layout=self.layout,
            peak_bytes=peak.peak_bytes(),
            weights_bytes=self.weights_bytes,
            weights_bf16_bytes=self.weights_bf16_bytes,
            forecast=self.watch.forecast,
            reliefs=tuple(reliefs),
            recipe=asked,
            ran=recipe,
        )

    def write(self, trained: Trained) -> None:
        """The weights and their training.json, complete or not there at all; the checkpoints go once they stand."""
        finished = self.work / "finished"
        shutil.rmtree(finished, ignore_errors=True)
        last = get_last_checkpoint(str(self.work))
        self.base.model.save_pretrained(str(finished), safe_serialization=True)
        if trained.recipe.method == "full":
            self.base.tokenizer.save_pretrained(str(finished))
        elif last is not None:
            (finished / "last").mkdir()
            for name in ("adapter_model.safetensors", "adapter_config.json"):
                shutil.copy(Path(last) / name, finished / "last" / name)
        record = asdict(trained)
        record["folder"] = str(trained.folder)
        (finished / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(trained.folder, ignore_errors=True)
        os.replace(finished, trained.folder)
        shutil.rmtree(self.work, ignore_errors=True)


def _tried(work: Path, recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe that an interrupted run had come to, and by which reliefs; the one asked for where there is none."""
    try:
        record = json.loads((work / "ran.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return recipe, ()
    if record["asked"] != asdict(recipe):
        return recipe, ()
    return Recipe(**record["ran"]), tuple(record["reliefs"])


def _keep(path: Path, value: Any) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    os.replace(temporary, path)


def _replayed(base: str | Path, recipe: Recipe, work: Path, trust_remote_code: bool) -> list[Example]:
    kept = work / "replay.json"
    if not recipe.replay:
        return []
    if not kept.is_file():
        fresh = load(base, quantization=recipe.quantization, trust_remote_code=trust_remote_code)
        _keep(kept, [asdict(example) for example in own_answers(fresh, recipe.replay)])
    return [Example(**row) for row in json.loads(kept.read_text(encoding="utf-8"))]


@torch.no_grad()
def _with_teacher(base: Base, rows: Sequence[Row], whole: bool) -> list[dict[str, Any]]:
    """Replayed rows with the base's last hidden states of each, (tokens, width), from before anything is trained."""
    head, found = Head(base.model, whole=whole), []
    with asking(base.model), autocast(base.device):
        for row in rows:
            hidden = head.hidden(input_ids=torch.tensor([row["input_ids"]], device=base.device))[0]
            found.append({**row, "teacher": hidden.to(torch.bfloat16).cpu()})
    return found


@torch.no_grad()
def _head_is_plain(causal: Any, row: Row) -> bool:
    """Whether hidden states and head, as finetune.loss reads them, give the logits of the model itself."""
    ids = {"input_ids": torch.tensor([row["input_ids"]], device=causal.device)}
    head = Head(causal)
    with asking(causal):
        try:
            ours = head.logits(head.hidden(**ids)[0])
        except (AttributeError, TypeError):
            return False
        theirs = causal(**ids).logits[0].float()
    return ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=1e-2, atol=1e-2 * float(theirs.std()))


def _hold_out(rows: list[dict[str, list[int]]], recipe: Recipe) -> tuple[list[Any], list[Any]]:
    """A validation part that chooses the checkpoint, and the part that trains."""
    if not recipe.validation_rate:
        return rows, rows  # the loss is told of what is learned, and chooses nothing
    order = list(range(len(rows)))
    random.Random(recipe.seed).shuffle(order)
    n = max(min(4, len(rows) // 3), round(recipe.validation_rate * len(rows)))
    held = [rows[i] for i in order[:n]] or rows  # a single example validates itself: there is nothing to choose
    return held, [rows[i] for i in order[n:]]


def _scale(recipe: Recipe) -> float:
    return recipe.alpha / (recipe.rank**0.5 if recipe.variant == "rslora" else recipe.rank)


def _size(parameter: torch.nn.Parameter) -> int:
    """Numbers in a parameter; two 4-bit ones lie in each byte."""
    state = getattr(parameter, "quant_state", None)
    return int(parameter.numel() if state is None else torch.Size(state.shape).numel())


def linear_names(model: Any) -> list[str]:
    """Dotted names of the matrices that an adapter can be put on."""
    kinds = (torch.nn.Linear, Conv1D)
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]


def _trainable(base: Base, recipe: Recipe) -> Any:
    """The model with what is to be trained: adapters in fp32, or all of its weights in fp32."""
    model = base.model
    if recipe.method == "full":
        # AdamW's steps are smaller than bf16 can tell apart: fp32 weights, bf16 in autocast only (Micikevicius et al.
        # 2018, "Mixed Precision Training", arXiv 1710.03740, section 3.1).
        model = model.float()
    else:
        # Not through peft's prepare_model_for_kbit_training: its float32 copies of embeddings and norms cost memory and
        # a quarter of the speed (fms-acceleration's figures), and what it freezes get_peft_model freezes too.
        torch.manual_seed(recipe.seed)  # the adapter's first weights
        targets = targets_of(recipe.targets, linear_names(model))
        try:
            model = get_peft_model(
                model,
                LoraConfig(
                    r=recipe.rank,
                    lora_alpha=recipe.alpha,
                    target_modules=targets if targets == ALL_LINEAR else targets.split(","),
                    lora_dropout=recipe.dropout,
                    use_rslora=recipe.variant == "rslora",
                    use_dora=recipe.variant == "dora",
                    init_lora_weights="pissa" if recipe.variant == "pissa" else True,
                    task_type="CAUSAL_LM",
                ),
                autocast_adapter_dtype=recipe.adapter_dtype == "float32",
            )
        except ValueError as problem:
            if "Target modules" not in str(problem):
                raise
            names = sorted({name.rsplit(".", 1)[-1] for name in linear_names(model)})
            raise FinetuneError("recipe.targets", recipe.targets, f"all-linear, {', '.join(names)}") from None
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    return model


def _read(out: Path, recipe: Recipe) -> Trained:
    """What a finished run wrote. Raises FinetuneError where it was another recipe's or another version's."""
    try:
        record = json.loads((out / "training.json").read_text(encoding="utf-8"))
        record["folder"] = out
        record["recipe"], record["ran"] = Recipe(**record["recipe"]), Recipe(**record["ran"])
        record["dropped"] = tuple(Dropped(**d) for d in record["dropped"])
        record["kept"] = tuple((step, Kept(**row)) for step, row in record["kept"])
        record["losses"], record["reliefs"] = tuple(record["losses"]), tuple(record["reliefs"])
        record["forecast"] = Forecast(**_tuples(record["forecast"])) if record["forecast"] else None
        trained = Trained(**record)
    except (ValueError, KeyError, TypeError):
        trained = None
    if trained is None or trained.recipe != recipe:
        whose = "another recipe" if trained else "another version of this program"
        raise FinetuneError(str(out), f"holds a finished run of {whose}", fix="name another folder, or remove this one")
    return trained


def _tuples(record: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}

"""One run of a contestant of benchmarks/finetune.py, in a process that does nothing else, metered; and their judge."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import click

MAX_TOKENS = 1024
PRODUCT = 2048  # width of the square matrices whose product is timed


@dataclass(frozen=True)
class Job:
    """What all contestants are given."""

    base: str
    train: tuple[Mapping[str, Any], ...]  # messages, completion, id
    held: tuple[Mapping[str, Any], ...]
    threads: int


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    tokens_per_s: float
    tokens_per_cpu_s: float  # of all threads; a busy machine moves it less than the wall clock
    batches: tuple[int, ...]  # a checksum of the tokens of each step
    taught_rate: float  # share of the tokens that are learned
    losses: tuple[float, ...]
    gradient_norms: tuple[float, ...]
    peak_bytes: int
    needed: float  # share of the bf16 rate
    done: float
    bf16_flops: float  # products of matrices, operations a second
    fp32_flops: float


class Seen(NamedTuple):
    """A step as it begins: when, by the wall clock and in CPU seconds, and what it will be shown."""

    at: float
    cpu_at: float
    tokens: int
    taught: int
    batch: int  # a checksum of its tokens, in whatever layout


class Meter:
    """Counts and times each step of whatever Trainer this process makes; with it come losses and gradient norms."""

    def __init__(self) -> None:
        self.steps: list[Seen] = []
        self.losses: list[float] = []
        self.norms: list[float] = []

    def attach(self) -> None:
        """Sit in transformers' Trainer, below TRL's and ours."""
        import transformers.trainer as library

        meter, fetch = self, library.Trainer.get_batch_samples

        def get_batch_samples(trainer: Any, *given: Any) -> Any:
            now = time.perf_counter(), time.process_time()
            samples, count = fetch(trainer, *given)
            meter.steps.append(Seen(*now, *counted(samples)))
            return samples, count

        class Listen(library.TrainerCallback):  # type: ignore[misc]
            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
                if "grad_norm" in (logs or {}):
                    meter.losses.append(float(logs["loss"]))
                    meter.norms.append(float(logs["grad_norm"]))

        library.Trainer.get_batch_samples = get_batch_samples
        library.DEFAULT_CALLBACKS.append(Listen)

    def rate(self, clock: str) -> float:
        """Tokens a second of the clock from the second batch to the last."""
        first, *_, last = times = [getattr(step, clock) for step in self.steps[1:]]
        return float(sum(step.tokens for step in self.steps[1 : len(times)]) / (last - first))


def counted(samples: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Tokens, taught tokens and a checksum of the micro-batches of one step, padded or not."""
    ids: list[int] = []
    taught = 0
    for batch in samples:
        mask = batch.get("attention_mask")
        ids += (batch["input_ids"] if mask is None else batch["input_ids"][mask.bool()]).flatten().tolist()
        taught += int((batch["labels" if "labels" in batch else "targets"] != -100).sum())
    return len(ids), taught, zlib.crc32(str(sorted(ids)).encode())


def compete(job: Job, options: Mapping[str, Any] | None, steps: int, out: Path) -> Outcome:
    """One run, in a process that does nothing else: ours with options None, else TRL's with these of SFTConfig."""
    import torch

    from finetune.peak import peak_bytes
    from finetune.recipe import Recipe

    torch.set_num_threads(job.threads)
    recipe = Recipe(replay=0, validation_rate=0.0, max_tokens=MAX_TOKENS, max_steps=steps)
    meter = Meter()
    meter.attach()
    if options is None:
        train_ours(job, recipe, out)
    else:
        train_trl(job, recipe, options, out)
    peak = peak_bytes()
    if len(meter.norms) != steps or not all(0 < norm < float("inf") for norm in meter.norms):
        raise click.ClickException(f"{out.name}: {steps} gradient norms above 0 expected, found {meter.norms}")
    rates = [product_rate(dtype) for dtype in (torch.bfloat16, torch.float32)]
    taught_rate = sum(step.taught for step in meter.steps) / sum(step.tokens for step in meter.steps)
    needed, twice = flops_per_token(job, recipe, taught_rate)
    done = needed + twice * (options is not None and options.get("gradient_checkpointing", True))
    rate = meter.rate("at")
    return Outcome(
        tokens_per_s=rate,
        tokens_per_cpu_s=meter.rate("cpu_at"),
        batches=tuple(step.batch for step in meter.steps),
        taught_rate=taught_rate,
        losses=tuple(meter.losses),
        gradient_norms=tuple(meter.norms),
        peak_bytes=peak,
        needed=needed * rate / rates[0],
        done=done * rate / rates[0],
        bf16_flops=rates[0],
        fp32_flops=rates[1],
    )


def train_ours(job: Job, recipe: Any, out: Path) -> None:
    """As `finetune train` does it."""
    from finetune.train import train

    train(job.base, _examples(job.train), out, recipe)


def train_trl(job: Job, recipe: Any, options: Mapping[str, Any], out: Path) -> None:
    """As TRL does it: model by path, rows already tokenised, all that the recipe does not say left to SFTConfig."""
    import warnings

    warnings.simplefilter("ignore", FutureWarning)
    import datasets
    from peft import LoraConfig
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    from finetune.base import load, locate

    datasets.disable_progress_bars()
    tokenizer, rows = (base := load(job.base)).tokenizer, _tokenised(base, job.train)
    del base
    args = SFTConfig(
        output_dir=str(out),
        use_cpu=True,  # SFTConfig's bf16 refuses a CPU otherwise
        max_steps=recipe.max_steps,
        per_device_train_batch_size=recipe.batch,
        gradient_accumulation_steps=recipe.accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(recipe.warmup_rate * recipe.max_steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        seed=recipe.seed,
        logging_steps=1,  # for the gradient norm of each step
        report_to=[],
        disable_tqdm=True,
        **options,
    )
    trainer = SFTTrainer(
        model=locate(job.base),
        args=args,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=recipe.rank, lora_alpha=recipe.alpha, target_modules=recipe.targets, task_type="CAUSAL_LM"
        ),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.model.save_pretrained(str(out))


def _examples(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    from finetune.examples import Example

    return [Example(row["messages"], row["completion"], row["id"]) for row in rows]


def _tokenised(base: Any, rows: Sequence[Mapping[str, Any]]) -> Any:
    from finetune.examples import tokenize_all

    return tokenize_all(base, _examples(rows), MAX_TOKENS)[0]


def flops_per_token(job: Job, recipe: Any, taught_rate: float) -> tuple[float, float]:
    """Operations that a token needs, and those that checkpointing repeats.

    Frozen matrices: 2 forward and 2 for the gradient of their input a parameter, and no gradient of their own; adapters
    6; the head at taught tokens alone; the embedding is looked up. Attention by PaLM's 12 L H Q T for forward and
    backward (Chowdhery et al. 2022, appendix B), halved because it is causal, with the mean length that a token sees.
    Checkpointing repeats the forward pass of the layers: 6 instead of 4 a frozen parameter.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from finetune.base import load, locate

    config = AutoConfig.from_pretrained(locate(job.base))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    body = sum(m.weight.numel() for m in linears)
    adapters = sum(recipe.rank * (m.in_features + m.out_features) for m in linears)
    lengths = [len(row["input_ids"]) for row in _tokenised(load(job.base), job.train)]
    seen = sum(n * n for n in lengths) / sum(lengths)
    heads = config.num_attention_heads * getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
    attention = 6 * config.num_hidden_layers * heads * seen
    needed = 4 * body + 6 * adapters + 4 * taught_rate * head.weight.numel() + attention
    return needed, 2 * body + 2 * adapters + attention / 3


def product_rate(dtype: Any) -> float:
    """Operations a second of a product of two square matrices, the best of ten."""
    import torch

    one, other = (torch.randn(PRODUCT, PRODUCT).to(dtype) for _ in range(2))
    took = []
    for _ in range(10):
        started = time.perf_counter()
        one @ other
        took.append(time.perf_counter() - started)
    return 2 * PRODUCT**3 / min(took)


def judge(job: Job, adapter: Path | None) -> float:
    """Mean loss over the tokens of the held-out completions, in nats: plain transformers and peft, a row at a time."""
    import torch
    from torch.nn.functional import cross_entropy

    from finetune.base import load

    torch.set_num_threads(job.threads)
    base = load(job.base, adapter=adapter)
    total, n = 0.0, 0
    with torch.inference_mode():
        for row in _tokenised(base, job.held):
            logits = base.model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1].float()
            labels = torch.tensor(row["labels"][1:])
            total += float(cross_entropy(logits, labels, reduction="sum", ignore_index=-100))
            n += int((labels != -100).sum())
    return total / n

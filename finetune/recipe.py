"""Every knob of a training run, with its unit, its default and where the default comes from."""

from __future__ import annotations

from dataclasses import dataclass

from finetune.errors import FinetuneError

# The rate of a method where none is given. LoRA: the optimum of 14 of 24 models in tinker-cookbook's sweep; full: about
# a tenth of LoRA's ("LoRA Without Regret", 2025; TRL's guide has 2e-4 and 2e-5).
ADAPTER_DTYPES = ("float32", "bfloat16")
VARIANTS = ("lora", "rslora", "dora", "lora+", "pissa")
QUANTIZATIONS = ("none", "nf4", "int8")
LAYOUTS = ("auto", "padding-free", "grouped")
TRACKERS = ("tensorboard", "mlflow", "wandb")
RATES = {"lora": 3e-4, "qlora": 3e-4, "full": 3e-5}


@dataclass(frozen=True)
class Recipe:
    """One LoRA, QLoRA or full run. Defaults: 'LoRA Without Regret' (2025) unless said otherwise."""

    # lora | qlora: lora on an nf4 base | full: every weight, in fp32; rank, alpha, targets and dropout are LoRA's alone
    method: str = "lora"
    variant: str = "lora"  # of VARIANTS: within 1 to 2 % of each other once the rate is tuned (arXiv 2602.04998)
    rank: int = 16  # form needs few bits: rank moves the loss least of all knobs (tinker-cookbook sweep)
    alpha: int = 32  # held fixed with alpha / rank scaling, so that the rate does not depend on the rank
    targets: str = "all-linear"  # attention alone is worse even at equal parameters
    dropout: float = 0.0
    learning_rate: float | None = None  # None: that of the method in RATES
    epochs: int = 3
    batch: int = 8  # examples a step; small data tolerates at most 32
    accumulation: int = 1  # micro-batches a step
    max_steps: int | None = None  # None: as many as the epochs have
    warmup_rate: float = 0.05
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_tokens: int = 1024  # of prompt and completion; longer examples are refused and named, plain text is chunked
    truncate: bool = False  # longer examples lose the oldest tokens of their prompts instead; completions never do
    quantization: str = "none"  # none | nf4 | int8
    # Of what is trained: in bf16 an adapter and its optimizer's states take half, on a 4-bit base as QLoRA has it
    adapter_dtype: str = ""  # float32 | bfloat16; "": float32, on a quantised base bfloat16
    gradient_checkpointing: bool = False
    optimizer: str = "adamw_torch_fused"  # a name of transformers' `optim`
    layout: str = "auto"  # of LAYOUTS: no pads where the attention keeps documents apart, else grouped by length
    replay: int = 32  # of the base's own answers to general questions, against forgetting
    # Of the divergence from the base on replayed rows, beside the loss on what is learned: at 1 a 135M base lost
    # 8 of 29 cases that it had answered right, at 5 one, with as much learned (dev/LOG.md, 2026-11-24).
    keep_weight: float = 5.0
    validation_rate: float = 0.1  # of the rows, to choose the best checkpoint; at least four, none at 0
    patience: int = 2  # evaluations, one an epoch, without a lower validation loss before the run ends; 0: all epochs
    report_to: str = ""  # tensorboard, mlflow, wandb: where the Trainer also logs, separated by commas
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in RATES:
            raise FinetuneError("recipe.method", self.method, ", ".join(RATES), exit_code=2)
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", RATES[self.method])
        for name in ("rank", "alpha", "epochs", "batch", "accumulation", "max_tokens"):
            if getattr(self, name) < 1:
                raise FinetuneError(f"recipe.{name}", str(getattr(self, name)), "a whole number from 1", exit_code=2)
        if not self.adapter_dtype:
            packed = self.quantization != "none"
            object.__setattr__(self, "adapter_dtype", "bfloat16" if packed else "float32")
        for name, allowed in (
            ("adapter_dtype", ADAPTER_DTYPES),
            ("quantization", QUANTIZATIONS),
            ("variant", VARIANTS),
            ("layout", LAYOUTS),
        ):
            if getattr(self, name) not in allowed:
                raise FinetuneError(f"recipe.{name}", str(getattr(self, name)), ", ".join(allowed), exit_code=2)
        for tracker in filter(None, self.report_to.split(",")):
            if tracker not in TRACKERS:
                raise FinetuneError("recipe.report_to", tracker, ", ".join(TRACKERS), exit_code=2)
        # Four bits cannot take the small steps of a full run.
        packed = self.quantization != "none"
        if (self.method == "full" and packed) or (self.method == "qlora" and not packed):
            raise FinetuneError(
                "recipe.quantization",
                f"{self.quantization} with method {self.method}",
                "none with full, nf4 or int8 with qlora, all with lora",
                exit_code=2,
            )

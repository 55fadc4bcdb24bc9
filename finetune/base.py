"""Load a base model, with or without an adapter: one place where weights come in, safetensors only."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from finetune.embedded import embedded_base
from finetune.errors import FinetuneError
from finetune.recipe import QUANTIZATIONS

EMBEDDED = "embedded"
# bitsandbytes prints this on every CPU without its compiled kernels; the slower path is right (checked by the tests).
warnings.filterwarnings("ignore", message=".*gemm_4bit.*")
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


@dataclass
class Base:
    """A loaded causal language model, its tokenizer, and where it came from."""

    model: Any
    tokenizer: Any
    source: str
    quantization: str = "none"

    @property
    def device(self) -> torch.device:
        """The device of the first parameter."""
        return next(self.model.parameters()).device  # type: ignore[no-any-return]


def locate(base: str | Path) -> str:
    """A folder or hub id for what the user wrote; `embedded` is the model inside a package."""
    if str(base) == EMBEDDED:
        return str(embedded_base())
    path = Path(base)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise FinetuneError(str(base), "a folder without config.json", "a transformers model folder")
        return str(path)
    looks_like_path = path.is_absolute() or str(base).startswith((".", "~")) or str(base).count("/") != 1
    if looks_like_path:
        raise FinetuneError(
            str(base), "no such model folder", "a folder with config.json, a hub id such as org/name, or 'embedded'"
        )
    return str(base)


def load(
    base: str | Path = EMBEDDED,
    *,
    adapter: Path | None = None,
    quantization: str = "none",
    trust_remote_code: bool = False,
) -> Base:
    """Load a base for inference or training, on CUDA where there is one; bf16 weights, NF4 or int8.

    NF4 follows QLoRA (Dettmers et al. 2023, arXiv 2305.14314): 4-bit NormalFloat, double quantisation, bf16 compute;
    int8 is LLM.int8() (Dettmers et al. 2022, arXiv 2208.07339).
    Raises FinetuneError with one line where the folder, the hub id or the adapter cannot be loaded.
    """
    where = locate(base)
    options: dict[str, Any] = {"dtype": torch.bfloat16, "use_safetensors": True}
    if quantization == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    elif quantization == "int8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    elif quantization != "none":
        raise FinetuneError("quantization", quantization, ", ".join(QUANTIZATIONS), exit_code=2)
    if torch.cuda.is_available():
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", 0))}  # which of several torchrun gave us
    known: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if Path(where).is_dir():
        known["local_files_only"] = True
    try:
        AutoConfig.from_pretrained(where, **known)
        tokenizer = AutoTokenizer.from_pretrained(where, **known)
        model = AutoModelForCausalLM.from_pretrained(where, **options, **known)
    except (OSError, ValueError, SafetensorError) as problem:
        raise FinetuneError(
            str(base),
            f"cannot be loaded ({str(problem).strip().splitlines()[0][:160]})",
            "a folder with config.json, safetensors weights and a tokenizer, or a hub id that this machine can reach",
            "name a local folder, or leave --base out for the embedded model",
        ) from problem
    head = model.get_output_embeddings()
    if head is not None:  # torch copies frozen weights once per sequence where what they are applied to is a slice
        head.register_forward_pre_hook(lambda module, given: (given[0].contiguous(), *given[1:]))
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        raise FinetuneError(
            str(base), "its tokenizer has no chat template", "an instruct model", "use its instruct twin"
        )
    if adapter is not None:
        model = _with_adapter(model, adapter)
    model.eval()
    return Base(model, tokenizer, where, quantization)


def _with_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftModel
    from safetensors import safe_open

    allowed = "a peft adapter saved as safetensors"
    file = adapter / "adapter_model.safetensors"
    if not file.is_file():
        pickled = (adapter / "adapter_model.bin").is_file()
        given = "a pickle (adapter_model.bin), which can run code" if pickled else "no adapter_model.safetensors in it"
        raise FinetuneError(str(adapter), given, allowed, "save it anew with safetensors" if pickled else "")
    try:
        with safe_open(file, "pt") as stored:
            shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}
        foreign = _foreign(model, shapes)
        if foreign:
            raise FinetuneError(str(adapter), f"made for another base ({foreign})", "an adapter of this base")
        return PeftModel.from_pretrained(model, str(adapter), use_safetensors=True, local_files_only=True)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RuntimeError) as problem:
        said = str(problem).strip().splitlines()[0][:160]
        raise FinetuneError(str(adapter), f"cannot be loaded ({said})", allowed) from None


def _foreign(model: Any, shapes: dict[str, tuple[int, ...]]) -> str:
    """What in an adapter does not fit the model, "" for nothing: peft would leave out what it does not find, unsaid."""
    modules = dict(model.named_modules())
    for name, shape in shapes.items():
        path = name.removeprefix("base_model.model.").split(".lora_")[0]
        if ".lora_" not in name:
            continue
        module = modules.get(path)
        if module is None:
            return f"no {path} here"
        width = {"A.weight": "in_features", "B.weight": "out_features"}.get(name.rsplit(".lora_", 1)[1])
        size = getattr(module, width, None) if width else None
        if size is not None and size != (shape[1] if width == "in_features" else shape[0]):
            return f"{path} takes {size}, the adapter {shape}"
    return ""


@contextmanager
def asking(model: Any) -> Iterator[None]:
    """The model as it answers (no dropout), for the length of a `with`, and afterwards as it was.

    Its 4-bit layers stay as if they trained: on a CPU bitsandbytes repacks those that are asked in eval mode for
    inference (`packing_format_for_cpu`), into a path without gradients, and training then learns nothing.
    """
    training = model.training
    model.eval()
    packed = [module for module in model.modules() if type(module).__name__ == "Linear4bit"]
    for module in packed:
        module.training = True
    try:
        yield
    finally:
        model.train(training)


def use_cores() -> int:
    """The cores this process may use; torch's own count ignores the CPU mask of containers."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

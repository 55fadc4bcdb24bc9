"""Known models: the sizes that their config.json on the hub states, one row each."""

from __future__ import annotations

import difflib
from typing import Any

from memory_calc.errors import MemcalcError
from memory_calc.families import FAMILIES
from memory_calc.shapes import ModelShape

# name -> (model_type, layers, hidden, ffn, heads, kv_heads, head_dim, vocab, tied, more)
# The source of each row is the file config.json of the hub repository that the row is called after; `more` holds what
# a family adds. Rows with a published parameter count are checked against it in the tests.
Row = tuple[str, int, int, int, int, int, int, int, bool, dict[str, Any]]
MODELS: dict[str, Row] = {
    "HuggingFaceTB/SmolLM2-135M": ("llama", 30, 576, 1536, 9, 3, 64, 49152, True, {}),
    "HuggingFaceTB/SmolLM2-360M": ("llama", 32, 960, 2560, 15, 5, 64, 49152, True, {}),
    "HuggingFaceTB/SmolLM2-1.7B": ("llama", 24, 2048, 8192, 32, 32, 64, 49152, True, {}),
    "HuggingFaceTB/SmolLM3-3B": ("smollm3", 36, 2048, 11008, 16, 4, 128, 128256, True, {}),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": ("llama", 22, 2048, 5632, 32, 4, 64, 32000, False, {}),
    "huggyllama/llama-7b": ("llama", 32, 4096, 11008, 32, 32, 128, 32000, False, {}),
    "huggyllama/llama-13b": ("llama", 40, 5120, 13824, 40, 40, 128, 32000, False, {}),
    "huggyllama/llama-30b": ("llama", 60, 6656, 17920, 52, 52, 128, 32000, False, {}),
    "huggyllama/llama-65b": ("llama", 80, 8192, 22016, 64, 64, 128, 32000, False, {}),
    "meta-llama/Llama-2-7b-hf": ("llama", 32, 4096, 11008, 32, 32, 128, 32000, False, {}),
    "meta-llama/Llama-2-13b-hf": ("llama", 40, 5120, 13824, 40, 40, 128, 32000, False, {}),
    "meta-llama/Llama-2-70b-hf": ("llama", 80, 8192, 28672, 64, 8, 128, 32000, False, {}),
    "codellama/CodeLlama-34b-hf": ("llama", 48, 8192, 22016, 64, 8, 128, 32000, False, {}),
    "meta-llama/Meta-Llama-3-8B": ("llama", 32, 4096, 14336, 32, 8, 128, 128256, False, {}),
    "meta-llama/Llama-3.1-8B": ("llama", 32, 4096, 14336, 32, 8, 128, 128256, False, {}),
    "meta-llama/Llama-3.1-70B": ("llama", 80, 8192, 28672, 64, 8, 128, 128256, False, {}),
    "meta-llama/Llama-3.1-405B": ("llama", 126, 16384, 53248, 128, 8, 128, 128256, False, {}),
    "meta-llama/Llama-3.2-1B": ("llama", 16, 2048, 8192, 32, 8, 64, 128256, True, {}),
    "meta-llama/Llama-3.2-3B": ("llama", 28, 3072, 8192, 24, 8, 128, 128256, True, {}),
    "meta-llama/Llama-3.3-70B-Instruct": ("llama", 80, 8192, 28672, 64, 8, 128, 128256, False, {}),
    "mistralai/Mistral-7B-v0.1": ("mistral", 32, 4096, 14336, 32, 8, 128, 32000, False, {}),
    "mistralai/Mistral-7B-v0.3": ("mistral", 32, 4096, 14336, 32, 8, 128, 32768, False, {}),
    "mistralai/Mistral-Nemo-Base-2407": ("mistral", 40, 5120, 14336, 32, 8, 128, 131072, False, {}),
    "mistralai/Mistral-Small-24B-Base-2501": ("mistral", 40, 5120, 32768, 32, 8, 128, 131072, False, {}),
    "mistralai/Mixtral-8x7B-v0.1": (
        "mixtral", 32, 4096, 14336, 32, 8, 128, 32000, False, {"experts": 8, "experts_per_token": 2},
    ),
    "Qwen/Qwen2.5-0.5B": ("qwen2", 24, 896, 4864, 14, 2, 64, 151936, True, {}),
    "Qwen/Qwen2.5-1.5B": ("qwen2", 28, 1536, 8960, 12, 2, 128, 151936, True, {}),
    "Qwen/Qwen2.5-3B": ("qwen2", 36, 2048, 11008, 16, 2, 128, 151936, True, {}),
    "Qwen/Qwen2.5-7B": ("qwen2", 28, 3584, 18944, 28, 4, 128, 152064, False, {}),
    "Qwen/Qwen2.5-14B": ("qwen2", 48, 5120, 13824, 40, 8, 128, 152064, False, {}),
    "Qwen/Qwen2.5-32B": ("qwen2", 64, 5120, 27648, 40, 8, 128, 152064, False, {}),
    "Qwen/Qwen2.5-72B": ("qwen2", 80, 8192, 29568, 64, 8, 128, 152064, False, {}),
    "Qwen/Qwen3-0.6B": ("qwen3", 28, 1024, 3072, 16, 8, 128, 151936, True, {}),
    "Qwen/Qwen3-1.7B": ("qwen3", 28, 2048, 6144, 16, 8, 128, 151936, True, {}),
    "Qwen/Qwen3-4B": ("qwen3", 36, 2560, 9728, 32, 8, 128, 151936, True, {}),
    "Qwen/Qwen3-8B": ("qwen3", 36, 4096, 12288, 32, 8, 128, 151936, False, {}),
    "Qwen/Qwen3-14B": ("qwen3", 40, 5120, 17408, 40, 8, 128, 151936, False, {}),
    "Qwen/Qwen3-32B": ("qwen3", 64, 5120, 25600, 64, 8, 128, 151936, False, {}),
    "Qwen/Qwen3-30B-A3B": (
        "qwen3_moe", 48, 2048, 768, 32, 4, 128, 151936, False, {"experts": 128, "experts_per_token": 8},
    ),
    "google/gemma-2b": ("gemma", 18, 2048, 16384, 8, 1, 256, 256000, True, {}),
    "google/gemma-7b": ("gemma", 28, 3072, 24576, 16, 16, 256, 256000, True, {}),
    "google/gemma-2-2b": ("gemma2", 26, 2304, 9216, 8, 4, 256, 256000, True, {}),
    "google/gemma-2-9b": ("gemma2", 42, 3584, 14336, 16, 8, 256, 256000, True, {}),
    "google/gemma-2-27b": ("gemma2", 46, 4608, 36864, 32, 16, 128, 256000, True, {}),
    "google/gemma-3-1b-pt": ("gemma3_text", 26, 1152, 6912, 4, 1, 256, 262144, True, {}),
    "microsoft/phi-2": ("phi", 32, 2560, 10240, 32, 32, 80, 51200, False, {}),
    "microsoft/Phi-3-mini-4k-instruct": ("phi3", 32, 3072, 8192, 32, 32, 96, 32064, False, {}),
    "microsoft/phi-4": ("phi3", 40, 5120, 17920, 40, 10, 128, 100352, False, {}),
    "01-ai/Yi-34B": ("llama", 60, 7168, 20480, 56, 8, 128, 64000, False, {}),
    "openai-community/gpt2": ("gpt2", 12, 768, 3072, 12, 12, 64, 50257, True, {"positions": 1024}),
    "openai-community/gpt2-xl": ("gpt2", 48, 1600, 6400, 25, 25, 64, 50257, True, {"positions": 1024}),
}  # fmt: skip


def _row(name: str) -> ModelShape:
    kind, layers, hidden, ffn, heads, kv_heads, head_dim, vocab, tied, more = MODELS[name]
    family = FAMILIES[kind]
    return ModelShape(
        name=name, layers=layers, hidden=hidden, ffn=ffn, heads=heads, kv_heads=kv_heads, head_dim=head_dim,
        vocab=vocab, tied=tied, model_type=kind,
        gated=family.get("gated", True), fused_qkv=family.get("fused_qkv", False),
        fused_gate_up=family.get("fused_gate_up", False), qkv_bias=family.get("qkv_bias", False),
        o_bias=family.get("o_bias", False), mlp_bias=family.get("mlp_bias", False),
        head_bias=family.get("head_bias", False), qk_norm=family.get("qk_norm", False),
        norms_per_layer=family.get("norms", 2), norm_bias=family.get("norm_bias", False),
        source=f"https://huggingface.co/{name} config.json", **more,
    )  # fmt: skip


def _plain(name: str) -> str:
    short = name.lower().rsplit("/", 1)[-1]
    for ending in ("-instruct", "-chat", "-base", "-it", "-pt", "-hf"):
        short = short.removesuffix(ending)
    return "".join(c for c in short if c.isalnum() or c == ".")


def known(name: str) -> ModelShape:
    """The shape of a known model, by its hub name or the last part of it (an -Instruct has its base's shape).

    Raises MemcalcError (exit code 2) that names the nearest known ones.
    """
    if name in MODELS:
        return _row(name)
    for candidate in MODELS:
        if _plain(candidate) == _plain(name):
            return _row(candidate)
    plain = {_plain(candidate): candidate for candidate in MODELS}
    near = [plain[hit] for hit in difflib.get_close_matches(_plain(name), plain, n=3, cutoff=0.5)]
    raise MemcalcError(
        "--model",
        f"{name!r} is neither a file, a folder nor a known model",
        allowed="near names: " + ", ".join(near) if near else f"{len(MODELS)} known names (memcalc --list models)",
        fix="give its config.json, or --params 7b",
    )

"""What each model_type of transformers adds to the plain Llama layer, and the defaults its config class fills in."""

from __future__ import annotations

from typing import Any

# Read from transformers 5.23 `models/<model_type>/modeling_*.py` and `configuration_*.py`; `qwen` from the
# modeling_qwen.py of Qwen/Qwen-7B on the hub. Absent keys mean: as in Llama.
#   o_follows: the output projection has a bias exactly when `attention_bias` is set
#   norms: norms of the hidden size in one layer
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"o_follows": True},
    "mistral": {},
    "ministral3": {},
    "qwen2": {"qkv_bias": True},
    "qwen3": {"qk_norm": True, "o_follows": True},
    "smollm3": {"o_follows": True, "tied": True},
    "granite": {"o_follows": True},
    "gemma": {"o_follows": True, "tied": True},
    "gemma2": {"o_follows": True, "tied": True, "norms": 4},
    "gemma3": {"o_follows": True, "tied": True, "norms": 4, "qk_norm": True},
    "gemma3_text": {"o_follows": True, "tied": True, "norms": 4, "qk_norm": True},
    "phi3": {"fused_qkv": True, "fused_gate_up": True},
    "phi": {
        "gated": False, "qkv_bias": True, "o_bias": True, "mlp_bias": True, "norms": 1, "norm_bias": True,
        "head_bias": True,
    },
    "gpt2": {
        "gated": False, "fused_qkv": True, "qkv_bias": True, "o_bias": True, "mlp_bias": True, "norm_bias": True,
        "positions": True, "tied": True, "ffn_is_4h": True,
    },
    "gpt_bigcode": {
        "gated": False, "fused_qkv": True, "qkv_bias": True, "o_bias": True, "mlp_bias": True, "norm_bias": True,
        "positions": True, "tied": True, "ffn_is_4h": True,
    },
    "gpt_neox": {
        "gated": False, "fused_qkv": True, "qkv_bias": True, "o_bias": True, "mlp_bias": True, "norm_bias": True,
    },
    "qwen": {"fused_qkv": True, "qkv_bias": True},
    "mixtral": {"moe": True},
    "qwen2_moe": {"moe": True, "qkv_bias": True},
    "qwen3_moe": {"moe": True, "qk_norm": True, "o_follows": True},
}  # fmt: skip

# Only keys that save_pretrained leaves out when they equal the class default and whose default is not Llama's.
# gemma3_text and qwen3 set head_dim apart from hidden_size / heads (configuration_gemma3.py, configuration_qwen3.py).
DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma": {"head_dim": 256},
    "gemma2": {"head_dim": 256, "num_key_value_heads": 4, "num_attention_heads": 8},
    "gemma3": {"head_dim": 256, "vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4},
    "gemma3_text": {"head_dim": 256, "num_key_value_heads": 4, "num_attention_heads": 8},
    "qwen3": {"head_dim": 128, "num_key_value_heads": 32},
    "qwen3_moe": {"num_key_value_heads": 4},
    "mistral": {"num_key_value_heads": 8},
    "mixtral": {"num_key_value_heads": 8},
}

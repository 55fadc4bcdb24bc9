"""What each model_type of transformers adds to the plain Llama layer, and the defaults its config class fills in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

# Words of a row; none: as in Llama (RMSNorm, gate and up and down, separate q, k, v, nothing biased, table untied).
#   plain      up and down only, no gate               ffn=N       feed-forward width of N x hidden unless it says one
#   qkv o mlp  biases, unless the config says no       out         o has a bias exactly where q, k, v have one
#   head       a bias on the output head               bare        norms without weights
#   fused      q, k, v as one matrix                   fused-mlp   gate and up as one
#   norms=N    norms of the hidden size in one layer   ln          these norms have biases (LayerNorm)
#   qk         a norm of one head on q and on k        qk-wide     over all heads, or one a head; qk? if the config asks
#   tied       head and token table shared by default  positions=N a learned table, N rows more than the config says
#   window=N   of N layers all but one have a window, if there is one; 1: all have it
#   moe        experts                                 moe-bias    biases on experts and router; router: on it alone
#   gate       a gate of one column on the shared expert
#   latent     multi-head latent attention             sinks       one learned sink a head
#   loose=N    other single parameters of a layer      table-norm  a norm after the token table
# Read from transformers 5.23 `models/<model_type>/modeling_*.py` and `configuration_*.py`, counts compared on the meta
# device; those of the last group from the modeling_*.py in their hub repositories (they run as remote code).
FAMILIES: dict[str, str] = {
    # Llama and its kin
    "llama": "out", "mistral": "window=1", "ministral": "window=1", "ministral3": "", "granite": "out",
    "granite_swa": "out sinks tied window=4", "smollm3": "out tied", "helium": "", "seed_oss": "qkv", "cwm": "window=4",
    "internlm3": "out", "iquestcoder": "out", "ernie4_5": "out tied", "hyperclovax": "out norms=4",
    "qwen2": "qkv", "qwen3": "qk out", "qwen2_vl": "qkv", "qwen2_vl_text": "qkv", "qwen2_5_vl": "qkv",
    "qwen2_5_vl_text": "qkv", "qwen3_vl_text": "qk out", "hunyuan_v1_dense": "qk out",
    "glm4v_text": "qkv fused-mlp norms=4", "olmo": "out bare",
    "olmo2": "qk-wide out", "olmo3": "qk-wide out window=4", "exaone4": "qk window=4",
    "glm": "qkv fused-mlp", "glm4": "qkv fused-mlp norms=4",
    "phi3": "fused fused-mlp window=1",
    # Gemma: heads of their own width, a tied table of 256k tokens, norms that multiply by 1 + weight
    "gemma": "out tied", "gemma2": "out tied norms=4 window=2", "gemma3": "out tied norms=4 qk window=6",
    "gemma3_text": "out tied norms=4 qk window=6", "vaultgemma": "out tied window=2",
    # LayerNorm, parallel blocks, no gate
    "cohere": "out tied norms=1 qk-wide?", "cohere2": "out tied norms=1 window=4",
    "stablelm": "ln qk-wide?", "starcoder2": "plain qkv out mlp ln tied window=1", "nemotron": "plain out ln",
    "arcee": "plain out", "jais2": "plain qkv out mlp ln", "apertus": "plain out qk loose=2",
    "nanochat": "plain out bare",
    "phi": "plain qkv o mlp head norms=1 ln qk?", "persimmon": "plain fused qkv o mlp ln qk?",
    "gpt2": "plain fused qkv o mlp ln positions=0 tied ffn=4",
    "gpt_bigcode": "plain fused qkv o mlp ln positions=0 tied ffn=4",
    "gpt_neo": "plain o mlp ln positions=0 tied ffn=4", "gptj": "plain mlp head norms=1 ln ffn=4",
    "gpt_neox": "plain fused qkv out mlp ln", "opt": "plain qkv o mlp ln positions=2 tied",
    "bloom": "plain fused qkv o mlp ln tied ffn=4 table-norm", "mpt": "plain fused tied ffn=4",
    "falcon": "plain fused out ln tied ffn=4",
    # mixtures of experts
    "mixtral": "moe window=1", "phimoe": "moe out ln", "granitemoe": "moe out", "granitemoeshared": "moe out",
    "qwen2_moe": "moe qkv gate", "qwen3_moe": "moe qk out", "qwen3_vl_moe_text": "moe qk out",
    "olmoe": "moe qk-wide out", "flex_olmo": "moe qk-wide out", "minimax_m2": "moe qk-wide",
    "gpt_oss": "moe moe-bias qkv out sinks window=2", "llama4_text": "moe out window=4",
    "hunyuan_v1_moe": "moe qk out", "hy_v3": "moe qk out", "ernie4_5_moe": "moe router out tied",
    "glm4_moe": "moe qk?", "dots1": "moe qk out", "exaone_moe": "moe qk window=4", "solar_open": "moe",
    "aria_text": "moe out", "cohere2_moe": "moe out tied norms=1 window=4", "granitemoe_swa": "moe out sinks window=4",
    "kolibri1": "moe qk norms=4 window=5", "mellum": "moe qk out",
    # latent attention
    "deepseek_v2": "latent moe", "deepseek_v3": "latent moe", "glm4_moe_lite": "latent moe",
    "kimi_k2": "latent moe", "mistral4": "latent moe", "minicpm3": "latent", "youtu": "latent tied",
    # remote code
    "qwen": "fused qkv", "baichuan": "fused", "internlm": "out", "internlm2": "fused", "chatglm": "fused fused-mlp",
    "minicpm": "tied", "deepseek": "moe", "orion": "ln", "xverse": "",
    "phi-msft": "plain qkv o mlp head norms=1 ln ffn=4",
}  # fmt: skip

# Keys that a config.json may leave out because they equal its class's default, where that is not Llama's.
# gemma3_text and qwen3 set head_dim apart from hidden_size / heads (configuration_gemma3.py, configuration_qwen3.py).
DEFAULTS: dict[str, dict[str, object]] = {
    "gemma": {"head_dim": 256},
    "gemma2": {"head_dim": 256, "num_key_value_heads": 4, "num_attention_heads": 8, "sliding_window": 4096},
    "gemma3": {"head_dim": 256, "vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4,
               "sliding_window": 4096},
    "gemma3_text": {"head_dim": 256, "num_attention_heads": 8, "num_key_value_heads": 4, "sliding_window": 4096},
    "qwen3": {"head_dim": 128, "num_key_value_heads": 32},
    "qwen3_moe": {"num_key_value_heads": 4},
    "mistral": {"num_key_value_heads": 8},
    "mixtral": {"num_key_value_heads": 8},
    "gpt_bigcode": {"multi_query": True},
    "falcon": {"multi_query": True, "parallel_attn": True},
    "starcoder2": {"use_bias": True},
    "persimmon": {"qk_layernorm": True},
    "cohere2": {"sliding_window": 4096},
    "gpt_oss": {"sliding_window": 128, "head_dim": 64},
    "llama4_text": {"attention_chunk_size": 8192, "head_dim": 128},
    "hyperclovax": {"use_post_norm": True},
    "granitemoeshared": {"shared_intermediate_size": 0},
    "deepseek_v3": {"first_k_dense_replace": 3},
    "kimi_k2": {"first_k_dense_replace": 3},
    "glm4_moe": {"first_k_dense_replace": 1},
    "glm4_moe_lite": {"first_k_dense_replace": 1},
}  # fmt: skip

# Sizes that the text_config of a composed model leaves out where they are its class's defaults (LLaVA's).
_SEVEN_B = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000}
TEXT_DEFAULTS: dict[str, dict[str, object]] = {
    "llama": {**_SEVEN_B, "intermediate_size": 11008},
    "mistral": {**_SEVEN_B, "intermediate_size": 14336},
}

_SCAN = "state-space, convolution or linear-attention layers keep scan states that no formula here counts"
_CODER = "it is no decoder-only language model"
_TABLES = "tables of their own in every layer and layers of unlike heads are not counted here"
_SPARSE = "sparse attention with an index of its own is not counted here"
# What is refused, and why.
REFUSED: dict[str, str] = {
    **dict.fromkeys(
        ("mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm", "recurrent_gemma", "jamba", "bamba", "zamba", "zamba2",
         "falcon_h1", "granitemoehybrid", "nemotron_h", "lfm2", "lfm2_moe", "lfm3", "olmo_hybrid", "kimi_linear",
         "bailing_hybrid", "minimax", "qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"),
        _SCAN,
    ),
    **dict.fromkeys(
        ("bert", "roberta", "xlm-roberta", "deberta-v2", "distilbert", "electra", "albert", "modernbert", "t5", "mt5",
         "umt5", "t5gemma", "bart", "mbart", "pegasus", "marian", "m2m_100", "whisper", "vit", "clip", "siglip"),
        _CODER,
    ),
    **dict.fromkeys(
        ("gemma3n", "gemma3n_text", "gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text"), _TABLES
    ),
    **dict.fromkeys(("deepseek_v32", "deepseek_v4", "glm_moe_dsa"), _SPARSE),
    "mllama": "cross-attention layers to an image are not counted here",
    "mllama_text_model": "cross-attention layers to an image are not counted here",
}  # fmt: skip


@cache
def family(model_type: str) -> Mapping[str, int] | None:
    """The words of a family with their numbers (1 where there is none), None for one that is not known."""
    row = FAMILIES.get(model_type)
    if row is None:
        return None
    words = (word.partition("=") for word in row.split())
    return {word: int(number or 1) if mark else 1 for word, mark, number in words}

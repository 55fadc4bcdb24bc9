"""A model by its config.json, its name or its number of parameters: the keys of its family read as a shape."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from memory_calc.errors import MemcalcError
from memory_calc.families import DEFAULTS, FAMILIES, REFUSED, TEXT_DEFAULTS, family
from memory_calc.shapes import ModelShape


def _first(config: Mapping[str, Any], *keys: str) -> Any:
    for key in keys:
        value = config.get(key)
        if value is not None:
            return value
    return None


def _whole(config: Mapping[str, Any], where: str, *keys: str, default: int | None = None) -> int:
    value = _first(config, *keys)
    if type(value) is int and value > 0:
        return value
    if value is None:
        if default is None:
            raise MemcalcError(
                where, f"`{keys[0]}` is missing", fix="give the whole config.json of the model", exit_code=1
            )
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value) or value < 1:
        raise MemcalcError(where, f"`{keys[0]}` is {value!r}", allowed="a whole number above 0", exit_code=1)
    return int(value)


# Names of one size in the config.json of different families, the usual one first.
KEYS = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "multi_query_group_num", "n_head_kv"),
    "head_dim": ("head_dim", "kv_channels"),
    "ffn": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"),
    "vocab": ("vocab_size", "padded_vocab_size"),
    "positions": ("n_positions", "max_position_embeddings"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"),
    "experts_per_token": ("num_experts_per_tok", "moe_k", "moe_topk"),
    "shared": ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert"),
    "shared_ffn": ("shared_expert_intermediate_size", "shared_intermediate_size"),
    "bias": ("attention_bias", "qkv_bias", "use_qkv_bias", "add_qkv_bias", "use_bias", "bias"),
    "qk": ("qk_layernorm", "use_qk_norm"),
}
PER_LAYER = ("moe_topk", "num_shared_expert", "moe_intermediate_size")
NOT_COUNTED = ("vision_config", "audio_config", "num_nextn_predict_layers")


def _listed(value: object, *wanted: str) -> int:
    return sum(kind in wanted for kind in value) if isinstance(value, (list, tuple)) else 0


def _dense_layers(config: Mapping[str, Any], layers: int) -> int:
    """Layers of a mixture without experts, from whichever key the family says it with.

    DeepSeek, GLM: first_k_dense_replace; Qwen: mlp_only_layers and decoder_sparse_step; Llama 4: moe_layers or
    interleave_moe_layer_step; Ernie: moe_layer_start_index, _end_index, _interval; others: mlp_layer_types.
    """
    if config.get("mlp_layer_types"):
        return _listed(config["mlp_layer_types"], "dense")
    if isinstance(config.get("moe_layers"), list):
        return layers - len(config["moe_layers"])
    step = int(_first(config, "interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_interval") or 1)
    start = int(_first(config, "first_k_dense_replace", "num_dense_layers", "moe_layer_start_index") or 0)
    end = int(config.get("moe_layer_end_index") or -1) % layers
    only = set(config.get("mlp_only_layers") or ())
    return layers - sum((i + 1) % step == 0 and start <= i <= end and i not in only for i in range(layers))


def _window(config: Mapping[str, Any], layers: int, pattern: int) -> tuple[int, int]:
    """Tokens that a sliding window shows and the layers that have one: by layer_types, else by the family's pattern."""
    tokens = int(_first(config, "sliding_window", "attention_chunk_size") or 0)
    if not tokens or config.get("use_sliding_window") is False:
        return 0, 0
    if config.get("layer_types"):
        windowed = _listed(config["layer_types"], "sliding_attention", "chunked_attention")
    elif config.get("use_sliding_window"):  # Qwen: the layers above max_window_layers
        windowed = max(0, layers - int(config.get("max_window_layers") or 0))
    else:
        every = config.get("sliding_window_pattern")
        pattern = every if isinstance(every, int) and pattern else pattern
        windowed = layers - layers // pattern if pattern > 1 else layers * (pattern == 1)
    return (tokens, windowed) if windowed else (0, 0)


def _latent(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Fields of multi-head latent attention; a head of q and k is its plain and its rotary part."""
    rope = _whole(config, where, "qk_rope_head_dim")
    return {
        "q_latent": _whole(config, where, "q_lora_rank") if config.get("q_lora_rank") else 0,
        "kv_latent": _whole(config, where, "kv_lora_rank"),
        "rope_dim": rope,
        "head_dim": _whole(config, where, "qk_nope_head_dim") + rope,
        "value_dim": _whole(config, where, "v_head_dim"),
    }


def _mixture(config: Mapping[str, Any], where: str, words: Mapping[str, int], layers: int, ffn: int) -> dict[str, Any]:
    """Fields of a mixture of experts; where a list gives a number a layer (HunYuan), its largest counts."""
    config = {
        key: max(value) if key in PER_LAYER and isinstance(value, list) else value for key, value in config.items()
    }
    each = _whole(config, where, "moe_intermediate_size", default=ffn)
    # Llama 4 and HunYuan have one shared expert without saying so
    shared = int(_first(config, *KEYS["shared"]) or config["model_type"] in ("llama4_text", "hunyuan_v1_moe"))
    dense = _dense_layers(config, layers)
    return {
        "ffn": each,
        "experts": _whole(config, where, *KEYS["experts"]),
        "experts_per_token": _whole(config, where, *KEYS["experts_per_token"]),
        "shared_ffn": int(_first(config, *KEYS["shared_ffn"]) or shared * each),
        "shared_gate": "gate" in words,
        "router_bias": "router" in words or "moe-bias" in words,
        "dense_layers": dense,
        "dense_ffn": _whole(config, where, "intermediate_size_mlp", default=ffn) if dense else 0,
    }


def _key_heads(config: Mapping[str, Any], where: str, heads: int) -> int:
    """Heads of keys: one under `multi_query` (Falcon's newer block and ChatGLM state a number beside it)."""
    if "multi_query_attention" in config:
        return _whole(config, where, *KEYS["kv_heads"]) if config["multi_query_attention"] else heads
    if config.get("model_type") == "falcon" and not config.get("new_decoder_architecture"):
        return 1 if config.get("multi_query") else heads
    if config.get("multi_query") and not config.get("new_decoder_architecture"):
        return 1
    return _whole(config, where, *KEYS["kv_heads"], default=heads)


def _norms(config: Mapping[str, Any], usual: int) -> int:
    """Norms of the hidden size in one layer; parallel blocks share one (modeling_falcon.py, modeling_stablelm.py)."""
    kind = config.get("model_type")
    if kind == "falcon":
        apart = config.get("new_decoder_architecture") or not config.get("parallel_attn")
        return int(config.get("num_ln_in_parallel_attn") or (2 if apart else 1))
    if kind == "stablelm" and config.get("use_parallel_residual"):
        return 1
    return 2 if kind == "hyperclovax" and not config.get("use_post_norm") else usual


def _known_family(kind: str, where: str) -> Mapping[str, int]:
    words = family(kind)
    if words is not None:
        return words
    if kind in REFUSED:
        raise MemcalcError(where, f"model_type {kind!r} is not modelled: {REFUSED[kind]}", exit_code=1)
    near = difflib.get_close_matches(kind, FAMILIES, n=4, cutoff=0.5)
    raise MemcalcError(
        where,
        f"model_type {kind!r} is not known",
        allowed=f"near names: {', '.join(near)}" if near else f"{len(FAMILIES)} families, as llama, qwen3, mixtral",
        fix="where its layers are Llama's, set model_type to llama in a copy of the config",
        exit_code=1,
    )


def from_config(config: Mapping[str, Any], where: str = "config") -> ModelShape:
    """The shape that a transformers `config.json` describes; of a composed model, its language part.

    Defaults of absent keys are those of transformers' own configuration classes (`families.py`).
    Raises MemcalcError (exit code 1) where a key is missing or has no sense.
    """
    try:
        return _described(config, where)
    except (TypeError, ValueError, OverflowError) as error:
        raise MemcalcError(where, f"a key has a value of no sense ({error})", exit_code=1) from None


def _described(config: Mapping[str, Any], where: str) -> ModelShape:
    left_out = tuple([key for key in NOT_COUNTED if config.get(key)])
    text = config.get("text_config")
    if text and isinstance(text, Mapping):
        outer = {key: config[key] for key in ("tie_word_embeddings",) if key in config}  # the whole model's word counts
        config = {**config, **TEXT_DEFAULTS.get(str(text.get("model_type")), {}), **text, **outer}
    kind = str(config.get("model_type") or "llama")
    words = _known_family(kind, where)
    if kind in DEFAULTS:
        config = {**DEFAULTS[kind], **config}
    hidden = _whole(config, where, *KEYS["hidden"])
    heads = _whole(config, where, *KEYS["heads"])
    layers = _whole(config, where, *KEYS["layers"])
    wide = int(config.get("expansion_ratio") or words.get("ffn", 0)) * hidden
    ffn = _whole(config, where, *KEYS["ffn"], *(("moe_intermediate_size",) if "moe" in words else ()),
                 default=wide or None)  # fmt: skip
    if kind == "qwen" and ffn > 4 * hidden:  # its config counts gate and up together (modeling_qwen.py halves it)
        ffn //= 2
    if (config.get("word_embed_proj_dim") or hidden) != hidden:
        raise MemcalcError(
            where, "`word_embed_proj_dim` is not hidden_size", allowed="the same (OPT-350m is not counted)"
        )
    said = _first(config, *KEYS["bias"])
    bias = "qkv" in words if said is None else bool(said)
    mlp_bias = _first(config, "mlp_bias", "use_bias", "bias") if "mlp" in words else config.get("mlp_bias")
    optional = "qk?" in words or "qk-wide?" in words
    window_tokens, window_layers = _window(config, layers, words.get("window", 0))
    positions = words.get("positions", -1)
    shape = ModelShape(
        name=str(config.get("_name_or_path") or where),
        layers=layers, hidden=hidden, ffn=ffn, heads=heads,
        kv_heads=_key_heads(config, where, heads),
        head_dim=_whole(config, where, *KEYS["head_dim"], default=max(1, hidden // heads)),
        vocab=_whole(config, where, *KEYS["vocab"]),
        tied=bool(config.get("tie_word_embeddings", "tied" in words)),
        model_type=kind,
        gated="plain" not in words,
        fused_qkv="fused" in words,
        fused_gate_up="fused-mlp" in words,
        qkv_bias=bias,
        o_bias=bool(config.get("attention_out_bias", bias if "out" in words else "o" in words)),
        mlp_bias=bool("mlp" in words or "moe-bias" in words if mlp_bias is None else mlp_bias),
        head_bias=bool(config.get("lm_head_bias", "head" in words)),
        qk_norm=bool(_first(config, *KEYS["qk"])) if optional else "qk" in words or "qk-wide" in words,
        qk_norm_wide="qk-wide" in words or "qk-wide?" in words,
        norms_per_layer=_norms(config, words.get("norms", 2)),
        norm_bias="ln" in words,
        norm_weights="bare" not in words,
        table_norm="table-norm" in words,
        positions=0 if positions < 0 else _whole(config, where, *KEYS["positions"]) + positions,
        loose=words.get("loose", 0) + heads * ("sinks" in words),
        window_tokens=window_tokens,
        window_layers=window_layers,
        dtype=str(_first(config, "torch_dtype", "dtype") or ""),
        left_out=left_out,
        source=where,
    )  # fmt: skip
    if "latent" in words:
        shape = replace(shape, **_latent(config, where))
    if "moe" in words:
        shape = replace(shape, **_mixture(config, where, words, layers, ffn))
    return shape


def _read_config(path: Path) -> ModelShape:
    file = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MemcalcError(str(path), "no config.json in this folder", fix="give a model folder", exit_code=1) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MemcalcError(str(file), f"cannot be read as JSON ({error})", exit_code=1) from None
    if not isinstance(config, dict):
        raise MemcalcError(str(file), "is not a JSON object", allowed="a model's config.json", exit_code=1)
    return from_config(config, str(file))


def _in_hub_cache(name: str) -> Path | None:
    """The config.json of a hub id in the local cache of huggingface_hub, None where there is none; no network.

    Layout: models--ORG--NAME/refs/main holds a commit, snapshots/COMMIT the files (huggingface_hub, "Understand
    caching"); the folder is HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub.
    """
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")).expanduser()
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        return None
    folder = cache / f"models--{name.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        commit = "*"
    return next((file for file in sorted(folder.glob(f"snapshots/{commit}/config.json")) if file.is_file()), None)


def shape_of(model: str | Path | Mapping[str, Any]) -> ModelShape:
    """The shape of a config (mapping), a config.json, a model folder, a hub id in the local cache, or a known name.

    Raises MemcalcError: exit code 1 for a file that cannot be read or lacks keys, 2 for an unknown name.
    """
    if isinstance(model, Mapping):
        return from_config(model)
    if Path(model).expanduser().exists():
        return _read_config(Path(model).expanduser())
    cached = _in_hub_cache(str(model))
    if cached is not None:
        return replace(_read_config(cached), name=str(model))
    from memory_calc.models import known

    return known(str(model))


def resized(shape: ModelShape, n: int) -> ModelShape | None:
    """The shape with its feed-forward width changed so that it has about n parameters; None where it cannot.

    The width is what families of one depth and hidden size really differ in (Llama-2-7B and Mistral-7B, for one);
    the rest error is below 3 x hidden x layers parameters.
    """
    per_unit = shape.layers * shape.hidden * (3 if shape.gated else 2)
    ffn = shape.ffn + round((n - shape.n_params) / per_unit)
    if not shape.hidden <= ffn <= 8 * shape.hidden:
        return None
    return replace(shape, ffn=ffn)


NEAR = (0.75, 1.33)  # how far a known model may be from the number asked for
ENOUGH = 3


def _near(shapes: Iterable[ModelShape], n: int) -> list[ModelShape]:
    return [shape for shape in shapes if NEAR[0] <= shape.n_params / n <= NEAR[1]]


def _deepened(shape: ModelShape, n: int) -> list[ModelShape]:
    """The shape with a number of layers that brings it to n; none where it would be under a fifth or over twice."""
    tables = shape.n_embedding + shape.n_head
    depth = round(shape.layers * (n - tables) / (shape.n_params - tables))
    fits = shape.layers / 5 <= depth <= shape.layers * 2
    return [replace(shape, layers=depth, name=f"{shape.name} at {depth} layers")] if fits else []


def _central(shapes: list[ModelShape]) -> list[ModelShape]:
    """The nine tenths in the middle by the size of token table and head, which spreads shapes of one size most."""
    by_tables = sorted(shapes, key=lambda shape: shape.n_embedding + shape.n_head)
    cut = len(shapes) // 20
    central = by_tables[cut : len(shapes) - cut]
    return [shape for shape in shapes if shape in central]


def shapes_for_params(n: int) -> list[ModelShape]:
    """Plausible dense shapes of about n parameters, the nearest known one first.

    Known models with gated feed-forward parts within a quarter of n, brought to n by the width of that part; where
    fewer than three are that near, those without a gate too, then the nearest at another depth. Of many, the tenth
    with the most extreme vocabularies is left out. Raises MemcalcError (exit code 2) where nothing is near.
    """
    from memory_calc.models import MODELS, known

    dense = [shape for shape in map(known, MODELS) if not shape.experts and not shape.kv_latent]
    sized = {(s.layers, s.hidden, s.ffn, s.heads, s.kv_dim, s.vocab, s.tied, s.gated): s for s in reversed(dense)}
    nearest = sorted(sized.values(), key=lambda shape: max(shape.n_params / n, n / shape.n_params))
    gated = [shape for shape in nearest if shape.gated]
    chosen = _near(gated, n)
    if len(chosen) < ENOUGH:
        chosen = _near(nearest, n)
    if len(chosen) < ENOUGH:
        others = (shape for shape in gated if shape not in chosen)
        chosen += [deepened for shape in others for deepened in _deepened(shape, n)][: ENOUGH - len(chosen)]
    fitted = [shape for shape in (resized(shape, n) for shape in chosen) if shape is not None]
    if not fitted:
        raise MemcalcError(
            "--params", f"no known family is near {n:,} parameters", allowed="about 60m to 500b", fix="give --model"
        )
    return _central(fitted)

"""The shape of a decoder-only model: its linear layers, norms and tables, counted exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from memory_calc.errors import MemcalcError
from memory_calc.families import DEFAULTS, FAMILIES


@dataclass(frozen=True)
class Linear:
    """One weight matrix of a layer, `copies` of it (experts), with or without a bias."""

    name: str
    d_in: int
    d_out: int
    bias: bool = False
    copies: int = 1

    @property
    def n_weights(self) -> int:
        """Elements of the matrix (the part that quantisation packs)."""
        return self.copies * self.d_in * self.d_out

    @property
    def n_params(self) -> int:
        """Elements of matrix and bias."""
        return self.n_weights + self.copies * self.d_out * self.bias


@dataclass(frozen=True)
class ModelShape:
    """A decoder-only transformer: sizes in elements, counts in units."""

    name: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool = False
    model_type: str = "llama"
    gated: bool = True  # SwiGLU or GeGLU: gate, up and down; else up and down
    fused_qkv: bool = False  # one matrix for q, k and v
    fused_gate_up: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    qk_norm: bool = False  # a norm of head_dim on q and on k
    norms_per_layer: int = 2
    norm_bias: bool = False  # LayerNorm instead of RMSNorm
    positions: int = 0  # rows of a learned position table
    experts: int = 0
    experts_per_token: int = 0
    shared_ffn: int = 0  # width of the expert that every token passes
    dtype: str = ""  # what its config.json says it is stored in
    source: str = ""

    @property
    def q_dim(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Width of all key heads (values are as wide)."""
        return self.kv_heads * self.head_dim

    def attention_linears(self) -> tuple[Linear, ...]:
        """Matrices of one layer's attention."""
        h, q, kv = self.hidden, self.q_dim, self.kv_dim
        out = Linear("c_proj" if self.model_type in ("gpt2", "gpt_bigcode", "qwen") else "o_proj", q, h, self.o_bias)
        if self.fused_qkv:
            name = "c_attn" if self.model_type in ("gpt2", "gpt_bigcode", "qwen") else "qkv_proj"
            return Linear(name, h, q + 2 * kv, self.qkv_bias), out
        inner = (Linear("q_proj", h, q, self.qkv_bias), Linear("k_proj", h, kv, self.qkv_bias))
        return (*inner, Linear("v_proj", h, kv, self.qkv_bias), out)

    def _mlp(self, width: int, copies: int, prefix: str = "") -> tuple[Linear, ...]:
        h = self.hidden
        down = Linear(f"{prefix}down_proj", width, h, self.mlp_bias, copies)
        if self.fused_gate_up:
            return Linear(f"{prefix}gate_up_proj", h, 2 * width, self.mlp_bias, copies), down
        up = Linear(f"{prefix}up_proj", h, width, self.mlp_bias, copies)
        return (Linear(f"{prefix}gate_proj", h, width, self.mlp_bias, copies), up, down) if self.gated else (up, down)

    def mlp_linears(self) -> tuple[Linear, ...]:
        """Matrices of one layer's feed-forward part, router and shared expert among them."""
        if not self.experts:
            return self._mlp(self.ffn, 1)
        found = (*self._mlp(self.ffn, self.experts), Linear("router", self.hidden, self.experts))
        if self.shared_ffn:
            gate = Linear("shared_gate", self.hidden, 1)
            found = (*found, *self._mlp(self.shared_ffn, 1, "shared_"), gate)
        return found

    def linears(self) -> tuple[Linear, ...]:
        """Every weight matrix of one layer; multiply by `layers` for the model."""
        return (*self.attention_linears(), *self.mlp_linears())

    @property
    def n_norm(self) -> int:
        """Elements of every norm of the model."""
        each = self.hidden * (2 if self.norm_bias else 1)
        return self.layers * (self.norms_per_layer * each + 2 * self.head_dim * self.qk_norm) + each

    @property
    def n_embedding(self) -> int:
        """Elements of the token table and the position table."""
        return (self.vocab + self.positions) * self.hidden

    @property
    def n_head(self) -> int:
        """Elements that the output head adds (none but its bias where it shares the token table)."""
        return (0 if self.tied else self.vocab * self.hidden) + self.vocab * self.head_bias

    @property
    def n_linear(self) -> int:
        """Elements of the weight matrices inside the layers, biases left out."""
        return self.layers * sum(linear.n_weights for linear in self.linears())

    @property
    def n_layer(self) -> int:
        """Elements of one layer: matrices, biases and norms."""
        norms = (self.n_norm - self.hidden * (2 if self.norm_bias else 1)) // self.layers
        return sum(linear.n_params for linear in self.linears()) + norms

    @property
    def n_params(self) -> int:
        """Elements of the whole model, exact (tied tables counted once)."""
        biases = self.layers * sum(linear.n_params - linear.n_weights for linear in self.linears())
        return self.n_linear + biases + self.n_norm + self.n_embedding + self.n_head


def _first(config: Mapping[str, Any], *keys: str) -> Any:
    return next((config[key] for key in keys if config.get(key) is not None), None)


def _whole(config: Mapping[str, Any], where: str, *keys: str, default: int | None = None) -> int:
    value = _first(config, *keys)
    if value is None:
        if default is None:
            raise MemcalcError(
                where, f"`{keys[0]}` is missing", fix="give the whole config.json of the model", exit_code=1
            )
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value) or value < 1:
        raise MemcalcError(where, f"`{keys[0]}` is {value!r}", allowed="a whole number above 0", exit_code=1)
    return int(value)


def from_config(config: Mapping[str, Any], where: str = "config") -> ModelShape:
    """The shape that a transformers `config.json` describes.

    Defaults of absent keys are those of transformers' own configuration classes (`families.py`).
    Raises MemcalcError (exit code 1) where a key is missing or has no sense.
    """
    if isinstance(config.get("text_config"), Mapping):  # composed models: the language part is what is tuned
        config = {**config, **config["text_config"]}
    kind = str(config.get("model_type") or "llama")
    family = FAMILIES.get(kind)
    if family is None:
        raise MemcalcError(where, f"model_type {kind!r} is not known", allowed=", ".join(sorted(FAMILIES)), exit_code=1)
    config = {**DEFAULTS.get(kind, {}), **config}
    hidden = _whole(config, where, "hidden_size", "n_embd", "d_model")
    heads = _whole(config, where, "num_attention_heads", "n_head")
    layers = _whole(config, where, "num_hidden_layers", "n_layer")
    kv_heads = 1 if config.get("multi_query") else _whole(config, where, "num_key_value_heads", default=heads)
    ffn_keys = ("moe_intermediate_size",) if config.get("moe_intermediate_size") and family.get("moe") else ()
    default_ffn = 4 * hidden if family.get("ffn_is_4h") else None
    ffn = _whole(config, where, *ffn_keys, "intermediate_size", "n_inner", "ffn_dim", default=default_ffn)
    if kind == "qwen" and ffn > 4 * hidden:  # its config counts gate and up together (modeling_qwen.py halves it)
        ffn //= 2
    experts = _whole(config, where, "num_local_experts", "num_experts") if family.get("moe") else 0
    head_dim = _whole(config, where, "head_dim", default=max(1, hidden // heads))
    bias = bool(config.get("attention_bias", family.get("qkv_bias", False)))
    shared = config.get("shared_expert_intermediate_size") or 0
    return ModelShape(
        name=str(config.get("_name_or_path") or where),
        layers=layers, hidden=hidden, ffn=ffn, heads=heads, kv_heads=kv_heads, head_dim=head_dim,
        vocab=_whole(config, where, "vocab_size"),
        tied=bool(config.get("tie_word_embeddings", family.get("tied", False))),
        model_type=kind,
        gated=family.get("gated", True),
        fused_qkv=family.get("fused_qkv", False),
        fused_gate_up=family.get("fused_gate_up", False),
        qkv_bias=bias,
        o_bias=bool(config.get("attention_bias", False)) if family.get("o_follows") else family.get("o_bias", False),
        mlp_bias=bool(config.get("mlp_bias", family.get("mlp_bias", False))),
        head_bias=family.get("head_bias", False),
        qk_norm=family.get("qk_norm", False),
        norms_per_layer=family.get("norms", 2),
        norm_bias=family.get("norm_bias", False),
        positions=_whole(config, where, "n_positions", "max_position_embeddings") if family.get("positions") else 0,
        experts=experts,
        experts_per_token=_whole(config, where, "num_experts_per_tok") if experts else 0,
        shared_ffn=int(shared) if kind == "qwen2_moe" else 0,
        dtype=str(_first(config, "torch_dtype", "dtype") or ""),
        source=f"{where}",
    )  # fmt: skip


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


def shape_of(model: str | Path | Mapping[str, Any]) -> ModelShape:
    """The shape of a config (mapping), a config.json, a model folder or a known name.

    Raises MemcalcError: exit code 1 for a file that cannot be read or lacks keys, 2 for an unknown name.
    """
    if isinstance(model, Mapping):
        return from_config(model)
    if Path(model).exists():
        return _read_config(Path(model))
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


def shapes_for_params(n: int) -> list[ModelShape]:
    """Plausible dense shapes of about n parameters, the nearest known family first.

    Known dense models within a quarter of n, brought to n by the width of their feed-forward part; where fewer than
    three are that near, the nearest others are made deeper or shallower first.
    """
    from memory_calc.models import MODELS, known

    dense = [shape for shape in map(known, MODELS) if not shape.experts and shape.gated]
    unique = {replace(shape, name="", source=""): shape for shape in reversed(dense)}  # one row of several equal ones
    found: list[ModelShape] = []
    for shape in sorted(unique.values(), key=lambda shape: max(shape.n_params / n, n / shape.n_params)):
        ratio = shape.n_params / n
        if len(found) >= 3 and not 0.75 <= ratio <= 1.33:
            break
        if not 0.75 <= ratio <= 1.33:
            body = shape.n_params - shape.n_embedding - shape.n_head
            depth = round(shape.layers * (n - shape.n_embedding - shape.n_head) / body)
            if not shape.layers / 5 <= depth <= shape.layers * 2:
                continue
            shape = replace(shape, layers=depth, name=f"{shape.name} at {depth} layers")
        fitted = resized(shape, n)
        if fitted is not None:
            found.append(fitted)
    if not found:
        raise MemcalcError(
            "--params", f"no known family is near {n:,} parameters", allowed="about 60m to 500b", fix="give --model"
        )
    return found

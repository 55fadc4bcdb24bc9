"""The shape of a decoder-only model: its linear layers, norms and tables, counted exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, NamedTuple, TypeVar


class Linear(NamedTuple):
    """One weight matrix of a layer, `copies` of it (experts), with or without a bias."""

    name: str
    d_in: int
    d_out: int
    bias: bool = False
    copies: int = 1


Matrices = tuple[Linear, ...]


class Parts(NamedTuple):
    """The matrices of one layer: its attention, its feed-forward part, and that of the layers without experts."""

    attention: Matrices
    mlp: Matrices  # router and shared expert among them
    dense: Matrices  # empty where all layers are alike


class Elements(NamedTuple):
    """Elements of the model's weight matrices inside the layers, and of their biases."""

    weights: int
    biases: int


Found = TypeVar("Found")


def _once(made: Callable[[ModelShape], Found]) -> Callable[[ModelShape], Found]:
    """A method that makes its result once a shape: one estimate asks for it many times."""

    @wraps(made)
    def kept(shape: ModelShape) -> Found:
        found: Found | None = shape.kept.get(made)
        if found is None:
            found = shape.kept[made] = made(shape)
        return found

    return kept


@dataclass(slots=True, unsafe_hash=True)  # never changed, but not frozen: making one would take four times as long
class ModelShape:
    """A decoder-only transformer: sizes in elements, counts in units."""

    name: str
    layers: int
    hidden: int
    ffn: int  # of one expert where there are experts
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
    qk_norm_wide: bool = False  # that norm goes over the whole width of q and of k
    norms_per_layer: int = 2
    norm_bias: bool = False  # LayerNorm instead of RMSNorm
    norm_weights: bool = True
    table_norm: bool = False  # a norm after the token table
    positions: int = 0  # rows of a learned position table
    experts: int = 0
    experts_per_token: int = 0
    shared_ffn: int = 0  # width of the expert that every token passes
    shared_gate: bool = False  # one column that weighs the shared expert
    router_bias: bool = False
    dense_layers: int = 0  # layers of a mixture that have one feed-forward part instead
    dense_ffn: int = 0
    q_latent: int = 0  # multi-head latent attention: ranks of the compressed q and kv, rotary part, width of a value
    kv_latent: int = 0
    rope_dim: int = 0
    value_dim: int = 0
    loose: int = 0  # single parameters of a layer: sinks of the attention, those of an activation
    window_tokens: int = 0  # what the layers with a sliding window see at most
    window_layers: int = 0
    dtype: str = ""  # what its config.json says it is stored in
    left_out: tuple[str, ...] = ()  # parts of the config that are not counted, by their keys
    source: str = ""
    kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)  # made once from the rest

    @property
    def q_dim(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Width of all key heads (values are as wide, but in latent attention)."""
        return self.kv_heads * self.head_dim

    @property
    def out_dim(self) -> int:
        """Width of the attention's result, which the output projection takes."""
        return self.heads * (self.value_dim or self.head_dim)

    @property
    def cached_per_token(self) -> int:
        """Elements that one layer caches of one token: keys and values, or the latent and the rotary part.

        Latent attention as DeepSeek-V2 defines it (arXiv 2405.04434 section 2.1.4) and both vLLM and
        transformers 5 (`DeepseekV3Attention.forward`) store it.
        """
        return self.kv_latent + self.rope_dim if self.kv_latent else 2 * self.kv_dim

    @_once
    def parts(self) -> Parts:
        """Every weight matrix of one layer by the part it belongs to."""
        return Parts(self._attention(), self._feed_forward(), self._mlp(self.dense_ffn, 1) if self.dense_layers else ())

    def linears(self) -> Matrices:
        """Every weight matrix of one layer (of a mixture: one with experts); `layers_with` says how many have it."""
        attention, mlp, _ = self.parts()
        return attention + mlp

    def _attention(self) -> Matrices:
        h, q, kv = self.hidden, self.q_dim, self.kv_dim
        conv = self.model_type in ("gpt2", "gpt_bigcode", "qwen")
        out = Linear("c_proj" if conv else "o_proj", self.out_dim, h, self.o_bias)
        if self.kv_latent:
            return (*self._latent_linears(), out)
        if self.fused_qkv:
            return Linear("c_attn" if conv else "qkv_proj", h, q + 2 * kv, self.qkv_bias), out
        inner = (Linear("q_proj", h, q, self.qkv_bias), Linear("k_proj", h, kv, self.qkv_bias))
        return (*inner, Linear("v_proj", h, kv, self.qkv_bias), out)

    def _latent_linears(self) -> Matrices:
        """Multi-head latent attention: transformers modeling_deepseek_v3.py DeepseekV3Attention."""
        h, bias = self.hidden, self.qkv_bias
        query = (Linear("q_a_proj", h, self.q_latent, bias), Linear("q_b_proj", self.q_latent, self.q_dim))
        unfolded = self.heads * (self.head_dim - self.rope_dim + self.value_dim)
        return (
            *(query if self.q_latent else (Linear("q_proj", h, self.q_dim),)),
            Linear("kv_a_proj_with_mqa", h, self.kv_latent + self.rope_dim, bias),
            Linear("kv_b_proj", self.kv_latent, unfolded),
        )

    def _mlp(self, width: int, copies: int, prefix: str = "") -> Matrices:
        h = self.hidden
        down = Linear(f"{prefix}down_proj", width, h, self.mlp_bias, copies)
        if self.fused_gate_up:
            return Linear(f"{prefix}gate_up_proj", h, 2 * width, self.mlp_bias, copies), down
        up = Linear(f"{prefix}up_proj", h, width, self.mlp_bias, copies)
        return (Linear(f"{prefix}gate_proj", h, width, self.mlp_bias, copies), up, down) if self.gated else (up, down)

    def _feed_forward(self) -> Matrices:
        if not self.experts:
            return self._mlp(self.ffn, 1)
        found = (*self._mlp(self.ffn, self.experts), Linear("router", self.hidden, self.experts, self.router_bias))
        if self.shared_ffn:
            found = (*found, *self._mlp(self.shared_ffn, 1, "shared_"))
        return (*found, Linear("shared_gate", self.hidden, 1)) if self.shared_gate else found

    def layers_with(self, linear: Linear) -> int:
        """How many layers hold that matrix of `linears()`: all, but feed-forward ones not where layers are dense."""
        return self.layers - (self.dense_layers if self.dense_layers and linear in self.parts().mlp else 0)

    @property
    def layers_by_part(self) -> tuple[int, int, int]:
        """How many layers have each of `parts()`."""
        return self.layers, self.layers - self.dense_layers, self.dense_layers

    @_once
    def _counted(self) -> Elements:
        weights = biases = 0
        for part, layers in zip(self.parts(), self.layers_by_part, strict=True):
            for _, d_in, d_out, bias, copies in part:
                weights += layers * copies * d_in * d_out
                biases += layers * copies * d_out * bias
        return Elements(weights, biases)

    @property
    def n_small(self) -> int:
        """Elements of one layer's norms of q, k and latents, and its loose parameters."""
        others = self.q_latent + self.kv_latent + self.loose
        if not self.qk_norm:
            return others
        narrow = 2 * self.head_dim * (2 if self.norm_bias else 1)
        return others + (self.q_dim + self.kv_dim if self.qk_norm_wide else narrow)

    @property
    def n_norm(self) -> int:
        """Elements of every norm of the model, and the few loose parameters of its layers."""
        each = self.hidden * (2 if self.norm_bias else 1) * self.norm_weights
        return self.layers * (self.norms_per_layer * each + self.n_small) + each * (1 + self.table_norm)

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
        return self._counted().weights

    @property
    def n_router(self) -> int:
        """Elements of all routers, the matrices of a mixture that stay unquantised and without adapters."""
        return (self.layers - self.dense_layers) * self.hidden * self.experts

    @property
    def n_layer(self) -> int:
        """Elements of one layer (of a mixture: one with experts): matrices, biases and norms."""
        each = self.hidden * (2 if self.norm_bias else 1) * self.norm_weights
        matrices = sum(copies * d_out * (d_in + bias) for _, d_in, d_out, bias, copies in self.linears())
        return matrices + self.norms_per_layer * each + self.n_small

    @property
    @_once
    def n_params(self) -> int:
        """Elements of the whole model, exact (tied tables counted once)."""
        return sum(self._counted()) + self.n_norm + self.n_embedding + self.n_head

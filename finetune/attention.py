"""Attention that keeps documents apart: several of them in one row without pads, none sees another."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.utils import is_flash_attn_2_available

NAME = "documents"
# On a CPU torch's fused kernel takes twice the time of two matrix products for documents of up to about this length,
# and still more at 600 (bf16, both passes, one core; dev/LOG.md). What the products keep is (heads x length^2).
SHORT_TOKENS = 256


def documents_attention(
    module: torch.nn.Module, query: Any, key: Any, value: Any, attention_mask: Any, **known: Any
) -> tuple[Any, None]:
    """Scaled dot-product attention within each document of a row, (1, heads, tokens, width) in and out.

    `cu_seq_lens_q` (documents + 1) says where each begins, as in flash attention's own variable-length call; without it
    this is transformers' `sdpa`. Each document is a causal call of its own, so no (tokens x tokens) mask exists and
    nothing is computed between documents.
    """
    bounds = known.pop("cu_seq_lens_q", None)
    if bounds is None or attention_mask is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **known)  # type: ignore[no-any-return]
    lengths = bounds.diff().tolist()
    known.pop("is_causal", None)
    parts = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    return torch.cat([_attended(module, q, k, v, **known) for q, k, v in parts], 1), None


def _attended(module: Any, query: Any, key: Any, value: Any, **known: Any) -> Any:
    """Causal attention of one document: (1, heads, tokens, width) to (1, tokens, heads, width)."""
    n, dropout = query.shape[2], known.get("dropout", 0.0)
    if query.device.type != "cpu" or n > SHORT_TOKENS or dropout or known.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, None, **known)[0]
    groups, scale = query.shape[1] // key.shape[1], known.get("scaling") or query.shape[3] ** -0.5
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scores = (query * scale) @ key.transpose(2, 3)
    later = torch.ones(n, n, dtype=torch.bool, device=query.device).triu(1)
    weights = scores.masked_fill_(later, float("-inf")).softmax(-1, dtype=torch.float32).to(value.dtype)
    return (weights @ value).transpose(1, 2)


def _mask(*given: Any, attention_mask: Any = None, **known: Any) -> Any:
    """No mask where none is given: within a document attention is causal by itself."""
    return None if attention_mask is None else sdpa_mask(*given, attention_mask=attention_mask, **known)


AttentionInterface.register(NAME, documents_attention)
AttentionMaskInterface.register(NAME, _mask)


def keep_documents_apart(model: Any, longest_tokens: int) -> bool:
    """Give the model an attention for rows of several documents; False, and nothing changed, where it can have none.

    A layer with a window shorter than the longest document needs its mask, and a cap on the scores needs eager
    attention. Whether the documents do not see each other is measured by `finetune.layout`, not believed.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if (window and window < longest_tokens) or getattr(config, "attn_logit_softcapping", None):
        return False
    before = config._attn_implementation
    # flash attention's own kernel takes documents of any length at once; elsewhere they are attended to one by one
    flash = torch.cuda.is_available() and is_flash_attn_2_available()
    try:
        model.set_attn_implementation("flash_attention_2" if flash else NAME)
    except (ValueError, ImportError):
        model.set_attn_implementation(before)
        return False
    return True

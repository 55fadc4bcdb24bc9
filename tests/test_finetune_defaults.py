"""The table of defaults: each row has its source, the cap says itself, targets resolve on every kind of model."""

from __future__ import annotations

import pytest

from finetune.defaults import (
    ALL_LINEAR,
    ALPHA,
    ATTENTION,
    BATCH,
    DEFAULTS,
    EPOCHS,
    KINDS,
    LEAST_STEPS,
    MLP,
    TABLE,
    batch_for,
    both_sizes,
    epochs_for,
    learning_rate,
    rank_cap,
    state_bytes,
    targets_of,
)
from finetune.errors import FinetuneError
from finetune.recipe import Recipe


def test_the_less_there_is_to_learn_the_less_is_trained() -> None:
    tone, shape, syntax = (DEFAULTS[kind] for kind in KINDS)
    assert (tone.rank, tone.targets) == (8, "q_proj,v_proj")
    assert (shape.rank, shape.targets) == (8, ATTENTION)
    assert (syntax.rank, syntax.most_rank, syntax.targets) == (16, 32, ALL_LINEAR)
    assert all(row.source and row.because for row in DEFAULTS.values()) and all(row.source for row in TABLE)


def test_a_recipe_that_says_nothing_is_the_table() -> None:
    recipe, table = Recipe(), {row.knob: row.value for row in TABLE}
    for knob in ("alpha", "dropout", "warmup_rate", "max_grad_norm"):
        assert getattr(recipe, knob) == table[knob], knob
    assert recipe.alpha == ALPHA == 32 and BATCH[0] <= recipe.batch * recipe.accumulation <= BATCH[1]


@pytest.mark.parametrize(("per_rank", "tokens"), [(1000, 1), (1000, 1000), (1000, 1001), (1000, 16_000), (7, 10**6)])
def test_the_cap_keeps_parameters_below_the_tokens_and_is_the_largest_that_does(per_rank: int, tokens: int) -> None:
    cap = rank_cap(per_rank, tokens)
    assert cap.rank >= 1 and (cap.rank + 1) * per_rank >= tokens
    below = cap.rank * per_rank < tokens
    assert below or cap.rank == 1
    assert f"{cap.rank * per_rank:,}" in cap.says and f"{tokens:,}" in cap.says
    assert ("stay below" in cap.says) == below and ("the least" in cap.says) != below


def test_the_rate_is_loras_own_and_follows_width_and_family() -> None:
    assert learning_rate(4096) == pytest.approx(2.86e-4, rel=0.01)  # the published 2.9e-4 of an 8B Llama
    assert learning_rate(4096, "qwen3") == pytest.approx(4.7e-4, rel=0.01)  # and 4.7e-4 of an 8B Qwen
    assert learning_rate(576) == 5e-4 and learning_rate(10**6) == 1e-4
    assert learning_rate(4096, method="full") == pytest.approx(learning_rate(4096) / 10, rel=0.01)


def test_who_asks_for_all_weights_is_told_both_sizes() -> None:
    told = both_sizes(134_515_008, per_rank=305_280, rank=16)
    assert "134,515,008 weights take 2.15 GB" in told and "trains 4,884,480 and takes 0.35 GB" in told
    assert state_bytes(100, 100) == 1600 and state_bytes(100, 0) == 200


def test_batches_grow_with_the_rows_and_epochs_shrink() -> None:
    assert [batch_for(rows) for rows in (10, 500, 1000, 10_000)] == [8, 8, 16, 32]
    assert [epochs_for(rows, 8) for rows in (8, 100, 10_000)] == [EPOCHS[1], 5, EPOCHS[0]]
    assert all(epochs_for(rows, 8) * -(-rows // 8) >= LEAST_STEPS for rows in range(60, 2000, 37))


ARCHITECTURES = {
    "LlamaConfig": {},
    "Qwen2Config": {},
    "GPT2Config": {"n_embd": 32, "n_layer": 1, "n_head": 4},
    "GPTNeoXConfig": {},
    "Phi3Config": {"pad_token_id": 0},
    "FalconConfig": {"num_kv_heads": 2},
    "OPTConfig": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "GPTJConfig": {"n_embd": 32, "n_layer": 1, "n_head": 4, "rotary_dim": 4},
    "MptConfig": {"d_model": 32, "n_layers": 1, "n_heads": 4},
    "DeepseekV3Config": {
        "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8,
        "moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
        "first_k_dense_replace": 1,
    },
}  # fmt: skip


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # peft's own, of the experts that this small mixture lacks
def test_every_kind_resolves_to_matrices_that_peft_finds(architecture: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = getattr(transformers, architecture)(vocab_size=64, **sizes, **ARCHITECTURES[architecture])
    trained = {}
    for kind in (*KINDS, MLP):
        model = transformers.AutoModelForCausalLM.from_config(config)
        matrices = (torch.nn.Linear, transformers.pytorch_utils.Conv1D)
        names = [name for name, module in model.named_modules() if isinstance(module, matrices)]
        targets = targets_of(kind, names)
        modules = targets if targets == ALL_LINEAR else targets.split(",")
        adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=modules, task_type="CAUSAL_LM"))
        trained[kind] = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    tone, shape, syntax = (trained[kind] for kind in KINDS)
    assert tone and tone <= shape < syntax
    assert all("attn" in name or "attention" in name for name in shape)
    assert trained[MLP] and not trained[MLP] & shape


def test_targets_that_do_not_exist_are_told_with_those_that_do() -> None:
    names = ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj", "lm_head"]
    assert targets_of("q_proj, up_proj", names) == "q_proj,up_proj"
    with pytest.raises(FinetuneError, match=r"banana.*allowed: .*q_proj, up_proj"):
        targets_of("banana", names)
    with pytest.raises(FinetuneError, match="no such matrices"):
        targets_of("down_proj", names)

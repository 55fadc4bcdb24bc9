"""Terms and phases against a second derivation, by hand and by counting what torch keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memory_calc.activations import checkpoint_bytes, saved_layer_bytes
from memory_calc.errors import MemcalcError
from memory_calc.estimate import STATES, Job, estimate, estimate_params
from memory_calc.fit import largest_batch, needed_bytes
from memory_calc.models import known
from memory_calc.shapes import ModelShape, from_config, shapes_for_params
from memory_calc.terms import (
    adapter_params,
    gradients_bytes,
    optimizer_bytes,
    optimizer_named,
    step_temporary_bytes,
    targeted,
    weights_bytes,
)

MISTRAL = known("mistralai/Mistral-7B-v0.1")
LLAMA3 = known("meta-llama/Meta-Llama-3-8B")
FULL = Job(method="full").settled()
GIB = 2**30


def test_weights_by_dtype() -> None:
    n = 7_241_732_096
    assert weights_bytes(MISTRAL, FULL) == 2 * n
    assert weights_bytes(MISTRAL, replace(FULL, dtype="float32")) == 4 * n


def test_nf4_counts_its_constants_and_leaves_tables_and_norms() -> None:
    # 32 layers of q, o 4096^2, k, v 4096 x 1024, gate, up, down 4096 x 14336
    packed = 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    rest = 2 * 32000 * 4096 + 65 * 4096
    job = Job(method="qlora", quantization="nf4", upcast="none").settled()
    assert weights_bytes(MISTRAL, job) == packed // 2 + packed // 64 * 4 + 2 * rest
    double = packed // 2 + packed // 64 + packed // 64 // 256 * 4
    assert weights_bytes(MISTRAL, replace(job, quantization="nf4-dq")) == double + 2 * rest
    assert weights_bytes(MISTRAL, replace(job, upcast="kbit")) - weights_bytes(MISTRAL, job) == 2 * rest
    assert weights_bytes(MISTRAL, replace(job, upcast="norms")) - weights_bytes(MISTRAL, job) == 2 * 65 * 4096


def test_adapters_by_hand() -> None:
    job = Job(rank=16, targets=("q_proj", "v_proj")).settled()
    assert adapter_params(MISTRAL, job) == 32 * 16 * ((4096 + 4096) + (4096 + 1024))
    # GPT-3 175B, r = 4 on q and v: 18.9 million (arXiv 2106.09685, table 4)
    gpt3 = ModelShape("gpt3", 96, 12288, 49152, 96, 96, 128, 50257)
    assert adapter_params(gpt3, replace(job, rank=1)) == 4_718_592
    assert adapter_params(gpt3, replace(job, rank=4)) == 18_874_368
    dora = replace(job, use_dora=True)
    assert adapter_params(MISTRAL, dora) - adapter_params(MISTRAL, job) == 32 * (4096 + 1024)


def test_sixteen_bytes_for_each_trained_adapter_parameter() -> None:
    job = Job(method="lora").settled()
    n = adapter_params(MISTRAL, job)
    found = estimate(MISTRAL, job).terms
    assert found["adapters"] + found["gradients"] + found["optimizer states"] == 16 * n


def test_full_training_in_bfloat16_takes_eight_bytes_and_ten_with_foreach() -> None:
    n = MISTRAL.n_params
    states = weights_bytes(MISTRAL, FULL) + gradients_bytes(MISTRAL, FULL) + optimizer_bytes(MISTRAL, FULL)
    assert states == 8 * n and step_temporary_bytes(MISTRAL, FULL) == 0
    foreach = replace(FULL, optimizer="adamw_torch")
    assert estimate(MISTRAL, foreach).phases["optimizer step"] == 10 * n + 8_519_680


def test_eight_bit_states_are_a_quarter_of_fp32_ones_and_their_constants() -> None:
    job = Job(method="lora", optimizer="adamw_8bit").settled()
    assert optimizer_bytes(MISTRAL, job) == int(adapter_params(MISTRAL, job) * 2 * (1 + 4 / 256))


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("adamw_torch (foreach)", "adamw_torch"), ("AdamW", "adamw_torch"), ("lora-fa", "adamw_torch"),
        ("adamw_bnb_8bit", "adamw_8bit"), ("PagedAdamW8bit", "paged_adamw_8bit"),
        ("AdamW (fused)", "adamw_torch_fused"),
        ("paged_adamw_32bit", "paged_adamw_32bit"), ("adafactor", "adafactor"),
    ],
)  # fmt: skip
def test_optimizers_by_the_names_trainers_give_them(name: str, row: str) -> None:
    assert optimizer_named(name) == row


def test_growth_by_token_is_what_a_checkpointed_lora_run_showed() -> None:
    # checkpoints 32 x 2 x 4096, logits 14 x 32000, final norm 6 x 4096: 734,720 B a token
    job = Job(targets=("q_proj", "k_proj", "v_proj", "o_proj"), loss="hf-legacy", optimizer="adamw_torch",
              attention="flash_attention_2", seq_tokens=4096)  # fmt: skip
    four, eight = (estimate(MISTRAL, replace(job, batch=b)).allocated.likely for b in (4, 8))
    assert (eight - four) / (4 * 4096) == 32 * 2 * 4096 + 14 * 32000 + 6 * 4096


def test_peak_is_the_largest_phase_and_never_the_sum() -> None:
    for method in ("full", "lora", "qlora"):
        found = estimate(LLAMA3, Job(method=method))
        assert found.allocated.likely == max(found.phases.values()) < sum(found.phases.values())
        assert found.phases[found.binding_phase] == found.allocated.likely
        assert set(found.phase_terms) == set(found.phases)


def test_a_fused_head_takes_the_logits_away() -> None:
    plain = estimate(LLAMA3, Job(batch=8))
    fused = estimate(LLAMA3, Job(batch=8, loss="chunked-nll"))
    assert plain.binding_phase == "backward of head" and fused.binding_phase == "backward of one layer"
    assert plain.allocated.likely - fused.allocated.likely > 10 * GIB
    assert fused.terms["logits in backward"] == 0 < fused.terms["loss chunk"]


def test_without_checkpointing_every_layer_is_kept() -> None:
    job = Job(method="lora").settled()
    kept = estimate(LLAMA3, replace(job, gradient_checkpointing=False)).terms["saved activations"]
    assert kept == int(2048 * 32 * saved_layer_bytes(LLAMA3, job)) > 10 * checkpoint_bytes(LLAMA3, job)


def test_eager_attention_grows_with_the_square_of_the_length() -> None:
    job = Job(attention="eager", loss="chunked-nll", gradient_checkpointing=False)
    sdpa = replace(job, attention="sdpa")
    extra = [
        estimate(LLAMA3, replace(job, seq_tokens=s)).terms["saved activations"]
        - estimate(LLAMA3, replace(sdpa, seq_tokens=s)).terms["saved activations"]
        for s in (1024, 2048)
    ]
    assert extra[0] == 32 * 32 * 1024**2 * 6 and extra[1] == 4 * extra[0]


def test_all_linear_spares_the_router_and_an_unknown_target_is_refused() -> None:
    mixtral = known("mistralai/Mixtral-8x7B-v0.1")
    assert {"q_proj", "down_proj"} <= {linear.name for linear in targeted(mixtral, ("all-linear",))}
    assert "router" not in {linear.name for linear in targeted(mixtral, ("all-linear",))}
    with pytest.raises(MemcalcError, match="q_proj, k_proj, v_proj"):
        targeted(MISTRAL, ("query",))


def test_the_textbook_view_counts_the_parameters_as_given() -> None:
    found = estimate_params(13 * 10**9, shapes_for_params(13 * 10**9), Job(method="full"))
    book = found.textbook
    assert book["weights_bytes"] == book["trainable_bytes"] == 26 * 10**9
    assert book["three_x_trainable_bytes"] == 78 * 10**9
    assert found.trainable_params == 13 * 10**9
    assert found.allocated.low < found.allocated.likely < found.allocated.high


@pytest.mark.parametrize("memory_gib", [16, 24, 80])
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_the_largest_batch_fits_and_one_more_does_not(memory_gib: int, method: str) -> None:
    job = Job(method=method, seq_tokens=1024).settled()
    n = largest_batch(LLAMA3, job, memory_gib * GIB)
    needs = [needed_bytes(estimate(LLAMA3, replace(job, batch=b)), job) for b in (max(n, 1), n + 1)]
    assert needs[1] > memory_gib * GIB and (n == 0 or needs[0] <= memory_gib * GIB)


def test_nothing_fits_into_a_gib() -> None:
    assert largest_batch(LLAMA3, Job(), GIB) == 0


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"batch": -1}, "`--batch`: -1"), ({"seq_tokens": 0}, "`--seq`: 0"),
        ({"method": "prefix"}, "full, lora, qlora"),
        ({"loss": "magic"}, "chunked-nll"), ({"optimizer": "lion9"}, "adamw_torch_fused"),
        ({"method": "full", "quantization": "nf4"}, "nf4 with --method full"),
    ],
)  # fmt: skip
def test_a_knob_without_sense_is_refused(knobs: dict[str, Any], says: str) -> None:
    with pytest.raises(MemcalcError) as caught:
        estimate(LLAMA3, Job(**knobs))
    assert says in caught.value.message and caught.value.exit_code == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("method", ["full", "lora"])
def test_saved_activations_are_what_torch_keeps(method: str) -> None:
    """Bytes of all tensors that autograd keeps, parameters left out, of two against one layer."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    sizes: dict[str, Any] = {
        "hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 96,
    }  # fmt: skip
    kept = {}
    for layers in (1, 2):
        torch.set_default_dtype(torch.bfloat16)
        config = transformers.LlamaConfig(**sizes, num_hidden_layers=layers)
        model = transformers.LlamaForCausalLM(config)
        torch.set_default_dtype(torch.float32)
        if method == "lora":
            peft = pytest.importorskip("peft")
            lora = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
            model = peft.get_peft_model(model, lora)
        own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        found: dict[int, int] = {}

        def keep(tensor: Any, own: set[int] = own, found: dict[int, int] = found) -> Any:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                found[storage.data_ptr()] = storage.nbytes()
            return tensor

        ids = torch.zeros(2, 256, dtype=torch.long)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = model(input_ids=ids, labels=ids, use_cache=False)
        kept[layers] = sum(found.values())
        del out
    shape = from_config({"model_type": "llama", "num_hidden_layers": 1, **sizes})
    job = Job(method=method, rank=4, autocast=False, gradient_checkpointing=False).settled()
    assert 512 * saved_layer_bytes(shape, job) == pytest.approx(kept[2] - kept[1], rel=0.02)


def test_states_are_the_terms_that_last() -> None:
    found = estimate(LLAMA3, Job(method="qlora"))
    assert all(set(STATES) <= set(terms) for name, terms in found.phase_terms.items() if name != "load")

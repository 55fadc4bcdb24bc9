"""Terms and phases against a second derivation, by hand and by counting what torch keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memory_calc.activations import attention_saved_bytes, mlp_saved_bytes, norm_saved_bytes, precision
from memory_calc.configs import from_config, shapes_for_params
from memory_calc.errors import MemcalcError
from memory_calc.estimate import STATES, Job, estimate, estimate_params
from memory_calc.fit import largest_batch, needed_bytes
from memory_calc.models import known
from memory_calc.optimizers import optimizer_named
from memory_calc.shapes import ModelShape
from memory_calc.terms import (
    PACKED_BYTES,
    adapter_params,
    gradients_bytes,
    optimizer_bytes,
    step_temporary_bytes,
    targeted,
    weights_bytes,
)

MISTRAL = known("mistralai/Mistral-7B-v0.1")
LLAMA3 = known("meta-llama/Meta-Llama-3-8B")
FULL = Job(method="full").settled()
GIB = 2**30


def layer_saved_bytes(shape: ModelShape, job: Job) -> float:
    """Bytes a token that one layer keeps."""
    flow = precision(shape, job)
    return attention_saved_bytes(shape, job, flow) + mlp_saved_bytes(shape, job, flow)


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
    assert adapter_params(gpt3, replace(job, rank=1)) / 175e9 == pytest.approx(0.0027 / 100, rel=0.01)
    dora = replace(job, use_dora=True)
    assert adapter_params(MISTRAL, dora) - adapter_params(MISTRAL, job) == 32 * (4096 + 1024)


def test_sixteen_bytes_for_each_trained_adapter_parameter() -> None:
    job = Job(method="lora").settled()
    n = adapter_params(MISTRAL, job)
    found = estimate(MISTRAL, job).terms
    assert found["adapters"] + found["gradients"] + found["optimizer states"] == 16 * n


def test_full_training_in_bfloat16_takes_eight_bytes_and_ten_with_foreach() -> None:
    n = MISTRAL.n_params
    states = weights_bytes(MISTRAL, FULL) + gradients_bytes(FULL, n) + optimizer_bytes(FULL, n)
    assert states == 8 * n and step_temporary_bytes(MISTRAL, FULL, n) == 0
    foreach = replace(FULL, optimizer="adamw_torch")
    assert estimate(MISTRAL, foreach).phases["optimizer step"] == 10 * n + 8_519_680


def test_eight_bit_states_are_a_quarter_of_fp32_ones_and_their_constants() -> None:
    job = Job(method="lora", optimizer="adamw_8bit").settled()
    assert optimizer_bytes(job, 10**6) == int(10**6 * 2 * (1 + 4 / 256))


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("adamw_torch (foreach)", "adamw_torch"), ("AdamW", "adamw_torch"), ("lora-fa", "adamw_torch"),
        ("adamw_bnb_8bit", "adamw_8bit"), ("PagedAdamW8bit", "paged_adamw_8bit"),
        ("AdamW (fused)", "adamw_torch_fused"),
        ("paged_adamw_32bit", "paged_adamw_32bit"), ("adafactor", "adafactor"), ("Lion", "lion"),
        ("bitsandbytes.optim.PagedAdamW8bit (in backward)", "paged_adamw_8bit"),
    ],
)  # fmt: skip
def test_optimizers_by_the_names_trainers_give_them(name: str, row: str) -> None:
    assert optimizer_named(name) == row


def test_the_four_stages_of_sharding_take_what_their_paper_says() -> None:
    # ZeRO, arXiv 1910.02054 figure 1: 7.5 B parameters on 64 devices: 120, 31.4, 16.6 and 1.9 GB of model states
    found = []
    for sharding, n_gpus in (("zero1", 1), ("zero1", 64), ("zero2", 64), ("zero3", 64)):
        terms = estimate(MISTRAL, Job(method="full", sharding=sharding, n_gpus=n_gpus)).terms
        found.append(sum(terms[name] for name in ("weights", "gradients", "optimizer states")) / MISTRAL.n_params)
    assert found == pytest.approx([16, 4 + 12 / 64, 2 + 14 / 64, 16 / 64], rel=1e-6)
    assert [round(each * 7.5, 1) for each in found] == [120.0, 31.4, 16.6, 1.9]


def test_ddp_keeps_everything_and_fsdp_cuts_everything() -> None:
    job = Job(method="full", n_gpus=4)
    peaks = {
        sharding: estimate(MISTRAL, replace(job, sharding=sharding)).allocated.likely
        for sharding in ("none", "ddp", "zero1", "zero2", "zero3", "fsdp")
    }
    assert peaks["ddp"] > peaks["none"]
    assert peaks["zero1"] > peaks["zero2"] > peaks["zero3"]
    # accelerate's FSDP keeps float32 parameters; a pure 2-byte loop half of it
    pure = estimate(MISTRAL, replace(job, sharding="fsdp", fsdp_fp32=False))
    assert pure.terms["weights"] * 2 == estimate(MISTRAL, replace(job, sharding="fsdp")).terms["weights"]
    assert pure.allocated.likely < peaks["fsdp"] < peaks["none"]


@pytest.mark.parametrize(
    ("sharding", "gone", "left"),
    [
        ("none", ["optimizer states"], ["weights", "gradients"]),
        ("zero1", ["optimizer states"], ["weights", "gradients"]),
        ("zero2", ["optimizer states", "gradients"], ["weights", "communication buckets"]),
        ("zero3", ["optimizer states", "gradients", "weights"], ["gathered parameters", "communication buckets"]),
        ("fsdp", ["optimizer states", "gradients", "weights"], ["gathered parameters"]),
    ],
)
def test_offloading_takes_to_the_host_what_the_sharding_lets_go(
    sharding: str, gone: list[str], left: list[str]
) -> None:
    job = Job(method="full", sharding=sharding, n_gpus=2)
    found = estimate(MISTRAL, replace(job, offload=True))
    assert not any(found.terms[name] for name in (*gone, "optimizer temporaries"))
    assert all(found.terms[name] for name in left)
    assert found.allocated.likely < estimate(MISTRAL, job).allocated.likely


def test_a_paged_optimizer_is_seen_by_the_process_and_not_by_torch() -> None:
    paged, plain = (estimate(MISTRAL, replace(FULL, optimizer=f"{name}adamw_8bit")) for name in ("paged_", ""))
    states = plain.terms["optimizer states"]
    assert states == optimizer_bytes(replace(FULL, optimizer="adamw_8bit"), MISTRAL.n_params)
    assert paged.terms["optimizer states"] == 0 and paged.allocated.likely < plain.allocated.likely
    assert paged.process.likely - paged.reserved.likely == plain.process.likely - plain.reserved.likely + states
    host = estimate(MISTRAL, replace(FULL, optimizer="paged_adamw_8bit", offload=True))
    assert host.process.likely - host.reserved.likely == plain.process.likely - plain.reserved.likely
    # adapters below 100,000 elements stay: 16 x 4096 does, 16 x 14336 does not
    job = Job(optimizer="paged_adamw_32bit", targets=("q_proj",))
    assert estimate(MISTRAL, job).terms["optimizer states"] == 8 * adapter_params(MISTRAL, job)
    job = replace(job, targets=("down_proj",))
    assert estimate(MISTRAL, job).terms["optimizer states"] == 8 * 32 * 16 * 4096


def test_an_optimizer_in_backward_keeps_no_gradients() -> None:
    plain, fused = (estimate(MISTRAL, replace(FULL, optimizer_in_backward=on)) for on in (False, True))
    assert fused.terms["gradients"] == 0 < fused.terms["gradients of one layer"]
    assert plain.allocated.likely - fused.allocated.likely > 1.5 * MISTRAL.n_params


def test_batches_of_changing_length_hold_more_and_need_no_more() -> None:
    job = Job(loss="hf-legacy")
    fixed, longest = (estimate(LLAMA3, replace(job, padding=padding)) for padding in ("fixed", "longest"))
    assert fixed.allocated == longest.allocated
    assert longest.reserved.likely > fixed.reserved.likely + 1.5 * fixed.terms["logits in backward"]


def test_dora_is_lora_with_a_magnitude_and_larger_activations() -> None:
    lora, dora = (Job(method=method, gradient_checkpointing=False).settled() for method in ("lora", "dora"))
    assert dora == replace(lora, use_dora=True)
    kept = [estimate(LLAMA3, job).terms["saved activations"] for job in (lora, dora)]
    widths = sum(linear.d_out for linear in LLAMA3.linears())
    magnitudes = adapter_params(LLAMA3, dora) - adapter_params(LLAMA3, lora)
    assert kept[1] - kept[0] == 2048 * 32 * (2 + 2) * widths + 2 * magnitudes
    assert estimate(LLAMA3, Job(method="dora")).allocated.likely > estimate(LLAMA3, Job()).allocated.likely


# --- facts of the field -------------------------------------------------------------------------------------------


def test_13b_with_16_bit_adam_is_78_gb_of_gradients_and_states() -> None:
    shape = shapes_for_params(13 * 10**9)[0]
    states = gradients_bytes(FULL, shape.n_params) + optimizer_bytes(FULL, shape.n_params)
    assert states == 6 * shape.n_params == pytest.approx(78e9, rel=0.02)


def test_65b_in_4_bits_with_lora_trains_on_48_gb() -> None:
    llama = ModelShape("65b", 80, 8192, 22016, 64, 64, 128, 32000)
    assert llama.n_params == pytest.approx(65.3e9, rel=0.01)
    # as QLoRA trains it (arXiv 2305.14314 appendix B): r 64 on all matrices, paged Adam, one sequence of 512
    job = Job(method="qlora", rank=64, seq_tokens=512, optimizer="paged_adamw_32bit", adapter_dtype="bfloat16")
    found = estimate(llama, job)
    assert found.allocated.likely < 41e9 < 48e9  # Guanaco's 41 GB
    assert found.allocated.likely > 0.85 * 41e9
    assert needed_bytes(found, job) < 48e9
    assert needed_bytes(estimate(llama, replace(job, method="lora", quantization="none")), job) > 2 * 48e9


def test_what_qlora_saves_comes_from_the_base() -> None:
    lora, qlora = Job(), Job(method="qlora", adapter_dtype="bfloat16", optimizer="adamw_8bit")
    before, after = (estimate(LLAMA3, job).terms for job in (lora, qlora))
    names = ("weights", "adapters", "gradients", "optimizer states")
    saved = {name: before[name] - after[name] for name in names}
    assert saved["weights"] / sum(saved.values()) >= 0.95


def test_a_hundred_tasks_share_one_base() -> None:
    one = ModelShape("one matrix", 1, 4096, 4096, 32, 32, 128, 1)
    job = Job(rank=8, targets=("q_proj",)).settled()
    (matrix,) = targeted(one, job.targets).matrices
    elements = matrix.d_in * matrix.d_out
    assert 100 * elements == pytest.approx(1.68e9, rel=0.005)
    assert elements + 100 * adapter_params(one, job) == pytest.approx(23.3e6, rel=0.005)


def test_double_quantisation_saves_a_third_of_a_bit() -> None:
    assert 8 * (PACKED_BYTES["nf4"] - PACKED_BYTES["nf4-dq"]) == pytest.approx(0.37, abs=0.005)


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


def test_the_gradient_of_the_head_comes_when_the_copies_of_the_logits_are_gone() -> None:
    found = estimate(LLAMA3, replace(FULL, batch=8))
    others = sum(found.terms[name] for name in found.phase_terms["backward of head"] if name != "gradients of head")
    assert found.phases["backward of head"] == others  # 12 B a logit of 16384 tokens, then 2 B and a table
    few = estimate(LLAMA3, replace(FULL, batch=1, seq_tokens=256))
    left = sum(few.terms[name] for name in few.phase_terms["backward of head"] if name != "logits in backward")
    assert few.phases["backward of head"] == left + 256 * 128256 * 2


def test_backward_ends_with_all_gradients_and_a_tied_table_thrice() -> None:
    found = estimate(LLAMA3, replace(FULL, seq_tokens=16))
    lasting = sum(found.terms[name] for name in (*STATES, "gradients"))
    assert found.phases["backward of one layer"] == pytest.approx(lasting, rel=1e-3)
    tied = replace(LLAMA3, tied=True)
    shared = estimate(tied, replace(FULL, seq_tokens=16))
    lasting = sum(shared.terms[name] for name in (*STATES, "gradients"))
    assert shared.phases["backward of one layer"] == pytest.approx(lasting + 2 * 2 * 128256 * 4096, rel=1e-3)


def test_a_soft_cap_keeps_one_matrix_of_logits_more() -> None:
    capped = known("google/gemma-2-2b")
    plain = replace(capped, model_type="gemma")
    for phase in ("logits in forward", "logits in backward"):
        more, less = (estimate(shape, FULL).terms[phase] for shape in (capped, plain))
        assert more - less == 2048 * 256000 * 2


def test_layer_norm_under_autocast_leaves_two_bytes_in_the_stream_and_keeps_a_float_input() -> None:
    neox = from_config({
        "model_type": "gpt_neox", "num_hidden_layers": 24, "hidden_size": 2048, "intermediate_size": 8192,
        "num_attention_heads": 16, "vocab_size": 50304,
    })  # fmt: skip
    lora = Job().settled()
    assert estimate(neox, lora).terms["saved activations"] == 2048 * 24 * 2048 * 2
    plain = replace(lora, autocast=False, adapter_dtype="bfloat16")
    floats, halves = (norm_saved_bytes(neox, job, precision(neox, job)) for job in (lora, plain))
    assert floats == 4 * 2048 == 2 * halves
    # both halves of the layer norm one input: kept once, but its float copies are two
    assert layer_saved_bytes(neox, lora) - layer_saved_bytes(neox, plain) >= (2 * 4 - 2) * 2048


def test_a_written_out_gelu_keeps_more_under_autocast() -> None:
    phi = known("microsoft/phi-2")
    fused = replace(phi, model_type="gpt_neox", norms_per_layer=1)
    for autocast, each in ((True, 12), (False, 6)):
        job = replace(Job().settled(), autocast=autocast)
        assert layer_saved_bytes(phi, job) - layer_saved_bytes(fused, job) == each * phi.ffn


def test_a_sequence_as_long_as_the_window_keeps_a_mask() -> None:
    job = Job(gradient_checkpointing=False).settled()
    at, below = (replace(MISTRAL, window_layers=32, window_tokens=window) for window in (2048, 2049))
    # keys and values of 8 heads for 32, and 2 B for each of the 2048 tokens it may see
    assert layer_saved_bytes(at, job) - layer_saved_bytes(below, job) == 2 * (2 * 4096 - 2 * 1024 + 2048)
    flash = replace(job, attention="flash_attention_2")
    assert layer_saved_bytes(at, flash) == layer_saved_bytes(below, flash)


def test_experts_keep_a_result_for_each_of_a_tokens_experts() -> None:
    mixtral = known("mistralai/Mixtral-8x7B-v0.1")
    job = Job(targets=("q_proj",)).settled()
    one, two = (layer_saved_bytes(replace(mixtral, experts_per_token=k), job) for k in (1, 2))
    assert two - one == 2 * 4096 + 3 * 2 * 14336


def test_a_fused_head_takes_the_logits_away() -> None:
    plain = estimate(LLAMA3, Job(batch=8))
    fused = estimate(LLAMA3, Job(batch=8, loss="chunked-nll"))
    assert plain.binding_phase == "backward of head" and fused.binding_phase == "backward of one layer"
    assert plain.allocated.likely - fused.allocated.likely > 10 * GIB
    assert fused.terms["logits in backward"] == 0 < fused.terms["loss chunk"]


def test_without_checkpointing_every_layer_is_kept() -> None:
    job = Job(method="lora").settled()
    kept, checkpoints = (
        estimate(LLAMA3, replace(job, gradient_checkpointing=again)).terms["saved activations"]
        for again in (False, True)
    )
    # autocast keeps a 2-byte copy of the float32 adapters beside the layers' values
    casts = 2 * adapter_params(LLAMA3, job)
    assert kept == int(2048 * 32 * layer_saved_bytes(LLAMA3, job)) + casts > 10 * checkpoints


def test_eager_attention_grows_with_the_square_of_the_length() -> None:
    job = Job(attention="eager", loss="chunked-nll", gradient_checkpointing=False)
    sdpa = replace(job, attention="sdpa")
    extra = [
        estimate(LLAMA3, replace(job, seq_tokens=s)).terms["saved activations"]
        - estimate(LLAMA3, replace(sdpa, seq_tokens=s)).terms["saved activations"]
        for s in (1024, 2048)
    ]
    # 6 B a score instead of 4 B a head and token
    assert extra == [32 * 32 * (6 * s * s - 4 * s) for s in (1024, 2048)]


def test_all_linear_spares_the_router_and_an_unknown_target_is_refused() -> None:
    mixtral = known("mistralai/Mixtral-8x7B-v0.1")
    assert {"q_proj", "down_proj"} <= {linear.name for linear in targeted(mixtral, ("all-linear",)).matrices}
    assert "router" not in {linear.name for linear in targeted(mixtral, ("all-linear",)).matrices}
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
        ({"sharding": "zero4"}, "zero1, zero2, zero3"), ({"padding": "left"}, "fixed, longest"),
    ],
)  # fmt: skip
def test_a_knob_without_sense_is_refused(knobs: dict[str, Any], says: str) -> None:
    with pytest.raises(MemcalcError) as caught:
        estimate(LLAMA3, Job(**knobs))
    assert says in caught.value.message and caught.value.exit_code == 2


FAMILIES: dict[str, dict[str, Any]] = {  # model_type -> what its smallest configuration needs beside the sizes
    "llama": {"num_key_value_heads": 2},
    "phi3": {"num_key_value_heads": 2, "pad_token_id": 0, "resid_pdrop": 0.0},  # q, k, v and gate, up as one product
    "gpt_neox": {},  # LayerNorm, both halves of a layer at once, no gate
    "phi": {},  # one norm a layer, GELU written out
    "qwen3": {"num_key_value_heads": 2, "head_dim": 16},  # norms of q and k
    "gemma3_text": {"num_key_value_heads": 2, "head_dim": 16},  # four norms a layer
    "olmo2": {"num_key_value_heads": 2},  # norms after the halves
    "cohere": {"num_key_value_heads": 2},  # a LayerNorm written out
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("family", "method"), [("llama", "dora"), *((name, method) for name in FAMILIES for method in ("full", "lora"))]
)
def test_saved_activations_are_what_torch_keeps(family: str, method: str) -> None:
    """Bytes a token of all tensors that autograd keeps, parameters left out, of two against one layer."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    sizes: dict[str, Any] = {
        "hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 4, "vocab_size": 96, **FAMILIES[family]
    }  # fmt: skip

    def kept(layers: int, tokens: int) -> int:
        config = transformers.AutoConfig.for_model(family, **sizes, num_hidden_layers=layers)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
        if method != "full":
            peft = pytest.importorskip("peft")
            lora = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", use_dora=method == "dora")
            model = peft.get_peft_model(model, lora)
        own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        found: dict[int, Any] = {}  # holds the storages, or another would get the address of one that is gone

        def keep(tensor: Any) -> Any:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                found[storage.data_ptr()] = storage
            return tensor

        ids = torch.zeros(2, tokens // 2, dtype=torch.long)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.train()(input_ids=ids, labels=ids, use_cache=False)
        return sum(storage.nbytes() for storage in found.values())

    more, less = (kept(2, tokens) - kept(1, tokens) for tokens in (512, 256))
    shape = from_config({"model_type": family, "num_hidden_layers": 1, **sizes})
    job = Job(method=method, rank=4, autocast=False, gradient_checkpointing=False).settled()
    assert layer_saved_bytes(shape, job) == pytest.approx((more - less) / 256, rel=0.01)


def test_states_are_the_terms_that_last() -> None:
    found = estimate(LLAMA3, Job(method="qlora"))
    assert all(set(STATES) <= set(terms) for name, terms in found.phase_terms.items() if name != "load")

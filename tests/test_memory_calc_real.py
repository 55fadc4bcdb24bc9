"""Estimates against real tensors: packed weights, adapters and states byte by byte, and whole steps of small models."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from memory_calc.configs import from_config
from memory_calc.estimate import estimate
from memory_calc.job import Job
from memory_calc.terms import adapter_bytes, adapter_params, optimizer_bytes, weights_bytes

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")
bnb = pytest.importorskip("bitsandbytes")

pytestmark = pytest.mark.filterwarnings("ignore")

LLAMA = {
    "model_type": "llama", "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 2048, "tie_word_embeddings": False,
}  # fmt: skip
QWEN3 = {**LLAMA, "model_type": "qwen3", "head_dim": 64, "tie_word_embeddings": True}


@pytest.fixture(scope="module")
def fake() -> Any:
    """The benchmark that tracks real model code."""
    path = Path(__file__).parents[1] / "benchmarks" / "memory_fake.py"
    spec = importlib.util.spec_from_file_location("memory_fake", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def llama() -> Any:
    """A small Llama with real tensors in bfloat16."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**{key: value for key, value in LLAMA.items() if key != "model_type"})
    return LlamaForCausalLM(config).to(torch.bfloat16)


def packed_llama(double: bool) -> Any:
    """The same with every matrix inside the layers packed by bitsandbytes."""
    model = llama()
    for layer in model.model.layers:
        for block in (layer.self_attn, layer.mlp):
            for name, child in list(block.named_children()):
                if isinstance(child, torch.nn.Linear):
                    new = bnb.nn.Linear4bit(
                        child.in_features, child.out_features, bias=False, compute_dtype=torch.bfloat16,
                        quant_type="nf4", compress_statistics=double,
                    )  # fmt: skip
                    new.weight = bnb.nn.Params4bit(
                        child.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=double
                    )
                    setattr(block, name, new.to("cpu"))
    return model


@pytest.mark.parametrize("config", [LLAMA, QWEN3], ids=["llama", "qwen3"])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("checkpointing", [True, False], ids=["checkpoints", "all-kept"])
def test_a_whole_step_peaks_where_the_estimate_says(
    fake: Any, config: dict[str, Any], method: str, checkpointing: bool
) -> None:
    job = Job(method=method, batch=2, seq_tokens=512, gradient_checkpointing=checkpointing, rank=8).settled()
    said, seen = fake.ours(config, job), fake.tracked_on_fakes(config, job)
    for name in fake.LASTING:
        assert said.terms_bytes[name] == seen.terms_bytes[name], name
    assert said.peak_bytes == pytest.approx(seen.peak_bytes, rel=0.02)
    assert said.phases_bytes["optimizer step"] == pytest.approx(seen.phases_bytes["optimizer step"], rel=0.02)


@pytest.mark.parametrize("quantization", ["nf4", "nf4-dq"])
def test_packed_weights_are_the_bytes_that_bitsandbytes_keeps(fake: Any, quantization: str) -> None:
    model = packed_llama(quantization == "nf4-dq")
    parameters = list(model.parameters())
    packed = [p for p in parameters if isinstance(p, bnb.nn.Params4bit)]
    assert len(packed) == 4 * 7
    kept = fake.bytes_of([parameters, [fake.constants(p) for p in packed]])
    # code books: 16 and 256 floats and an offset, which are the same for any size of matrix
    books = sum(fake.bytes_of([p.quant_state.code]) for p in packed)
    if quantization == "nf4-dq":
        books += sum(fake.bytes_of([p.quant_state.state2.code, p.quant_state.offset]) for p in packed)
    job = Job(method="qlora", quantization=quantization, upcast="none").settled()
    said = weights_bytes(from_config(LLAMA), job)
    # the scales of scales fill whole blocks of 256: at most one float too many a matrix
    assert 0 <= kept - books - said <= 4 * len(packed) * (quantization == "nf4-dq")


def test_the_upcast_of_kbit_training_is_what_peft_makes(fake: Any) -> None:
    from peft import prepare_model_for_kbit_training

    model = packed_llama(True)
    model.is_loaded_in_4bit = True
    model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    plain = [p for p in model.parameters() if not isinstance(p, bnb.nn.Params4bit)]
    assert {p.dtype for p in plain} == {torch.float32}
    shape = from_config(LLAMA)
    jobs = [Job(method="qlora", upcast=upcast).settled() for upcast in ("kbit", "none")]
    assert weights_bytes(shape, jobs[0]) - weights_bytes(shape, jobs[1]) == fake.bytes_of(plain) // 2


@pytest.mark.parametrize("targets", [("all-linear",), ("q_proj", "v_proj")])
@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_adapters_are_the_bytes_that_peft_makes(fake: Any, targets: tuple[str, ...], dora: bool) -> None:
    job = Job(method="lora", rank=8, targets=targets, use_dora=dora).settled()
    model = fake.with_adapters(llama(), job)
    trained = [p for p in model.parameters() if p.requires_grad]
    shape = from_config(LLAMA)
    assert adapter_params(shape, job) == sum(p.numel() for p in trained)
    assert adapter_bytes(job, adapter_params(shape, job)) == fake.bytes_of(trained)


@pytest.mark.parametrize("name", ["adamw_torch", "adamw_8bit", "sgd_momentum"])
def test_optimizer_states_are_the_bytes_that_the_optimizer_makes(fake: Any, name: str) -> None:
    job = Job(method="lora", rank=32, optimizer=name).settled()
    model = fake.with_adapters(llama(), job)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert min(p.numel() for p in trained) >= 4096  # bitsandbytes keeps smaller ones in 32 bits
    optimizer = {
        "adamw_torch": lambda: torch.optim.AdamW(trained),
        "adamw_8bit": lambda: bnb.optim.AdamW8bit(trained),
        "sgd_momentum": lambda: torch.optim.SGD(trained, lr=0.1, momentum=0.9),
    }[name]()
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    # the tables of 8-bit numbers are shared by all parameters, and a step is a counter
    states = [
        value
        for state in optimizer.state.values()
        for key, value in state.items()
        if isinstance(value, torch.Tensor) and key not in ("step", "qmap1", "qmap2")
    ]
    assert optimizer_bytes(job, adapter_params(from_config(LLAMA), job)) == fake.bytes_of(states)


def test_a_real_step_on_the_cpu_peaks_where_the_estimate_says(fake: Any) -> None:
    job = Job(
        method="lora", rank=8, batch=2, seq_tokens=256, device="cpu", optimizer="adamw_torch", dtype="float32"
    ).settled()
    model = fake.with_adapters(llama().float(), job)
    seen = fake.tracked(model, job, torch.optim.AdamW, fake.Tracker(), LLAMA["vocab_size"])
    assert estimate(from_config(LLAMA), job).allocated.likely == pytest.approx(seen.peak_bytes, rel=0.05)

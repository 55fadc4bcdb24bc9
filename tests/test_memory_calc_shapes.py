"""Shapes: parameter counts against published ones and against torch, configs with faults, known names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memory_calc.errors import MemcalcError
from memory_calc.models import MODELS, known
from memory_calc.shapes import ModelShape, from_config, shape_of, shapes_for_params

# as the model cards and `num_parameters()` of the published checkpoints state them
PUBLISHED = {
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-2-13b-hf": 13_015_864_320,
    "meta-llama/Llama-2-70b-hf": 68_976_648_192,
    "meta-llama/Meta-Llama-3-8B": 8_030_261_248,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mixtral-8x7B-v0.1": 46_702_792_704,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
    "HuggingFaceTB/SmolLM2-135M": 134_515_008,
    "HuggingFaceTB/SmolLM2-360M": 361_821_120,
    "HuggingFaceTB/SmolLM2-1.7B": 1_711_376_384,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "google/gemma-2b": 2_506_172_416,
    "google/gemma-2-2b": 2_614_341_888,
    "google/gemma-3-1b-pt": 999_885_952,
    "microsoft/phi-2": 2_779_683_840,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "openai-community/gpt2": 124_439_808,
}

PICO = {
    "hidden_size": 48, "intermediate_size": 112, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 160, "head_dim": 16,
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_known_models_have_their_published_number_of_parameters(name: str) -> None:
    assert known(name).n_params == PUBLISHED[name]


def test_the_table_is_long_enough_and_every_row_names_its_source() -> None:
    assert len(MODELS) >= 25
    assert all(known(name).source.startswith("https://huggingface.co/") for name in MODELS)


def test_smollm2_has_the_sizes_of_its_config() -> None:
    shape = shape_of("SmolLM2-135M-Instruct")
    sizes = (shape.hidden, shape.layers, shape.heads, shape.kv_heads, shape.ffn, shape.vocab, shape.tied)
    assert sizes == (576, 30, 9, 3, 1536, 49152, True)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Llama", {}), ("Llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
        ("Mistral", {}), ("Qwen2", {}), ("Qwen3", {}), ("Gemma", {}), ("Gemma2", {}), ("Gemma3Text", {}),
        ("SmolLM3", {}), ("Granite", {}), ("Phi3", {"head_dim": None}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_counts_equal_torch_on_the_meta_device(kind: str, more: dict[str, object]) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    sizes = {key: value for key, value in {**PICO, **more}.items() if value is not None}
    config = getattr(transformers, f"{kind}Config")(**sizes, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    assert from_config(config.to_dict()).n_params == model.num_parameters()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_counts_of_experts_and_of_gpt2_equal_torch() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    common = dict(PICO)
    mixtral = transformers.MixtralConfig(**common, num_local_experts=4, num_experts_per_tok=2)
    gpt2 = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=96, n_positions=64)
    with torch.device("meta"):
        for config in (mixtral, gpt2):
            model = transformers.AutoModelForCausalLM.from_config(config)
            assert from_config(config.to_dict()).n_params == model.num_parameters()


def test_a_config_is_read_from_a_mapping_a_file_and_a_folder(tmp_path: Path) -> None:
    config = {"model_type": "llama", **PICO}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    counts = {shape_of(way).n_params for way in (config, tmp_path, tmp_path / "config.json")}
    assert len(counts) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"model_type": "llama", "hidden_size": 64}', "`num_attention_heads` is missing"),
        ('{"model_type": "llama", "hidden_size": "wide", "num_attention_heads": 4}', "`hidden_size` is 'wide'"),
        ('{"model_type": "mamba"}', "model_type 'mamba' is not known"),
        ("[1, 2]", "is not a JSON object"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_a_config_with_a_fault_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(MemcalcError) as caught:
        shape_of(tmp_path)
    assert says in caught.value.message and "\n" not in caught.value.message
    assert caught.value.exit_code == 1


def test_an_unknown_name_is_told_its_near_ones() -> None:
    with pytest.raises(MemcalcError, match="Qwen/Qwen2.5-7B") as caught:
        shape_of("Qwen2.5-7c")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("n", [135_000_000, 1_100_000_000, 7_000_000_000, 13_000_000_000, 70_000_000_000])
def test_shapes_for_a_number_of_parameters_have_that_number(n: int) -> None:
    shapes = shapes_for_params(n)
    assert len(shapes) >= 2 and len({(s.layers, s.hidden, s.vocab, s.ffn) for s in shapes}) == len(shapes)
    assert all(abs(shape.n_params / n - 1) < 0.001 for shape in shapes)


def test_thirteen_billion_begins_with_the_known_13b() -> None:
    first = shapes_for_params(13_000_000_000)[0]
    assert (first.layers, first.hidden) == (40, 5120)


def test_the_count_by_hand_for_two_layers() -> None:
    shape = ModelShape("pico", layers=2, hidden=4, ffn=6, heads=2, kv_heads=1, head_dim=2, vocab=10)
    # q 4x4, k and v 4x2, o 4x4, gate up down 4x6, two norms of 4; final norm; two tables
    assert shape.n_params == 2 * (16 + 8 + 8 + 16 + 3 * 24 + 8) + 4 + 2 * 40

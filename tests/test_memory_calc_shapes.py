"""Shapes: parameter counts against published ones and against torch, configs with faults, known names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memory_calc.configs import from_config, shape_of, shapes_for_params
from memory_calc.errors import MemcalcError
from memory_calc.families import FAMILIES, REFUSED
from memory_calc.models import MODELS, SOURCES, config_of, known
from memory_calc.shapes import ModelShape

# as the hub publishes them (safetensors totals) and model cards state them
PUBLISHED = {
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-2-13b-hf": 13_015_864_320,
    "meta-llama/Llama-2-70b-hf": 68_976_648_192,
    "huggyllama/llama-30b": 32_528_943_616,
    "huggyllama/llama-65b": 65_285_660_672,
    "meta-llama/Meta-Llama-3-8B": 8_030_261_248,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "meta-llama/Llama-3.1-405B": 405_853_388_800,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "01-ai/Yi-6B": 6_061_035_520,
    "01-ai/Yi-1.5-9B": 8_829_407_232,
    "01-ai/Yi-34B": 34_388_917_248,
    "codellama/CodeLlama-7b-hf": 6_738_546_688,
    "codellama/CodeLlama-13b-hf": 13_016_028_160,
    "codellama/CodeLlama-34b-hf": 33_743_970_304,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    "mistralai/Ministral-8B-Instruct-2410": 8_019_808_256,
    "mistralai/Mistral-Nemo-Base-2407": 12_247_782_400,
    "mistralai/Codestral-22B-v0.1": 22_247_282_688,
    "mistralai/Mistral-Small-24B-Base-2501": 23_572_403_200,
    "mistralai/Mistral-Large-Instruct-2411": 122_610_069_504,
    "mistralai/Mixtral-8x7B-v0.1": 46_702_792_704,
    "mistralai/Mixtral-8x22B-v0.1": 140_630_071_296,
    "deepseek-ai/deepseek-coder-1.3b-base": 1_346_471_936,
    "deepseek-ai/deepseek-coder-6.7b-base": 6_740_512_768,
    "deepseek-ai/deepseek-coder-33b-base": 33_342_991_360,
    "deepseek-ai/deepseek-llm-7b-base": 6_910_365_696,
    "deepseek-ai/deepseek-moe-16b-base": 16_375_728_128,
    "deepseek-ai/DeepSeek-V2-Lite": 15_706_484_224,
    "deepseek-ai/DeepSeek-V2": 235_741_434_880,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": 1_777_088_000,
    "Qwen/Qwen1.5-1.8B": 1_836_828_672,
    "Qwen/Qwen1.5-MoE-A2.7B": 14_315_784_192,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-1.5B": 1_543_714_304,
    "Qwen/Qwen2.5-3B": 3_085_938_688,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen2.5-14B": 14_770_033_664,
    "Qwen/Qwen2.5-32B": 32_763_876_352,
    "Qwen/Qwen2.5-72B": 72_706_203_648,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-14B": 14_768_307_200,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "Qwen/Qwen3-235B-A22B": 235_093_634_560,
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": 480_154_875_392,
    "google/gemma-2b": 2_506_172_416,
    "google/gemma-7b": 8_537_680_896,
    "google/gemma-2-2b": 2_614_341_888,
    "google/gemma-2-9b": 9_241_705_984,
    "google/gemma-2-27b": 27_227_128_320,
    "google/gemma-3-270m": 268_098_176,
    "google/gemma-3-1b-pt": 999_885_952,
    "google/vaultgemma-1b": 1_038_741_120,
    "microsoft/phi-1_5": 1_418_270_720,
    "microsoft/phi-2": 2_779_683_840,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "microsoft/Phi-3-medium-4k-instruct": 13_960_238_080,
    "microsoft/phi-4": 14_659_507_200,
    "microsoft/Phi-4-mini-instruct": 3_836_021_760,
    "microsoft/Phi-3.5-MoE-instruct": 41_873_153_344,
    "openai-community/gpt2": 124_439_808,
    "openai-community/gpt2-medium": 354_823_168,
    "openai-community/gpt2-large": 774_030_080,
    "openai-community/gpt2-xl": 1_557_611_200,
    "openai/gpt-oss-20b": 20_914_757_184,
    "openai/gpt-oss-120b": 116_829_156_672,
    "EleutherAI/gpt-neo-2.7B": 2_651_307_520,
    "EleutherAI/gpt-j-6b": 6_050_882_784,
    "EleutherAI/gpt-neox-20b": 20_554_567_680,
    "EleutherAI/pythia-70m": 70_426_624,
    "EleutherAI/pythia-410m": 405_334_016,
    "EleutherAI/pythia-1b": 1_011_781_632,
    "EleutherAI/pythia-2.8b": 2_775_208_960,
    "EleutherAI/pythia-6.9b": 6_857_302_016,
    "EleutherAI/pythia-12b": 11_846_072_320,
    "stabilityai/stablelm-3b-4e1t": 2_795_443_200,
    "stabilityai/stablelm-2-1_6b": 1_644_515_328,
    "tiiuae/falcon-7b": 6_921_720_704,
    "tiiuae/falcon-40b": 41_303_293_952,
    "tiiuae/falcon-180B": 179_522_565_120,
    "tiiuae/Falcon3-1B-Base": 1_669_408_768,
    "tiiuae/Falcon3-7B-Base": 7_455_550_464,
    "tiiuae/Falcon3-10B-Base": 10_305_653_760,
    "bigcode/santacoder": 1_124_886_528,
    "bigcode/starcoder": 15_517_456_384,
    "bigcode/starcoder2-7b": 7_173_923_840,
    "bigcode/starcoder2-15b": 15_957_889_024,
    "bigscience/bloom-560m": 559_214_592,
    "bigscience/bloom-7b1": 7_069_016_064,
    "facebook/opt-1.3b": 1_315_758_080,
    "facebook/opt-6.7b": 6_658_473_984,
    "mosaicml/mpt-7b": 6_649_286_656,
    "allenai/OLMo-1B-hf": 1_176_764_416,
    "allenai/OLMo-7B-hf": 6_888_095_744,
    "allenai/OLMo-2-0425-1B": 1_484_916_736,
    "allenai/OLMo-2-1124-7B": 7_298_617_344,
    "allenai/OLMo-2-1124-13B": 13_716_198_400,
    "allenai/OLMo-2-0325-32B": 32_234_279_936,
    "allenai/Olmo-3-1025-7B": 7_298_011_136,
    "allenai/OLMoE-1B-7B-0924": 6_919_161_856,
    "ibm-granite/granite-3.3-2b-base": 2_533_539_840,
    "ibm-granite/granite-3.3-8b-base": 8_170_864_640,
    "CohereForAI/c4ai-command-r-v01": 34_980_831_232,
    "CohereForAI/aya-23-8B": 8_028_033_024,
    "CohereForAI/c4ai-command-r7b-12-2024": 8_028_033_024,
    "THUDM/chatglm3-6b": 6_243_584_000,
    "ByteDance-Seed/Seed-OSS-36B-Instruct": 36_151_104_512,
    "internlm/internlm2_5-7b": 7_737_708_544,
    "baichuan-inc/Baichuan2-7B-Base": 7_505_973_248,
    "openbmb/MiniCPM-2B-sft-bf16": 2_724_880_896,
    "BSC-LT/salamandra-2b": 2_253_490_176,
    "BSC-LT/salamandra-7b": 7_768_117_248,
    "swiss-ai/Apertus-8B-2509": 8_053_338_176,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
    "HuggingFaceTB/SmolLM2-135M": 134_515_008,
    "HuggingFaceTB/SmolLM2-360M": 361_821_120,
    "HuggingFaceTB/SmolLM2-1.7B": 1_711_376_384,
    "HuggingFaceTB/SmolLM3-3B": 3_075_098_624,
}

PICO = {
    "hidden_size": 48, "intermediate_size": 112, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 160, "head_dim": 16,
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_known_models_have_their_published_number_of_parameters(name: str) -> None:
    assert known(name).n_params == PUBLISHED[name]


def test_the_table_is_long_enough_and_every_row_names_its_source() -> None:
    assert len(MODELS) >= 150
    for name, words in MODELS.items():
        shape = known(name)
        assert shape.name == name and shape.source.startswith(f"https://huggingface.co/{name} ")
        assert SOURCES[words[-1]] in shape.source


def test_the_table_holds_every_kind_of_model() -> None:
    shapes = [known(name) for name in MODELS]
    assert sum(shape.kv_heads == 1 for shape in shapes) >= 3  # MQA
    assert sum(1 < shape.kv_heads < shape.heads for shape in shapes) >= 50  # GQA
    assert sum(shape.experts > 0 for shape in shapes) >= 20
    assert sum(shape.shared_ffn > 0 for shape in shapes) >= 8
    assert sum(shape.dense_layers > 0 for shape in shapes) >= 6
    assert sum(shape.kv_latent > 0 for shape in shapes) >= 5
    assert sum(shape.window_layers > 0 for shape in shapes) >= 15
    assert sum(shape.tied for shape in shapes) >= 30
    assert not set(FAMILIES) & set(REFUSED)


@pytest.mark.parametrize(
    ("given", "row"),
    [
        ("llama-3.1-8b", "meta-llama/Llama-3.1-8B"),
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"),
        ("META-LLAMA/META-LLAMA-3.1-8B-INSTRUCT", "meta-llama/Llama-3.1-8B"),
        ("unsloth/Qwen2.5-Coder-7B-Instruct-bnb-4bit", "Qwen/Qwen2.5-7B"),
        ("Mistral-7B-Instruct-v0.3", "mistralai/Mistral-7B-v0.3"),
        ("gemma-2-9b-it", "google/gemma-2-9b"),
        ("deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-V3"),
        ("QwQ-32B", "Qwen/Qwen2.5-32B"),
        ("Llama-2-7b-chat-hf", "meta-llama/Llama-2-7b-hf"),
        ("Qwen3-30B-A3B-Instruct-2507", "Qwen/Qwen3-30B-A3B"),
    ],
)
def test_a_name_is_found_as_people_write_it(given: str, row: str) -> None:
    assert known(given).name == row


def test_smollm2_has_the_sizes_of_its_config() -> None:
    shape = shape_of("SmolLM2-135M-Instruct")
    sizes = (shape.hidden, shape.layers, shape.heads, shape.kv_heads, shape.ffn, shape.vocab, shape.tied)
    assert sizes == (576, 30, 9, 3, 1536, 49152, True)


NO_HEADS = {"head_dim": None, "num_key_value_heads": None, "intermediate_size": None}  # keys these families lack
MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
LATENT = {
    "q_lora_rank": 20, "kv_lora_rank": 12, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 12,
    "num_key_value_heads": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("llama", {}), ("llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
        ("mistral", {}), ("qwen2", {"head_dim": None}), ("qwen3", {}), ("gemma", {}), ("gemma2", {}),
        ("gemma3_text", {}), ("smollm3", {}), ("granite", {}), ("phi3", {"head_dim": None}),
        ("phi", {"head_dim": None, "qk_layernorm": True}), ("stablelm", {"head_dim": None, "use_qkv_bias": True}),
        ("gpt_neox", {"head_dim": None, "num_key_value_heads": None}),
        ("falcon", NO_HEADS),
        ("cohere", {"use_qk_norm": True}),
        ("olmo2", {}), ("starcoder2", {"head_dim": None}), ("glm4", {"attention_bias": True}),
        ("opt", {**NO_HEADS, "ffn_dim": 96, "word_embed_proj_dim": 48, "max_position_embeddings": 32}),
        ("mixtral", {"num_local_experts": 4}),
        ("olmoe", {"head_dim": None, "num_experts": 4, "num_experts_per_tok": 2}),
        ("qwen2_moe", {**MOE, "num_experts": 4, "shared_expert_intermediate_size": 40, "mlp_only_layers": [1]}),
        ("qwen3_moe", {**MOE, "num_experts": 4, "decoder_sparse_step": 2}),
        ("gpt_oss", {"num_local_experts": 4, "num_experts_per_tok": 2}),
        ("llama4_text", {"num_local_experts": 4, "interleave_moe_layer_step": 2, "intermediate_size_mlp": 80}),
        ("glm4_moe", {**MOE, "n_routed_experts": 4, "first_k_dense_replace": 1, "use_qk_norm": True}),
        ("deepseek_v2", {**MOE, **LATENT, "n_routed_experts": 4, "q_lora_rank": None, "first_k_dense_replace": 1}),
        ("deepseek_v3", {**MOE, **LATENT, "n_routed_experts": 8, "n_shared_experts": 2, "first_k_dense_replace": 2}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_counts_equal_torch_on_the_meta_device(kind: str, more: dict[str, object]) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    sizes = {key: value for key, value in {**PICO, **more}.items() if value is not None or key == "q_lora_rank"}
    config = transformers.AutoConfig.for_model(kind, **sizes, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    assert from_config(config.to_dict()).n_params == model.num_parameters()


@pytest.mark.parametrize("name", ["openai-community/gpt2", "deepseek-ai/DeepSeek-V2-Lite", "google/gemma-2-2b"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_row_of_the_table_equals_the_model_that_transformers_builds_from_it(name: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    sizes = config_of(name)
    kind = sizes.pop("model_type")
    if "kv_lora_rank" in sizes:
        sizes = {"q_lora_rank": None, **sizes}
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **sizes))
    assert known(name).n_params == model.num_parameters()


def test_the_sizes_of_latent_attention() -> None:
    shape = known("DeepSeek-V3")
    assert {linear.name: (linear.d_in, linear.d_out) for linear in shape.parts().attention} == {
        "q_a_proj": (7168, 1536),
        "q_b_proj": (1536, 128 * 192),
        "kv_a_proj_with_mqa": (7168, 576),
        "kv_b_proj": (512, 128 * 256),
        "o_proj": (128 * 128, 7168),
    }
    assert (shape.dense_layers, shape.dense_ffn, shape.shared_ffn, shape.cached_per_token) == (3, 18432, 2048, 576)
    assert sum(shape.layers_with(linear) == 58 for linear in shape.linears()) == 7  # experts, router, shared expert


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("gemma-2-9b", (4096, 21)), ("gemma-3-1b", (512, 22)), ("gpt-oss-20b", (128, 12)), ("Llama-3.1-8B", (0, 0)),
        ("Mistral-7B-v0.1", (4096, 32)), ("Qwen2.5-7B", (0, 0)), ("Llama-4-Scout-17B-16E", (8192, 36)),
    ],
)  # fmt: skip
def test_layers_with_a_sliding_window(name: str, window: tuple[int, int]) -> None:
    shape = known(name)
    assert (shape.window_tokens, shape.window_layers) == window


def test_layer_types_say_which_layers_have_a_window() -> None:
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    shape = from_config({"model_type": "qwen3", **PICO, "sliding_window": 64, "layer_types": kinds})
    assert (shape.window_tokens, shape.window_layers) == (64, 2)
    off = {"model_type": "qwen2", **PICO, "sliding_window": 64, "use_sliding_window": False}
    assert from_config(off).window_layers == 0


def test_of_a_composed_model_the_language_part_counts_and_the_rest_is_named() -> None:
    text = {"model_type": "qwen2", **PICO}
    shape = from_config({"model_type": "internvl", "text_config": text, "vision_config": {"hidden_size": 8}})
    assert shape.n_params == from_config(text).n_params
    assert shape.left_out == ("vision_config",)


def test_a_hub_id_is_found_in_the_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MemcalcError, match="the hub's cache"):
        shape_of("someone/pico")
    folder = tmp_path / "models--someone--pico"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc", encoding="utf-8")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    config = json.dumps({"model_type": "llama", **PICO})
    (folder / "snapshots" / "abc" / "config.json").write_text(config, encoding="utf-8")
    shape = shape_of("someone/pico")
    assert (shape.name, shape.layers) == ("someone/pico", 3)


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
        ('{"model_type": "mamba"}', "model_type 'mamba' is not modelled: state-space"),
        ('{"model_type": "qwen3_5_text"}', "linear-attention layers"),
        ('{"model_type": "t5"}', "no decoder-only language model"),
        ('{"model_type": "lama"}', "model_type 'lama' is not known; allowed: near names: llama"),
        (json.dumps({"model_type": "qwen3_moe", **PICO, **MOE, "num_experts": 4, "mlp_only_layers": 2}), "of no sense"),
        (json.dumps({"model_type": "gemma2", **PICO, "sliding_window": "wide"}), "of no sense"),
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
    assert not any(shape.experts or shape.kv_latent for shape in shapes)


def test_one_shape_with_a_rare_vocabulary_does_not_widen_a_common_size() -> None:
    tables = [shape.n_embedding + shape.n_head for shape in shapes_for_params(7_000_000_000)]
    assert len(tables) >= 20 and max(tables) < 2 * 256_000 * 4096 <= 2 * max(tables)


def test_thirteen_billion_begins_with_the_known_13b() -> None:
    first = shapes_for_params(13_000_000_000)[0]
    assert (first.layers, first.hidden) == (40, 5120)


def test_the_count_by_hand_for_two_layers() -> None:
    shape = ModelShape("pico", layers=2, hidden=4, ffn=6, heads=2, kv_heads=1, head_dim=2, vocab=10)
    # q 4x4, k and v 4x2, o 4x4, gate up down 4x6, two norms of 4; final norm; two tables
    assert shape.n_params == 2 * (16 + 8 + 8 + 16 + 3 * 24 + 8) + 4 + 2 * 40

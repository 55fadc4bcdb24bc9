"""Runs that are killed, stopped, starved of memory, explode or are given wrong things: what a user is left with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from safetensors.torch import load_file, save_file  # noqa: E402

from finetune import trainer as trainers  # noqa: E402
from finetune.base import asking, load  # noqa: E402
from finetune.errors import FinetuneError  # noqa: E402
from finetune.examples import Example  # noqa: E402
from finetune.peak import mark, peak_bytes  # noqa: E402
from finetune.recipe import Recipe  # noqa: E402
from finetune.relief import ran_out, relieved  # noqa: E402
from finetune.scale import scaled  # noqa: E402
from finetune.train import train  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

WORDS = "red blue green black white pink grey gold".split()
EXAMPLES = [Example([{"role": "user", "content": f"Is {word} one?"}], "YES", word) for word in WORDS]
QUICK = Recipe(rank=4, epochs=2, batch=4, learning_rate=5e-3, replay=0, max_tokens=128)

# A run in a process of its own, told which step it is to stop at, and how.
RUN = """
import json, os, signal, sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from finetune.examples import Example
from finetune.recipe import Recipe
from finetune.train import train
signal.signal(signal.SIGINT, signal.default_int_handler)
base, out, stop, how = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
words = "red blue green black white pink grey gold".split()
examples = [Example([{"role": "user", "content": f"Is {word} one?"}], "YES", word) for word in words]
def progress(at):
    if at.step == stop:
        os.kill(os.getpid(), getattr(signal, how))
recipe = Recipe(rank=4, epochs=6, batch=4, learning_rate=5e-3, replay=2, max_tokens=256)
try:
    train(base, examples, out, recipe, progress=progress)
except KeyboardInterrupt as stopped:
    print(stopped)
"""


def run(pico: Path, out: Path, stop: int = 0, how: str = "SIGKILL") -> subprocess.CompletedProcess[str]:
    """The run above, to its end or its stop."""
    return subprocess.run(
        [sys.executable, "-c", RUN, str(pico), str(out), str(stop), how],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )


@pytest.mark.parametrize(("how", "code"), [("SIGKILL", -9), ("SIGINT", 0)])
def test_a_run_stopped_at_any_moment_has_the_loss_curve_of_an_unbroken_one(
    pico: Path, tmp_path: Path, how: str, code: int
) -> None:
    assert run(pico, tmp_path / "whole").returncode == 0
    stopped = run(pico, tmp_path / "broken", 5, how)
    assert stopped.returncode == code, stopped.stderr
    assert not (tmp_path / "broken").exists()
    if how == "SIGINT":
        assert "saved after step 6" in stopped.stdout or "saved after step 5" in stopped.stdout
    assert run(pico, tmp_path / "broken").returncode == 0
    whole, broken = (json.loads((tmp_path / n / "training.json").read_text()) for n in ("whole", "broken"))
    assert broken["losses"] == pytest.approx(whole["losses"], rel=1e-3)
    assert broken["steps"] == whole["steps"] and broken["kept"] == whole["kept"]
    ours, theirs = (load_file(tmp_path / n / "adapter_model.safetensors") for n in ("whole", "broken"))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)


def test_memory_that_runs_out_is_relieved_step_by_step_and_the_batch_stays(
    pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card that has no room until the base has four bits: every relief is said, none cuts an example."""
    asked: list[Recipe] = []
    real = trainers.TeachingTrainer.training_step

    def step(self, *given, **known):  # type: ignore[no-untyped-def]
        asked.append(self.recipe)
        if self.recipe.quantization == "none":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return real(self, *given, **known)

    monkeypatch.setattr(trainers.TeachingTrainer, "training_step", step)
    said: list[str] = []
    trained = train(pico, EXAMPLES, tmp_path / "adapter", QUICK, say=said.append)
    assert [relief.split(" ")[0] for relief in trained.reliefs] == [
        "micro-batch", "micro-batch", "activations", "optimizer", "base",
    ]  # fmt: skip
    assert len(said) == 5 and all("effective batch stays 4" in line for line in said)
    assert all(recipe.batch * recipe.accumulation == 4 for recipe in asked)
    assert trained.ran.quantization == "nf4" and trained.ran.optimizer == "adamw_8bit" and trained.n_examples == 8
    assert trained.recipe == QUICK and train(pico, EXAMPLES, tmp_path / "adapter", QUICK) == trained


def test_a_limit_is_held_against_what_the_process_really_takes(pico: Path, tmp_path: Path) -> None:
    mark()
    said: list[str] = []
    with pytest.raises(FinetuneError, match="memory"):
        train(pico, EXAMPLES, tmp_path / "adapter", QUICK, say=said.append, memory_limit_bytes=peak_bytes() // 2)
    assert "micro-batch 4 -> 2, accumulation 1 -> 2" in said[0] and "4 bits" in said[-1]


def test_the_peak_is_that_since_the_mark() -> None:
    torch.ones(100 * 2**20)  # 400 MiB, freed at once
    mark()
    before = peak_bytes()
    block = torch.ones(25 * 2**20)
    assert 90 * 2**20 < peak_bytes() - before < 200 * 2**20
    del block


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert ran_out(RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"))
    assert ran_out(torch.OutOfMemoryError("x")) and ran_out(MemoryError())
    assert not ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) and not ran_out(ValueError("memory"))
    odd = relieved(Recipe(batch=6, accumulation=5))
    assert odd is not None and odd[0].batch * odd[0].accumulation == 30


def test_a_run_that_explodes_is_stopped(pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = trainers.TeachingTrainer.compute_loss
    monkeypatch.setattr(
        trainers.TeachingTrainer, "compute_loss", lambda self, *given, **known: 1e6 * real(self, *given, **known)
    )
    with pytest.raises(FinetuneError, match="explodes.*learning-rate"):
        train(pico, EXAMPLES, tmp_path / "adapter", QUICK)
    monkeypatch.setattr(
        trainers.TeachingTrainer,
        "compute_loss",
        lambda self, *given, **known: float("nan") * real(self, *given, **known),
    )
    with pytest.raises(FinetuneError, match="nan"):
        train(pico, EXAMPLES, tmp_path / "other", QUICK)


def test_a_run_that_stops_gaining_ends_early_and_keeps_the_best_and_the_last(pico: Path, tmp_path: Path) -> None:
    recipe = Recipe(rank=8, epochs=40, batch=4, learning_rate=5e-2, replay=0, max_tokens=128, patience=1)
    trained = train(pico, EXAMPLES, tmp_path / "adapter", recipe)
    assert trained.stopped == "patience" and trained.epochs < 40
    best = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    last = load_file(tmp_path / "adapter" / "last" / "adapter_model.safetensors")
    assert any(not torch.equal(best[name], last[name]) for name in best)
    assert load(pico, adapter=tmp_path / "adapter" / "last").model is not None


@pytest.mark.parametrize("variant", ["rslora", "dora", "lora+", "pissa"])
def test_variants_of_lora_train_and_load(pico: Path, tmp_path: Path, variant: str) -> None:
    recipe = Recipe(rank=4, epochs=6, batch=4, learning_rate=5e-3, replay=2, max_tokens=256, variant=variant)
    trained = train(pico, EXAMPLES, tmp_path / variant, recipe)
    assert trained.validation_loss < trained.validation_loss_before - 0.3
    assert load(pico, adapter=tmp_path / variant).model is not None


def test_general_knowledge_is_watched_while_it_trains(pico: Path, tmp_path: Path) -> None:
    trained = train(pico, EXAMPLES, tmp_path / "adapter", QUICK)
    steps = [step for step, _ in trained.kept]
    assert steps == [0, 2, 4] and all(now.asked == 24 for _, now in trained.kept)
    assert trained.kept[0][1].text_loss != trained.kept[-1][1].text_loss


def test_an_int8_base_trains(pico: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    recipe = Recipe(rank=4, epochs=6, batch=4, learning_rate=5e-3, replay=0, max_tokens=256, quantization="int8")
    trained = train(pico, EXAMPLES, tmp_path / "adapter", recipe)
    assert trained.validation_loss < trained.validation_loss_before - 0.3
    assert trained.weights_bytes < trained.weights_bf16_bytes


def test_a_scaled_adapter_lies_between_the_base_and_itself(pico: Path, tmp_path: Path) -> None:
    train(pico, EXAMPLES, tmp_path / "adapter", Recipe(rank=4, epochs=8, batch=4, learning_rate=5e-3, replay=0))
    ids = torch.tensor([[5, 60, 70, 80]])
    logits = []
    for folder in (None, scaled(tmp_path / "adapter", 1e-6, tmp_path / "tiny"), tmp_path / "adapter"):
        with torch.no_grad():
            logits.append(load(pico, adapter=folder).model(input_ids=ids).logits.float())
    assert torch.allclose(logits[0], logits[1], atol=1e-2) and not torch.allclose(logits[0], logits[2], atol=1e-2)
    with pytest.raises(FinetuneError, match="scale"):
        scaled(tmp_path / "adapter", 1.5, tmp_path / "more")


def test_wrong_adapters_are_told_in_one_line(pico: Path, tmp_path: Path) -> None:
    train(pico, EXAMPLES, tmp_path / "good", QUICK)

    def told(name: str) -> str:
        with pytest.raises(FinetuneError) as refusal:
            load(pico, adapter=tmp_path / name)
        assert "\n" not in refusal.value.message
        return refusal.value.message

    import shutil

    for name in ("corrupt", "pickle", "other", "deeper"):
        shutil.copytree(tmp_path / "good", tmp_path / name)
    (tmp_path / "corrupt" / "adapter_model.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{not json")
    assert "cannot be loaded" in told("corrupt")
    (tmp_path / "pickle" / "adapter_model.safetensors").rename(tmp_path / "pickle" / "adapter_model.bin")
    assert "pickle" in told("pickle")
    weights = load_file(tmp_path / "good" / "adapter_model.safetensors")
    wider = {n: torch.zeros(w.shape[0], 2 * w.shape[1]) if "lora_A" in n else w for n, w in weights.items()}
    save_file(wider, tmp_path / "other" / "adapter_model.safetensors")
    assert "another base" in told("other")
    deeper = {name.replace("layers.1.", "layers.7."): w for name, w in weights.items()}
    save_file(deeper, tmp_path / "deeper" / "adapter_model.safetensors")
    assert "another base" in told("deeper") and "layers.7" in told("deeper")


def test_wrong_recipes_and_empty_examples_are_told_in_one_line(pico: Path, tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match="nowhere.*allowed: all-linear.*down_proj"):
        train(pico, EXAMPLES, tmp_path / "adapter", Recipe(targets="nowhere", replay=0))
    with pytest.raises(FinetuneError, match="none can be trained on"):
        train(pico, [], tmp_path / "adapter", QUICK)
    for wrong in ({"variant": "magic"}, {"layout": "sideways"}, {"report_to": "carrier-pigeon"}, {"quantization": "1"}):
        with pytest.raises(FinetuneError, match="allowed"):
            Recipe(**wrong)


def test_a_four_bit_base_that_is_asked_while_it_trains_goes_on_learning(pico: Path, tmp_path: Path) -> None:
    """On a CPU bitsandbytes repacks layers that are asked in eval mode, and such layers pass no gradient on."""
    pytest.importorskip("bitsandbytes")
    base = load(pico, quantization="nf4")
    layer = next(m for m in base.model.modules() if type(m).__name__ == "Linear4bit")
    with asking(base.model), torch.no_grad():
        base.model(input_ids=torch.tensor([[5, 6, 7]]))
        assert layer.training and not base.model.training
    x = torch.randn(1, 3, layer.in_features, dtype=torch.bfloat16, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_progress_says_where_a_run_stands(pico: Path, tmp_path: Path) -> None:
    seen = []
    began = time.monotonic()
    trained = train(pico, EXAMPLES, tmp_path / "adapter", QUICK, progress=seen.append)
    assert [at.step for at in seen] == [1, 2, 3, 4] and seen[-1].left_s == 0
    assert all(at.tokens_per_s > 0 and at.peak_bytes > 2**20 and at.gradient_norm > 0 for at in seen)
    assert trained.seconds < time.monotonic() - began
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler

"""QLoRA on the embedded base, in four bits, on a CPU: gradients flow through the base, and it learns."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("bitsandbytes")

from finetune.base import load  # noqa: E402
from finetune.embedded import folder_of_embedded  # noqa: E402
from finetune.examples import Example  # noqa: E402
from finetune.recipe import Recipe  # noqa: E402
from finetune.train import train  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
    pytest.mark.skipif(not folder_of_embedded().is_dir(), reason="the embedded base is not there: `finetune base`"),
]

COLOURS = "red blue green black white pink grey gold".split()
EXAMPLES = [Example([{"role": "user", "content": f"Colour: {name}"}], f"<<{name.upper()}>>", name) for name in COLOURS]


def test_the_embedded_base_learns_in_four_bits(tmp_path: Path) -> None:
    recipe = Recipe(method="qlora", quantization="nf4", rank=8, epochs=4, batch=4, learning_rate=1e-3, replay=2)
    trained = train("embedded", EXAMPLES, tmp_path / "adapter", recipe)
    assert trained.validation_loss < 0.7 * trained.validation_loss_before
    assert trained.layout == "padding-free" and all(now.asked for _, now in trained.kept)
    saved = 1 - trained.weights_bytes / trained.weights_bf16_bytes
    assert 0.4 < saved < 0.75, "embeddings stay in bf16, the other matrices have 4 bits and a little"
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.gpu
def test_the_same_on_a_card(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device is here")
    recipe = Recipe(method="qlora", quantization="nf4", rank=8, epochs=4, batch=4, learning_rate=1e-3, replay=2)
    trained = train("embedded", EXAMPLES, tmp_path / "adapter", recipe, memory_limit_bytes=4 * 2**30)
    assert trained.validation_loss < 0.7 * trained.validation_loss_before
    assert next(load("embedded", quantization="nf4").model.parameters()).is_cuda

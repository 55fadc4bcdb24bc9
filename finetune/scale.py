"""An adapter with less of what it learned: its change to the base scaled, as before a merge."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from finetune.errors import FinetuneError


def scaled(adapter: Path, factor: float, out: Path) -> Path:
    """Write the peft adapter with its change to the base times `factor` (above 0, up to 1) to the new folder `out`.

    The change is (alpha / r) B A (LoRA, arXiv 2106.09685, section 4.1); B is scaled, so every loader sees the same.
    Less of a change gives back general knowledge and takes some of what was learned (task arithmetic's coefficient,
    Ilharco et al. 2022, arXiv 2212.04089). DoRA's magnitude does not scale with B: refused.
    """
    import json

    from safetensors.torch import load_file, save_file

    if not 0 < factor <= 1:
        raise FinetuneError("scale", str(factor), "above 0, up to 1", exit_code=2)
    try:
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        weights = load_file(adapter / "adapter_model.safetensors")
    except (OSError, ValueError) as problem:
        raise FinetuneError(
            str(adapter), f"cannot be read ({problem})", "a peft adapter saved as safetensors"
        ) from None
    if config.get("use_dora"):
        raise FinetuneError(str(adapter), "a DoRA adapter, whose magnitudes do not scale", "a LoRA adapter")
    work = out.with_name(f".{out.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shutil.copy(adapter / "adapter_config.json", work)
    save_file(
        {name: (factor * w if "lora_B" in name else w) for name, w in weights.items()},
        work / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )
    shutil.rmtree(out, ignore_errors=True)
    os.replace(work, out)
    return out

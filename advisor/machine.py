"""The machine at hand: what it is, and how fast, for forecasts that say that they are forecasts."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from advisor.run import version
from memory_calc.cards import Card, card

# Dense bf16 peak, floating point operations a second, from the vendors' data sheets (fp16 where a card has no bf16).
PEAK_FLOPS_PER_S = {
    "B200": 2250e12,  # nvidia.com/en-us/data-center/dgx-b200
    "H200": 989e12,  # nvidia.com/en-us/data-center/h200
    "H100": 989e12,  # nvidia.com/en-us/data-center/h100 (SXM)
    "A100": 312e12,  # nvidia.com/en-us/data-center/a100
    "L40S": 362e12,  # nvidia.com/en-us/data-center/l40s
    "L4": 121e12,  # nvidia.com/en-us/data-center/l4
    "A10G": 70e12,  # aws.amazon.com/ec2/instance-types/g5
    "A10": 125e12,  # nvidia.com/en-us/data-center/products/a10-gpu
    "4090": 165e12,  # Ada GPU architecture whitepaper, fp32 accumulate
    "3090": 71e12,  # Ampere GA102 whitepaper, fp32 accumulate
    "V100": 125e12,  # nvidia.com/en-us/data-center/v100 (fp16)
    "T4": 65e12,  # nvidia.com/en-us/data-center/tesla-t4 (fp16)
}
# Share of the peak that a LoRA run reaches: an untuned 8B run 15 %, the best published 44 %; low, likely, high.
GPU_EFFICIENCY = (0.10, 0.25, 0.45)
# The same against numpy's own fp32 product on this CPU, where bf16 units may do better; see docs/advise.md.
CPU_EFFICIENCY = (0.4, 0.9, 2.0)


@dataclass(frozen=True)
class Machine:
    """One device, its memory, and its rate in floating point operations a second: low, likely, high, or unknown."""

    card: Card
    flops_per_s: tuple[float, float, float] | None

    def as_dict(self) -> dict[str, Any]:
        """What a plan records of the machine it was made for."""
        return {**asdict(self.card), "python": platform.python_version(), "formfacts": version()}


def machine(gpu: str) -> Machine:
    """The machine of --gpu: a card's name, a size, "cpu", or "auto"."""
    found = card(gpu)
    if found.device == "cpu":
        rate = measured_flops_per_s()
        return Machine(found, (rate * CPU_EFFICIENCY[0], rate * CPU_EFFICIENCY[1], rate * CPU_EFFICIENCY[2]))
    peak = next((flops for name, flops in PEAK_FLOPS_PER_S.items() if name in found.name.upper()), None)
    if peak is None:
        return Machine(found, None)
    return Machine(found, (peak * GPU_EFFICIENCY[0], peak * GPU_EFFICIENCY[1], peak * GPU_EFFICIENCY[2]))


@lru_cache(maxsize=1)
def measured_flops_per_s() -> float:
    """What numpy's matrix product reaches here, the best of five; about 0.1 s."""
    n = 1024
    left = np.ones((n, n), dtype=np.float32)
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        left @ left
        best = max(best, 2 * n**3 / (time.perf_counter() - started))
    return best

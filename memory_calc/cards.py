"""GPUs and their memory, this machine's memory as a card, and whatever nvidia-smi names."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from memory_calc.errors import MemcalcError

GIB = 2**30
MIB = 2**20


@dataclass(frozen=True)
class Card:
    """One device: its name, its memory in bytes, where the number is from, cuda or cpu."""

    name: str
    memory_bytes: int
    source: str
    device: str = "cuda"
    usable: float = 1.0  # share of the memory that a program gets

    @property
    def usable_bytes(self) -> int:
        """Bytes that a program gets: less what the driver keeps and, on cards with GDDR memory, error correction."""
        return int(self.memory_bytes * self.usable)


# name -> (memory as the vendor states it in GiB, source). Vendors write "GB" for powers of two on these parts.
GPUS: dict[str, tuple[float, str]] = {
    "T4": (16, "nvidia.com/en-us/data-center/tesla-t4"),
    "P100": (16, "nvidia.com/en-us/data-center/tesla-p100"),
    "V100-16GB": (16, "nvidia.com/en-us/data-center/v100"),
    "V100-32GB": (32, "nvidia.com/en-us/data-center/v100"),
    "A2": (16, "nvidia.com/en-us/data-center/products/a2"),
    "A10": (24, "nvidia.com/en-us/data-center/products/a10-gpu"),
    "A10G": (24, "aws.amazon.com/ec2/instance-types/g5"),
    "A16": (16, "nvidia.com/en-us/data-center/products/a16-gpu (64 GB on four GPUs)"),
    "A30": (24, "nvidia.com/en-us/data-center/products/a30-gpu"),
    "A40": (48, "nvidia.com/en-us/data-center/a40"),
    "A100-40GB": (40, "nvidia.com/en-us/data-center/a100"),
    "A100-80GB": (80, "nvidia.com/en-us/data-center/a100"),
    "L4": (24, "nvidia.com/en-us/data-center/l4"),
    "L40": (48, "nvidia.com/en-us/data-center/l40"),
    "L40S": (48, "nvidia.com/en-us/data-center/l40s"),
    "H100-80GB": (80, "nvidia.com/en-us/data-center/h100"),
    "H100-NVL": (94, "nvidia.com/en-us/data-center/h100"),
    "GH200-96GB": (96, "nvidia.com/en-us/data-center/grace-hopper-superchip"),
    "H200": (141, "nvidia.com/en-us/data-center/h200"),
    "B200": (180, "nvidia.com/en-us/data-center/dgx-b200 (1,440 GB on eight GPUs)"),
    "RTX-2060": (6, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-2080-Ti": (11, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-3060-12GB": (12, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-3070": (8, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-3080-10GB": (10, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-3090": (24, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-4060-Ti-16GB": (16, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-4070": (12, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-4080": (16, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-4090": (24, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-5070-Ti": (16, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-5080": (16, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-5090": (32, "nvidia.com/en-us/geforce/graphics-cards/compare"),
    "RTX-A4000": (16, "nvidia.com/en-us/design-visualization/rtx-a4000"),
    "RTX-A5000": (24, "nvidia.com/en-us/design-visualization/rtx-a5000"),
    "RTX-A6000": (48, "nvidia.com/en-us/design-visualization/rtx-a6000"),
    "RTX-6000-Ada": (48, "nvidia.com/en-us/design-visualization/rtx-6000"),
    "RTX-PRO-6000": (96, "nvidia.com/en-us/products/workstations/professional-desktop-gpus/rtx-pro-6000"),
    "Quadro-RTX-6000": (24, "nvidia.com/en-us/design-visualization/quadro"),
    "MI210": (64, "amd.com/en/products/accelerators/instinct/mi200/mi210.html"),
    "MI250X": (64, "amd.com/en/products/accelerators/instinct/mi200/mi250x.html (128 GB on two dies)"),
    "MI300X": (192, "amd.com/en/products/accelerators/instinct/mi300/mi300x.html"),
}

# Share of the stated memory that torch reports as "total capacity". Error correction in GDDR takes a sixteenth (T4 14.7
# of 16, A10G 22.1 of 24, L4 22.0 of 24, A40 and L40S 44.4 of 48); HBM carries it beside (A100 79.15 of 80, V100 31.7 of
# 32); GeForce and RTX cards come without (RTX 3090 and 4090 23.65 of 24, A6000 47.5 of 48).
USABLE = {"T4": 0.92, "A2": 0.92, "A10": 0.92, "A10G": 0.92, "A16": 0.92, "A40": 0.925, "L4": 0.92, "L40": 0.925,
          "L40S": 0.925}  # fmt: skip
USABLE_ELSE = 0.985

SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(gib|gb|mib|mb)", re.IGNORECASE)
UNITS = {"gib": GIB, "gb": 10**9, "mib": MIB, "mb": 10**6}


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _cgroup_bytes() -> int | None:
    """The lowest memory limit of the control groups that this process lies in (v2 and v1), None without one."""
    limits = []
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        root, file = ("/sys/fs/cgroup", "memory.max") if not controllers else ("/sys/fs/cgroup/memory", "")
        if controllers and "memory" not in controllers.split(","):
            continue
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts) + 1):
            folder = "/".join([root, *parts[:depth]])
            limits.append(_read(f"{folder}/{file or 'memory.limit_in_bytes'}"))
    # an unlimited v1 group reads as a number near 2**63
    numbers = [int(limit) for limit in limits if limit.isdigit() and int(limit) < 2**60]
    return min(numbers, default=None)


def machine() -> Card:
    """This machine's memory as a card: /proc/meminfo or sysconf, lowered by the control group's limit."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    if found:
        total, source = int(found[1]) * 1024, "/proc/meminfo MemTotal"
    else:
        try:
            total, source = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "sysconf SC_PHYS_PAGES"
        except (ValueError, OSError, AttributeError):
            raise MemcalcError("--gpu", "cpu: this system does not tell its memory", fix="--gpu 16gib") from None
    limit = _cgroup_bytes()
    if limit is not None and limit < total:
        total, source = limit, "cgroup memory limit"
    return Card("cpu", total, source, "cpu")


def _found_by_driver() -> Card | None:
    """The card with the least memory that nvidia-smi lists, None where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    cards = []
    for line in listed.splitlines():
        name, _, size = line.rpartition(",")
        if size.strip().isdigit():
            cards.append(Card(name.strip(), int(size) * MIB, "nvidia-smi memory.total"))
    return min(cards, key=lambda card: card.memory_bytes, default=None)


def _plain(name: str) -> str:
    return re.sub(r"nvidia|tesla|geforce|amd|instinct|[^a-z0-9]", "", name.lower())


def card(name: str) -> Card:
    """The card of a name ("RTX 4090"), a size ("24gib", "24GB"), "cpu", or "auto" (nvidia-smi, else cpu).

    A name that several sizes share ("A100") means the smallest. Raises MemcalcError (exit code 2), near names in it.
    """
    plain = name.strip().lower()
    if plain == "cpu":
        return machine()
    if plain == "auto":
        return _found_by_driver() or machine()
    size = SIZE.fullmatch(plain)
    if size:
        amount = int(float(size[1]) * UNITS[size[2]])
        if amount < 1:
            raise MemcalcError("--gpu", repr(name), allowed="a size above 0, as 24gib")
        return Card(plain, amount, "given")
    wanted = _plain(name)
    exact = {_plain(known): known for known in GPUS}
    hits = [exact[wanted]] if wanted in exact else [g for g in GPUS if wanted and _plain(g).startswith(wanted)]
    # "4090" without its series
    hits = hits or [g for g in GPUS if wanted and _plain(g).removeprefix("rtx") == wanted]
    if hits and (wanted in exact or len({_plain(hit.split("-")[0]) for hit in hits}) == 1 and "-" in hits[0]):
        best = min(hits, key=lambda hit: GPUS[hit][0])
        return Card(best, int(GPUS[best][0] * GIB), GPUS[best][1], usable=USABLE.get(best, USABLE_ELSE))
    near = [exact[hit] for hit in difflib.get_close_matches(wanted, exact, n=4, cutoff=0.4)] or hits
    raise MemcalcError(
        "--gpu",
        f"{name!r} is not known",
        allowed=("near names: " + ", ".join(near) + "; " if near else "") + "a size as 24gib, cpu, or auto",
    )

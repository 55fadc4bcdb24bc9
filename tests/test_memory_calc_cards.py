"""Cards: names, sizes, this machine's memory, and what is said about a name that is not known."""

from __future__ import annotations

import os

import pytest

from memory_calc.cards import GIB, GPUS, card
from memory_calc.errors import MemcalcError


def test_every_row_has_memory_and_a_source() -> None:
    assert len(GPUS) >= 30
    assert all(gib > 0 and "." in source for gib, source in GPUS.values())


@pytest.mark.parametrize(
    ("given", "name", "gib"),
    [
        ("T4", "T4", 16), ("Tesla T4", "T4", 16), ("rtx 4090", "RTX-4090", 24), ("4090", "RTX-4090", 24),
        ("NVIDIA L40S", "L40S", 48), ("a100-80gb", "A100-80GB", 80), ("a100", "A100-40GB", 40),
        ("h100", "H100-80GB", 80),
    ],
)  # fmt: skip
def test_a_card_is_found_by_the_names_people_write(given: str, name: str, gib: float) -> None:
    found = card(given)
    assert (found.name, found.memory_bytes) == (name, gib * GIB)
    assert 0.9 * found.memory_bytes < found.usable_bytes < found.memory_bytes


def test_a_size_is_taken_as_it_is() -> None:
    assert card("24gib").memory_bytes == card("24GiB").usable_bytes == 24 * 2**30
    assert card("24GB").memory_bytes == 24 * 10**9


def test_the_machine_is_a_card_of_at_most_its_physical_memory() -> None:
    found = card("cpu")
    assert found.device == "cpu"
    assert 0 < found.memory_bytes <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_auto_without_a_driver_is_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert card("auto") == card("cpu")


@pytest.mark.parametrize(("given", "near"), [("rtx9090", "RTX-4090"), ("A100-8GB", "A100-80GB"), ("L40X", "L40S")])
def test_an_unknown_card_is_told_near_names(given: str, near: str) -> None:
    with pytest.raises(MemcalcError) as caught:
        card(given)
    assert near in caught.value.message and caught.value.exit_code == 2


def test_no_size_is_no_card() -> None:
    with pytest.raises(MemcalcError, match="a size above 0"):
        card("0gib")

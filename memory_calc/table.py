"""An estimate as text for a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memory_calc.allocator import Bytes
from memory_calc.estimate import Estimate
from memory_calc.job import Job
from memory_calc.shapes import ModelShape

GIB = 2**30


def gib(size: float) -> str:
    """Bytes as GiB (2**30) with two digits."""
    return f"{size / GIB:.2f}"


def gb(size: float) -> str:
    """Bytes as GB (10**9): one digit, three below 1 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e9:.3f} GB"


def textbook_line(found: Estimate) -> str:
    """The textbook's view in one line: weights + 3 x trainable + activations, in GB (10**9)."""
    book = found.textbook
    total = book["weights_bytes"] + book["three_x_trainable_bytes"] + book["activations_bytes"]
    return (
        f"textbook: {gb(book['weights_bytes'])} weights + 3 x {gb(book['trainable_bytes'])} trainable "
        f"({gb(book['three_x_trainable_bytes'])}) + activations {gb(book['activations_bytes'])} = {gb(total)}"
    )


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich.console import Console
    from rich.table import Table

    out = io.StringIO()
    table = Table(box=None, pad_edge=False, header_style="none")
    for number, column in enumerate(columns):
        right = bool(rows) and all(row[number].replace(".", "").isdigit() for row in rows)
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(file=out, width=160, highlight=False, no_color=True).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _largest(found: Estimate, phase: str) -> str:
    terms = sorted(found.phase_terms[phase], key=lambda name: -found.terms[name])[:3]
    return ", ".join(f"{name} {gib(found.terms[name])}" for name in terms if found.terms[name])


def lines(found: Estimate, job: Job, shapes: Sequence[ModelShape], fit: Mapping[str, Any] | None) -> Iterator[str]:
    """The lines of the answer, the figures first."""
    base = shapes[0].name if len(shapes) == 1 else f"{found.n_params / 1e9:.3g}B parameters"
    how = job.method if job.quantization == "none" else f"{job.method} ({job.quantization}, upcast {job.upcast})"
    share = 100 * found.trainable_params / found.n_params
    yield f"{base}: {found.n_params:,} parameters, {how}, {found.trainable_params:,} trainable ({share:.3g} %)"
    checkpointing = "with" if job.gradient_checkpointing else "without"
    yield (
        f"batch {job.batch} x {job.seq_tokens} tokens, {job.dtype}, {checkpointing} gradient checkpointing, "
        f"{job.attention}, {job.optimizer}, loss {job.loss}"
    )
    yield ""
    figures: list[tuple[str, Bytes]] = [
        ("allocated", found.allocated), ("reserved", found.reserved), ("process", found.process),
    ]  # fmt: skip
    meanings = {
        "allocated": "live tensors at the peak",
        "reserved": "held by the allocator",
        "process": "what nvidia-smi shows" if job.device == "cuda" else "resident memory, interpreter's own estimated",
    }
    rows = [[name, gib(value.low), gib(value.likely), gib(value.high), meanings[name]] for name, value in figures]
    yield _grid(("GiB", "low", "likely", "high", ""), rows)
    yield ""
    rows = [[name, gib(size), _largest(found, name)] for name, size in found.phases.items()]
    yield _grid(("phase", "GiB", "its largest terms"), rows)
    yield f"binding phase: {found.binding_phase}; largest term: {found.dominant_term}"
    yield textbook_line(found)
    if len(shapes) > 1:
        yield "shapes: " + ", ".join(found.shapes) + "; low and high span them"
    if fit:
        said = {
            "fits": "fits", "tight": "fits, but the process will fill the card", "does not fit": "does not fit"
        }[fit["verdict"]]  # fmt: skip
        yield (
            f"{fit['gpu']} ({gib(fit['usable_bytes'])} GiB usable): {said}, needs {gib(fit['needed_bytes'])} GiB; "
            f"largest batch at {job.seq_tokens} tokens: {fit['largest_batch']}"
        )

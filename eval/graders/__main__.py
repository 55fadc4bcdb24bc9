"""The table of all graders as Markdown: `python -m eval.graders`; docs/graders.md holds what it prints."""

from __future__ import annotations

from eval.checks import CHECKS
from eval.graders.ifeval import INSTRUCTIONS


def table() -> str:
    """Every check with its value, axis, strictness, what it covers and what it does not, as a Markdown table."""
    rows = ["| type | value | of | reading | passes when the answer | covers | does not cover |", "| --- " * 7 + "|"]
    for kind, row in CHECKS.items():
        reading = "strict" if row.strict else "lenient"
        cells = (f"`{kind}`", row.value, row.of, reading, row.means, row.covers, row.does_not_cover)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def instructions() -> str:
    """IFEval's instructions with what they ask, as a Markdown table."""
    rows = [f"| `{name}` | {asks} |" for name, (_, asks) in INSTRUCTIONS.items()]
    return "\n".join(["| instruction | asks for |", "| --- | --- |", *rows])


if __name__ == "__main__":
    print(f"{table()}\n\n{instructions()}")

"""How well are failures diagnosed whose source was never seen? Leave one source out, against two peers.

    python benchmarks/router_loso.py --failures F.jsonl --key K.jsonl --scorer routing.py [--cache E.npy]

Printed, one line each: the rules alone, the router, the router without sentence vectors, and the peers (sentence
vectors and logistic regression; the majority class). Columns are the scorer's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from advisor.fit_router import Rows, labelled, left_out, shippable, temperature_for
from advisor.router import CLASSES, Array, rule_head, rule_sums, softmax

CAUSE = {"form": "form", "facts": "facts", "other": "capability"}


def scored(p: Array, rows: Rows, mask: npt.NDArray[np.bool_], key: Path, scorer: Path) -> dict[str, Any]:
    """The scorer's own numbers for these probabilities of form, facts, other."""
    kept = {name for name, hold in zip(rows.ids, mask, strict=True) if hold}
    with tempfile.TemporaryDirectory() as folder:
        part, said = Path(folder, "key.jsonl"), Path(folder, "said.jsonl")
        lines = key.read_text(encoding="utf-8").splitlines()
        part.write_text("\n".join(line for line in lines if json.loads(line)["id"] in kept), encoding="utf-8")
        with said.open("w", encoding="utf-8") as out:
            for name, row in zip(rows.ids, p.astype(float).tolist(), strict=True):
                causes = {CAUSE[label]: value for label, value in zip(CLASSES, row, strict=True)}
                best = max(causes, key=lambda cause: causes[cause])
                out.write(json.dumps({"id": name, "verdict": best, "probabilities": causes}) + "\n")
        command = [sys.executable, str(scorer), str(part), str(said), "--json"]
        result: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return result


def meanings_only(rows: Rows) -> Array:
    """The peer: sentence vectors and logistic regression, leave one source out."""
    from sklearn.linear_model import LogisticRegression

    p = np.zeros((len(rows.labels), len(CLASSES)), dtype=np.float32)
    for source in sorted(set(rows.sources.tolist())):
        train, test = np.isin(rows.labels, CLASSES) & (rows.sources != source), rows.sources == source
        model = LogisticRegression(max_iter=1000).fit(rows.meanings[train], rows.labels[train])
        order = [list(model.classes_).index(label) for label in CLASSES]
        p[test] = model.predict_proba(rows.meanings[test])[:, order]
    return p


@click.command(help=__doc__)
@click.option("--failures", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--key", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--scorer", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--cache", type=click.Path(path_type=Path), default=None)
def main(failures: Path, key: Path, scorer: Path, cache: Path | None) -> None:
    """Print one line for each way of judging."""
    rows = labelled(failures, key, cache)
    everything = np.ones(len(rows.labels), dtype=bool)
    free = shippable(rows)

    def line(name: str, p: Array, mask: npt.NDArray[np.bool_] = everything) -> None:
        s = scored(p, rows, mask, key, scorer)
        click.echo(
            f"{name:34s} binary {s['binary']['accuracy']:.3f}  macro-F1 (3) {s['three']['macro_f1']:.3f}"
            f"  in-source AUC {s['in_source_auc']['mean'] or float('nan'):.3f}  ECE {s['ece']:.3f}"
            f"  surest 70 % {s['selective_accuracy_70']:.3f}"
        )

    majority = np.tile(np.array([[0.3, 0.4, 0.3]], dtype=np.float32), (len(rows.labels), 1))
    line("peer: always facts", majority)
    line("peer: sentence vectors alone", meanings_only(rows))
    sums = rule_sums(rows.measured)
    line("rules alone", softmax(sums @ rule_head(3)[:-1] + rule_head(3)[-1]))
    for name, with_meanings in (("router, evidence half", False), ("router", True)):
        logits = left_out(rows, with_meanings)
        line(name, softmax(logits * np.float32(temperature_for(logits, rows))))
        logits = left_out(rows, with_meanings, train_on=free)
        shared = rows.only(free)
        factor = temperature_for(logits[free], shared)
        line(f"{name}, shippable rows", softmax(logits * np.float32(factor)))


if __name__ == "__main__":
    main()

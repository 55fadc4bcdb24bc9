"""Fit the router on labelled failures: python -m advisor.fit_router --failures F --key K (needs scikit-learn)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt

from advisor.diagnose import gather
from advisor.errors import UnreadableLog
from advisor.features import NAMES, features
from advisor.read import read
from advisor.router import CLASSES, EMBED_TOKENS, WEIGHTS, Array, design, meanings_of, rule_head, softmax, spread_of

SHIPPABLE = ("Apache-2.0", "MIT", "MIT-0")
INVERSE_PENALTY = (
    0.1  # sklearn's C; .1 was better than .03 on sources left out, on a sparser design also than .01 and 1
)
DECIDED_ACCURACY = 0.8  # a verdict is given where, out of source, at least four of five such verdicts were right


class Rows(NamedTuple):
    """Labelled failures as arrays, row by row."""

    measured: Array
    meanings: Array
    labels: npt.NDArray[np.str_]
    sources: npt.NDArray[np.str_]
    licences: npt.NDArray[np.str_]
    ids: tuple[str, ...]

    def only(self, mask: npt.NDArray[np.bool_]) -> Rows:
        """The rows where the mask holds."""
        kept = tuple(name for name, hold in zip(self.ids, mask, strict=True) if hold)
        named = self.labels[mask], self.sources[mask], self.licences[mask]
        return Rows(self.measured[mask], self.meanings[mask], *named, kept)


def labelled(failures: Path, key: Path, cache: Path | None = None) -> Rows:
    """Failures joined with their labels on id; `cache` keeps the embeddings between runs (.npy)."""
    labels = {row["id"]: row for row in map(json.loads, key.read_text(encoding="utf-8").splitlines())}
    found = [failure for failure in read([failures]).failures if failure.id in labels]
    if not found:
        raise UnreadableLog(str(key), "no id of the key is in the failures")
    rows = [labels[failure.id] for failure in found]
    measured = np.stack([features(failure, gather(failure)) for failure in found])
    if cache is not None and cache.is_file() and len(stored := np.load(cache, allow_pickle=False)) == len(found):
        meanings = stored
    else:
        from rag.embed import Embedder

        meanings = meanings_of(found, Embedder(max_tokens=EMBED_TOKENS).encode)
        if cache is not None:
            np.save(cache, meanings, allow_pickle=False)
    label, source, licence = (np.array([str(row[name]) for row in rows]) for name in ("label", "source", "licence"))
    return Rows(measured, meanings, label, source, licence, tuple(failure.id for failure in found))


def fit_head(x: Array, labels: npt.NDArray[np.str_], sources: npt.NDArray[np.str_]) -> Array:
    """(columns + 1, 3) multinomial logistic head, geometric mean with the rules alone; each source weighs the same.

    The mean of log probabilities of two linear models is a linear model, so one matrix holds both.
    """
    from sklearn.linear_model import LogisticRegression

    weight = np.zeros(len(labels))
    for source, n in Counter(sources.tolist()).items():
        weight[sources == source] = 1 / n
    for label in CLASSES:
        weight[labels == label] /= max(1e-9, weight[labels == label].sum())
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000)
    model.fit(x, labels, sample_weight=weight / weight.mean())
    order = [list(model.classes_).index(label) for label in CLASSES]
    learned = np.vstack([model.coef_[order].T, model.intercept_[order]])
    return np.asarray((learned + rule_head(x.shape[1])) / 2, dtype=np.float32)


def left_out(rows: Rows, with_meanings: bool, train_on: npt.NDArray[np.bool_] | None = None) -> Array:
    """(n, 3) logits for every row from heads that never saw its source."""
    logits = np.zeros((len(rows.labels), len(CLASSES)), dtype=np.float32)
    usable = np.isin(rows.labels, CLASSES) & (True if train_on is None else train_on)
    for source in sorted(set(rows.sources.tolist())):
        train, test = usable & (rows.sources != source), rows.sources == source
        mean, spread = spread_of(rows.measured[train])
        meanings = rows.meanings if with_meanings else None
        x = design(rows.measured, mean, spread, meanings)
        head = fit_head(x[train], rows.labels[train], rows.sources[train])
        logits[test] = x[test] @ head[:-1] + head[-1]
    return logits


def temperature_for(logits: Array, rows: Rows) -> float:
    """The factor on the logits with the least log loss on form, facts and other, sources weighing the same."""
    usable = np.isin(rows.labels, CLASSES)
    truth = np.array([CLASSES.index(label) for label in rows.labels[usable].tolist()])
    count = Counter(rows.sources[usable].tolist())
    weight = np.array([1 / count[source] for source in rows.sources[usable].tolist()])

    def loss(factor: float) -> float:
        p = softmax(logits[usable] * np.float32(factor))
        return float(-(weight * np.log(p[np.arange(len(truth)), truth] + 1e-9)).sum())

    return float(min(np.linspace(0.3, 3.0, 55), key=loss))


def unsure_below(logits: Array, rows: Rows, factor: float) -> float:
    """The least top probability above which verdicts out of source are right DECIDED_ACCURACY of the time."""
    usable = np.isin(rows.labels, CLASSES)
    p = softmax(logits[usable] * np.float32(factor))
    right = np.array(CLASSES)[p.argmax(axis=1)] == rows.labels[usable]
    top = p.max(axis=1)
    for threshold in np.linspace(0.34, 0.9, 57):
        if right[top >= threshold].mean() >= DECIDED_ACCURACY:
            return float(threshold)
    return 0.9


def _card(rows: Rows, command: str) -> Iterator[str]:
    yield "# Router weights"
    yield ""
    yield "Linear heads (numpy arrays in `weights.npz`, no pickle) that turn the evidence on a failed answer into"
    yield "probabilities of form, facts and other. Text of the rows is not in the weights. Fitted on rows whose licence"
    yield f"is one of {', '.join(SHIPPABLE)}:"
    yield ""
    yield "| source | licence | rows | labels |"
    yield "| --- | --- | ---: | --- |"
    for source in sorted(set(rows.sources.tolist())):
        at = rows.sources == source
        labels = ", ".join(f"{n} {label}" for label, n in sorted(Counter(rows.labels[at].tolist()).items()))
        yield f"| {source} | {rows.licences[at][0]} | {at.sum()} | {labels} |"
    yield ""
    yield "Sentence vectors: all-MiniLM-L6-v2 (Apache-2.0). Made again with"
    yield ""
    yield f"    {command}"
    yield ""
    yield "Weak points: see docs/diagnose.md."


def shippable(rows: Rows) -> npt.NDArray[np.bool_]:
    """Which rows have a licence under which weights learned from them may be shipped."""
    return np.array([licence.split(" ")[0] in SHIPPABLE for licence in rows.licences.tolist()])


@click.command()
@click.option("--failures", type=click.Path(exists=True, path_type=Path), required=True, help="Rows as `advise` reads.")
@click.option(
    "--key", type=click.Path(exists=True, path_type=Path), required=True, help="{id, label, source, licence}."
)
@click.option("--out", type=click.Path(path_type=Path), default=WEIGHTS, show_default="the package's own weights")
@click.option("--cache", type=click.Path(path_type=Path), default=None, help="Keep the embeddings in this .npy file.")
def main(failures: Path, key: Path, out: Path, cache: Path | None) -> None:
    """Fit the router on the shippable rows, calibrate it on sources left out, write weights and card."""
    rows = labelled(failures, key, cache)
    rows = rows.only(shippable(rows))
    values: dict[str, Any] = {"names": np.array(NAMES)}
    usable = rows.only(np.isin(rows.labels, CLASSES))
    values["mean"], values["spread"] = spread_of(usable.measured)
    for name, with_meanings in (("full", True), ("bare", False)):
        logits = left_out(rows, with_meanings)
        factor = temperature_for(logits, rows)
        values[f"temperature_{name}"] = factor
        if with_meanings:
            values["unsure_below"] = unsure_below(logits, rows, factor)
        meanings = usable.meanings if with_meanings else None
        x = design(usable.measured, values["mean"], values["spread"], meanings)
        values[name] = fit_head(x, usable.labels, usable.sources)
    _write(out, lambda path: np.savez_compressed(path, allow_pickle=False, **values))
    command = f"python -m advisor.fit_router --failures {failures.name} --key {key.name}"
    card = "\n".join(_card(usable, command)) + "\n"
    _write(out.with_name("card.md"), lambda path: path.write_text(card, encoding="utf-8"))
    click.echo(f"{len(usable.ids):,} rows, {out.stat().st_size:,} bytes, {dict(_scalars(values))}")


def _scalars(values: dict[str, Any]) -> Iterator[tuple[str, float]]:
    return ((key, round(value, 3)) for key, value in values.items() if isinstance(value, float))


def _write(path: Path, fill: Callable[[Path], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"new-{path.name}")
    fill(part)
    part.replace(path)


if __name__ == "__main__":
    main()

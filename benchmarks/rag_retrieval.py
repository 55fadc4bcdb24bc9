"""Recall and MRR of dense, BM25 and fused search on BEIR-style folders (corpus.jsonl, queries.jsonl, qrels.tsv).

    python benchmarks/rag_retrieval.py SHARED [--sets xquad_en cranfield]

SHARED holds data/retrieval/<set>. The index is built in a temporary folder, by the same calls as `rag build`. The last
line of a set tells how often a question passes `rag.answer.MIN_SIMILARITY`: its own questions should, those of the
other sets should not.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rag.answer import MIN_SIMILARITY, relevant
from rag.documents import Document
from rag.embed import Embedder
from rag.index import Index, build, load
from rag.search import MODES, search_many

CUTS = (1, 3, 5, 10)
# Chunks looked at: several chunks of one document count once.
CHUNKS = 50


def rows(path: Path) -> list[dict[str, str]]:
    """Objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def judgements(path: Path) -> dict[str, set[str]]:
    """query -> relevant documents, from a tab-separated file with a head line."""
    relevant: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        if float(score) > 0:
            relevant.setdefault(query, set()).add(document)
    return relevant


def measure(ranked: Sequence[Sequence[str]], wanted: Sequence[set[str]]) -> Mapping[str, float]:
    """Mean recall@k, the share of queries with any relevant document in the first k (hit@k), and MRR@10."""
    result: dict[str, float] = {}
    pairs = list(zip(ranked, wanted, strict=True))
    for cut in CUTS:
        result[f"recall@{cut}"] = sum(len(want & set(got[:cut])) / len(want) for got, want in pairs) / len(pairs)
        result[f"hit@{cut}"] = sum(bool(want & set(got[:cut])) for got, want in pairs) / len(pairs)
    first = [next((1 / i for i, d in enumerate(got[:10], start=1) if d in want), 0.0) for got, want in pairs]
    result["mrr@10"] = sum(first) / len(first)
    return result


def passing(index: Index, texts: Sequence[str]) -> float:
    """Share of the questions that get passages put before them."""
    found = search_many(index, texts, 2)
    return sum(relevant(hits, MIN_SIMILARITY) for hits in found) / len(texts)


def main() -> None:
    """Build, search in each mode, print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--sets", nargs="+", default=["xquad_en", "cranfield"])
    options = parser.parse_args()
    embedder = Embedder()
    for name in options.sets:
        folder = options.shared / "data" / "retrieval" / name
        documents = [Document(r["_id"], r.get("title", ""), r["text"], name) for r in rows(folder / "corpus.jsonl")]
        judged = judgements(folder / "qrels.tsv")
        queries = [q for q in rows(folder / "queries.jsonl") if q["_id"] in judged]
        with tempfile.TemporaryDirectory() as place:
            start = time.perf_counter()
            snapshot = build([d for d in documents if d.text.strip()], place, embedder)
            built_s = time.perf_counter() - start
            index = load(place, embedder)
            print(f"{name}: {len(queries)} queries, {snapshot.documents} documents, {snapshot.chunks} chunks, "
                  f"built in {built_s:.0f} s")  # fmt: skip
            for mode in MODES:
                start = time.perf_counter()
                found = search_many(index, [q["text"] for q in queries], CHUNKS, mode)
                each_ms = 1000 * (time.perf_counter() - start) / len(queries)
                ranked = [list(dict.fromkeys(hit.document_id for hit in hits)) for hits in found]
                figures = measure(ranked, [judged[q["_id"]] for q in queries])
                shown = "  ".join(f"{key} {value:.3f}" for key, value in figures.items())
                print(f"  {mode:8} {shown}  ({each_ms:.1f} ms a query)", flush=True)
            for other in sorted((options.shared / "data" / "retrieval").glob("*/queries.jsonl")):
                texts = [q["text"] for q in rows(other)]
                print(f"  questions of {other.parent.name} that get passages: {passing(index, texts):.3f}", flush=True)


if __name__ == "__main__":
    main()

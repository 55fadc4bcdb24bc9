"""Search: dense and BM25 rankings fused by reciprocal rank."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rag.errors import RagError
from rag.index import Index

# Cormack, Clarke and Buettcher 2009 (Reciprocal rank fusion outperforms Condorcet, SIGIR): 1 / (60 + rank).
RRF_K = 60
# Ranks looked at in each list; a chunk below both cannot come near the top of the sum.
DEPTH = 100
MODES = ("fused", "dense", "lexical")


class Hit(NamedTuple):
    """A chunk found: ranks count from 1 (None: not in that list), start and end are in the document's text.

    `header` is the title with the headings above the chunk; `similarity` the cosine of query and chunk, None where the
    chunk is not among the dense ranks.
    """

    chunk_id: str
    document_id: str
    title: str
    text: str
    score: float
    dense_rank: int | None
    lexical_rank: int | None
    start: int
    end: int
    path: str
    header: str = ""
    similarity: float | None = None


def search(index: Index, query: str, k: int = 5, mode: str = "fused") -> list[Hit]:
    """The k best chunks for the query, best first; fewer if the index holds fewer."""
    return search_many(index, [query], k, mode)[0]


def search_many(index: Index, queries: Sequence[str], k: int = 5, mode: str = "fused") -> list[list[Hit]]:
    """Hits of each query; the queries are embedded together. `mode`: fused, dense or lexical."""
    if mode not in MODES:
        raise RagError("mode", mode, ", ".join(MODES), exit_code=2)
    if k < 1:
        raise RagError("k", str(k), "1 or more", exit_code=2)
    depth = min(max(DEPTH, k), len(index.chunks))
    # A lone surrogate, as logs hold them, is no text to a tokenizer.
    asked = [query.encode("utf-8", "replace").decode("utf-8") for query in queries]
    dense: list[dict[int, float]] = [{} for _ in asked]
    lexical: list[list[int]] = [[] for _ in asked]
    if asked and mode != "lexical":
        cosines, rows = index.vectors.search(index.embedder.encode(asked), depth)
        for found, row_list, cosine_list in zip(dense, rows, cosines, strict=True):
            found.update(
                (int(row), float(cosine)) for row, cosine in zip(row_list, cosine_list, strict=True) if row >= 0
            )
    if mode != "dense":
        lexical = [_best(index.bm25.scores(query), depth) for query in asked]
    return [_hits(index, d, w, k) for d, w in zip(dense, lexical, strict=True)]


def fuse(rankings: Sequence[Sequence[int]], k: int = RRF_K) -> dict[int, float]:
    """Reciprocal rank fusion: item -> sum over the rankings of 1 / (k + rank), rank from 1; best first, ties by item.

    Source: Cormack, Clarke and Buettcher, SIGIR 2009.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1 / (k + rank)
    return dict(sorted(scores.items(), key=lambda pair: (-pair[1], pair[0])))


def _best(scores: np.ndarray, depth: int) -> list[int]:
    order = np.argsort(-scores, kind="stable")[:depth]
    return [int(row) for row in order if scores[row] > 0]


def _hits(index: Index, cosines: Mapping[int, float], lexical: Sequence[int], k: int) -> list[Hit]:
    dense = list(cosines)
    dense_ranks = {row: rank for rank, row in enumerate(dense, start=1)}
    lexical_ranks = {row: rank for rank, row in enumerate(lexical, start=1)}
    hits = []
    for row, score in list(fuse([dense, lexical]).items())[:k]:
        c = index.chunks[row]
        ranks = (dense_ranks.get(row), lexical_ranks.get(row))
        hit = Hit(c.id, c.document_id, c.title, c.text, score, *ranks, c.start, c.end, c.path, c.header)
        hits.append(hit._replace(similarity=cosines.get(row)))
    return hits

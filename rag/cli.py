"""The command `rag`: build an index of documents, search it, ask a model with it."""

import json
from typing import Any

import click


@click.group()
def rag() -> None:
    """Documents in, index out, cited answers."""


def _say(data: Any, as_json: bool, lines: list[str]) -> None:
    click.echo(json.dumps(data, ensure_ascii=False, indent=1) if as_json else "\n".join(lines))


@rag.command()
@click.argument("docs", nargs=-1, required=True, type=click.Path())
@click.option("--index", "index_folder", required=True, type=click.Path(), help="Folder of the index.")
@click.option("--embedder", type=str, help="Sentence-transformers folder; without it the packaged all-MiniLM-L6-v2.")
@click.option("--cap", "cap_tokens", type=int, default=200, show_default=True, help="Tokens of a chunk at most.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def build(docs: tuple[str, ...], index_folder: str, embedder: str | None, cap_tokens: int, as_json: bool) -> None:
    """Index the text files of DOCS (folders or files); the same inputs build nothing."""
    from rag.documents import read
    from rag.embed import Embedder
    from rag.index import build as build_index

    reading = read(list(docs))
    snapshot = build_index(reading.documents, index_folder, Embedder(embedder), cap_tokens=cap_tokens)
    done = "built" if snapshot.built else "nothing changed"
    lines = [f"{done}: {snapshot.documents} documents, {snapshot.chunks} chunks ({snapshot.embedded} embedded)"]
    lines += [f"skipped {path}: {reason}" for path, reason in reading.skipped]
    lines += [f"note {path}: {reason}" for path, reason in reading.notes]
    lines.append(f"index {snapshot.folder}, snapshot {snapshot.id}")
    data = snapshot._asdict() | {
        "skipped": [item._asdict() for item in reading.skipped],
        "notes": [item._asdict() for item in reading.notes],
    }
    _say(data, as_json, lines)


@rag.command()
@click.argument("index", type=click.Path())
@click.argument("query")
@click.option("-k", type=click.IntRange(min=1), default=5, show_default=True, help="Passages to show.")
@click.option("--mode", type=click.Choice(["fused", "dense", "lexical"]), default="fused", show_default=True)
@click.option("--embedder", type=str, help="The embedder that the index was built with, if not the packaged one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def search(index: str, query: str, k: int, mode: str, embedder: str | None, as_json: bool) -> None:
    """Show the passages of INDEX for QUERY."""
    from rag.embed import Embedder
    from rag.index import load
    from rag.search import search as search_index

    hits = search_index(load(index, Embedder(embedder)), query, k, mode)
    lines = []
    for number, hit in enumerate(hits, start=1):
        ranks = f"dense {hit.dense_rank or '-'}, words {hit.lexical_rank or '-'}"
        lines += [f"{number}. {hit.title} ({hit.document_id} {hit.start}-{hit.end}; {ranks})", f"   {_short(hit.text)}"]
    _say([hit._asdict() for hit in hits], as_json, lines or ["nothing found"])


@rag.command()
@click.argument("index", type=click.Path())
@click.argument("question")
@click.option("--model", required=True, help="URL of an OpenAI-compatible endpoint (http://host:port/v1).")
@click.option("--name", default="", help="Name of the model at the endpoint.")
@click.option("-k", type=click.IntRange(min=1), default=2, show_default=True, help="Passages to put in the prompt.")
@click.option("--embedder", type=str, help="The embedder that the index was built with, if not the packaged one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def ask(index: str, question: str, model: str, name: str, k: int, embedder: str | None, as_json: bool) -> None:
    """Answer QUESTION from INDEX and name the passages that support the answer."""
    from rag.answer import answers_with_citations
    from rag.embed import Embedder
    from rag.endpoint import endpoint
    from rag.index import load

    generate = endpoint(model, name)
    loaded = load(index, Embedder(embedder))
    result = answers_with_citations(loaded, generate, [[{"role": "user", "content": question}]], k)[0]
    lines = [result.answer, ""]
    lines += [f"[{c.number}] {c.document_id} {c.start}-{c.end}: {_short(c.quote)}" for c in result.citations]
    if not result.citations:
        lines.append("no passage supports this answer")
    data = {
        "answer": result.answer,
        "citations": [citation._asdict() for citation in result.citations],
        "shown": [hit._asdict() for hit in result.shown],
    }
    _say(data, as_json, lines)


@rag.command()
@click.argument("index", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(index: str, as_json: bool) -> None:
    """Tell what INDEX holds and whether its files are intact."""
    from rag.index import status as index_status

    told = index_status(index)
    counts = told["counts"]
    lines = [
        f"snapshot {told['snapshot']} of {told['created']}",
        f"{counts['documents']} documents, {counts['chunks']} chunks, {told['size_bytes'] / 2**20:.2f} MiB",
        f"embedder {told['embedder']}, chunks of at most {told['chunking']['cap_tokens']} tokens",
        "files intact" if told["intact"] else "files damaged: build the index again",
    ]
    _say(told, as_json, lines)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:197] + "..."

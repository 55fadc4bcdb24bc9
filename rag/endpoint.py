"""An `Answer` from an OpenAI-compatible endpoint: many questions at a time, with the standard library alone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from rag.completion import Refused, Said, complete, opener
from rag.errors import RagError
from rag.retry import RETRIES, Passing, patiently

Question = Sequence[Mapping[str, str]]

TIMEOUT_S = 120.0
PARALLEL = 4
# Settings that some models take under another name, or not at all (the reasoning models of the OpenAI API).
OTHERWISE = {"max_tokens": "max_completion_tokens", "temperature": "", "seed": ""}


class Address(NamedTuple):
    """Where an endpoint is, the model asked there, and the names under which it serves adapters."""

    url: str
    model: str
    adapters: Mapping[str, str]


def address(given: str) -> Address:
    """`URL`, `URL#MODEL` or `URL#MODEL,ADAPTER=NAME`, taken apart; the names are those of the server's /v1/models.

    Raises RagError (wrong usage) for another scheme than http(s), no host, or a password in the URL.
    """
    wrong = RagError("--model", given, "the http(s) URL of an OpenAI-compatible endpoint", exit_code=2)
    try:
        parts = urlsplit(given)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise wrong from None
    if not fine or any(c.isspace() or not c.isprintable() for c in parts._replace(fragment="").geturl()):
        raise wrong
    if parts.username is not None:  # not quoted here: it would be printed
        raise RagError("--model", "a URL with a name or password in it", fix="set OPENAI_API_KEY instead", exit_code=2)
    names = [unquote(name.strip()) for name in parts.fragment.split(",")]
    adapters = dict(name.split("=", 1) for name in names if "=" in name)
    plain = [name for name in names if name and "=" not in name]
    if len(plain) > 1 or not all(adapters) or not all(adapters.values()):
        raise RagError("--model", f"#{parts.fragment}", "#MODEL or #MODEL,ADAPTER=NAME", exit_code=2)
    return Address(parts._replace(fragment="").geturl(), plain[0] if plain else "", adapters)


def endpoint(
    url: str,
    model: str = "",
    *,
    max_tokens: int = 256,
    timeout_s: float = TIMEOUT_S,
    response_format: Mapping[str, object] | None = None,
    temperature: float = 0.0,
    seed: int | None = None,
    parallel: int = PARALLEL,
    retries: int = RETRIES,
    told: Callable[[str], None] | None = None,
) -> Endpoint:
    """Chat completions of `url` (".../v1"; "...#MODEL" names the model too), greedy unless `temperature` is given.

    `parallel` questions are on their way at a time. `response_format` constrains the answer where the server can, as
    in the OpenAI API (type json_schema). `told` hears, once each, why something is asked again. The key, if one is
    needed, is read from OPENAI_API_KEY.

    Raises RagError for what is no http(s) URL; asking raises it for an endpoint that does not answer.
    """
    at = address(url)
    parts = urlsplit(at.url)
    path = parts.path.rstrip("/")
    path = path if path.endswith("/chat/completions") else f"{path}/chat/completions"
    body: dict[str, object] = {"temperature": temperature, "max_tokens": max_tokens}
    if model or at.model:  # a server pinned to one model may refuse an empty name
        body["model"] = model or at.model
    if seed is not None:
        body["seed"] = seed
    if response_format is not None:
        body["response_format"] = response_format
    return Endpoint(parts._replace(path=path).geturl(), body, timeout_s, parallel, retries, told)


class Endpoint:
    """An endpoint as an `Answer`: see `endpoint`."""

    def __init__(
        self,
        target: str,
        body: Mapping[str, object],
        timeout_s: float,
        parallel: int,
        retries: int,
        told: Callable[[str], None] | None,
    ) -> None:
        self.target, self.body, self.timeout_s = target, body, timeout_s
        self.parallel, self.retries = max(parallel, 1), retries
        self._told, self._heard, self._way = told, set[str](), opener()

    def __call__(self, questions: Sequence[Question]) -> list[Said]:
        """The answers in the order of the questions."""
        answers = dict(self.each(questions))
        return [answers[place] for place in range(len(questions))]

    def each(self, questions: Sequence[Question], answers_others: bool = False) -> Iterator[tuple[int, Said]]:
        """(place, answer) of each question as they come, then RagError if any is missing: what was yielded is kept.

        A question that the server refuses is an empty answer, with the reason, if the server answers others
        (`answers_others`: it has before). After as many failures in a row as there are questions on their way, each of
        them asked `retries` times more, the endpoint counts as dead and nothing more is asked.
        """
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        for place in range(len(questions)):
            todo.put(place)
        came: queue.SimpleQueue[tuple[int, Said | BaseException]] = queue.SimpleQueue()
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                try:
                    place = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    came.put((place, self._ask(questions[place], stop)))
                except BaseException as error:  # raised where the answers are read
                    came.put((place, error))
                    if not isinstance(error, (Passing, Refused)):  # here too: not one more question is sent
                        stop.set()

        workers = min(self.parallel, len(questions))
        for _ in range(workers):  # daemons: an interrupted run does not wait for what is on its way
            threading.Thread(target=work, daemon=True).start()
        refused: list[tuple[int, Refused]] = []
        missing: list[RagError] = []
        seen = in_a_row = 0
        try:
            while seen < len(questions) and not (stop.is_set() and came.empty()):
                place, got = came.get()
                seen += 1
                if isinstance(got, Said):
                    answers_others, in_a_row = True, 0
                    yield place, got
                elif isinstance(got, Refused):
                    refused.append((place, got))
                elif isinstance(got, RagError):
                    missing.append(got)
                    in_a_row += 1
                    if in_a_row >= max(workers, 2) or not isinstance(got, Passing):
                        stop.set()
                else:
                    raise got
                if answers_others:
                    yield from ((at, Said("", why.finish_reason)) for at, why in refused)
                    refused.clear()
        finally:
            stop.set()
        if missing or refused:
            raise max(missing, key=lambda error: not isinstance(error, Passing)) if missing else refused[0][1]

    def _ask(self, question: Question, stop: threading.Event) -> Said:
        messages = [{"role": m["role"], "content": m["content"]} for m in question]
        while True:
            body = self.body
            try:
                return patiently(
                    partial(complete, self.target, {**body, "messages": messages}, self.timeout_s, self._way),
                    retries=self.retries,
                    stop=stop,
                    told=lambda why: self._tell(f"{why}; asking again"),
                )
            except Refused as refusal:
                if refusal.parameter not in OTHERWISE or refusal.parameter not in body:
                    raise
                name = OTHERWISE[refusal.parameter]
                kept = {k: v for k, v in body.items() if k != refusal.parameter}
                self.body = kept | ({name: body[refusal.parameter]} if name else {})
                self._tell(f"takes no {refusal.parameter}: " + (f"{name} instead" if name else "asked without"))

    def _tell(self, what: str) -> None:
        if self._told is not None and what not in self._heard:
            self._heard.add(what)
            self._told(f"{self.target}: {what}")

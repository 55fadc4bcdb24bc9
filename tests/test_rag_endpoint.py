"""The OpenAI-compatible endpoint, against real local HTTP servers: a kind one and one that does all that servers do."""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rag import retry
from rag.completion import MAX_ANSWER_BYTES, Said, complete, opener
from rag.endpoint import address, endpoint
from rag.errors import RagError
from rag.retry import MOST_RETRY_AFTER_S, patiently, retry_after_s, wait_s

Reply = Callable[[BaseHTTPRequestHandler, dict[str, Any], int], None]


class Server:
    """A server whose reply to a question is a function of the handler, the request's body and how often it came."""

    def __init__(self, reply: Reply) -> None:
        self.seen: list[tuple[str, dict[str, Any], str | None]] = []
        self.times: Counter[str] = Counter()
        lock, server = threading.Lock(), self

        class Chat(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = body["messages"][-1]["content"]
                with lock:
                    server.seen.append((self.path, body, self.headers.get("Authorization")))
                    server.times[asked] += 1
                    nth = server.times[asked]
                try:
                    reply(self, body, nth)
                except (BrokenPipeError, ConnectionResetError):  # the caller had enough
                    pass

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self.http = Quiet(("127.0.0.1", 0), Chat)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Reply], Server]]:
    servers: list[Server] = []

    def start(reply: Reply) -> Server:
        servers.append(Server(reply))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of a millisecond; no key unless a test sets one."""
    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.001)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def send(
    handler: BaseHTTPRequestHandler, status: int, raw: bytes | dict[str, Any], length: int | None = None, **headers: str
) -> None:
    raw = json.dumps(raw).encode() if isinstance(raw, dict) else raw
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(raw) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(raw)


def completion(content: Any, reason: Any = "stop", **message: Any) -> dict[str, Any]:
    told = {"role": "assistant", "content": content} | message
    return {"choices": [{"index": 0, "finish_reason": reason, "message": told}]}


def echo(handler: BaseHTTPRequestHandler, body: dict[str, Any], nth: int) -> None:
    send(handler, 200, completion(f"heard: {body['messages'][-1]['content']}"))


def chats(*texts: str) -> list[list[dict[str, str]]]:
    return [[{"role": "user", "content": text}] for text in texts]


# What is asked, and in which order it comes back


def test_questions_are_posted_and_answers_come_back_in_order(serve, monkeypatch) -> None:
    server = serve(echo)
    monkeypatch.setenv("OPENAI_API_KEY", "k-1")
    texts = [f"question {n}" for n in range(30)]
    for parallel in (1, 8):
        assert endpoint(server.url, "m", parallel=parallel)(chats(*texts)) == [f"heard: {text}" for text in texts]
    path, body, key = server.seen[0]
    assert path == "/v1/chat/completions" and body["model"] == "m" and body["temperature"] == 0
    assert key == "Bearer k-1" and "seed" not in body
    assert endpoint(server.url)([]) == []


def test_as_many_questions_as_allowed_are_on_their_way_together(serve) -> None:
    together = threading.Barrier(4)  # nobody is answered before four have asked

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any], nth: int) -> None:
        together.wait(timeout=60)
        echo(handler, body, nth)

    server = serve(reply)
    assert len(endpoint(server.url, parallel=4)(chats(*"abcdefgh"))) == 8


def test_the_name_of_a_model_or_adapter_stands_in_the_url(serve) -> None:
    server = serve(echo)
    endpoint(f"{server.url}#org/support-lora")(chats("a"))
    endpoint(server.url)(chats("b"))
    assert [body.get("model") for _, body, _ in server.seen] == ["org/support-lora", None]
    at = address("https://host:8000/v1/?api-version=1#base, adapter=support%2Cv2")
    assert at.url == "https://host:8000/v1/?api-version=1"
    assert at.model == "base" and at.adapters == {"adapter": "support,v2"}
    endpoint(f"{server.url}/?version=2")(chats("c"))
    assert server.seen[-1][0] == "/v1/chat/completions?version=2"


def test_sampling_and_constraint_are_sent(serve) -> None:
    server = serve(echo)
    endpoint(server.url, temperature=0.7, seed=3, max_tokens=9, response_format={"type": "json_object"})(chats("a"))
    sent = server.seen[0][1]
    assert (sent["temperature"], sent["seed"], sent["max_tokens"]) == (0.7, 3, 9)
    assert sent["response_format"] == {"type": "json_object"}


def test_settings_that_a_model_does_not_take_are_sent_otherwise(serve) -> None:
    """The reasoning models of the OpenAI API: max_completion_tokens, and no temperature."""

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any], nth: int) -> None:
        for name, code in (("max_tokens", "unsupported_parameter"), ("temperature", "unsupported_value")):
            if name in body:
                return send(handler, 400, {"error": {"message": "no", "param": name, "code": code}})
        echo(handler, body, nth)

    server, told = serve(reply), list[str]()
    assert endpoint(server.url, max_tokens=7, told=told.append)(chats(*"abcdef")) == [f"heard: {c}" for c in "abcdef"]
    assert server.seen[-1][1]["max_completion_tokens"] == 7 and "temperature" not in server.seen[-1][1]
    assert len(told) == 2 and "max_completion_tokens instead" in told[0] and "without" in told[1]


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/v1", "not a url", "http://", "http://h:99999/v1", "http://a b/v1"]
)
def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises(RagError, match="OpenAI-compatible") as caught:
        endpoint(url)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("url", ["http://host/v1#a,b", "http://host/v1#=b", "http://host/v1#a,adapter="])
def test_names_that_cannot_be_are_wrong_usage(url: str) -> None:
    with pytest.raises(RagError, match="ADAPTER=NAME"):
        endpoint(url)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(RagError, match="OPENAI_API_KEY") as caught:
        endpoint("http://me:hunter2@host/v1")
    assert "hunter2" not in caught.value.message


# What passes by itself is waited for


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, b'{"choices": [{"mess', length=5000)
    handler.close_connection = True


def no_word(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True  # not even a status line


@pytest.mark.parametrize(
    "trouble",
    [
        lambda handler: send(handler, 429, {"error": "slow down"}, Retry_After="0"),
        lambda handler: send(handler, 500, {"error": "out of memory"}),
        lambda handler: send(handler, 503, b"<html>restarting</html>"),
        lambda handler: send(handler, 200, b"<html>a proxy speaks</html>", Content_Type="text/html"),
        lambda handler: send(handler, 200, {"error": {"message": "upstream"}}),
        lambda handler: send(handler, 200, b"\x1f\x8bno gzip", Content_Encoding="gzip"),
        hang_up,
        no_word,
    ],
    ids=["429", "500", "503", "html", "error as 200", "bad gzip", "hang-up", "no word"],
)
def test_trouble_twice_is_an_answer_the_third_time(serve, trouble) -> None:
    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any], nth: int) -> None:
        trouble(handler) if nth <= 2 else echo(handler, body, nth)

    server, told = serve(reply), list[str]()
    assert endpoint(server.url, told=told.append)(chats("a", "b", "c")) == ["heard: a", "heard: b", "heard: c"]
    assert server.times == {"a": 3, "b": 3, "c": 3}
    assert 1 <= len(told) <= 3 and all("asking again" in line for line in told)  # a reason is told once


def test_an_answer_that_takes_too_long_is_asked_for_again(serve) -> None:
    released = threading.Event()

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any], nth: int) -> None:
        if nth == 1:
            released.wait(60)
        echo(handler, body, nth)

    server = serve(reply)
    try:
        assert endpoint(server.url, timeout_s=0.5)(chats("a")) == ["heard: a"]
    finally:
        released.set()


def test_a_server_that_drips_is_not_waited_for_without_end(serve) -> None:
    over = threading.Event()

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any], nth: int) -> None:
        send(handler, 200, b"{", length=10**6)
        while not over.wait(0.05):  # each piece comes in time, the whole never
            handler.wfile.write(b" ")

    server = serve(reply)
    try:
        with pytest.raises(RagError, match="not whole after 0.3 s"):
            endpoint(server.url, timeout_s=0.3, retries=1)(chats("a"))
    finally:
        over.set()
    assert server.times["a"] == 2


def test_waits_double_up_to_a_limit_and_never_undercut_the_server() -> None:
    retry_waits = [wait_s(tries, None, lambda: 1.0) / retry.FIRST_WAIT_S for tries in (1, 2, 3, 4)]
    assert retry_waits == [1, 2, 4, 8] and wait_s(60, None, lambda: 1.0) == retry.LONGEST_WAIT_S
    assert wait_s(9, None, lambda: 0.0) == 0.0  # full jitter
    assert 7.0 <= wait_s(1, 7.0) <= 8.0
    assert retry_after_s("12") == 12.0 and retry_after_s("86400") == MOST_RETRY_AFTER_S
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT", now_s=1445412470.0) == 10.0
    assert retry_after_s("-3") == 0.0 and retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after_s(None) is None and retry_after_s("soon") is None and retry_after_s("nan") is None


def test_the_wait_that_the_server_asks_for_is_kept_to(serve) -> None:
    waited: list[float] = []

    class Watched(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            return False

    server = serve(lambda h, b, n: send(h, 429, b"", Retry_After="31") if n == 1 else echo(h, b, n))
    body = {"messages": chats("a")[0]}
    answer = patiently(lambda: complete(f"{server.url}/chat/completions", body, 60.0, opener()), stop=Watched())
    assert answer == "heard: a" and len(waited) == 1 and 31.0 <= waited[0] <= 32.0


def test_nobody_is_asked_again_once_the_caller_has_stopped(serve) -> None:
    server = serve(lambda h, b, n: send(h, 503, b""))
    stop = threading.Event()
    stop.set()
    with pytest.raises(RagError, match="HTTP 503"):
        patiently(lambda: complete(server.url, {"messages": chats("a")[0]}, 60.0, opener()), stop=stop)
    assert len(server.seen) == 1


# Whatever comes back ends in one state


@pytest.mark.parametrize(
    ("sent", "text", "reason"),
    [
        (completion("half a sen", "length"), "half a sen", "length"),
        (completion(""), "", "stop"),
        (completion(None, "content_filter"), "", "content_filter"),
        (completion(None, "tool_calls", tool_calls=[{"function": {"name": "f"}}]), "", "tool_calls"),
        (completion("42", reasoning_content="I think"), "42", "stop"),
        (completion(None, "length", reasoning_content="I think and think"), "", "length"),
        (completion([{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]), "ab", "stop"),
        (completion({"text": "x"}, {"odd": 1}), "", ""),
        (completion("x", "\x1b[31m" + "r" * 500), "x", ""),
        ({"choices": [{"finish_reason": "stop"}]}, "", "stop"),
        ({"choices": ["odd"]}, "", ""),
    ],
)
def test_odd_answers_are_answers_with_the_reason_for_their_end(serve, sent, text: str, reason: str) -> None:
    server = serve(lambda handler, body, nth: send(handler, 200, sent))
    said = endpoint(server.url)(chats("a"))[0]
    assert isinstance(said, Said) and (said, said.finish_reason) == (text, reason)
    assert len(server.seen) == 1


TOO_LONG = json.dumps(completion("x" * MAX_ANSWER_BYTES)).encode()
REFUSALS: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
    "context_length": lambda h: send(h, 400, {"error": {"code": "context_length_exceeded", "message": "too long"}}),
    "content_filter": lambda h: send(h, 400, {"error": {"code": "content_filter", "message": "no"}}),
    "http_422": lambda h: send(h, 422, {"detail": "odd"}),
    "no_choices": lambda h: send(h, 200, {"choices": []}),
    "too_long": lambda h: send(h, 200, TOO_LONG),
    "too_long ": lambda h: send(h, 200, gzip.compress(TOO_LONG), Content_Encoding="gzip"),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_question_that_is_refused_is_an_empty_answer_if_others_are_answered(serve, reason: str) -> None:
    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any], nth: int) -> None:
        REFUSALS[reason](handler) if body["messages"][-1]["content"] == "bad" else echo(handler, body, nth)

    server = serve(reply)
    answers = endpoint(server.url, parallel=1)(chats("bad", "good", "fine"))
    assert answers == ["", "heard: good", "heard: fine"] and answers[0].finish_reason == reason.strip()
    assert server.times["bad"] == 1  # no use in asking again
    with pytest.raises(RagError):  # alone, it may be the endpoint that is wrong
        endpoint(server.url)(chats("bad"))
    assert dict(endpoint(server.url).each(chats("bad"), answers_others=True)) == {0: ""}


def test_a_gzip_that_nobody_asked_for_is_read(serve) -> None:
    packed = gzip.compress(json.dumps(completion("ünpacked")).encode())
    server = serve(lambda handler, body, nth: send(handler, 200, packed, Content_Encoding="gzip"))
    assert endpoint(server.url)(chats("a")) == ["ünpacked"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(serve, monkeypatch, status: int) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k-1")
    other = serve(echo)
    server = serve(lambda handler, body, nth: send(handler, status, b"", Location=f"{other.url}/chat/completions"))
    with pytest.raises(RagError, match=f"HTTP {status}, sent on to {other.url}"):
        endpoint(server.url)(chats("a"))
    assert not other.seen and len(server.seen) == 1


@pytest.mark.parametrize(("status", "fix"), [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "URL#NAME")])
def test_what_no_other_try_can_help_is_told_at_once(serve, monkeypatch, status: int, fix: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k-very-secret")

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any], nth: int) -> None:
        send(handler, status, f"no\x1b[31m\r\n{handler.headers['Authorization']}".encode())

    server = serve(reply)
    with pytest.raises(RagError, match=f"HTTP {status} no") as caught:
        endpoint(server.url, parallel=1)(chats(*"abcdef"))
    said = caught.value.message
    assert fix in said and "secret" not in said and "\n" not in said and "\x1b" not in said
    assert len(server.seen) == 1


def test_a_key_that_no_header_can_hold_is_one_line(serve, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k\nInjected: 1")
    with pytest.raises(RagError, match="OPENAI_API_KEY"):
        endpoint(serve(echo).url)(chats("a"))


# An endpoint that dies


def test_a_server_that_fails_is_one_line(serve) -> None:
    server = serve(lambda handler, body, nth: send(handler, 500, {"error": "out of memory"}))
    with pytest.raises(RagError, match="HTTP 500.*out of memory") as caught:
        endpoint(server.url, retries=2)(chats("a"))
    assert "\n" not in caught.value.message and server.times["a"] == 3
    with pytest.raises(RagError, match="no answer.*check the URL"):
        endpoint("http://127.0.0.1:9")(chats("a"))


def test_what_came_before_the_end_is_not_lost(serve) -> None:
    left = iter(range(20))

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any], nth: int) -> None:
        no_word(handler) if next(left, None) is None else echo(handler, body, nth)

    server = serve(reply)
    texts = [str(n) for n in range(100)]
    came = {}
    with pytest.raises(RagError, match="no answer"):
        for place, text in endpoint(server.url, parallel=4, retries=1).each(chats(*texts)):
            came[place] = text
    assert came == {n: f"heard: {n}" for n in came} and len(came) == 20
    assert len(server.seen) < 20 + 80  # a dead endpoint is not asked all that is left, each question twice


def test_one_question_that_always_fails_keeps_no_other_from_its_answer(serve) -> None:
    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any], nth: int) -> None:
        send(handler, 500, b"poison") if body["messages"][-1]["content"] == "3" else echo(handler, body, nth)

    server = serve(reply)
    came = {}
    with pytest.raises(RagError, match="poison"):
        for place, text in endpoint(server.url, parallel=2, retries=1).each(chats(*map(str, range(20)))):
            came[place] = text
    assert sorted(came) == [n for n in range(20) if n != 3]

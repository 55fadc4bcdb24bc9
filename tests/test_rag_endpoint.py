"""The OpenAI-compatible endpoint, against a real local HTTP server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("faiss", reason="faiss-cpu is not installed: pip install 'formfacts[rag]'")

from rag.endpoint import endpoint
from rag.errors import RagError


@pytest.fixture
def server():
    seen = []

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, body, self.headers.get("Authorization")))
            asked = body["messages"][-1]["content"]
            status, answer = 200, {"choices": [{"message": {"role": "assistant", "content": f"heard: {asked}"}}]}
            if asked == "broken":
                status, answer = 500, {"error": "out of memory"}
            elif asked == "odd":
                answer = {"choices": []}
            raw = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_args):
            pass

    with HTTPServer(("127.0.0.1", 0), Chat) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/v1", seen
        http.shutdown()
        thread.join()


def ask(url, text):
    return endpoint(url, "m")([[{"role": "user", "content": text}]])


def test_questions_are_posted_and_answers_come_back_in_order(server, monkeypatch):
    url, seen = server
    monkeypatch.setenv("OPENAI_API_KEY", "k-1")
    chats = [[{"role": "user", "content": text}] for text in ("one", "two")]
    assert endpoint(url, "m")(chats) == ["heard: one", "heard: two"]
    path, body, key = seen[0]
    assert path == "/v1/chat/completions" and body["model"] == "m" and body["temperature"] == 0
    assert key == "Bearer k-1"


def test_a_server_that_fails_is_one_line(server, monkeypatch):
    url, _ = server
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for text, said in (("broken", "HTTP 500"), ("odd", "no chat completion")):
        with pytest.raises(RagError, match=said) as caught:
            ask(url, text)
        assert "\n" not in caught.value.message
    with pytest.raises(RagError, match="no answer"):
        ask("http://127.0.0.1:9", "x")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/v1", "not a url", "http://"])
def test_only_http_is_spoken(url):
    with pytest.raises(RagError, match="OpenAI-compatible"):
        endpoint(url)

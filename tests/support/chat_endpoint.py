"""A chat endpoint on this machine, as vLLM, llama.cpp and Ollama have one, with answers that a test chooses."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def follow(prompt: list[dict[str, str]]) -> str:
    """Word a plan in the simplest way that passes the check."""
    messages = []
    for turn in json.loads(prompt[1]["content"])["turns"]:
        for role in ("user", "assistant"):
            names = turn[role].get("names", [])
            messages.append({"role": role, "content": "Well " + ", ".join(f"[track:{name}]" for name in names)})
    return json.dumps({"messages": messages})


class Endpoint:
    """A server whose answers are those of a function of the request's number and its prompt."""

    def __init__(self, answer: Callable[[int, list[dict[str, str]]], tuple[int, str]]) -> None:
        self.requests: list[dict[str, Any]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.requests.append(body)
                status, text = answer(len(endpoint.requests), body["messages"])
                choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
                completion = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
                is_page = text.startswith("<html>")
                content = text.encode() if is_page else json.dumps(completion).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if is_page else "application/json")
                self.send_header("retry-after-ms", "1")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: Any) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

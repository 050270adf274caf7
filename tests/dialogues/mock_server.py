"""An OpenAI-compatible server that computes nothing: what it replies is a function of the request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]  # the body; "key" is the one of its header


@dataclass
class Reply:
    """body: a string goes out as it is, anything else as JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def completion(text: str | None, finish: str = "stop", prompt_tokens: int = 0) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 1, "total_tokens": prompt_tokens + 1}
    return Reply({"id": "x", "object": "chat.completion", "created": 0, "choices": [choice], "usage": usage})


def shouted(request: Request) -> Reply:
    """The question in capitals."""
    return completion(request["messages"][-1]["content"].upper())


@contextmanager
def serving(reply: Callable[[Request], Reply] = shouted) -> Iterator[tuple[str, list[Request]]]:
    """The base of the server's API, and the requests that have come."""
    came: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            request["key"] = self.headers["Authorization"].removeprefix("Bearer ")
            request["path"] = self.path
            came.append(request)
            found = reply(request)
            body = found.body if isinstance(found.body, str) else json.dumps(found.body)
            self.send_response(found.status)
            headers = {"Content-Type": "application/json", "Content-Length": len(body.encode()), **found.headers}
            for name, value in headers.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that was killed, or that did not wait

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", came
        finally:
            server.shutdown()

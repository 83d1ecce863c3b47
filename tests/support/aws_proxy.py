"""AWS on a bad day: between boto3 and the sandbox, requests are throttled, refused, or done and not answered."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

Verdict = Literal["pass", "throttle", "lose answer", "refuse"]
REGISTER = ("POST", "/certificate/register-no-ca")


class AwsProxy:
    """Forwards to ``target`` what ``judge(method, path)`` lets pass. ``calls`` counts by method and path's first part."""

    def __init__(self, target: str, judge: Callable[[str, str], Verdict] = lambda *_: "pass") -> None:
        self.judge = judge
        self.calls: Counter[str] = Counter()
        self._target = urlsplit(target)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = urlsplit(self.path).path
                verdict = proxy.judge(self.command, path)
                proxy.calls[verdict] += 1
                if verdict == "throttle":
                    self.answer(429, {"x-amzn-ErrorType": "ThrottlingException"}, json.dumps({"message": "Rate exceeded"}))
                    return
                if verdict == "refuse":
                    self.close_connection = True
                    self.connection.close()
                    return
                status, headers, data = proxy.forward(self.command, self.path, dict(self.headers), body)
                if verdict == "lose answer":
                    self.close_connection = True
                    self.connection.close()
                    return
                self.answer(status, headers, data)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any  # noqa: N815 - http.server's names

            def answer(self, status: int, headers: dict[str, str], data: str | bytes) -> None:
                content = data.encode() if isinstance(data, str) else data
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a client that went away

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._local = threading.local()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        for fresh in (False, True):
            if connection is None or fresh:
                connection = http.client.HTTPConnection(self._target.hostname or "", self._target.port, timeout=30)
                self._local.connection = connection
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                return answer.status, dict(answer.headers), answer.read()
            except (http.client.HTTPException, OSError):
                connection.close()
        raise ConnectionError(f"the sandbox does not answer {method} {path}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class PerSecond:
    """A throttle as AWS has it: each kind of request may come ``rate`` times a second, with a burst of as many."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def __call__(self, method: str, path: str) -> Verdict:
        parts = path.strip("/").split("/")
        kind = " ".join([method, parts[0], *parts[2:]])  # one bucket an operation: the name in the path is left out
        with self._lock:
            now = time.monotonic()
            tokens, at = self._buckets.get(kind, (self._rate, now))
            tokens = min(self._rate, tokens + (now - at) * self._rate)
            self._buckets[kind] = (tokens - 1 if tokens >= 1 else tokens, now)
            return "pass" if tokens >= 1 else "throttle"

"""An HTTP proxy in front of a real S3 server that spoils chosen requests the way busy and broken stores do."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("slow_down", "unavailable", "reset", "truncate", "short", "stall")
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-authorization"}


class FaultyProxy:
    """Forwards to ``target``; the first ``times`` requests that ``chosen(method, path)`` picks meet the fault.

    slow_down: 503 SlowDown. unavailable: 503 without a body. reset: the connection is reset in place of an answer.
    truncate: half a body, then the connection ends. short: half a body under headers that claim it is all of it.
    stall: no answer until the proxy is closed. denied: 403 AccessDenied.
    """

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.requests: list[str] = []
        self.sent = 0  # bytes of bodies that were asked for with GET
        self.spoiled = 0
        self.fault, self._times = "", 0
        self._chosen: Callable[[str, str], bool] = lambda _method, _path: False
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy._handle(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: tests read stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def spoil(self, fault: str, *, times: int, chosen: Callable[[str, str], bool]) -> None:
        """From now on the next ``times`` chosen requests meet the fault."""
        with self._lock:
            self.fault, self._times, self._chosen, self.spoiled = fault, times, chosen, 0
            self.requests.clear()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = self._body_of(request)
        with self._lock:
            self.requests.append(f"{request.command} {request.path}")
            hit = self.spoiled < self._times and self._chosen(request.command, request.path)
            self.spoiled += hit
            fault = self.fault if hit else ""
        if fault in ("slow_down", "unavailable", "denied"):
            self._refuse(request, fault)
        elif fault == "reset":
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.close_connection = True
            request.connection.close()
        elif fault == "stall":
            self._released.wait(30)
            request.close_connection = True
        else:
            self._forward(request, body, fault)

    @staticmethod
    def _body_of(request: BaseHTTPRequestHandler) -> bytes:
        if request.headers.get("Transfer-Encoding", "").lower() == "chunked":
            raise AssertionError("the tests' client never sends chunks")
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))

    @staticmethod
    def _refuse(request: BaseHTTPRequestHandler, fault: str) -> None:
        code = {"slow_down": "SlowDown", "denied": "AccessDenied"}.get(fault)
        said = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode() if code else b""
        if request.command == "HEAD":
            said = b""
        request.send_response(403 if fault == "denied" else 503)
        request.send_header("Content-Length", str(len(said)))
        request.end_headers()
        request.wfile.write(said)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes, fault: str) -> None:
        upstream = http.client.HTTPConnection(self._target.hostname or "", self._target.port, timeout=30)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        upstream.request(request.command, request.path, body, headers)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        sent = data[: len(data) // 2] if fault in ("truncate", "short") else data
        request.send_response(answer.status)
        for name, value in answer.getheaders():
            # A checksum of the whole body would give a short one away; not every store sends one.
            if name.lower() not in HOP | {"content-length"} and not (fault and "checksum" in name.lower()):
                request.send_header(name, value)
        claimed = len(data) if fault == "truncate" else len(sent)
        if request.command == "HEAD":
            claimed = int(answer.getheader("Content-Length") or 0)
        request.send_header("Content-Length", str(claimed))
        request.end_headers()
        request.wfile.write(sent)
        if request.command == "GET":
            with self._lock:
                self.sent += len(sent)
        if fault == "truncate":
            request.close_connection = True
